"""Pictures of units: small JPEGs with the boxes that belong on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from slicelab.core import DrawnBox, MediaError, NotFoundError, Thumbnail
from slicelab.lab._units import Units

Window = tuple[float, float, float, float]


class Pictures:
    """Thumbnails of one dataset's units, kept on disk.

    Parameters
    ----------
    units
        The dataset's units.
    cache
        Folder of the thumbnails.
    """

    def __init__(self, units: Units, *, cache: Path) -> None:
        from slicelab.sources import ThumbnailCache

        self._units = units
        self._cache = ThumbnailCache(cache)
        self._boxes: tuple[pd.DataFrame, Mapping[Any, Any]] | None = None

    def thumbnails(self, units: Sequence[str], *, models: Sequence[str], size: int) -> list[Thumbnail]:
        """Return a picture of each unit, in order; objects are cut out with their surroundings."""
        known = self._units.known(models)
        missing = [u for u in units if u not in known.index]
        if missing:
            raise NotFoundError(f"{len(missing)} of these units aren't in the dataset, first {missing[0]!r}.")
        table = self._units.table()
        boxes = self._boxes_of(table.boxes)
        rows = known.loc[list(units)]
        return [self._thumbnail(row, table.boxes, boxes, size=size) for _, row in rows.iterrows()]

    def whole(self, key: str, *, size: int) -> bytes:
        """Return a JPEG of a whole sample, at most `size` pixels wide and high, or raise `MediaError`."""
        sample = self._units.table().samples.loc[key]
        image, _ = self._cache.get(str(sample["filepath"]), str(sample["sha256"]), size=size)
        return image

    def _boxes_of(self, boxes: pd.DataFrame) -> Mapping[Any, Any]:
        """Return the rows of boxes by sample, grouped once for the same table."""
        if self._boxes is None or self._boxes[0] is not boxes:
            self._boxes = boxes, boxes.groupby("key").indices if len(boxes) else {}
        return self._boxes[1]

    def _thumbnail(
        self, row: pd.Series[Any], boxes: pd.DataFrame, by_key: Mapping[Any, Any], *, size: int
    ) -> Thumbnail:
        unit = str(row.name)
        sample = self._units.table().samples.loc[row["key"]]
        box = None
        if "x" in row and pd.notna(row["x"]):
            box = (float(row["x"]), float(row["y"]), float(row["width"]), float(row["height"]))
        try:
            image, window = self._cache.get(sample["filepath"], sample["sha256"], size=size, box=box, margin=0.6)
        except MediaError as problem:
            return Thumbnail(unit, b"", problem=str(problem))
        drawn = []
        if row["key"] in by_key:
            for other in boxes.iloc[by_key[row["key"]]].itertuples():
                role = "unit" if other.label_id == row.get("label_id") else "label"
                drawn.append(_drawn((other.x, other.y, other.width, other.height), window, role, other.label))
        if box is not None and pd.isna(row["label_id"]):
            drawn.append(_drawn(box, window, "prediction", str(row["prediction"])))
        return Thumbnail(unit, image, tuple(b for b in drawn if b is not None))


def _drawn(box: Window, window: Window, role: str, text: str) -> DrawnBox | None:
    """Place a box on the picture of a window; None where it doesn't touch it."""
    left, top = max(box[0], window[0]), max(box[1], window[1])
    right = min(box[0] + box[2], window[0] + window[2])
    bottom = min(box[1] + box[3], window[1] + window[3])
    if right <= left or bottom <= top:
        return None
    return DrawnBox(
        (left - window[0]) / window[2],
        (top - window[1]) / window[3],
        (right - left) / window[2],
        (bottom - top) / window[3],
        role,
        text,
    )
