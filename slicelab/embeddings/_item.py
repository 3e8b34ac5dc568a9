"""What is described: an image, or a box on one with some context around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.core import MediaError, hash_value

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageItem:
    """One unit's picture.

    Parameters
    ----------
    unit
        The unit's id.
    filepath
        The image file.
    sha256
        Hex hash of the file's bytes. A file whose bytes have another hash is not described; '' leaves this out,
        and the file's name stands in for its content in the cache.
    box
        x, y, width, height in pixels of the upright image, top-left corner; None: the whole image.
    margin
        Context around the box: this share of its longer side is added on every side.
    """

    unit: str
    filepath: str
    sha256: str
    box: tuple[float, float, float, float] | None = None
    margin: float = 0.1

    @cached_property
    def key(self) -> str:
        """Hex hash of what is seen: equal for equal content, wherever the file lies."""
        content: Any = self.sha256 or ["path", str(self.filepath)]
        if self.box is None:
            return hash_value([content])
        return hash_value([content, [float(v) for v in self.box], float(self.margin)])

    def crop(self, image: Image) -> Image:
        """Cut the box and its margin out of the upright image (h, w, 3).

        The window is rounded outwards to whole pixels and cut at the image's edges.

        Raises
        ------
        MediaError
            The window doesn't touch the image, or isn't finite.
        """
        if self.box is None:
            return image
        x, y, width, height = self.box
        high, wide = image.shape[:2]
        if not all(math.isfinite(v) for v in self.box) or width <= 0 or height <= 0:
            raise MediaError(f"The box {self.box} has no area. Boxes are x, y, width, height in pixels.")
        extra = self.margin * max(width, height)
        left = max(0, math.floor(x - extra))
        top = max(0, math.floor(y - extra))
        right = min(wide, math.ceil(x + width + extra))
        bottom = min(high, math.ceil(y + height + extra))
        if left >= right or top >= bottom:
            raise MediaError(f"The box {self.box} lies outside the image, which has {wide} x {high} pixels.")
        return image[top:bottom, left:right]
