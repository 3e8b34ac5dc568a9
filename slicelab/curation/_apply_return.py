"""What a return changes: the items it moves, and the labels it brings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from slicelab.core import (
    BOX_COLUMNS,
    TEXT,
    AnnotationTask,
    Batch,
    Box,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    Return,
    listed,
)
from slicelab.curation._work_queue import move_item

_LIVE = ("exported", "returned", "accepted")


@dataclass(frozen=True)
class ReturnOutcome:
    """The answers of a return as state changes: nothing is written yet.

    Parameters
    ----------
    items
        The items that moved from "exported" to "returned". Items of tasks without a matched answer stay out.
    labels
        Classification: the answered label by key.
    boxes
        Detection: all boxes of the answered samples by key, in the order of the answer. `label_id` '' for a box
        that is new; a labelled box that isn't there was deleted.
    deleted
        Detection: ids of the labelled boxes that did not come back, by key.
    tasks
        Task id by key, for every answer that counts.
    changed, confirmed
        Number of answers that differ from the present label or boxes, and that equal them.
    """

    items: tuple[QueueItem, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, tuple[Box, ...]] = field(default_factory=dict)
    deleted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    changed: int = 0
    confirmed: int = 0


def apply_return(returned: Return, batch: Batch, items: Iterable[QueueItem]) -> ReturnOutcome:
    """Work out what the matched answers of a return change.

    An answer counts while an item of its task is out in this batch or waits to be merged ("exported", "returned",
    "accepted"); once it is merged, rejected or back in the queue, the same file brings nothing any more.

    Parameters
    ----------
    returned
        What came back for this batch.
    batch
        The export that it answers.
    items
        The items of the queue as they stand.

    Raises
    ------
    InvalidInputError
        The return belongs to another batch.
    """
    if returned.batch_id != batch.batch_id:
        raise InvalidInputError(
            f"The return {returned.file!r} belongs to the batch {returned.batch_id!r}; got the batch "
            f"{batch.batch_id!r}. Pass the batch that was exported."
        )
    live = {i.item_id: i for i in items if i.batch_id == batch.batch_id and i.state in _LIVE}
    by_id = {task.task_id: task for task in batch.tasks}
    moved: list[QueueItem] = []
    labels: dict[str, str] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    tasks: dict[str, AnnotationTask] = {}
    for row in returned.matched:
        task = by_id.get(row.task_id or "")
        mine = [live[i] for i in task.items if i in live] if task else []
        if task is None or not mine:
            continue
        if batch.task == "classification" and row.label is not None:
            labels[task.key] = row.label
        elif batch.task == "detection" and row.boxes is not None:
            boxes[task.key] = _with_known_ids(row.boxes, task)
        else:
            continue
        tasks[task.key] = task
        moved += [move_item(i, "returned") for i in mine if i.state == "exported"]
    deleted = {key: _deleted(found, tasks[key]) for key, found in boxes.items()}
    changed = sum(label != tasks[key].label for key, label in labels.items())
    changed += sum(_content(found) != _content(tasks[key].boxes) for key, found in boxes.items())
    return ReturnOutcome(
        items=tuple(moved),
        labels=labels,
        boxes=boxes,
        deleted={key: ids for key, ids in deleted.items() if ids},
        tasks={key: task.task_id for key, task in tasks.items()},
        changed=changed,
        confirmed=len(tasks) - changed,
    )


def _with_known_ids(boxes: tuple[Box, ...], task: AnnotationTask) -> tuple[Box, ...]:
    known = {b.label_id for b in task.boxes}
    return tuple(
        Box(b.label, b.x, b.y, b.width, b.height, b.label_id if b.label_id in known else "", crowd=b.crowd)
        for b in boxes
    )


def _deleted(boxes: tuple[Box, ...], task: AnnotationTask) -> tuple[str, ...]:
    there = {b.label_id for b in boxes}
    return tuple(b.label_id for b in task.boxes if b.label_id not in there)


def _content(boxes: Iterable[Box]) -> list[tuple[object, ...]]:
    return sorted((b.label_id, b.label, b.x, b.y, b.width, b.height, b.crowd) for b in boxes)


def joined(outcomes: Iterable[ReturnOutcome]) -> ReturnOutcome:
    """Return what several returns change together; where two answer the same sample the later one counts."""
    found = ReturnOutcome()
    for each in outcomes:
        found = ReturnOutcome(
            items=(*found.items, *each.items),
            labels=found.labels | each.labels,
            boxes=found.boxes | each.boxes,
            deleted=found.deleted | each.deleted,
            tasks=found.tasks | each.tasks,
            changed=found.changed + each.changed,
            confirmed=found.confirmed + each.confirmed,
        )
    return found


def accept(items: Iterable[QueueItem]) -> list[QueueItem]:
    """Return the items as accepted; those that are accepted already stay as they are.

    Raises
    ------
    StateError
        An item is neither "returned", "needs_second_opinion" nor "accepted".
    """
    return [i if i.state == "accepted" else move_item(i, "accepted") for i in items]


def merge_labels(
    samples: pd.DataFrame, boxes: pd.DataFrame, outcome: ReturnOutcome
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the labels with the answers in them; what was passed stays as it is.

    Parameters
    ----------
    samples
        `SampleTable.samples`: index `key`; for classification with a column `label`.
    boxes
        Labelled boxes with `BOX_COLUMNS`; empty for classification.
    outcome
        What `apply_return` found.

    Returns
    -------
    samples, boxes
        New frames. For an answered sample the boxes are those of the answer, all others keep theirs; boxes stand
        in the order of `samples`. A new box has the id ``new-<task id>-<n>``, n counted from 1 per sample, so
        merging the same answer again gives the same frames.

    Raises
    ------
    NotFoundError
        An answered sample isn't in `samples`.
    """
    missing = [key for key in (*outcome.labels, *outcome.boxes) if key not in samples.index]
    if missing:
        raise NotFoundError(
            f"{len(missing)} answered samples aren't in the dataset: {listed(missing)}. Load them, or merge into the "
            "dataset that was exported."
        )
    merged = samples.copy()
    if outcome.labels:
        merged["label"] = pd.Series(
            [outcome.labels.get(k, old) for k, old in zip(samples.index, samples["label"], strict=True)],
            index=samples.index,
            dtype=TEXT,
        )
    if not outcome.boxes:
        return merged, boxes.copy()
    kept = boxes.loc[~boxes["key"].isin(list(outcome.boxes)), list(BOX_COLUMNS)]
    answers = [row for key, found in outcome.boxes.items() for row in _rows(key, found, outcome.tasks[key])]
    together = pd.concat([kept, _box_frame(answers)], ignore_index=True) if len(kept) else _box_frame(answers)
    position = {key: n for n, key in enumerate(samples.index)}
    order = together["key"].map(position).argsort(kind="stable")
    return merged, together.iloc[order].reset_index(drop=True)


def _rows(key: str, boxes: tuple[Box, ...], task_id: str) -> list[tuple[object, ...]]:
    """Return rows with `BOX_COLUMNS`; new boxes get an id that is free in this sample."""
    taken = {b.label_id for b in boxes}
    fresh = (f"new-{task_id.replace('#', '_')}-{n}" for n in range(1, 2 * len(boxes) + 2))
    free = (label_id for label_id in fresh if label_id not in taken)
    return [
        (key, b.label_id or next(free), b.label, float(b.x), float(b.y), float(b.width), float(b.height), b.crowd)
        for b in boxes
    ]


def _box_frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(BOX_COLUMNS))
    numbers = dict.fromkeys(("x", "y", "width", "height"), "float64")
    return frame.astype({"key": TEXT, "label_id": TEXT, "label": TEXT, **numbers, "crowd": "bool"})
