"""What the widgets may ask for. `slicelab.lab.Lab` gives it; tests give their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slicelab.core._bar import Bar
from slicelab.core._candidate import Candidate
from slicelab.core._case import Case
from slicelab.core._inspection import Inspection
from slicelab.core._rule import Rule
from slicelab.core._slice import Slice


@dataclass(frozen=True)
class DrawnBox:
    """A box on a thumbnail: fractions of its width and height, from the top-left corner.

    `role` is "label", "prediction" or "unit" (the labelled object that the thumbnail is about).
    """

    x: float
    y: float
    width: float
    height: float
    role: str
    text: str


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of a unit.

    Parameters
    ----------
    unit
        Its id.
    image
        JPEG bytes; empty when the picture can't be shown, and `problem` says why.
    boxes
        What to draw on it.
    """

    unit: str
    image: bytes
    boxes: tuple[DrawnBox, ...] = ()
    problem: str = ""


class Work(Protocol):
    """Something long that goes on beside the notebook."""

    def start(
        self,
        *,
        tell: Callable[[str, float | None], None],
        done: Callable[[Any], None],
        failed: Callable[[Exception | None], None],
    ) -> None:
        """Begin, and return at once; from a thread of its own call the functions that are given.

        Parameters
        ----------
        tell
            With what is being done and which share of it, in [0, 1] (None: unknown).
        done
            With the result, once.
        failed
            Instead of it, with the error; None: it was stopped.
        """
        ...

    def cancel(self) -> None:
        """Stop it; nothing was changed then."""
        ...


class Desk(Protocol):
    """What a widget may ask for: pictures, and curation. Every write is durable when the call returns.

    A slice is given as it was seen: `ConflictError` if somebody has changed it since. By its name it is changed as it
    is now.
    """

    def thumbnails(self, units: Sequence[str], *, size: int = 128) -> list[Thumbnail]:
        """Return a picture of each unit, in order."""
        ...

    def inspect(self, units: Sequence[str], model: str) -> Inspection:
        """Compare units with the rest."""
        ...

    def describe(self, units: Sequence[str], model: str) -> Rule | None:
        """Return the rule that describes units best; None: none does."""
        ...

    def discovery(self, model: str) -> Work:
        """Return the search for candidate slices, not begun; its result is a sequence of candidates."""
        ...

    def neighbours(self, unit: str, model: str, *, count: int = 8) -> list[str]:
        """Return the nearest units of the same label that the model handles correctly, nearest first."""
        ...

    def slices(self) -> list[Slice]:
        """Return the living slices, by name."""
        ...

    def dismissals(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return for each candidate why it, or one with mostly the same units, was dismissed ("": it wasn't)."""
        ...

    def kept_as(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return for each candidate the name of the slice that it, or one with mostly the same units, became ("")."""
        ...

    def create_slice(
        self, name: str, *, units: Sequence[str] | None = None, rule: str | None = None, model: str | None = None
    ) -> Slice:
        """Make a slice from units or from a rule."""
        ...

    def promote_slice(self, candidate: Candidate, *, name: str | None = None, note: str = "") -> Slice:
        """Make a slice of a candidate: confirm it."""
        ...

    def dismiss(self, candidate: Candidate, *, reason: str) -> Slice:
        """Say that a candidate is no slice, and why."""
        ...

    def rename_slice(self, name: str | Slice, new_name: str) -> Slice:
        """Give a slice another name."""
        ...

    def note_slice(self, name: str | Slice, note: str) -> Slice:
        """Write a slice's note."""
        ...

    def add_to_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        """Add units to a slice."""
        ...

    def remove_from_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        """Take units out of a slice."""
        ...

    def merge_slices(self, names: Sequence[str | Slice], *, into: str) -> Slice:
        """Make one slice of several."""
        ...

    def regroup_slice(self, name: str | Slice, parts: int = 2) -> list[Slice]:
        """Split a slice into parts whose units look alike."""
        ...

    def delete_slice(self, name: str | Slice) -> None:
        """Delete a slice; `undo` brings it back."""
        ...

    def undo(self) -> str:
        """Take the last change back; return what was undone, in words."""
        ...

    def redo(self) -> str:
        """Do again what was undone; return it, in words."""
        ...

    def promote(self, slice_: Slice | str, *, bar: Bar, suite: str, name: str | None = None) -> Case:
        """Make a slice a case of a suite."""
        ...

    def enqueue(self, slice_: Slice | str, *, queue: str, reason: str) -> int:
        """Queue a slice's units; return how many were new there."""
        ...
