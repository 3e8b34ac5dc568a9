"""What every writer of a format gets: a checked batch, and how its images are called."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slicelab.annotation._file_names import safe_names
from slicelab.core import (
    MAX_NAME,
    AnnotationTask,
    Batch,
    Box,
    InvalidInputError,
    check_unique,
    did_you_mean,
    listed,
)

REVIEWED = "slicelab_reviewed"
"""The mark with which annotators say "I have looked at this image" where a format has no word for it."""

_ILLEGAL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Export:
    """A batch on its way into files.

    Parameters
    ----------
    batch
        Checked by `check_batch`.
    folder_name
        Name of the folder into which it goes.
    copied
        True: the images lie in ``images/`` beside the labels.
    plain_names
        True: images are called by safe names even where they aren't copied.
    media_url
        Address of the folder in which the annotation server finds the images; None: local files.
    blind
        True: present labels don't go out.
    examples
        JPEGs of each class of the batch's label schema.
    """

    batch: Batch
    folder_name: str
    copied: bool = False
    plain_names: bool = False
    media_url: str | None = None
    blind: bool = False
    examples: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    @property
    def is_blind(self) -> bool:
        """True where the present labels don't go out."""
        return self.blind or self.batch.blind

    def names(self) -> dict[str, str]:
        """Return the file name of each task: a safe one for copies, else its key."""
        return (
            safe_names(self.batch) if self.copied or self.plain_names else {t.task_id: t.key for t in self.batch.tasks}
        )

    def label(self, task: AnnotationTask) -> str | None:
        """Return the label that the annotators may see."""
        return None if self.is_blind else task.label

    def boxes(self, task: AnnotationTask) -> tuple[Box, ...]:
        """Return the boxes that the annotators may see."""
        return () if self.is_blind else task.boxes


def to_json(value: Any) -> bytes:
    """Write a JSON file: UTF-8, one way only, no NaN."""
    return (json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def check_batch(batch: Batch) -> None:
    """Raise `InvalidInputError` when a batch can't go out and come back unchanged."""
    if not batch.tasks:
        raise InvalidInputError(f"The batch of {batch.queue!r} has no tasks. Add items to the queue first.")
    _check_classes(batch.classes)
    check_unique([t.task_id for t in batch.tasks], "task id")
    check_unique([t.key for t in batch.tasks], "key")
    for word in (batch.queue, batch.dataset, batch.batch_id, batch.model or ""):
        _check_text(word, "name of queue, dataset, batch or model")
    for task in batch.tasks:
        _check_task(task, batch)


def check_detection(batch: Batch, format: str) -> None:  # noqa: A002 - the word that users know
    """Raise `InvalidInputError` where a format that carries boxes only gets labels of whole images."""
    if batch.task != "detection":
        raise InvalidInputError(
            f"The format {format!r} carries boxes only; this batch is of image labels. "
            "Take label-studio, cvat, coco, labelbox, sagemaker, csv or jsonl."
        )


def _check_classes(classes: tuple[str, ...]) -> None:
    check_unique(classes, "class")
    if not classes or not all(isinstance(c, str) and c.strip() for c in classes):
        raise InvalidInputError(f"A batch needs classes, and none may be empty; got {listed(classes)}.")
    for name in classes:
        _check_text(name, "class")
        if len(name) > MAX_NAME:
            raise InvalidInputError(
                f"A class has {len(name)} characters; at most {MAX_NAME} are kept: {name[:40]!r}..."
            )
    if REVIEWED in classes:
        raise InvalidInputError(f"The class {REVIEWED!r} is the mark for reviewed images; rename it.")


def _check_task(task: AnnotationTask, batch: Batch) -> None:
    words = (task.task_id, task.key, task.sha256, task.slice_name, task.predicted_label or "", *task.reasons)
    for word in (*words, *task.units, *task.items, *(b.label_id for b in task.boxes)):
        _check_text(word, f"text of the task {task.key!r}")
    _check_text(re.sub("[\n\r\t]", " ", task.instruction), f"instruction of {task.key!r}")
    if not task.task_id or not task.key:
        raise InvalidInputError(f"A task needs an id and a key; got {task.task_id!r} and {task.key!r}.")
    if task.width <= 0 or task.height <= 0:
        raise InvalidInputError(f"The image {task.key!r} must have a size; got {task.width} x {task.height} px.")
    if task.predicted_confidence is not None and not math.isfinite(task.predicted_confidence):
        raise InvalidInputError(f"The confidence of {task.key!r} must be finite; got {task.predicted_confidence!r}.")
    check_unique([b.label_id for b in task.boxes if b.label_id], f"label id of {task.key!r}")
    _check_known((task.label, *(b.label for b in task.boxes)), task.key, batch.classes)
    for box in task.boxes:
        sides = (box.x, box.y, box.width, box.height)
        if not all(math.isfinite(v) for v in sides) or box.width <= 0 or box.height <= 0:
            raise InvalidInputError(f"A box of {task.key!r} must have finite sides above 0; got {sides}. Repair it.")


def _check_known(labels: Iterable[str | None], key: str, classes: tuple[str, ...]) -> None:
    for label in labels:
        if label is not None and label not in classes:
            raise InvalidInputError(
                f"The label {label!r} of {key!r} isn't among the classes of the batch.{did_you_mean(label, classes)} "
                "Add it to the classes, or repair the label."
            )


def _check_text(word: str, what: str) -> None:
    if _ILLEGAL.search(word):
        raise InvalidInputError(
            f"The {what} holds characters that no label file can carry: {word[:80]!r}. Remove control characters."
        )
