"""The buttons: each asks the desk for one thing and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipywidgets import BoundedFloatText, BoundedIntText, Button, Dropdown, HBox, Label, Layout, Text, VBox

from slicelab.core import METRICS, REASONS, Bar, Candidate, ConflictError, Desk, Slice
from slicelab.widgets._gestures import caught
from slicelab.widgets._notice import Notice

_LONG = 80
_AT_LEAST, _AT_MOST = "\N{GREATER-THAN OR EQUAL TO}", "\N{LESS-THAN OR EQUAL TO}"


class Actions(VBox):
    """What can be done with the selected units and the chosen slices.

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
    name, rule, note, parts, why, metric, sense, bar, suite, reason, queue
        The fields.
    buttons
        By name: discover, new, from_rule, add, remove, rename, write_note, merge, split, delete, confirm, dismiss,
        promote, enqueue, undo, redo.
    """

    def __init__(self, desk: Desk, *, notice: Notice, model: str | None = None) -> None:
        self._desk, self._notice, self._model = desk, notice, model
        self._count = 0
        self._units: Callable[[], list[str]] = list
        self._slices: list[Slice] = []
        self._candidates: list[Candidate] = []
        self._done_callbacks: list[Callable[[Slice | None], None]] = []
        self._discover_callbacks: list[Callable[[], None]] = []
        self._suggested = ""
        self.buttons: dict[str, Button] = {}
        self._make_fields()
        super().__init__(
            [
                _line("Name", self.name, self._button("new", "New slice", self._new, "primary")),
                _line("or rule", self.rule, self._button("from_rule", "New from rule", self._new_from_rule)),
                _line("Selection", self._button("add", "Add to slice", self._add),
                      self._button("remove", "Remove from slice", self._remove)),
                _line("Slice", self._button("rename", "Rename", self._rename),
                      self._button("merge", "Merge", self._merge), self._button("delete", "Delete", self._delete)),
                _line("", self.parts, self._button("split", "Split into parts", self._split)),
                _line("Note", self.note, self._button("write_note", "Write", self._write_note)),
                _line("Discovery", self._discover_button()),
                _line("Candidate", self.why, self._button("confirm", "Confirm", self._confirm),
                      self._button("dismiss", "Dismiss", self._dismiss)),
                _line("Test case", self.metric, self.sense, self.bar),
                _line("in suite", self.suite, self._button("promote", "Promote", self._promote)),
                _line("Queue", self.reason, self.queue, self._button("enqueue", "Queue", self._enqueue)),
                _line("History", self._button("undo", "Undo", self._undo), self._button("redo", "Redo", self._redo)),
            ],
            layout=Layout(min_width="0", overflow="hidden"),
        )  # fmt: skip
        self.add_class("slicelab-actions")
        for field in (self.name, self.rule, self.why, self.queue, self.suite):
            field.observe(lambda _: self._allow(), names="value")
        self._allow()

    def on_done(self, callback: Callable[[Slice | None], None]) -> None:
        """Call `callback` after every change of slices, with the slice that it made or changed (None: none)."""
        self._done_callbacks.append(callback)

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

    def suggest(self, name: str) -> None:
        """Put a name for the selection into the field, unless a person has typed there."""
        if self.name.value in ("", self._suggested):
            self.name.value = self._suggested = name

    def press(self, name: str) -> None:
        """Do what a button does; where it can't be done now, say what is missing."""
        button = self.buttons[name]
        if button.disabled:
            self._notice.say(f"{button.description}: {button.tooltip}")
        else:
            button.click()

    def on_discover(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a person asks for candidates."""
        self._discover_callbacks.append(callback)

    def _discover_button(self) -> Button:
        button = Button(description="Discover slices", layout=Layout(width="auto"))
        button.add_class("slicelab-discover")
        button.tooltip = "Search for groups on which the model fails more than on others of their class"
        button.disabled = self._model is None
        button.on_click(lambda _: [callback() for callback in self._discover_callbacks])
        self.buttons["discover"] = button
        return button

    def _make_fields(self) -> None:
        wide, free = Layout(flex="1 1 0", min_width="60px", width="auto"), Layout(width="58px")
        self.name = Text(placeholder="name of a slice", layout=wide)
        self.rule = Text(placeholder='label == "knife" and confidence < 0.5', layout=wide)
        self.note = Text(placeholder="note of the chosen slice", layout=wide)
        self.parts = BoundedIntText(value=2, min=2, max=20, layout=Layout(width="58px"))
        self.why = Text(placeholder="why it is none", layout=wide)
        self.metric = Dropdown(options=METRICS, value="recall", layout=wide)
        self.sense = Dropdown(options=[_AT_LEAST, _AT_MOST], layout=free)
        self.bar = BoundedFloatText(value=0.95, min=0, max=1e6, step=0.01, layout=Layout(width="76px"))
        self.suite = Text(value="release", placeholder="name of a suite", layout=wide)
        self.reason = Dropdown(options=REASONS, layout=wide)
        self.queue = Text(value="review", placeholder="name of a queue", layout=wide)

    def _button(self, name: str, text: str, act: Callable[[], tuple[str, Slice | None]], style: str = "") -> Button:
        button = Button(description=text, button_style=style, layout=Layout(width="auto"))
        button.add_class(f"slicelab-{name.replace('_', '-')}")
        button.on_click(lambda _: self._run(act))
        self.buttons[name] = button
        return button

    def _allow(self) -> None:
        """Enable what can be done now; the others say what is missing."""
        one, proposed = len(self._slices) == 1, len(self._candidates) == 1
        named = (bool(self.name.value.strip()), "Type a name first.")
        some = (self._count > 0, "Select units first.")
        chosen = (one, "Choose one slice in the table first.")
        candidate = (proposed, "Choose one candidate in the table first.")
        self._need("new", some, named)
        self._need("from_rule", (bool(self.rule.value.strip()), "Type a rule first."))
        self._need("add", some, chosen)
        self._need("remove", some, chosen)
        self._need("rename", chosen, named)
        self._need("merge", (len(self._slices) > 1, "Choose two or more slices (Ctrl + click)."), named)
        self._need("confirm", candidate)
        self._need("dismiss", candidate, (bool(self.why.value.strip()), "Say why first."))
        self._need("promote", chosen, (bool(self.suite.value.strip()), "Type a suite's name first."))
        self._need("enqueue", chosen, (bool(self.queue.value.strip()), "Type a queue's name first."))
        for button in ("delete", "split", "write_note"):
            self._need(button, chosen)

    def _need(self, button: str, *conditions: tuple[bool, str]) -> None:
        missing = [words for met, words in conditions if not met]
        self.buttons[button].disabled = bool(missing)
        self.buttons[button].tooltip = " ".join(missing)

    def _run(self, act: Callable[[], tuple[str, Slice | None]]) -> None:
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

    def _new(self) -> tuple[str, Slice]:
        return _saved(self._desk.create_slice(self.name.value.strip(), units=self._units(), model=self._model))

    def _new_from_rule(self) -> tuple[str, Slice]:
        rule = self.rule.value.strip()
        name = rule[:_LONG] if self.name.value in ("", self._suggested) else self.name.value.strip()
        return _saved(self._desk.create_slice(name, rule=rule, model=self._model))

    def _add(self) -> tuple[str, Slice]:
        return _saved(self._desk.add_to_slice(self._slices[0], self._units()))

    def _remove(self) -> tuple[str, Slice]:
        return _saved(self._desk.remove_from_slice(self._slices[0], self._units()))

    def _rename(self) -> tuple[str, Slice]:
        return _saved(self._desk.rename_slice(self._slices[0], self.name.value.strip()))

    def _write_note(self) -> tuple[str, Slice]:
        return _saved(self._desk.note_slice(self._slices[0], self.note.value.strip()))

    def _merge(self) -> tuple[str, Slice]:
        return _saved(self._desk.merge_slices(self._slices, into=self.name.value.strip()))

    def _split(self) -> tuple[str, Slice]:
        old = self._slices[0]
        made = self._desk.regroup_slice(old, self.parts.value)
        words = ", ".join(f"{s.name} ({len(s):,} units)" for s in made)
        return f"saved, version {made[0].version}: {old.name} is now {words}", made[0]

    def _delete(self) -> tuple[str, None]:
        self._desk.delete_slice(self._slices[0])
        return f"deleted: {self._slices[0].name} (Undo brings it back)", None

    def _confirm(self) -> tuple[str, Slice]:
        return _saved(self._desk.promote_slice(self._candidates[0], name=self.name.value.strip() or None))

    def _dismiss(self) -> tuple[str, None]:
        gone = self._desk.dismiss(self._candidates[0], reason=self.why.value.strip())
        self.why.value = ""
        return f"saved, version {gone.version}: {gone.name} (Undo brings it back)", None

    def _undo(self) -> tuple[str, None]:
        return f"undone: {self._desk.undo()}", None

    def _redo(self) -> tuple[str, None]:
        return f"done again: {self._desk.redo()}", None

    def _promote(self) -> tuple[str, None]:
        at_least = self.sense.value == _AT_LEAST
        bar = Bar(
            self.metric.value,
            at_least=self.bar.value if at_least else None,
            at_most=None if at_least else self.bar.value,
        )
        case = self._desk.promote(self._slices[0], bar=bar, suite=self.suite.value.strip())
        return f"saved, version {case.version}: case {case.name} ({case.bar}) in suite {case.suite}", None

    def _enqueue(self) -> tuple[str, None]:
        name, queue = self._slices[0].name, self.queue.value.strip()
        new = self._desk.enqueue(self._slices[0], queue=queue, reason=self.reason.value)
        return f"saved: {new:,} units of {name} are new in queue {queue}", None


def _saved(slice_: Slice) -> tuple[str, Slice]:
    return f"saved, version {slice_.version}: {slice_.name} ({len(slice_):,} units)", slice_


def _line(title: str, *fields: Text | Dropdown | Button) -> HBox:
    label = Label(title, layout=Layout(width="72px", flex="0 0 auto"))
    return HBox([label, *fields], layout=Layout(align_items="center", min_width="0"))
