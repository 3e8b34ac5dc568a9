"""Gold probes: tasks whose right answer is known, mixed into a batch so that nobody can tell them from the others."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from slicelab.core import AnnotationTask, Batch, InvalidInputError, StateError


def add_probes(batch: Batch, trusted: Batch, *, share: float = 0.1) -> Batch:
    """Mix gold probes into a batch.

    Parameters
    ----------
    batch
        What goes out.
    trusted
        Samples whose labels are right, as a batch of their own.
    share
        Probes per task, in (0, 1]; at least one, and at most as many as there are trusted samples that aren't in the
        batch themselves.

    Returns
    -------
    Batch
        A probe has the reasons, the instruction and the slice of another task, chosen at random, and stands at a
        random place among the tasks. It names no items, so its answer is never merged. Where present labels go out,
        every second probe shows a wrong one (another class, a box too few): who only nods is found out.

    Raises
    ------
    InvalidInputError
        A share that isn't in (0, 1].
    StateError
        No trusted sample is left, or one has no label.
    """
    if not 0 < share <= 1:
        raise InvalidInputError(f"The share of probes is in (0, 1]; got {share!r}.")
    busy = {task.key for task in batch.tasks}
    free = [task for task in trusted.tasks if task.key not in busy]
    if not free:
        raise StateError(f"All {len(trusted.tasks)} trusted samples are in the batch themselves. Trust others.")
    nameless = [task.key for task in free if batch.task == "classification" and task.label is None]
    if nameless:
        raise StateError(f"{len(nameless)} trusted samples have no label, first {nameless[0]!r}. Leave them out.")
    dice = random.Random(batch.batch_id)  # noqa: S311 (nothing secret: the same batch is the same batch)
    chosen = dice.sample(free, min(len(free), max(1, math.ceil(share * len(batch.tasks)))))
    tasks = list(batch.tasks)
    for n, task in enumerate(chosen):
        tasks.insert(dice.randint(0, len(tasks)), _probe(task, batch, n, dice))
    numbered = [replace(task, task_id=f"{batch.batch_id}-{n:05d}") for n, task in enumerate(tasks, start=1)]
    return replace(batch, tasks=tuple(numbered))


def _probe(task: AnnotationTask, batch: Batch, n: int, dice: random.Random) -> AnnotationTask:
    like = dice.choice(batch.tasks)
    probe = replace(
        task,
        items=(),
        reasons=like.reasons,
        instruction=like.instruction,
        priority=like.priority,
        slice_name=like.slice_name,
        gold_label=task.label,
        gold_boxes=task.boxes if batch.task == "detection" else None,
    )
    return probe if batch.blind or n % 2 else _with_an_error(probe, batch.classes, dice)


def _with_an_error(probe: AnnotationTask, classes: Sequence[str], dice: random.Random) -> AnnotationTask:
    if probe.gold_boxes is not None:
        if not probe.boxes:
            return probe
        gone = dice.randrange(len(probe.boxes))
        return replace(probe, boxes=probe.boxes[:gone] + probe.boxes[gone + 1 :])
    others = [c for c in classes if c != probe.label]
    said = probe.predicted_label
    wrong = said if said in others else dice.choice(others) if others else probe.label
    return replace(probe, label=wrong)
