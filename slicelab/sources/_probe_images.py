"""Look at image files without keeping their pixels: size, format, hash, and whether they decode at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slicelab.sources._open_image import (
    UnusableImageError,
    open_image,
    orientation,
    suffix_format,
    upright_size,
)

if TYPE_CHECKING:
    from PIL import Image

_BATCH = 512


@dataclass(frozen=True)
class ImageInfo:
    """What `probe_image` found.

    Parameters
    ----------
    width, height
        Pixels, after EXIF orientation.
    format
        "JPEG", "PNG", "WEBP", "BMP" or "TIFF", by content.
    sha256
        Hex hash of the file's bytes.
    misnamed
        The format that the suffix announces where the content is another; '' where they agree.
    """

    width: int
    height: int
    format: str
    sha256: str
    misnamed: str = ""


def probe_image(path: str | Path, *, verify: bool = True) -> ImageInfo:
    """Return an image's size, format and hash.

    Parameters
    ----------
    path
        The file. Formats are told by content (JPEG, PNG, WebP, BMP, TIFF); a wrong suffix is no error.
    verify
        Decode the pixels too (JPEG in draft mode, at an eighth of the size): only this finds truncated files.

    Raises
    ------
    MediaError
        With the exact reason: missing, empty, not an image, another format, truncated, or more than
        89,478,485 pixels (nothing is decoded then).
    """
    with open_image(path) as (image, stream):
        turn = orientation(image)
        width, height = upright_size(image, turn)
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        if verify:
            _decode(image)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    announced = suffix_format(path)
    return ImageInfo(width, height, kind, digest, announced if announced and announced != kind else "")


def probe_images(
    paths: Sequence[str], *, verify: bool = True, progress: bool = True
) -> list[ImageInfo | UnusableImageError]:
    """Probe many files in threads; in the order of `paths`, an unusable one as its error."""
    from tqdm.auto import tqdm

    workers = min(16, (os.cpu_count() or 1) + 2)
    found: list[ImageInfo | UnusableImageError] = []
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(paths), desc="Images", unit=" images", disable=not progress) as bar,
    ):
        for start in range(0, len(paths), _BATCH):  # in batches, so that an interrupt ends soon
            batch = paths[start : start + _BATCH]
            found.extend(pool.map(lambda path: _probe_or_error(path, verify=verify), batch))
            bar.update(len(batch))
    return found


def _probe_or_error(path: str, *, verify: bool) -> ImageInfo | UnusableImageError:
    try:
        return probe_image(path, verify=verify)
    except UnusableImageError as error:
        return error


def _decode(image: Image.Image) -> None:
    width, height = image.size
    image.draft("L", (max(1, width // 8), max(1, height // 8)))
    image.load()
