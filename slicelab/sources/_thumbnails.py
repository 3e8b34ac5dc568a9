"""Small pictures for tables and galleries, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from slicelab.core import InvalidInputError
from slicelab.sources._open_image import open_image, orientation, upright, upright_size
from slicelab.sources._read_image import PixelBox, pixel_window, to_rgb

if TYPE_CHECKING:
    from PIL import Image

Window = tuple[int, int, int, int]
MAX_SIZE = 4096
_VERSION = 1
_LOG = logging.getLogger("slicelab")


def make_thumbnail(
    path: str | Path, *, size: int = 128, box: PixelBox | None = None, margin: float = 0.25
) -> tuple[bytes, Window]:
    """Return a small JPEG of an image, or of one object on it.

    Parameters
    ----------
    path
        The image.
    size
        Longest side in pixels, at most 4096. A smaller picture is never enlarged.
    box
        (x, y, width, height) in pixels of the upright image: show this object with its surroundings.
    margin
        How much is added on each side of the box, as a share of its longer side.

    Returns
    -------
    The JPEG's bytes, and the window (x, y, width, height) of the upright image that it shows, in whole pixels: a
    point p of the image lies at ((p.x - x) / width, (p.y - y) / height) of the thumbnail.

    Raises
    ------
    MediaError
        The image can't be opened or decoded.
    InvalidInputError
        The box lies outside the image, or `size` is out of range.
    """
    if not 1 <= size <= MAX_SIZE:
        raise InvalidInputError(f"The size of a thumbnail must be from 1 to {MAX_SIZE} pixels; got {size!r}.")
    with open_image(path) as (image, _):
        turn = orientation(image)
        full = upright_size(image, turn)
        window = pixel_window(box or (0, 0, *full), full, margin=margin if box else 0.0)
        shrink = max(window[2] - window[0], window[3] - window[1]) / size
        if shrink > 1:
            # JPEG only: libjpeg decodes at 1/2, 1/4 or 1/8, never below what is needed.
            image.draft("RGB", (max(1, int(image.width / shrink)), max(1, int(image.height / shrink))))
        picture = upright(to_rgb(image), turn)
        return _encode(_cut(picture, window, full, shrink)), _as_box(window)


class ThumbnailCache:
    """A folder of thumbnails, found by the media's hash, size and box.

    A file is written beside and moved into place, so a reader never sees half of one; what is damaged nevertheless
    is made again. Failures aren't kept: a repaired picture shows at once. Several processes may share the folder.

    Parameters
    ----------
    folder
        Made when the first thumbnail is kept. It may be deleted at any time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(
        self, path: str | Path, sha256: str, *, size: int = 128, box: PixelBox | None = None, margin: float = 0.25
    ) -> tuple[bytes, Window]:
        """Return what `make_thumbnail` returns, from the folder where it is there.

        `sha256` is the hash of the image file's bytes, as in a `SampleTable`.
        """
        numbers = None if box is None else [float(v) for v in box]
        key = json.dumps([_VERSION, sha256, size, numbers, margin])
        name = hashlib.sha256(key.encode()).hexdigest()
        target = self.folder / name[:2] / f"{name}.thumb"
        kept = _read(target)
        if kept is not None:
            return kept
        image, window = make_thumbnail(path, size=size, box=box, margin=margin)
        _write(target, image, window)
        return image, window


def _cut(picture: Image.Image, window: Window, full: tuple[int, int], shrink: float) -> Image.Image:
    from PIL.Image import Resampling

    left, top, right, bottom = window
    scale_x, scale_y = picture.width / full[0], picture.height / full[1]
    part = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
    factor = max(1.0, shrink)
    target = max(1, round((right - left) / factor)), max(1, round((bottom - top) / factor))
    return picture.resize(target, Resampling.BILINEAR, box=part)


def _encode(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def _as_box(window: Window) -> Window:
    left, top, right, bottom = window
    return left, top, right - left, bottom - top


def _read(path: Path) -> tuple[bytes, Window] | None:
    try:
        head, image = path.read_bytes().split(b"\n", 1)
        x, y, width, height, length = json.loads(head)
    except (OSError, ValueError, TypeError):
        return None
    return (image, (x, y, width, height)) if len(image) == length else None


def _write(path: Path, image: bytes, window: Window) -> None:
    head = json.dumps([*window, len(image)]).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No fsync: after a power cut the length in the head tells, and the thumbnail is made again.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(head + b"\n" + image)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        _LOG.warning("A thumbnail can't be kept in %s: %s.", path.parent, error)
