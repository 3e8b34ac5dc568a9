"""Relabelling: items, batches that go out, returns that come back."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from slicelab.core._label_schema import LabelSchema
from slicelab.core._slice import actor, new_id, now
from slicelab.core._tables import Task
from slicelab.core._words import html_table, visible

REASONS = ("relabel", "augment", "define_new_class", "merge_classes", "remove", "investigate")
STATES = (
    "proposed",
    "queued",
    "exported",
    "returned",
    "accepted",
    "rejected",
    "needs_second_opinion",
    "merged",
)
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "proposed": ("queued", "rejected"),
    "queued": ("exported", "rejected"),
    "exported": ("returned", "queued"),
    "returned": ("accepted", "rejected", "needs_second_opinion"),
    "needs_second_opinion": ("queued", "accepted", "rejected"),
    "accepted": ("merged", "needs_second_opinion"),
    "rejected": ("queued",),
    "merged": (),
}
TAKEN_BACK: dict[str, tuple[str, ...]] = {
    "accepted": ("returned", "needs_second_opinion"),
    "rejected": ("returned", "needs_second_opinion"),
    "needs_second_opinion": ("returned", "accepted"),
}
"""Where an item goes back to when a person's verdict is taken back: by that alone, never by a step of its own."""
IN_FLIGHT = ("proposed", "queued", "exported", "returned", "needs_second_opinion", "accepted")


@dataclass(frozen=True)
class Box:
    """A box in pixels: top-left corner, width and height.

    `label_id` is ours: it says which labelled box this is; '' for a box that is new.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    label_id: str = ""
    confidence: float | None = None
    crowd: bool = False


@dataclass(frozen=True)
class QueueItem:
    """One unit that waits for a person's decision about its label, with the reason.

    Parameters
    ----------
    queue, unit, key
        Name of the queue, id of the unit, key of its sample.
    reason
        One of `REASONS`.
    priority
        Higher comes first.
    origin
        The slice (or "suggestion") it came from.
    state, rev
        Where it stands (`TRANSITIONS`), and how often it changed.
    batch_id
        The export in which it is out (None: none).
    """

    queue: str
    unit: str
    key: str
    reason: str
    instruction: str = ""
    priority: float = 0.0
    origin: str = ""
    state: str = "queued"
    batch_id: str | None = None
    item_id: str = field(default_factory=new_id)
    rev: int = 1
    added_at: str = field(default_factory=now)
    added_by: str = field(default_factory=actor)
    schema_version: int = 1


@dataclass(frozen=True)
class AnnotationTask:
    """One image of a batch, as the annotation team gets it.

    Parameters
    ----------
    task_id
        Our id; it comes back with the answer.
    key, filepath, sha256, width, height
        The sample.
    label, boxes
        The present label (classification) or labelled boxes (detection).
    predicted_label, predicted_confidence, predicted_boxes
        The model's, empty in blind mode.
    items
        Item ids of the queue that this task answers; none for a gold probe.
    gold_label, gold_boxes
        A gold probe's right answer, which is in no file that goes out; None: the task is no probe.
    """

    task_id: str
    key: str
    filepath: str
    sha256: str
    width: int
    height: int
    items: tuple[str, ...]
    units: tuple[str, ...]
    reasons: tuple[str, ...]
    instruction: str = ""
    priority: float = 0.0
    label: str | None = None
    boxes: tuple[Box, ...] = ()
    predicted_label: str | None = None
    predicted_confidence: float | None = None
    predicted_boxes: tuple[Box, ...] = ()
    slice_name: str = ""
    gold_label: str | None = None
    gold_boxes: tuple[Box, ...] | None = None

    @property
    def is_probe(self) -> bool:
        """True for a task whose right answer is known: it scores the annotator and is never merged."""
        return self.gold_label is not None or self.gold_boxes is not None


@dataclass(frozen=True)
class Batch:
    """The items of one export.

    Parameters
    ----------
    blind
        True: neither the present labels nor a model's predictions are shown to the annotators.
    label_schema
        The instructions that go along, in the version that held when it was made; None: none were written.
    """

    queue: str
    dataset: str
    task: Task
    classes: tuple[str, ...]
    tasks: tuple[AnnotationTask, ...]
    model: str | None = None
    blind: bool = False
    label_schema: LabelSchema | None = None
    batch_id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)
    created_by: str = field(default_factory=actor)
    schema_version: int = 1


_SHOWN = 20
"""Answers that won't be merged, shown in a notebook."""
RETURN_STATUSES = ("matched", "unmatched", "duplicated", "unreviewed", "conflicting", "rejected")


@dataclass(frozen=True)
class ReturnedRow:
    """One answer in a returned file.

    Parameters
    ----------
    status
        "matched": a person's answer to a task of the batch. "unmatched": no task is its. "duplicated": an answer
        to this task stands earlier in the file. "unreviewed": no person submitted it (or it was skipped).
        "conflicting": another annotator gave another answer to this task. "rejected": it can't be an answer (unknown
        class, box out of frame, ...).
    task_id, matched_by
        The task, and by what it was found: "id", "hash" or "name" ('' when unmatched).
    label, boxes
        The answer; boxes None for classification.
    """

    status: Literal["matched", "unmatched", "duplicated", "unreviewed", "conflicting", "rejected"]
    item: str
    reason: str = ""
    line: int | None = None
    task_id: str | None = None
    matched_by: str = ""
    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    annotator: str = ""
    updated_at: str = ""


@dataclass(frozen=True)
class Return:
    """What came back for a batch.

    Parameters
    ----------
    batch_id, queue
        To what it belongs.
    format, file, sha256
        The file that was read.
    rows
        Every answer in the file: rows in = sum over the statuses.
    missing
        Task ids of the batch to which nothing came back.
    annotator
        Who answered, where the file doesn't say; '' where nobody said so.
    """

    batch_id: str
    queue: str
    format: str
    file: str
    sha256: str
    rows: tuple[ReturnedRow, ...]
    missing: tuple[str, ...] = ()
    annotator: str = ""
    received_at: str = field(default_factory=now)
    received_by: str = field(default_factory=actor)
    schema_version: int = 1

    @property
    def matched(self) -> tuple[ReturnedRow, ...]:
        """The answers that will be merged."""
        return tuple(r for r in self.rows if r.status == "matched")

    def counts(self) -> dict[str, int]:
        """Return the number of rows by status, and of tasks without an answer as "missing"."""
        found: Counter[str] = Counter(r.status for r in self.rows)
        return {s: found[s] for s in RETURN_STATUSES} | {"missing": len(self.missing)}

    def frame(self) -> pd.DataFrame:
        """One row per answer."""
        columns = ["status", "item", "reason", "line", "task_id", "matched_by", "label", "annotator"]
        return pd.DataFrame([[getattr(r, c) for c in columns] for r in self.rows], columns=columns)

    def __str__(self) -> str:
        return visible(f"{self.file}: " + ", ".join(f"{n} {word}" for word, n in self.counts().items()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rest = self.frame().query("status != 'matched'")
        return f"<p>{html.escape(str(self))}</p>" + (html_table(rest, max_rows=_SHOWN) if len(rest) else "")
