"""The buttons: each asks the desk for one thing and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import traitlets
from ipywidgets import Layout

from slicelab.core import METRICS, REASONS, Bar, Candidate, ConflictError, Desk, InvalidInputError, Slice
from slicelab.widgets._gestures import GestureWidget, caught, module, style
from slicelab.widgets._notice import Notice

_LONG = 80
_AT_LEAST, _AT_MOST = "\N{GREATER-THAN OR EQUAL TO}", "\N{LESS-THAN OR EQUAL TO}"
_SENSES = (_AT_LEAST, _AT_MOST)
_FIELDS = ("name", "rule", "note", "parts", "why", "metric", "sense", "bar", "suite", "reason", "queue")
_WORDS = {
    "new": "New slice",
    "from_rule": "New from rule",
    "add": "Add to slice",
    "remove": "Remove from slice",
    "rename": "Rename",
    "merge": "Merge",
    "delete": "Delete",
    "split": "Split into parts",
    "write_note": "Write",
    "discover": "Discover slices",
    "confirm": "Confirm",
    "dismiss": "Dismiss",
    "promote": "Promote",
    "enqueue": "Queue",
    "undo": "Undo",
    "redo": "Redo",
}
_Done = tuple[str, Slice | None]


class Actions(GestureWidget):
    """What can be done with the selected units and the chosen slices.

    It is one widget, and not a box of forty: each of them costs the page time before anything can be seen.

    Parameters
    ----------
    desk
        Does it.
    notice
        Says what came of it.
    model
        Under which rules are read.

    Attributes
    ----------
    name, rule, note, why, suite, queue
        What stands in the text fields.
    parts, bar
        The numbers: into how many parts a slice is split (2 to 20), and a test case's bar (>= 0).
    metric, sense, reason
        What is chosen: one of `slicelab.core.METRICS`, at least or at most (as signs), one of `slicelab.core.REASONS`.
    missing
        What each button waits for, "" where it can be pressed. Their names: discover, new, from_rule, add, remove,
        rename, write_note, merge, split, delete, confirm, dismiss, promote, enqueue, undo, redo.
    """

    _esm = module("actions.js")
    _css = style("actions.css")
    # What a person types is not sent back to the page: it would overwrite what was typed since.
    name = traitlets.Unicode().tag(sync=True, echo_update=False)
    rule = traitlets.Unicode().tag(sync=True, echo_update=False)
    note = traitlets.Unicode().tag(sync=True, echo_update=False)
    parts = traitlets.Int(2, min=2, max=20).tag(sync=True, echo_update=False)
    why = traitlets.Unicode().tag(sync=True, echo_update=False)
    metric = traitlets.Enum(METRICS, "recall").tag(sync=True, echo_update=False)
    sense = traitlets.Enum(_SENSES, _AT_LEAST).tag(sync=True, echo_update=False)
    bar = traitlets.Float(0.95, min=0).tag(sync=True, echo_update=False)
    suite = traitlets.Unicode("release").tag(sync=True, echo_update=False)
    reason = traitlets.Enum(REASONS, REASONS[0]).tag(sync=True, echo_update=False)
    queue = traitlets.Unicode("review").tag(sync=True, echo_update=False)
    words = traitlets.Dict(_WORDS).tag(sync=True)
    choices = traitlets.Dict({"metric": list(METRICS), "sense": list(_SENSES), "reason": list(REASONS)}).tag(sync=True)
    missing = traitlets.Dict().tag(sync=True)

    def __init__(self, desk: Desk, *, notice: Notice, model: str | None = None) -> None:
        self._desk, self._notice, self._model = desk, notice, model
        self._count = 0
        self._units: Callable[[], list[str]] = list
        self._slices: list[Slice] = []
        self._candidates: list[Candidate] = []
        self._searching = False
        self._done_callbacks: list[Callable[[Slice | None], None]] = []
        self._discover_callbacks: list[Callable[[], None]] = []
        self._suggested = ""
        self._acts: dict[str, Callable[[], _Done]] = {
            "new": self._new,
            "from_rule": self._new_from_rule,
            "add": self._add,
            "remove": self._remove,
            "rename": self._rename,
            "merge": self._merge,
            "delete": self._delete,
            "split": self._split,
            "write_note": self._write_note,
            "confirm": self._confirm,
            "dismiss": self._dismiss,
            "promote": self._promote,
            "enqueue": self._enqueue,
            "undo": self._undo,
            "redo": self._redo,
        }
        super().__init__(layout=Layout(min_width="0"))
        self.on_error = notice.error
        self.observe(lambda _: self._allow(), names=["name", "rule", "why", "queue", "suite"])
        self._allow()

    def on_done(self, callback: Callable[[Slice | None], None]) -> None:
        """Call `callback` after every change of slices, with the slice that it made or changed (None: none)."""
        self._done_callbacks.append(callback)

    def on_discover(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a person asks for candidates."""
        self._discover_callbacks.append(callback)

    def apply_to(
        self,
        *,
        count: int,
        units: Callable[[], list[str]],
        slices: Sequence[Slice],
        candidates: Sequence[Candidate] = (),
    ) -> None:
        """Say how many units are selected and which (asked when they are needed), and what is chosen in the table."""
        self._count, self._units = count, units
        self._slices, self._candidates = list(slices), list(candidates)
        self._allow()

    def searching(self, is_so: bool) -> None:
        """Say whether a search for candidates goes on: then no other can be begun."""
        self._searching = is_so
        self._allow()

    def suggest(self, name: str) -> None:
        """Put a name for the selection into the field, unless a person has typed there."""
        if self.name in ("", self._suggested):
            self.name = self._suggested = name

    def press(self, button: str) -> None:
        """Do what a button does; where it can't be done now, say what is missing.

        Raises
        ------
        InvalidInputError
            There is no such button.
        """
        if button not in _WORDS:
            raise InvalidInputError(f"There is no button {button[:40]!r}; the buttons are {', '.join(_WORDS)}.")
        if self.missing[button]:
            self._notice.say(f"{_WORDS[button]}: {self.missing[button]}")
        elif button == "discover":
            for callback in self._discover_callbacks:
                callback()
        else:
            self._run(self._acts[button])

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"write": self._write, "press": lambda content: self.press(str(content.get("button")))}

    def _write(self, content: dict[str, Any]) -> None:
        field = content.get("field")
        if field not in _FIELDS:
            raise InvalidInputError(f"There is no field {str(field)[:40]!r}; the fields are {', '.join(_FIELDS)}.")
        self.set_state({field: content.get("value")})

    def _allow(self) -> None:
        """Enable what can be done now; the others say what is missing."""
        one, proposed = len(self._slices) == 1, len(self._candidates) == 1
        named = (bool(self.name.strip()), "Type a name first.")
        some = (self._count > 0, "Select units first.")
        chosen = (one, "Choose one slice in the table first.")
        candidate = (proposed, "Choose one candidate in the table first.")
        several = (len(self._slices) > 1, "Choose two or more slices (Ctrl + click).")
        needs = {
            "new": [some, named],
            "from_rule": [(bool(self.rule.strip()), "Type a rule first.")],
            "add": [some, chosen],
            "remove": [some, chosen],
            "rename": [chosen, named],
            "merge": [several, named],
            "delete": [chosen],
            "split": [chosen],
            "write_note": [chosen],
            "discover": [
                (self._model is not None, "Name a model: lab.explore(model=...)."),
                (not self._searching, "A search goes on."),
            ],
            "confirm": [candidate],
            "dismiss": [candidate, (bool(self.why.strip()), "Say why first.")],
            "promote": [chosen, (bool(self.suite.strip()), "Type a suite's name first.")],
            "enqueue": [chosen, (bool(self.queue.strip()), "Type a queue's name first.")],
            "undo": [],
            "redo": [],
        }
        self.missing = {
            button: " ".join(words for met, words in conditions if not met) for button, conditions in needs.items()
        }

    def _run(self, act: Callable[[], _Done]) -> None:
        with caught(self._notice.error):
            self._notice.say("saving …", kind="busy")
            try:
                words, slice_ = act()
            except ConflictError:
                self._tell(None)  # so that what the other one wrote can be seen
                raise
            self._tell(slice_)
            self._notice.say(words, kind="saved")

    def _tell(self, slice_: Slice | None) -> None:
        for callback in self._done_callbacks:
            callback(slice_)

    def _new(self) -> _Done:
        return _saved(self._desk.create_slice(self.name.strip(), units=self._units(), model=self._model))

    def _new_from_rule(self) -> _Done:
        rule = self.rule.strip()
        name = rule[:_LONG] if self.name in ("", self._suggested) else self.name.strip()
        return _saved(self._desk.create_slice(name, rule=rule, model=self._model))

    def _add(self) -> _Done:
        return _saved(self._desk.add_to_slice(self._slices[0], self._units()))

    def _remove(self) -> _Done:
        return _saved(self._desk.remove_from_slice(self._slices[0], self._units()))

    def _rename(self) -> _Done:
        return _saved(self._desk.rename_slice(self._slices[0], self.name.strip()))

    def _write_note(self) -> _Done:
        return _saved(self._desk.note_slice(self._slices[0], self.note.strip()))

    def _merge(self) -> _Done:
        return _saved(self._desk.merge_slices(self._slices, into=self.name.strip()))

    def _split(self) -> _Done:
        old = self._slices[0]
        made = self._desk.regroup_slice(old, self.parts)
        words = ", ".join(f"{s.name} ({len(s):,} units)" for s in made)
        return f"saved, version {made[0].version}: {old.name} is now {words}", made[0]

    def _delete(self) -> _Done:
        self._desk.delete_slice(self._slices[0])
        return f"deleted: {self._slices[0].name} (Undo brings it back)", None

    def _confirm(self) -> _Done:
        return _saved(self._desk.promote_slice(self._candidates[0], name=self.name.strip() or None))

    def _dismiss(self) -> _Done:
        gone = self._desk.dismiss(self._candidates[0], reason=self.why.strip())
        self.why = ""
        return f"saved, version {gone.version}: {gone.name} (Undo brings it back)", None

    def _undo(self) -> _Done:
        return f"undone: {self._desk.undo()}", None

    def _redo(self) -> _Done:
        return f"done again: {self._desk.redo()}", None

    def _promote(self) -> _Done:
        at_least = self.sense == _AT_LEAST
        bar = Bar(self.metric, at_least=self.bar if at_least else None, at_most=None if at_least else self.bar)
        case = self._desk.promote(self._slices[0], bar=bar, suite=self.suite.strip())
        return f"saved, version {case.version}: case {case.name} ({case.bar}) in suite {case.suite}", None

    def _enqueue(self) -> _Done:
        name, queue = self._slices[0].name, self.queue.strip()
        new = self._desk.enqueue(self._slices[0], queue=queue, reason=self.reason)
        return f"saved: {new:,} units of {name} are new in queue {queue}", None


def _saved(slice_: Slice) -> _Done:
    return f"saved, version {slice_.version}: {slice_.name} ({len(slice_):,} units)", slice_
