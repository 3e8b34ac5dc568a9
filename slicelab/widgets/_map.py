"""The map in the notebook: lasso points, see members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from ipywidgets import Dropdown, Layout, VBox

from slicelab.core import InvalidInputError
from slicelab.views import Rows, colour_choices, map_figure, selected_points
from slicelab.widgets._figure import SafeFigureWidget
from slicelab.widgets._gestures import STATIC, ErrorSink, GestureWidget, caught, log_error, refuse_unknown

_CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["toImage", "autoScale2d"]}


class Map(VBox):
    """Units as points.

    Parameters
    ----------
    units, projection, colour
        As in `slicelab.views.map_figure`.
    height
        Of the figure, in CSS pixels.

    Attributes
    ----------
    figure
        The plotly figure.
    rows
        int64: the row positions that are highlighted; None: no selection.
    """

    def __init__(
        self,
        units: pd.DataFrame,
        projection: npt.ArrayLike,
        *,
        colour: str = "outcome",
        height: int = 460,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self.rows: Rows | None = None
        self.on_error: ErrorSink = log_error
        self._units, self._projection, self._height = units, np.asarray(projection), height
        self._webgl: bool | None = None
        self._select_callbacks: list[Callable[[Rows], None]] = []
        self._pick_callbacks: list[Callable[[int], None]] = []
        self._lassoed: dict[int, Rows] = {}
        self.figure = self._draw(colour)
        self.colour = Dropdown(
            options=colour_choices(units), value=colour, description="Colour by", layout=Layout(width="240px")
        )
        self.colour.observe(self._recolour, names="value")
        self._frame = _Frame(self._without_webgl)
        super().__init__([self.colour, self.figure, self._frame])
        self.add_class("slicelab-map")

    def on_select(self, callback: Callable[[Rows], None]) -> None:
        """Call `callback` with the row positions (int64) of every lasso or box selection; none when it is cleared."""
        self._select_callbacks.append(callback)

    def on_pick(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row position of a point that is clicked."""
        self._pick_callbacks.append(callback)

    def highlight(self, rows: Rows | None) -> None:
        """Show these row positions as selected, the others dimmed; None: all alike."""
        self.rows = rows
        self.figure.clear_outline()
        with self.figure.batch_update():
            for trace in self.figure.data:
                points = selected_points(trace.customdata, rows)
                trace.selectedpoints = None if points is None else points.tolist()

    def _draw(self, colour: str) -> SafeFigureWidget:
        drawn = map_figure(
            self._units, self._projection, colour=colour, members=self.rows, webgl=self._webgl, height=self._height
        )
        figure = SafeFigureWidget(drawn.data, drawn.layout)
        figure._config = figure._config | _CONFIG
        self._listen(figure)
        return figure

    def _listen(self, figure: SafeFigureWidget) -> None:
        for trace in figure.data:
            trace.on_selection(self._selected)
            trace.on_deselect(self._deselected)
            trace.on_click(self._clicked)

    def _redraw(self, colour: str) -> None:
        old, self.figure = self.figure, self._draw(colour)
        self.children = (self.colour, self.figure, self._frame)
        old.close()

    def _recolour(self, change: dict[str, Any]) -> None:
        with caught(self.on_error):
            self._redraw(change["new"])

    def _without_webgl(self, works: bool) -> None:
        if not works and any(trace.type == "scattergl" for trace in self.figure.data):
            self._webgl = False
            self._redraw(self.colour.value)

    def _selected(self, trace: Any, points: Any, _selector: object) -> None:
        """Collect what plotly tells trace by trace, the last one last, with empty ones too."""
        with caught(self.on_error):
            self._lassoed[points.trace_index] = np.asarray(trace.customdata, dtype=np.int64)[points.point_inds]
            if points.trace_index == len(self.figure.data) - 1:
                rows = np.unique(np.concatenate([*self._lassoed.values()]))
                self._lassoed = {}
                self._tell(rows)

    def _deselected(self, _trace: object, points: Any) -> None:
        if points.trace_index == len(self.figure.data) - 1:
            self._tell(np.empty(0, dtype=np.int64))

    def _tell(self, rows: Rows) -> None:
        self.rows = rows if len(rows) else None
        for callback in self._select_callbacks:
            with caught(self.on_error):
                callback(rows)

    def _clicked(self, trace: Any, points: Any, _state: object) -> None:
        with caught(self.on_error):
            for point in points.point_inds[:1]:
                for callback in self._pick_callbacks:
                    callback(int(trace.customdata[point]))


class _Frame(GestureWidget):
    """Nothing to see; its JavaScript keeps the figure's width and says whether the browser has WebGL."""

    _esm = STATIC / "map_frame.js"

    def __init__(self, tell: Callable[[bool], None]) -> None:
        super().__init__(layout=Layout(height="0", margin="0"))
        self._tell = tell

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"webgl": self._webgl}

    def _webgl(self, content: dict[str, Any]) -> None:
        if not isinstance(content.get("works"), bool):
            raise InvalidInputError(f"The browser's answer about WebGL must be true or false; got {content!r}.")
        self._tell(content["works"])
