"""Pixels as every model and every picture on screen needs them: upright, RGB, 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError, MediaError
from slicelab.sources._open_image import open_image, orientation, upright

if TYPE_CHECKING:
    from PIL import Image

BACKGROUND = (128, 128, 128)
"""What shows through transparent pixels: neither the black nor the white of an object's own edge."""

_ON_ITS_SIDE = 5
"""EXIF orientations from here on swap height and width."""

PixelBox = tuple[float, float, float, float]


def read_image(
    path: str | Path,
    *,
    box: PixelBox | None = None,
    content: bytes | None = None,
    at_least: tuple[int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return an image's pixels.

    Parameters
    ----------
    path
        JPEG, PNG, WebP, BMP or TIFF (first frame).
    box
        (x, y, width, height) in pixels of the upright image: only this part, widened to whole pixels and cut at
        the frame. None: all of it.
    content
        The file's bytes, where they are at hand already; then `path` only names it.
    at_least
        (height, width) in pixels that are enough: a JPEG is then decoded at a half, a quarter or an eighth of its
        size if that has as many, which takes a fraction of the time. Not together with `box`. None: its whole size.

    Returns
    -------
    uint8 (height, width, 3), RGB, turned as EXIF says. Transparency is laid over mid-grey. 16-bit grey is
    divided by 257 (full range, so that brightness stays comparable between images), 32-bit integers beyond that
    range and floats outside [0, 1] are stretched between their least and greatest finite value.

    Raises
    ------
    MediaError
        The file can't be opened or decoded.
    InvalidInputError
        `box` lies outside the image or isn't four finite numbers.
    """
    with open_image(path, content) as (image, _):
        turn = orientation(image)
        if at_least is not None and box is None:
            image.draft(None, at_least if turn >= _ON_ITS_SIDE else at_least[::-1])
        pixels = upright(to_rgb(image), turn)
    if box is not None:
        pixels = pixels.crop(pixel_window(box, pixels.size))
    return np.asarray(pixels, dtype=np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB, as `read_image` describes."""
    from PIL import Image

    if image.mode == "RGB" and not image.has_transparency_data:
        image.load()
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_grey8(np.asarray(image), is_float=image.mode == "F")).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def pixel_window(box: PixelBox, size: tuple[int, int], *, margin: float = 0.0) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) in whole pixels: `box` and its margin (share of the longer side), in frame."""
    x, y, width, height = (float(v) for v in box)
    if not np.isfinite([x, y, width, height]).all() or width <= 0 or height <= 0:
        raise InvalidInputError(f"The box must be (x, y, width, height), finite, width and height > 0; got {box!r}.")
    extra = margin * max(width, height)
    left, top = max(0, int(np.floor(x - extra))), max(0, int(np.floor(y - extra)))
    right = min(size[0], int(np.ceil(x + width + extra)))
    bottom = min(size[1], int(np.ceil(y + height + extra)))
    if right <= left or bottom <= top:
        raise InvalidInputError(f"The box {box!r} lies outside the image of {size[0]} x {size[1]} pixels.")
    return left, top, right, bottom


def _grey8(values: npt.NDArray[np.generic], *, is_float: bool) -> npt.NDArray[np.uint8]:
    grey = values.astype(np.float64)
    finite = grey[np.isfinite(grey)]
    if not finite.size:
        raise MediaError("The image holds no finite pixel.")
    low, high = float(finite.min()), float(finite.max())
    if is_float and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif not is_float and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((np.nan_to_num(grey, nan=low, posinf=high, neginf=low) - low) * scale).astype(np.uint8)
