"""Open pictures that nobody vouches for: which formats are let in, how large they may be, which way is up.

Everything that shows or embeds pixels comes through `open_image`, so the limits hold everywhere.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from slicelab.core import MediaError, SliceLabError, visible

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs; here it is the limit
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_OTHER_SUFFIXES = {".gif": "GIF", ".heic": "HEIC", ".avif": "AVIF", ".jp2": "JPEG 2000", ".ico": "ICO", ".ppm": "PPM"}
IMAGE_SUFFIXES = frozenset(SUFFIXES) | frozenset(_OTHER_SUFFIXES)

_MAGIC = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"GIF8", "GIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmi", "HEIC"),
    (4, b"ftypav", "AVIF"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"8BPS", "PSD"),
)
# What Pillow's decoders raise on damaged bytes, beside OSError.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    Warning,  # where warnings are made errors
    struct.error,
    zlib.error,
)
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION_TAG = 0x0112


class UnusableImageError(MediaError):
    """An image can't be used; `kind` is the short word under which a load report counts it.

    "missing-file", "unreadable-file", "empty-file", "not-an-image", "unsupported-format", "too-large-image" or
    "truncated-image".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@contextmanager
def open_image(
    path: str | Path, content: bytes | None = None
) -> Iterator[tuple[Image.Image, BufferedReader | BytesIO]]:
    """Open an image file, not yet decoded, together with the stream it is read from.

    Parameters
    ----------
    path
        The file.
    content
        Its bytes, where they are at hand already; then `path` only names it.

    Raises
    ------
    UnusableImageError
        (a `MediaError`) also for errors while the caller decodes it.
    """
    from PIL import Image, UnidentifiedImageError

    with _open_file(path) if content is None else _open_content(path, content) as stream:
        try:
            with Image.open(stream, formats=FORMATS) as image:
                check_pixels(image, path)
                yield image, stream
        except SliceLabError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnusableImageError("too-large-image", f"{_name(path)}: {error}") from error
        except UnidentifiedImageError as error:
            raise _unidentified(path, stream) from error
        except DECODER_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise UnusableImageError(
                "truncated-image", f"{_name(path)} is truncated or damaged: {visible(reason)}. Replace the file."
            ) from error


def check_pixels(image: Image.Image, path: str | Path) -> None:
    """Raise `UnusableImageError` when the header announces more than `MAX_PIXELS`, before anything is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnusableImageError(
            "too-large-image",
            f"{_name(path)} is {width} x {height} pixels; at most {MAX_PIXELS:,} are opened. "
            "Cut it into tiles or make it smaller.",
        )


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it can't be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Turn the pixels as the EXIF orientation `turn` says."""
    from PIL.Image import Transpose

    return image.transpose(Transpose[_TURNS[turn]]) if turn in _TURNS else image


def upright_size(image: Image.Image, turn: int) -> tuple[int, int]:
    """Return (width, height) after `upright`."""
    width, height = image.size
    return (height, width) if turn >= 5 else (width, height)


def sniff(head: bytes) -> str | None:
    """Name the format that a file's first bytes announce; None when they are no picture's."""
    for start, magic, name in _MAGIC:
        if head[start : start + len(magic)] == magic:
            return name
    # "BM" alone would take many texts for pictures: the next bytes are the file's size and four zeros.
    return "BMP" if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" else None


def suffix_format(path: str | Path) -> str | None:
    """Name the format that a file's suffix announces; None when it announces no picture."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    return SUFFIXES.get(suffix) or _OTHER_SUFFIXES.get(suffix)


def _open_file(path: str | Path) -> BufferedReader:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableImageError("unreadable-file", f"{_name(path)} is not a file.")
        if status.st_size == 0:
            raise UnusableImageError("empty-file", f"{_name(path)} is empty (0 bytes).")
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise UnusableImageError("missing-file", f"There is no file {_name(path)}.") from error
    except UnusableImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise UnusableImageError("unreadable-file", f"{_name(path)} can't be read: {error}.") from error


def _open_content(path: str | Path, content: bytes) -> BytesIO:
    if not content:
        raise UnusableImageError("empty-file", f"{_name(path)} is empty (0 bytes).")
    return BytesIO(content)


def _unidentified(path: str | Path, stream: BufferedReader | BytesIO) -> UnusableImageError:
    stream.seek(0)
    head = stream.read(32)
    found = sniff(head)
    if found in FORMATS:
        return UnusableImageError(
            "truncated-image", f"{_name(path)} begins like a {found}, but its header is truncated or damaged."
        )
    allowed = ", ".join(FORMATS)
    if found:
        return UnusableImageError(
            "unsupported-format", f"{_name(path)} is a {found}; only {allowed} are read. Convert it."
        )
    return UnusableImageError(
        "not-an-image", f"{_name(path)} is not an image: it begins with {head[:8]!r}; {allowed} are read."
    )


def _name(path: str | Path) -> str:
    return visible(os.fsencode(path).decode("utf-8", "backslashreplace"))
