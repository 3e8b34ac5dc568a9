"""The explorer: map, pictures, slices and actions, linked. It holds no logic; the desk does the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from ipywidgets import HBox, Layout, VBox

from slicelab.core import Candidate, Desk, Inspection, InvalidInputError, NotFoundError, Slice, StateError, listed
from slicelab.views import (
    Interval,
    Rows,
    check_units,
    explorer_html,
    failures_first,
    map_png,
    selection_line,
)
from slicelab.widgets._actions import Actions
from slicelab.widgets._gallery import Gallery
from slicelab.widgets._gestures import caught, refuse_unknown
from slicelab.widgets._groups import Groups, key_of
from slicelab.widgets._inspector import Inspector
from slicelab.widgets._keys import Keys
from slicelab.widgets._map import Map
from slicelab.widgets._notice import Notice
from slicelab.widgets._slice_table import SliceTable
from slicelab.widgets._still import StillOutput

_STILL_PICTURES = 18
_STATE = ("colour", "order", "selection", "picked", "range")


class Explorer(VBox):
    """Look at where a model fails, and keep what you find.

    Lasso points on the map, click slices in the table, or mark pictures: the others follow. Click a picture to see it
    large. The buttons keep the selection as a slice and do the rest of the curation; `?` shows the keys.

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
        Name of the model whose outcomes the units hold.
    failures
        One bool column per model, index as `units`: the table shows the failure rate under the others too.
    interval
        Of a slice's failure rate where units share groups, such as `slicelab.evaluation.proportion_interval`; None: the
        table has none there.
    state
        What `state` of an earlier explorer gave.
    height
        Of the map and the pictures, in CSS pixels.

    Attributes
    ----------
    map, gallery, table, inspector, actions, notice
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
        failures: pd.DataFrame | None = None,
        interval: Interval | None = None,
        state: Mapping[str, Any] | None = None,
        height: int = 480,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self._units, self._projection = check_units(units), np.asarray(projection)
        self._ids = np.array([str(unit) for unit in self._units.index], dtype=object)
        # An index of pandas' own text type makes a copy of itself at every question.
        self._index = pd.Index(units.index.to_numpy(object), dtype=object)
        self._desk, self._model = desk, model
        self._typical_first = False
        self._inspection: Inspection | None = None
        others = None if failures is None else failures.drop(columns=[model], errors="ignore")
        self._groups = Groups(units, desk, candidates, others, interval)
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._callbacks: list[Callable[[list[str]], None]] = []
        self._pick_callbacks: list[Callable[[list[str]], None]] = []
        self._change_callbacks: list[Callable[[], None]] = []
        self._lock = threading.RLock()  # JupyterLab delivers gestures on a thread beside the running cell's
        self.notice = Notice()
        self.map = Map(units, projection, desk=desk, height=height)
        self.gallery = Gallery(
            units, desk=desk, projection=projection, model=model, order="failures first", height=height + 36
        )
        self.table = SliceTable()
        self.inspector = Inspector()
        self.actions = Actions(desk, notice=self.notice, model=model)
        self.shortcuts = Keys(self._keyed())
        self._output = StillOutput(f"slicelab-still-{self.map.address}")
        super().__init__(self._arranged(), layout=Layout(grid_gap="10px"))
        self.add_class("slicelab-explorer")
        self._link()
        self.refresh()
        self._show()
        self.notice.say(self._summary())
        if state is not None:
            self._restore(state)

    @property
    def state(self) -> dict[str, Any]:
        """What is shown, as JSON values: colour, order, selection (unit ids), picked (keys), range of the map."""
        return {
            "colour": self.map.colour,
            "order": self.gallery.order,
            "selection": self.selection,
            "picked": list(self.table.picked),
            "range": list(self.map.range),
        }

    @property
    def selection(self) -> list[str]:
        """Ids of the selected units, in the order in which they were selected."""
        return list(self._ids[self._rows])

    def select(self, ids: Sequence[str]) -> None:
        """Select units.

        Raises
        ------
        NotFoundError
            An id is not among the units.
        """
        ids = list(dict.fromkeys(ids))
        rows = self._index.get_indexer(pd.Index(ids, dtype=object)).astype(np.int64)
        absent = [unit for unit, row in zip(ids, rows, strict=True) if row < 0]
        if absent:
            raise NotFoundError(f"{len(absent)} of {len(ids)} ids are not among these units: {listed(absent)}.")
        self._select(rows)

    def select_known(self, ids: Sequence[str]) -> list[str]:
        """Select those of the units that the explorer shows; return them."""
        known = [unit for unit in dict.fromkeys(ids) if unit in self._index]
        self.select(known)
        return known

    def units_of(self, keys: Sequence[str]) -> list[str]:
        """Return the ids of the units of samples, in the order of the units frame."""
        return list(self._ids[self._units["key"].isin(list(keys)).to_numpy()])

    def on_select(self, callback: Callable[[list[str]], None]) -> None:
        """Call `callback` with the ids of the selected units whenever the selection changes."""
        self._callbacks.append(callback)

    def on_pick(self, callback: Callable[[list[str]], None]) -> None:
        """Call `callback` with the names of the slices (not the candidates) that were chosen in the table."""
        self._pick_callbacks.append(callback)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of the slices that was made here."""
        self._change_callbacks.append(callback)

    def pick(self, name: str) -> None:
        """Choose a slice in the table, as a click does; one that isn't there changes nothing."""
        self.refresh()
        key = self._groups.key(name)
        if key is not None and self.table.picked != [key]:
            self.table.picked = [key]
            self._pick_groups([key])

    def move(self, projection: npt.ArrayLike) -> None:
        """Put the units in other places on the map, as when a better projection is there.

        Parameters
        ----------
        projection
            float (n, 2), a row per unit in order.
        """
        with self._lock:
            self.map.move(projection)
            self._projection = np.asarray(projection)
            self.map.outline(self._chosen())
            self.gallery.move(projection)

    def refresh(self) -> None:
        """Read the slices again, as when another person or cell changed them."""
        with self._lock:
            self._groups.read()
            self.table.show(self._groups.frame(), keys=self._groups.keys)
            self.map.outline(self._chosen())
            self._allow()

    def to_html(self) -> str:
        """Return a still page: the map with the selection, the slices, and the first pictures."""
        return self._still(self._map_png())

    def freeze(self) -> None:
        """Put what is shown now into the cell's output, where the saved notebook and its exports have it.

        Without this they have what was shown at first.

        Raises
        ------
        StateError
            The explorer wasn't displayed yet.
        """
        png = self._map_png()
        if not self._output.update(self._still(png), png, repr(self)):
            raise StateError("There is no output yet to put the still page into. Show the explorer in a cell first.")

    def __repr__(self) -> str:
        return f"Explorer({self._summary()})"

    def _ipython_display_(self, **kwargs: Any) -> None:
        """Show the widget, and a still page for where it can't be drawn."""
        self._output.show({**(super()._repr_mimebundle_(**kwargs) or {}), "text/plain": repr(self)})
        with caught(self.notice.error):
            self.freeze()

    def _map_png(self) -> bytes:
        return map_png(self._units, self._projection, members=self._rows if len(self._rows) else None)

    def _still(self, png: bytes) -> str:
        rows = failures_first(self._units, self._rows if len(self._rows) else np.arange(len(self._units)))
        ids = [str(unit) for unit in self._units.index[rows[:_STILL_PICTURES]]]
        return explorer_html(
            self._units,
            png,
            slices=self._groups.frame(),
            rows=self._rows,
            thumbnails=self._desk.thumbnails(ids, size=128),
            title=self._model or "",
        )

    def _summary(self) -> str:
        groups = self._groups
        parts = [f"model {self._model}"] if self._model else []
        parts += [f"{len(self._units):,} units", f"{groups.slices} slices", f"{len(groups.candidates)} candidates"]
        return ", ".join(parts)

    def _arranged(self) -> list[Any]:
        half, wide = {"flex": "1 1 420px", "min_width": "0"}, {"flex": "3 1 520px", "min_width": "0"}
        _lay_out(self.map, **half)
        _lay_out(self.gallery, **half)
        left = VBox([self.table, self.inspector], layout=Layout(grid_gap="8px", **wide))
        _lay_out(self.actions, flex="2 1 340px")
        row = {"flex_flow": "row wrap", "grid_gap": "12px", "align_items": "stretch", "overflow": "visible"}
        return [
            HBox([self.map, self.gallery], layout=Layout(**row)),
            self.notice,  # in the middle: what was saved or went wrong must be in sight
            HBox([left, self.actions], layout=Layout(**row)),
            self.shortcuts,
        ]

    def _keyed(self) -> dict[str, tuple[str, Callable[[], None]]]:
        press = self.actions.press
        return {
            "n": ("name a new slice", lambda: None),  # the browser puts the cursor there
            "a": ("add the selection to the chosen slice", lambda: press("add")),
            "r": ("remove it from there", lambda: press("remove")),
            "q": ("queue the chosen slice", lambda: press("enqueue")),
            "c": ("confirm the chosen candidate", lambda: press("confirm")),
            "u": ("undo", lambda: press("undo")),
            "z": ("redo", lambda: press("redo")),
        }

    def _link(self) -> None:
        for part in (self.map, self.gallery, self.table, self.inspector, self.shortcuts, self.notice):
            part.on_error = self.notice.error
        self.map.on_select(lambda rows: self._select(rows, from_map=True))
        self.map.on_pick(self._look_at)
        self.gallery.on_choose(self._choose)
        self.table.on_pick(self._pick_groups)
        self.inspector.on_describe(self._describe)
        self.actions.on_done(self._changed)
        self.actions.on_discover(self._discover)

    def _select(self, rows: Rows, *, from_map: bool = False, typical_first: bool = False) -> None:
        with self._lock:
            self._rows, self._typical_first = rows, typical_first
            if not from_map:
                self.map.highlight(rows if len(rows) else None)
            self._show()
            self._allow()
            self._inspect()
        if self._callbacks:
            selection = self.selection
            for callback in self._callbacks:
                with caught(self.notice.error):
                    callback(selection)

    def _choose(self, rows: Rows, way: str) -> None:
        """Keep marked pictures as the selection, or take them out of it."""
        if way == "subtract":
            all_rows = self._rows if len(self._rows) else np.arange(len(self._units))
            rows = all_rows[~np.isin(all_rows, rows)]
        self._select(rows)

    def _show(self) -> None:
        rows = self._rows if len(self._rows) else np.arange(len(self._units))
        title = selection_line(self._units, self._rows)
        self.gallery.show(rows, title=title, typical_first=self._typical_first)

    def _inspect(self) -> None:
        """Say what is special about the selection; where it can't be said, that is no reason to lose it."""
        self._inspection = None
        with caught(self.notice.error):
            if len(self._rows) and self._model is not None:
                self._inspection = self._desk.inspect(self.selection, self._model)
        self.inspector.show(self._inspection)

    def _discover(self) -> None:
        """Begin the search for candidates; what it finds comes into the table when it is done."""
        with caught(self.notice.error):
            if self._model is None:
                return
            work = self._desk.discovery(self._model)
            self.actions.searching(True)
            self.notice.begin("Discovering slices", cancel=work.cancel)
            work.start(tell=self.notice.tell, done=self._discovered, failed=self._not_discovered)

    def _discovered(self, found: Sequence[Candidate]) -> None:
        with self._lock, caught(self.notice.error):
            self._groups.candidates = list(found)
            self.table.picked = [key for key in self.table.picked if not key.startswith("candidate ")]
            self.refresh()
            confirmed = sum(candidate.status == "confirmed" for candidate in found)
            self.notice.say(f"{len(found)} candidates, {confirmed} of them confirmed on held-out units", kind="saved")
        self._end_work()

    def _not_discovered(self, error: Exception | None) -> None:
        if error is None:
            self.notice.say("stopped; the candidates are as they were")
        else:
            self.notice.error(error)
        self._end_work()

    def _end_work(self) -> None:
        self.notice.end()
        self.actions.searching(False)

    def _describe(self) -> None:
        if self._model is None or not len(self._rows):
            return
        rule = self._desk.describe(self.selection, self._model)
        self.inspector.show(self._inspection, rule)
        if rule is None:
            self.notice.say("No rule over metadata, position or measured pictures describes this selection.")
        else:
            self.actions.rule = rule.expression

    def _look_at(self, row: int) -> None:
        if len(self._rows) and row not in self._rows:
            self._select(np.array([row], dtype=np.int64))
        self.gallery.open_row(row)

    def _pick_groups(self, keys: list[str]) -> None:
        groups = self._groups.of(keys)
        proposed = groups[0] if len(groups) == 1 and isinstance(groups[0], Candidate) else None
        self.actions.suggest("" if proposed is None else (proposed.name or proposed.description)[:80])
        self.actions.note = groups[0].note if len(groups) == 1 and isinstance(groups[0], Slice) else ""
        self.map.outline(groups)
        self._select(self._groups.members(groups), typical_first=len(groups) == 1)
        names = [group.name for group in groups if isinstance(group, Slice)]
        for callback in self._pick_callbacks:
            with caught(self.notice.error):
                callback(names)

    def _allow(self) -> None:
        chosen = self._chosen()
        self.actions.apply_to(
            count=len(self._rows),
            units=lambda: self.selection,
            slices=[each for each in chosen if isinstance(each, Slice)],
            candidates=[each for each in chosen if isinstance(each, Candidate)],
        )

    def _chosen(self) -> list[Candidate | Slice]:
        return self._groups.of(self.table.picked)

    def _restore(self, state: Mapping[str, Any]) -> None:
        unknown = [key for key in state if key not in _STATE]
        if unknown:
            raise InvalidInputError(f"A state holds {listed(_STATE, 10)}; got {listed(unknown)}. Give explorer.state.")
        if "colour" in state:
            self.map.recolour(state["colour"])
        if "order" in state:
            self.gallery.sort(state["order"])
        self.map.range = list(state.get("range", ()))
        self.table.picked = [key for key in state.get("picked", ()) if key in self._groups.keys]
        self.map.outline(self._chosen())
        self.select_known(state.get("selection", ()))

    def _changed(self, slice_: Slice | None) -> None:
        with self._lock:
            made = slice_ is not None and self.table.picked != [key_of(slice_)]
            if slice_ is not None:
                self.table.picked = [key_of(slice_)]
                self.actions.name = ""
            self.refresh()
            if made:
                self._pick_groups(self.table.picked)
        for callback in self._change_callbacks:
            with caught(self.notice.error):
                callback()


def _lay_out(widget: Any, **rules: str) -> None:
    for name, value in rules.items():
        setattr(widget.layout, name, value)
