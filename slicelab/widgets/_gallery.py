"""Pictures of units in the notebook: thousands of tiles, of which only those in sight are fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets
from ipywidgets import Layout

from slicelab.core import Desk, InvalidInputError, Thumbnail, check_choice, visible
from slicelab.views import ORDERS, Ordering, Rows, caption, check_units, rows_of
from slicelab.widgets._gestures import GestureWidget, module, refuse_unknown, style

MAX_TILES = 100_000
"""So many tiles at most: a browser can't scroll over an endless page."""
_MAX_ASKED = 64
_SIZES = (128, 512, 2048)
_NEIGHBOURS = 6


class Gallery(GestureWidget):
    """Tiles with caption and boxes; a click shows one of them large, beside the nearest ones that are handled right.

    Ctrl + click (or x) marks tiles; marked ones can be kept as the selection, or taken out of it.

    Parameters
    ----------
    units
        The units frame.
    desk
        Gives the pictures.
    projection
        float (n, 2), for the orders "most typical" and "nearest the border".
    model
        Under which units are handled correctly; None: there is no comparison.
    order
        One of `slicelab.views.ORDERS`.
    tile, height
        Side of a tile and height of the whole, in CSS pixels.
    """

    _esm = module("gallery.js")
    _css = style("gallery.css")
    rows = traitlets.Bytes().tag(sync=True)  # int32, little-endian: what is shown, in order
    title = traitlets.Unicode().tag(sync=True)
    tile = traitlets.Int(112).tag(sync=True)
    height = traitlets.Int(500).tag(sync=True)
    picked = traitlets.Int(-1).tag(sync=True)
    orders = traitlets.List(list(ORDERS)).tag(sync=True)
    order = traitlets.Enum(ORDERS, "as given").tag(sync=True)
    compares = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        units: pd.DataFrame,
        *,
        desk: Desk,
        projection: npt.ArrayLike | None = None,
        model: str | None = None,
        order: str = "as given",
        tile: int = 112,
        height: int = 500,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self._units, self._desk, self._model = check_units(units), desk, model
        self._ordering = Ordering(units, projection)
        self._given: Rows = np.empty(0, dtype=np.int64)
        self._words, self._typical_first = "", False
        self._pick_callbacks: list[Callable[[int], None]] = []
        self._choose_callbacks: list[Callable[[Rows, str], None]] = []
        check_choice(order, ORDERS, "order")
        super().__init__(
            tile=tile, height=height, order=order, compares=model is not None, layout=Layout(min_width="0")
        )

    def show(self, rows: Rows, *, title: str, typical_first: bool = False) -> None:
        """Show the units at these row positions under a line of text.

        Parameters
        ----------
        rows
            int64, sorted as `order` says.
        title
            The line.
        typical_first
            The rows are given in order of typicality.
        """
        self._given, self._words, self._typical_first = np.asarray(rows, dtype=np.int64), title, typical_first
        rows = self._ordering.order(self._given, self.order, typical_first=typical_first)
        with self.hold_sync():
            self.picked = -1
            self.title = title if len(rows) <= MAX_TILES else f"{title} (the first {MAX_TILES:,} are shown)"
            self.rows = np.asarray(rows[:MAX_TILES], dtype="<i4").tobytes()

    def sort(self, order: str) -> None:
        """Show the same units in another order, one of `slicelab.views.ORDERS`."""
        check_choice(order, ORDERS, "order")
        self.order = order
        self.show(self._given, title=self._words, typical_first=self._typical_first)

    def move(self, projection: npt.ArrayLike) -> None:
        """Sort by these places (float (n, 2)) from now on; the pictures in sight stay where they are."""
        self._ordering = Ordering(self._units, projection)

    def open_row(self, row: int) -> None:
        """Show one of the tiles large."""
        self.picked = -1  # the same one again, after a person closed it, is news too
        self.picked = row

    def on_pick(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row position of a tile that is clicked."""
        self._pick_callbacks.append(callback)

    def on_choose(self, callback: Callable[[Rows, str], None]) -> None:
        """Call `callback` with marked row positions (int64) and "replace" or "subtract"."""
        self._choose_callbacks.append(callback)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "want": self._send_tiles,
            "pick": self._pick,
            "sort": lambda content: self.sort(str(content.get("order"))),
            "near": self._send_neighbours,
            "choose": self._choose,
        }

    def _send_neighbours(self, content: dict[str, Any]) -> None:
        row = self._check_rows([content.get("row")])[0]
        near: list[str] = []
        if self._model is not None:
            near = self._desk.neighbours(str(self._units.index[row]), self._model, count=_NEIGHBOURS)
        rows = rows_of(self._units, near).tolist() if near else []
        self.send({"kind": "near", "row": row, "rows": rows})

    def _choose(self, content: dict[str, Any]) -> None:
        way, rows = content.get("way"), content.get("rows")
        if way not in ("replace", "subtract") or not isinstance(rows, list):
            raise InvalidInputError(f"Marked pictures are kept or taken out; got {way!r} of {str(rows)[:40]}.")
        if not all(type(row) is int and 0 <= row < len(self._units) for row in rows):
            raise InvalidInputError(f"Rows are 0 to {len(self._units) - 1}; got {str(rows)[:60]}.")
        for callback in self._choose_callbacks:
            callback(np.array(rows, dtype=np.int64), way)

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
