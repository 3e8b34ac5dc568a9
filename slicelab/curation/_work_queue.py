"""The work queue: units that wait for a decision about their label, and the batches made of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import (
    IN_FLIGHT,
    REASONS,
    STATES,
    TAKEN_BACK,
    TASKS,
    TRANSITIONS,
    AnnotationTask,
    Batch,
    Box,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    StateError,
    Task,
    check_choice,
    check_name,
    check_unique,
    listed,
    new_id,
)

MAX_INSTRUCTION = 10_000


def add_items(
    queue: str,
    units: pd.DataFrame,
    *,
    reason: str,
    origin: str = "",
    instruction: str = "",
    priority: float | None = None,
    existing: Iterable[QueueItem] = (),
) -> list[QueueItem]:
    """Make a queue item for every unit that isn't in flight in this queue already.

    Parameters
    ----------
    queue
        Name of the queue.
    units
        Rows of a units frame (`core.UNIT_COLUMNS`): index `unit` (str, unique), columns `key` and, where no
        `priority` is given, `loss` (float, [0, 1]).
    reason
        One of `core.REASONS`.
    origin
        Name of the slice from which they come (or "suggestion").
    instruction
        Words for the annotators, at most 10,000 characters.
    priority
        Higher comes first; None: the loss of each unit (0.0 where it is unknown).
    existing
        The items that are in the queue now; those of other queues don't count.

    Returns
    -------
    list of QueueItem
        New items in the order of `units`, state "queued". Units in flight (`core.IN_FLIGHT`) are left out.

    Raises
    ------
    InvalidInputError
        An unknown reason, a unit given twice, a column missing, a priority that isn't a finite number.
    """
    name = check_name(queue, "name of the queue")
    check_choice(reason, REASONS, "reason")
    if len(instruction) > MAX_INSTRUCTION:
        raise InvalidInputError(
            f"The instruction has {len(instruction)} characters; at most {MAX_INSTRUCTION} are kept. Shorten it."
        )
    ids = [str(u) for u in units.index]
    check_unique(ids, "unit")
    priorities = _priorities(units, priority)
    if "key" not in units.columns:
        raise InvalidInputError(f"The units need a column 'key'; there is {listed(units.columns)}. Pass a units frame.")
    busy = {item.unit for item in existing if item.queue == name and item.state in IN_FLIGHT}
    return [
        QueueItem(name, unit, str(key), reason, instruction=instruction, priority=value, origin=origin)
        for unit, key, value in zip(ids, units["key"], priorities, strict=True)
        if unit not in busy
    ]


def _priorities(units: pd.DataFrame, priority: float | None) -> list[float]:
    if priority is not None:
        if isinstance(priority, bool) or not np.isfinite(priority):
            raise InvalidInputError(f"The priority must be a finite number; got {priority!r}.")
        return [float(priority)] * len(units)
    if "loss" not in units.columns:
        raise InvalidInputError(
            f"The units have no column 'loss' to order them by; there is {listed(units.columns)}. "
            "Pass a units frame, or priority=."
        )
    return [float(v) if np.isfinite(v) else 0.0 for v in units["loss"].astype("float64")]


def move_item(item: QueueItem, state: str, *, batch_id: str | EllipsisType | None = ...) -> QueueItem:
    """Return the item in its next state, `rev` one higher.

    Parameters
    ----------
    item
        The item as it stands.
    state
        Where it goes; `core.TRANSITIONS` says what is allowed.
    batch_id
        The export in which it is out. Needed for "exported"; "queued" forgets it; else it stays unless given.

    Raises
    ------
    StateError
        The step isn't allowed; the message names those that are.
    InvalidInputError
        An unknown state, or "exported" without a batch.
    """
    check_choice(state, STATES, "state")
    allowed = TRANSITIONS[item.state]
    if state not in allowed:
        hint = f"It can become {listed(allowed)}." if allowed else "Nothing comes after that; add a new item."
        raise StateError(f"Item of unit {item.unit!r} is {item.state!r} and can't become {state!r}. {hint}")
    if isinstance(batch_id, EllipsisType):
        batch_id = None if state == "queued" else item.batch_id
    if state == "exported" and not batch_id:
        raise InvalidInputError(f"Item of unit {item.unit!r} can't be exported without a batch; pass batch_id=.")
    return replace(item, state=state, batch_id=batch_id, rev=item.rev + 1)


def take_back(item: QueueItem, state: str) -> QueueItem:
    """Return the item in the state that it had before a person's verdict, `rev` one higher.

    Raises
    ------
    StateError
        Its present state is no verdict, or that state doesn't come before it (`core.TAKEN_BACK`).
    """
    allowed = TAKEN_BACK.get(check_choice(item.state, STATES, "state"), ())
    if state not in allowed:
        known = f"It can go back to {listed(allowed)}." if allowed else "That is no verdict."
        raise StateError(f"Item of unit {item.unit!r} is {item.state!r} and can't go back to {state!r}. {known}")
    return replace(item, state=state, rev=item.rev + 1)


def make_batch(
    items: Iterable[QueueItem],
    *,
    samples: pd.DataFrame,
    boxes: pd.DataFrame,
    predicted: pd.DataFrame | None = None,
    dataset: str,
    queue: str,
    task: Task,
    classes: Sequence[str],
    model: str | None = None,
    blind: bool = False,
    batch_id: str | None = None,
) -> Batch:
    """Gather the queued items of a queue into a batch: one task per sample.

    Parameters
    ----------
    items
        Items of the queue; those that aren't "queued" are left out.
    samples
        `SampleTable.samples`: index `key`, `SAMPLE_COLUMNS`, for classification `label`.
    boxes
        Labelled boxes with `BOX_COLUMNS` (detection; else not looked at).
    predicted
        What the model says. Classification: index `key`, columns `label`, `confidence`; detection: one row per
        box with `PREDICTED_BOX_COLUMNS`. None: no model.
    dataset, queue, task, classes, model
        What the batch is about.
    blind
        True: nothing of the model goes into the batch.
    batch_id
        A fresh one where None.

    Returns
    -------
    Batch
        Tasks by priority (the highest of their items) descending, then key; the n-th task has the id
        ``<batch_id>-<n in 5 digits>``.

    Raises
    ------
    StateError
        No item is queued.
    NotFoundError
        An item's sample isn't in `samples`.
    InvalidInputError
        Items of another queue.
    """
    check_choice(task, TASKS, "task")
    by_key = _queued_by_key(items, queue)
    missing = [key for key in by_key if key not in samples.index]
    if missing:
        raise NotFoundError(
            f"{len(missing)} samples of the queue aren't in the dataset any more: {listed(missing)}. "
            "Reject their items, or load the samples again."
        )
    order = sorted(by_key, key=lambda key: (-max(i.priority for i in by_key[key]), key))
    batch_id = batch_id or new_id()
    rows = _by_key(samples.loc[order])
    labelled = _boxes_by_key(boxes, order) if task == "detection" else {}
    said = {} if predicted is None or blind else _predicted_by_key(predicted, order, task)
    tasks = []
    for n, key in enumerate(order, start=1):
        sample: dict[str, Any] = rows[key]
        tasks.append(
            AnnotationTask(
                task_id=f"{batch_id}-{n:05d}",
                key=key,
                filepath=str(sample["filepath"]),
                sha256=str(sample["sha256"]),
                width=int(sample["width"]),
                height=int(sample["height"]),
                label=_text_or_none(sample.get("label")) if task == "classification" else None,
                boxes=labelled.get(key, ()),
                **_of_items(by_key[key]),
                **said.get(key, {}),
            )
        )
    return Batch(queue, dataset, task, tuple(classes), tuple(tasks), model=model, blind=blind, batch_id=batch_id)


def _queued_by_key(items: Iterable[QueueItem], queue: str) -> dict[str, list[QueueItem]]:
    """Return the queued items of each sample, most urgent first."""
    items = list(items)
    foreign = sorted({i.queue for i in items if i.queue != queue})
    if foreign:
        raise InvalidInputError(
            f"A batch of the queue {queue!r} can't take items of {listed(foreign)}. Leave them out."
        )
    by_key: dict[str, list[QueueItem]] = {}
    for item in sorted(items, key=lambda i: (-i.priority, i.unit)):
        if item.state == "queued":
            by_key.setdefault(item.key, []).append(item)
    if not by_key:
        raise StateError(f"Nothing waits in the queue {queue!r}: none of its {len(items)} items is 'queued'. Add some.")
    return by_key


def _of_items(items: Sequence[QueueItem]) -> dict[str, Any]:
    """Return what the items of one sample say together."""
    return {
        "items": tuple(i.item_id for i in items),
        "units": tuple(i.unit for i in items),
        "reasons": tuple(r for r in REASONS if any(i.reason == r for i in items)),
        "instruction": "\n".join(dict.fromkeys(i.instruction for i in items if i.instruction)),
        "priority": max(i.priority for i in items),
        "slice_name": ", ".join(dict.fromkeys(i.origin for i in items if i.origin)),
    }


def _by_key(frame: pd.DataFrame) -> dict[Hashable, dict[str, Any]]:
    return {key: dict(zip(frame.columns, row, strict=True)) for key, *row in frame.itertuples()}


def _boxes_by_key(frame: pd.DataFrame, keys: Sequence[str]) -> dict[str, tuple[Box, ...]]:
    """Return labelled or predicted boxes of these samples, in the order of the frame."""
    found: dict[str, list[Box]] = {}
    for row in frame[frame["key"].isin(keys)].to_dict("records"):
        confidence = row.get("confidence")
        found.setdefault(row["key"], []).append(
            Box(
                label=str(row["label"]),
                x=float(row["x"]),
                y=float(row["y"]),
                width=float(row["width"]),
                height=float(row["height"]),
                label_id=str(row.get("label_id", "")),
                confidence=None if confidence is None or pd.isna(confidence) else float(confidence),
                crowd=bool(row.get("crowd", False)),
            )
        )
    return {key: tuple(boxes) for key, boxes in found.items()}


def _predicted_by_key(predicted: pd.DataFrame, keys: Sequence[str], task: Task) -> dict[str, dict[str, Any]]:
    if task == "detection":
        return {key: {"predicted_boxes": boxes} for key, boxes in _boxes_by_key(predicted, keys).items()}
    rows = _by_key(predicted.loc[predicted.index.isin(keys)])
    return {
        str(key): {
            "predicted_label": _text_or_none(row["label"]),
            "predicted_confidence": None if pd.isna(row.get("confidence")) else float(row["confidence"]),
        }
        for key, row in rows.items()
    }


def _text_or_none(value: Any) -> str | None:
    return None if value is None or pd.isna(value) else str(value)
