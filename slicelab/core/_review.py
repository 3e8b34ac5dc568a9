"""Returned answers as a person looks at them: old label, returned label and prediction of the same image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slicelab.core._protocols import DrawnBox

VERDICTS = ("accepted", "rejected", "needs_second_opinion")


@dataclass(frozen=True)
class ReviewPanel:
    """One of the labels of an image: its title, its words, and what is drawn."""

    title: str
    text: str
    boxes: tuple[DrawnBox, ...] = ()


@dataclass(frozen=True)
class ReviewItem:
    """One returned answer.

    Parameters
    ----------
    item, unit, key
        Ids of the queue's item, its unit and its sample.
    state
        Where it stands.
    changed
        The answer differs from the old label.
    can_accept
        There is an answer that all agree on, or that was decided.
    panels
        Old label, returned label, prediction.
    facts
        Name and value of what else is known: reason, annotators, their answers.
    """

    item: str
    unit: str
    key: str
    state: str
    changed: bool
    can_accept: bool
    panels: tuple[ReviewPanel, ...]
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Undone:
    """A decision that was taken back: the verdict, and the items and units that are open again.

    Parameters
    ----------
    verdict
        One of `VERDICTS`.
    items, units
        Ids; of both there is at least one.
    """

    verdict: str
    items: tuple[str, ...]
    units: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.units) - 1:,} more" if len(self.units) > 1 else ""
        return f"{len(self.items):,} {self.verdict.replace('_', ' ')} ({self.units[0]}{more})"


class ReviewDesk(Protocol):
    """What the review widget asks for; a lab's queue gives it."""

    def review_items(self) -> list[ReviewItem]:
        """Return what came back, most urgent first."""
        ...

    def picture(self, key: str, *, size: int) -> bytes:
        """Return a JPEG of the whole image; raises `MediaError` where it can't be shown."""
        ...

    def judge(self, verdict: str, *, items: Sequence[str] | None = None, rule: str | None = None) -> int:
        """Give items, or all that a rule describes, a verdict of `VERDICTS`; return how many it was."""
        ...

    def undo(self) -> Undone:
        """Take the last verdict back; raises `StateError` where there is none, or somebody went on from it."""
        ...
