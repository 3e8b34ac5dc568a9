"""When and by which camera pictures were taken, as their files say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from slicelab.core import TEXT, MediaError
from slicelab.sources._open_image import open_image

_MAKE, _MODEL, _EXIF = 271, 272, 34665
_TAKEN, _FRACTION, _SERIAL = 36867, 37521, 42033


def capture_times(paths: Sequence[str], *, progress: bool = True) -> pd.DataFrame:
    """Read the camera and the time of exposure from the EXIF data of files.

    Parameters
    ----------
    paths
        Image files.
    progress
        Show a progress bar.

    Returns
    -------
    DataFrame, rows in the order of `paths`: `camera` (str: maker, model and serial number; missing where the file
    doesn't say) and `time` (datetime64, of the camera's own clock; NaT where the file doesn't say, says nonsense or
    can't be read).
    """
    from tqdm.auto import tqdm

    rows = [_read(path) for path in tqdm(paths, desc="Capture times", unit="image", disable=not progress)]
    return pd.DataFrame(
        {
            "camera": pd.Series([camera for camera, _ in rows], dtype=TEXT),
            "time": pd.Series([time for _, time in rows], dtype="datetime64[ms]"),
        }
    )


def _read(path: str) -> tuple[str | None, datetime | None]:
    try:
        with open_image(path) as (image, _):
            exif = image.getexif()
            more = exif.get_ifd(_EXIF)
    except (MediaError, OSError, ValueError, TypeError, KeyError, SyntaxError):  # hostile EXIF data
        return None, None
    words = [_words(exif.get(_MAKE)), _words(exif.get(_MODEL)), _words(more.get(_SERIAL))]
    return " ".join(word for word in words if word) or None, _time(more.get(_TAKEN), more.get(_FRACTION))


def _words(value: Any) -> str:
    return "".join(c for c in value if c.isprintable()).strip()[:100] if isinstance(value, str) else ""


def _time(value: Any, fraction: Any) -> datetime | None:
    try:
        taken = datetime.strptime(str(value).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = str(fraction).strip("\0 ")
    return taken.replace(microsecond=int(digits[:6].ljust(6, "0"))) if digits.isascii() and digits.isdigit() else taken
