"""What the widgets may ask for. `slicelab.lab.Lab` gives it; tests give their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slicelab.core._bar import Bar
from slicelab.core._case import Case
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


class Desk(Protocol):
    """What a widget may ask for: pictures, and curation. Every write is durable when the call returns."""

    def thumbnails(self, units: Sequence[str], *, size: int = 128) -> list[Thumbnail]:
        """Return a picture of each unit, in order."""
        ...

    def slices(self) -> list[Slice]:
        """Return the living slices, by name."""
        ...

    def create_slice(self, name: str, *, units: Sequence[str] | None = None, rule: str | None = None) -> Slice:
        """Make a slice from units or from a rule."""
        ...

    def rename_slice(self, name: str, new_name: str) -> Slice:
        """Give a slice another name."""
        ...

    def note_slice(self, name: str, note: str) -> Slice:
        """Write a slice's note."""
        ...

    def add_to_slice(self, name: str, units: Sequence[str]) -> Slice:
        """Add units to a slice."""
        ...

    def remove_from_slice(self, name: str, units: Sequence[str]) -> Slice:
        """Take units out of a slice."""
        ...

    def merge_slices(self, names: Sequence[str], *, into: str) -> Slice:
        """Make one slice of several."""
        ...

    def delete_slice(self, name: str) -> None:
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
