"""The map in the notebook: lasso points, see members and where slices lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets
from ipywidgets import Layout, widget_serialization

from slicelab.core import Candidate, Desk, InvalidInputError, Slice, visible
from slicelab.views import Rows, caption, check_units, colour_choices, map_layers, slice_outlines
from slicelab.widgets._gestures import STATIC, GestureWidget, caught, module, refuse_unknown
from slicelab.widgets._plotly import PlotlyLibrary, plotly_library

POINT_LIMIT = 100_000
"""Of more points their density is drawn, and the points themselves once so few are in sight."""
_WAYS = ("replace", "add", "subtract")


class Map(GestureWidget):
    """Units as points.

    Lasso or box: select. With Shift: add; with Alt: take out. Click: that unit. Double click: nothing.

    Parameters
    ----------
    units, projection, colour
        As in `slicelab.views.map_figure`.
    desk
        Gives the picture that is shown beside the mouse; None: words only.
    height
        Of the figure, in CSS pixels.
    point_limit
        Of more units than this the density is drawn instead, and points where so few are in sight.

    Attributes
    ----------
    rows
        int64: the row positions that are highlighted; None: no selection.
    colour
        What colours the points.
    range
        What is in sight: [x from, to, y from, to] in the projection's units; [] for all.
    """

    _esm = module("points.js", "painting.js", "hand.js", "map.js")
    _css = STATIC / "map.css"
    library = traitlets.Instance(PlotlyLibrary).tag(sync=True, **widget_serialization)
    places = traitlets.Bytes().tag(sync=True)  # float32 (n, 2), little-endian like all below
    codes = traitlets.Bytes().tag(sync=True)  # uint8 (n,), the layer of each unit
    values = traitlets.Bytes().tag(sync=True)  # float32 (n,), or empty
    layers = traitlets.List().tag(sync=True)
    scale = traitlets.Unicode().tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    colours = traitlets.List().tag(sync=True)
    selected = traitlets.Bytes().tag(sync=True)  # int32, rows
    dimmed = traitlets.Bool(False).tag(sync=True)  # whether there is a selection, be it empty
    outlines = traitlets.List().tag(sync=True)
    range = traitlets.List().tag(sync=True)
    height = traitlets.Int(460).tag(sync=True)
    limit = traitlets.Int(POINT_LIMIT).tag(sync=True)
    absent = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        units: pd.DataFrame,
        projection: npt.ArrayLike,
        *,
        colour: str = "outcome",
        desk: Desk | None = None,
        height: int = 460,
        point_limit: int = POINT_LIMIT,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self._units, self._projection, self._desk = check_units(units), np.asarray(projection), desk
        self.rows: Rows | None = None
        self._select_callbacks: list[Callable[[Rows], None]] = []
        self._pick_callbacks: list[Callable[[int], None]] = []
        super().__init__(
            library=plotly_library(),
            colours=colour_choices(units),
            height=height,
            limit=point_limit,
            layout=Layout(min_width="0"),
            **self._drawn(colour),
            **self._placed(),
        )

    def on_select(self, callback: Callable[[Rows], None]) -> None:
        """Call `callback` with the row positions (int64) of every selection on the map; none when it is given up."""
        self._select_callbacks.append(callback)

    def on_pick(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row position of a point that is clicked."""
        self._pick_callbacks.append(callback)

    def highlight(self, rows: Rows | None) -> None:
        """Show these row positions as selected, the others dimmed; None: all alike."""
        self.rows = rows
        with self.hold_sync():
            self.selected = b"" if rows is None else np.asarray(rows, dtype="<i4").tobytes()
            self.dimmed = rows is not None

    def recolour(self, colour: str) -> None:
        """Colour the points by another column.

        Raises
        ------
        InvalidInputError
            There is no such column.
        """
        drawn = self._drawn(colour)
        with self.hold_sync():
            for name, value in drawn.items():
                setattr(self, name, value)

    def move(self, projection: npt.ArrayLike) -> None:
        """Put the units in other places, as when a better projection is there; all of them come into sight.

        Parameters
        ----------
        projection
            float (n, 2), a row per unit in order.
        """
        before, self._projection = self._projection, np.asarray(projection)
        try:
            drawn = self._drawn(self.colour)
        except InvalidInputError:
            self._projection = before
            raise
        with self.hold_sync():
            self.range = []
            for name, value in (self._placed() | drawn).items():
                setattr(self, name, value)

    def outline(self, slices: Sequence[Candidate | Slice]) -> None:
        """Draw where these slices lie, with their names; none: take the outlines away."""
        self.outlines = slice_outlines(slices, self._units, self._projection)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "select": self._selected,
            "pick": self._picked,
            "hover": self._hovered,
            "colour": self._recoloured,
            "range": self._ranged,
        }

    def _drawn(self, colour: str) -> dict[str, Any]:
        drawn = map_layers(self._units, self._projection, colour=colour)
        values = b"" if drawn.values is None else drawn.values.astype("<f4").tobytes()
        return {
            "codes": drawn.codes.tobytes(),
            "values": values,
            "layers": drawn.layers,
            "scale": drawn.title,
            "colour": colour,
        }

    def _placed(self) -> dict[str, Any]:
        places = self._projection.astype("<f4")
        return {"places": places.tobytes(), "absent": int((~np.isfinite(places).all(axis=1)).sum())}

    def _selected(self, content: dict[str, Any]) -> None:
        """Join what a lasso holds with what is selected already."""
        way, buffers = content.get("way"), content["buffers"]
        if way not in _WAYS or len(buffers) != 1 or len(buffers[0]) % 4:
            raise InvalidInputError(f"A selection is one of {_WAYS} with the rows as int32; got {way!r}.")
        rows = np.frombuffer(buffers[0], dtype="<i4").astype(np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self._units)):
            raise InvalidInputError(f"Rows are 0 to {len(self._units) - 1}; got {rows.min()} to {rows.max()}.")
        if self.rows is not None and way == "add":
            rows = np.union1d(self.rows, rows)
        elif way == "subtract":
            rows = np.setdiff1d(np.arange(len(self._units)) if self.rows is None else self.rows, rows)
        self.highlight(rows if len(rows) else None)
        for callback in self._select_callbacks:
            with caught(self.on_error):
                callback(rows)

    def _picked(self, content: dict[str, Any]) -> None:
        row = self._row(content)
        for callback in self._pick_callbacks:
            callback(row)

    def _hovered(self, content: dict[str, Any]) -> None:
        row = self._row(content)
        unit = self._units.iloc[row]
        sure = "" if pd.isna(unit["confidence"]) else f" · {float(unit['confidence']):.2f}"
        lines = [caption(unit["label"], unit["prediction"]) + sure, f"{unit['outcome']}", visible(str(unit.name))]
        pictures = self._desk.thumbnails([str(unit.name)], size=128) if self._desk is not None else []
        images = [picture.image for picture in pictures if picture.image]
        self.send({"kind": "hovered", "row": row, "lines": lines}, images)

    def _recoloured(self, content: dict[str, Any]) -> None:
        self.recolour(str(content.get("colour")))

    def _ranged(self, content: dict[str, Any]) -> None:
        range_ = content.get("range")
        if not isinstance(range_, list) or len(range_) not in (0, 4) or not np.isfinite(np.array(range_, float)).all():
            raise InvalidInputError(f"What is in sight must be four numbers or none; got {str(range_)[:60]}.")
        self.range = [float(v) for v in range_]

    def _row(self, content: dict[str, Any]) -> int:
        row = content.get("row")
        if type(row) is not int or not 0 <= row < len(self._units):
            raise InvalidInputError(f"A row is 0 to {len(self._units) - 1}; got {str(row)[:40]}.")
        return row
