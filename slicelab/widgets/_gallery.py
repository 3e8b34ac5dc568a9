"""Pictures of units in the notebook: thousands of tiles, of which only those in sight are fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from ipywidgets import Layout

from slicelab.core import Desk, InvalidInputError, Thumbnail, visible
from slicelab.views import Rows, caption, check_units
from slicelab.widgets._gestures import STATIC, GestureWidget, refuse_unknown

MAX_TILES = 100_000
"""So many tiles at most: a browser can't scroll over an endless page."""
_MAX_ASKED = 64
_SIZES = (128, 512)


class Gallery(GestureWidget):
    """Tiles with caption and boxes; a click shows one of them large.

    Parameters
    ----------
    units
        The units frame.
    desk
        Gives the pictures.
    tile, height
        Side of a tile and height of the whole, in CSS pixels.
    """

    _esm = STATIC / "gallery.js"
    _css = STATIC / "gallery.css"
    rows = traitlets.Bytes().tag(sync=True)  # int32, little-endian: what is shown, in order
    title = traitlets.Unicode().tag(sync=True)
    tile = traitlets.Int(112).tag(sync=True)
    height = traitlets.Int(500).tag(sync=True)
    picked = traitlets.Int(-1).tag(sync=True)

    def __init__(self, units: pd.DataFrame, *, desk: Desk, tile: int = 112, height: int = 500, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        self._units, self._desk = check_units(units), desk
        self._pick_callbacks: list[Callable[[int], None]] = []
        super().__init__(tile=tile, height=height, layout=Layout(min_width="0"))

    def show(self, rows: Rows, *, title: str) -> None:
        """Show the units at these row positions, in this order, under a line of text."""
        with self.hold_sync():
            self.picked = -1
            self.title = title if len(rows) <= MAX_TILES else f"{title} (the first {MAX_TILES:,} are shown)"
            self.rows = np.asarray(rows[:MAX_TILES], dtype="<i4").tobytes()

    def open_row(self, row: int) -> None:
        """Show one of the tiles large."""
        self.picked = -1  # the same one again, after a person closed it, is news too
        self.picked = row

    def on_pick(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row position of a tile that is clicked."""
        self._pick_callbacks.append(callback)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"want": self._send_tiles, "pick": self._pick}

    def _pick(self, content: dict[str, Any]) -> None:
        row = self._check_rows([content.get("row")])[0]  # not into `picked`: it would open again what was closed since
        for callback in self._pick_callbacks:
            callback(row)

    def _send_tiles(self, content: dict[str, Any]) -> None:
        rows, size = self._check_rows(content.get("rows")), content.get("size")
        if size not in _SIZES:
            raise InvalidInputError(f"Pictures come in the sizes {_SIZES}; got {size!r}.")
        ids = [str(unit) for unit in self._units.index[rows]]
        try:
            thumbnails = self._desk.thumbnails(ids, size=size)
            if len(thumbnails) != len(ids):
                raise InvalidInputError(f"The desk gave {len(thumbnails)} pictures for {len(ids)} units.")
        except Exception as error:
            thumbnails = [Thumbnail(unit, b"", problem=str(error)) for unit in ids]
            self._answer(size, rows, thumbnails)
            raise
        self._answer(size, rows, thumbnails)

    def _answer(self, size: int, rows: Sequence[int], thumbnails: Sequence[Thumbnail]) -> None:
        tiles = [_tile(row, self._units.iloc[row], thumb) for row, thumb in zip(rows, thumbnails, strict=True)]
        self.send({"kind": "tiles", "size": size, "tiles": tiles}, [thumb.image for thumb in thumbnails])

    def _check_rows(self, rows: object) -> list[int]:
        if not isinstance(rows, list) or not 0 < len(rows) <= _MAX_ASKED:
            raise InvalidInputError(f"The gallery is asked for 1 to {_MAX_ASKED} rows at once; got {str(rows)[:60]}.")
        if not all(type(row) is int and 0 <= row < len(self._units) for row in rows):
            raise InvalidInputError(f"Rows are 0 to {len(self._units) - 1}; got {str(rows)[:60]}.")
        return rows


def _tile(row: int, unit: Any, thumbnail: Thumbnail) -> dict[str, Any]:
    sure = "" if pd.isna(unit["confidence"]) else f"{float(unit['confidence']):.2f}"
    facts = [(name, unit[name]) for name in ("label", "prediction", "confidence", "outcome", "loss")]
    return {
        "row": row,
        "unit": visible(thumbnail.unit),
        "text": caption(unit["label"], unit["prediction"]),
        "outcome": str(unit["outcome"]),
        "failure": bool(unit["failure"]),
        "sure": sure,
        "facts": [(name, _worded(value)) for name, value in facts] + [("unit", visible(thumbnail.unit))],
        "boxes": [(box.x, box.y, box.width, box.height, box.role, visible(box.text)) for box in thumbnail.boxes],
        "problem": visible(thumbnail.problem),
    }


def _worded(value: Any) -> str:
    if pd.isna(value):
        return "\N{EN DASH}"
    return f"{value:.3f}" if isinstance(value, (float, np.floating)) else visible(str(value))
