"""The explorer: map, pictures, slices and actions, linked. It holds no logic; the desk does the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from ipywidgets import HBox, Layout, VBox

from slicelab.core import Candidate, Desk, NotFoundError, Slice, listed
from slicelab.views import Rows, check_units, explorer_html, failures_first, rows_of, selection_line, slices_frame
from slicelab.widgets._actions import Actions
from slicelab.widgets._gallery import Gallery
from slicelab.widgets._gestures import caught, refuse_unknown
from slicelab.widgets._map import Map
from slicelab.widgets._notice import Notice
from slicelab.widgets._slice_table import SliceTable

_STILL_PICTURES = 24


class Explorer(VBox):
    """Look at where a model fails, and keep what you find.

    Lasso points on the map, or click slices in the table: the pictures show these units, failures first. Click a
    picture to see it large. The buttons keep the selection as a slice and do the rest of the curation.

    Parameters
    ----------
    units
        The units frame, as `lab.units()` gives it.
    projection
        float (n, 2), a row per unit in order.
    desk
        Gives the pictures and keeps the slices; `slicelab.lab.Lab` is one.
    candidates
        What discovery proposed.
    model
        Name of the model whose outcomes the units hold, to be shown.
    height
        Of the map and the pictures, in CSS pixels.

    Attributes
    ----------
    map, gallery, table, actions, notice
        The parts.
    """

    def __init__(
        self,
        units: pd.DataFrame,
        projection: npt.ArrayLike,
        *,
        desk: Desk,
        candidates: Sequence[Candidate] | None = None,
        model: str | None = None,
        height: int = 480,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self._units, self._projection = check_units(units), np.asarray(projection)
        self._desk, self._model = desk, model
        self._groups: dict[str, Candidate | Slice] = {}
        self._candidates = list(candidates or ())
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._callbacks: list[Callable[[list[str]], None]] = []
        self._suggested = ""
        self._lock = threading.RLock()  # JupyterLab delivers gestures on a thread beside the running cell's
        self.notice = Notice()
        self.map = Map(units, projection, height=height)
        self.gallery = Gallery(units, desk=desk, height=height + 36)
        self.table = SliceTable()
        self.actions = Actions(desk, notice=self.notice)
        super().__init__(self._arranged(), layout=Layout(grid_gap="10px"))
        self.add_class("slicelab-explorer")
        self._link()
        self.refresh()
        self._show()
        self.notice.say(self._summary())

    @property
    def selection(self) -> list[str]:
        """Ids of the selected units, in the order in which they were selected."""
        return [str(unit) for unit in self._units.index[self._rows]]

    def select(self, ids: Sequence[str]) -> None:
        """Select units.

        Raises
        ------
        NotFoundError
            An id is not among the units.
        """
        ids = list(ids)
        known = set(self._units.index)
        absent = [unit for unit in ids if unit not in known]
        if absent:
            raise NotFoundError(f"{len(absent)} of {len(ids)} ids are not among these units: {listed(absent)}.")
        self._select(rows_of(self._units, dict.fromkeys(ids)))

    def select_known(self, ids: Sequence[str]) -> list[str]:
        """Select those of the units that the explorer shows; return them."""
        known = [unit for unit in dict.fromkeys(ids) if unit in self._units.index]
        self.select(known)
        return known

    def on_select(self, callback: Callable[[list[str]], None]) -> None:
        """Call `callback` with the ids of the selected units whenever the selection changes."""
        self._callbacks.append(callback)

    def refresh(self) -> None:
        """Read the slices again, as when another person or cell changed them."""
        with self._lock:
            groups: dict[str, Candidate | Slice] = {f"slice {s.slice_id}": s for s in self._desk.slices()}
            groups |= {f"candidate {i}": candidate for i, candidate in enumerate(self._candidates, start=1)}
            self._groups = groups
            self.table.show(self._frame(), keys=list(groups))
            self._allow()

    def to_html(self) -> str:
        """Return a still page: the map with the selection, the slices, and the first pictures."""
        rows = failures_first(self._units, self._rows if len(self._rows) else np.arange(len(self._units)))
        ids = [str(unit) for unit in self._units.index[rows[:_STILL_PICTURES]]]
        return self._still(self._desk.thumbnails(ids, size=128))

    def __repr__(self) -> str:
        return f"Explorer({self._summary()})"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Show the widget; where there is no kernel, a still page without the units' pictures."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": repr(self), "text/html": self._still(())}

    def _still(self, thumbnails: Sequence[Any]) -> str:
        return explorer_html(
            self._units,
            self._projection,
            slices=self._frame(),
            rows=self._rows,
            thumbnails=thumbnails,
            title=self._model or "",
        )

    def _frame(self) -> pd.DataFrame:
        return slices_frame(self._groups.values(), self._units)

    def _summary(self) -> str:
        slices = sum(isinstance(group, Slice) for group in self._groups.values())
        parts = [f"model {self._model}"] if self._model else []
        parts += [f"{len(self._units):,} units", f"{slices} slices", f"{len(self._candidates)} candidates"]
        return ", ".join(parts)

    def _arranged(self) -> list[Any]:
        half, wide = {"flex": "1 1 420px", "min_width": "0"}, {"flex": "3 1 520px", "min_width": "0"}
        _lay_out(self.map, **half)
        _lay_out(self.gallery, **half)
        _lay_out(self.table, **wide)
        _lay_out(self.actions, flex="2 1 340px")
        row = {"flex_flow": "row wrap", "grid_gap": "12px", "align_items": "stretch", "overflow": "visible"}
        return [
            HBox([self.map, self.gallery], layout=Layout(**row)),
            HBox([self.table, self.actions], layout=Layout(**row)),
            self.notice,
        ]

    def _link(self) -> None:
        for part in (self.map, self.gallery, self.table):
            part.on_error = self.notice.error
        self.map.on_select(lambda rows: self._select(rows, from_map=True))
        self.map.on_pick(self._look_at)
        self.table.on_pick(self._pick_groups)
        self.actions.on_done(self._changed)

    def _select(self, rows: Rows, *, from_map: bool = False) -> None:
        with self._lock:
            self._rows = rows
            if not from_map:
                self.map.highlight(rows if len(rows) else None)
            self._show()
            self._allow()
        for callback in self._callbacks:
            with caught(self.notice.error):
                callback(self.selection)

    def _show(self) -> None:
        rows = self._rows if len(self._rows) else np.arange(len(self._units))
        self.gallery.show(failures_first(self._units, rows), title=selection_line(self._units, self._rows))

    def _look_at(self, row: int) -> None:
        if len(self._rows) and row not in self._rows:
            self._select(np.array([row], dtype=np.int64))
        self.gallery.open_row(row)

    def _pick_groups(self, keys: list[str]) -> None:
        groups = [self._groups[key] for key in keys]
        members = [rows_of(self._units, group.members) for group in groups]
        rows = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
        self._suggest_name(groups)
        self._select(rows[np.sort(np.unique(rows, return_index=True)[1])])

    def _suggest_name(self, groups: Sequence[Candidate | Slice]) -> None:
        """Put a candidate's words into the name field, unless a person has typed there."""
        first = groups[0] if len(groups) == 1 else None
        words = (first.name or first.description)[:80] if isinstance(first, Candidate) else ""
        if self.actions.name.value in ("", self._suggested):
            self.actions.name.value = self._suggested = words

    def _allow(self) -> None:
        chosen = [self._groups[key] for key in self.table.picked if key in self._groups]
        self.actions.apply_to(units=self.selection, slices=[s.name for s in chosen if isinstance(s, Slice)])

    def _changed(self, slice_: Slice | None) -> None:
        with self._lock:
            if slice_ is not None:
                self.table.picked = [f"slice {slice_.slice_id}"]
                self.actions.name.value = self._suggested = ""
            self.refresh()


def _lay_out(widget: Any, **rules: str) -> None:
    for name, value in rules.items():
        setattr(widget.layout, name, value)
