"""Capture times: as the files' EXIF data say, and nothing of what can't be read."""

from __future__ import annotations

import pandas as pd
from PIL import Image

from slicelab.sources import capture_times


def save(path, make=None, taken=None, fraction=None):
    exif = Image.Exif()
    if make is not None:
        exif[271], exif[272] = make, "M1"
    more = exif.get_ifd(34665)
    if taken is not None:
        more[36867] = taken
    if fraction is not None:
        more[37521] = fraction
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    return str(path)


def test_camera_and_time_are_read(tmp_path):
    """With fractions of seconds where they are."""
    paths = [
        save(tmp_path / "a.jpg", "Maker", "2024:05:01 10:00:02", "25"),
        save(tmp_path / "b.jpg", "Maker", "2024:05:01 10:00:03"),
    ]
    frame = capture_times(paths, progress=False)
    assert frame["camera"].tolist() == ["Maker M1"] * 2
    assert frame["time"].tolist() == [pd.Timestamp("2024-05-01 10:00:02.250"), pd.Timestamp("2024-05-01 10:00:03")]


def test_nonsense_and_nothing_are_missing(tmp_path):
    """Times that are none, no EXIF data, a file that is no picture and one that isn't there; order is kept."""
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8no")
    paths = [
        save(tmp_path / "a.jpg", "Maker", "0000:00:00 00:00:00"),
        save(tmp_path / "b.png"),
        str(tmp_path / "c.jpg"),
        str(tmp_path / "none.jpg"),
        save(tmp_path / "d.jpg", taken="2024:05:01 10:00:02", fraction="x"),
    ]
    frame = capture_times(paths, progress=False)
    assert frame["time"].isna().tolist() == [True, True, True, True, False]
    assert frame["camera"].isna().tolist() == [False, True, True, True, True]
    assert len(capture_times([], progress=False)) == 0
