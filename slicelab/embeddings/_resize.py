"""One way to bring a picture to a fixed size."""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from slicelab.embeddings._item import Image


def resized(image: Image, height: int, width: int) -> Image:
    """Stretch uint8 (h, w, 3) to (height, width, 3), antialiased; the whole picture is kept, its aspect is not."""
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), PillowImage.Resampling.BILINEAR, reducing_gap=3.0))


def shrunk(image: Image, longest: int) -> Image:
    """Shrink so that the longer side has at most `longest` pixels; smaller pictures stay as they are."""
    high, wide = image.shape[:2]
    scale = longest / max(high, wide)
    if scale >= 1:
        return image
    return resized(image, max(1, round(high * scale)), max(1, round(wide * scale)))
