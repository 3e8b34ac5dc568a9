"""Who said what: the answers of all returns, and what several of them mean for the items of a queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import pandas as pd

from slicelab.core import TEXT, AnnotationTask, Batch, Box, QueueItem, Return, ReturnedRow, hash_value
from slicelab.curation._work_queue import move_item
from slicelab.evaluation import SAME_OBJECT, Method, box_consensus, consensus, pair_boxes, same_boxes

CONSENSUS = "consensus"
_ANSWERS = ("matched", "conflicting", "duplicated")


@dataclass(frozen=True)
class GivenAnswer:
    """One person's answer to a task: the last one, where there are several."""

    annotator: str
    task: AnnotationTask
    batch_id: str
    label: str | None
    boxes: tuple[Box, ...] | None
    updated_at: str = ""

    def agrees_with(self, other: GivenAnswer, *, iou: float = SAME_OBJECT) -> bool:
        """Tell whether both say the same; boxes are compared by IoU."""
        if self.boxes is None or other.boxes is None:
            return self.label == other.label
        return same_boxes(self.boxes, other.boxes, iou=iou)


def given_answers(batches: Iterable[Batch], returns: Iterable[Return]) -> list[GivenAnswer]:
    """Return what every annotator answered in these batches, in the order of batches, tasks and names.

    Parameters
    ----------
    batches
        Of one queue.
    returns
        What came back for it, oldest first. An answer in a later return takes the place of the same person's earlier
        one. Where a file doesn't say who answered, its name stands for the person.
    """
    tasks = {task.task_id: (batch.batch_id, task) for batch in batches for task in batch.tasks}
    found: dict[tuple[str, str], GivenAnswer] = {}
    for returned in returns:
        if returned.format == CONSENSUS:
            continue
        for row in sorted(returned.rows, key=_precedence):
            if row.status not in _ANSWERS or row.task_id not in tasks or (row.label is None and row.boxes is None):
                continue
            batch_id, task = tasks[row.task_id]
            who = row.annotator or returned.annotator or PurePath(returned.file).name
            found[row.task_id, who] = GivenAnswer(who, task, batch_id, row.label, row.boxes, row.updated_at)
    order = {task_id: n for n, task_id in enumerate(tasks)}
    return [found[place] for place in sorted(found, key=lambda place: (order[place[0]], place[1]))]


def _precedence(row: ReturnedRow) -> tuple[bool, str]:
    """Sort a file's rows so that of one person's several answers to a task the one that counts comes last."""
    return row.status != "duplicated", row.updated_at


def answers_by_task(batch: Batch, given: Iterable[GivenAnswer]) -> dict[str, list[GivenAnswer]]:
    """Return for each task of a batch what was answered to its items, in this batch or in an earlier round."""
    by_item: dict[str, list[GivenAnswer]] = defaultdict(list)
    for answer in given:
        for item in answer.task.items or (answer.task.task_id,):
            by_item[item].append(answer)
    found = {}
    for task in batch.tasks:
        latest: dict[str, GivenAnswer] = {}
        for item in task.items or (task.task_id,):
            for answer in by_item.get(item, ()):
                old = latest.get(answer.annotator)
                if old is None or answer.batch_id == batch.batch_id or old.batch_id != batch.batch_id:
                    latest[answer.annotator] = answer
        found[task.task_id] = [latest[who] for who in sorted(latest)]
    return found


def return_moves(
    returned: Return, batch: Batch, items: Iterable[QueueItem], given: Iterable[GivenAnswer]
) -> list[tuple[QueueItem, QueueItem]]:
    """Return the steps that a return makes items go: back, and where people don't agree to a second opinion.

    Parameters
    ----------
    returned, batch
        What came back, and for what.
    items
        The items of the queue as they stand.
    given
        The answers of all returns, this one included.
    """
    answered = {row.task_id for row in returned.rows if row.status in ("matched", "conflicting")}
    by_task = answers_by_task(batch, given)
    mine = {i.item_id: i for i in items if i.batch_id == batch.batch_id}
    steps = []
    for task in batch.tasks:
        if task.task_id not in answered:
            continue
        doubtful = not all_agree(by_task[task.task_id])
        for item in (mine[i] for i in task.items if i in mine):
            steps += _steps(item, ("returned", "needs_second_opinion") if doubtful else ("returned",))
    return steps


def _steps(item: QueueItem, states: Sequence[str]) -> list[tuple[QueueItem, QueueItem]]:
    """Move an item that is out, or back, through these states; one that is further stays where it is."""
    steps = []
    before = {"returned": "exported", "needs_second_opinion": "returned"}
    for state in states:
        if item.state == before[state]:
            steps.append((item, move_item(item, state)))
            item = steps[-1][1]
    return steps


def all_agree(answers: Sequence[GivenAnswer], *, iou: float = SAME_OBJECT) -> bool:
    """Tell whether all answers say the same; none and one do."""
    return all(answer.agrees_with(answers[0], iou=iou) for answer in answers[1:])


@dataclass(frozen=True)
class Decided:
    """What several annotators decided together: nothing is written yet.

    Parameters
    ----------
    returned
        Their common answers, as if somebody had sent them back.
    moves
        Steps of items: to "accepted", or to "needs_second_opinion".
    frame
        One row per task that waits, index `task`: `key`, `label` (what leads), `share`, `n`, `decided`.
    """

    returned: Return
    moves: tuple[tuple[QueueItem, QueueItem], ...]
    frame: pd.DataFrame


def decide(
    batch: Batch,
    items: Iterable[QueueItem],
    given: Sequence[GivenAnswer],
    *,
    method: Method = "majority",
    min_share: float = 0.5,
    min_answers: int = 2,
    iou: float = SAME_OBJECT,
) -> Decided:
    """Join the answers to the tasks of a batch that wait for a decision.

    Parameters
    ----------
    batch, items, given
        A batch, the items of its queue as they stand, and all answers of the queue.
    method
        As `evaluation.consensus`; for boxes only "majority" is known.
    min_share
        A task is decided where more than this share of the answers (or of the posterior) is behind the label; for
        boxes behind every object.
    min_answers
        Tasks with fewer answers are left as they are.
    iou
        From which two boxes are the same object.
    """
    waiting = {i.item_id: i for i in items if i.batch_id == batch.batch_id and i.state in _WAITING}
    by_task = answers_by_task(batch, given)
    tasks = [
        t for t in batch.tasks if len(by_task[t.task_id]) >= max(min_answers, 1) and any(i in waiting for i in t.items)
    ]
    found = _of_boxes(tasks, by_task, min_share, iou) if batch.task == "detection" else _of_labels(by_task, method)
    rows, moves, lines = [], [], []
    for task in tasks:
        label, boxes, share = found[task.task_id]
        decided = share > min_share and (label is not None or boxes is not None)
        people = [a.annotator for a in by_task[task.task_id]]
        if decided:
            about = {"label": label, "boxes": boxes, "annotator": ", ".join(people), "matched_by": "id"}
            rows.append(ReturnedRow("matched", task.key, method, task_id=task.task_id, **about))  # type: ignore[arg-type]
        goal = "accepted" if decided else "needs_second_opinion"
        moves += [(i, move_item(i, goal)) for i in map(waiting.get, task.items) if i is not None and i.state != goal]
        word = ", ".join(b.label for b in boxes) if boxes is not None else label
        lines.append((task.task_id, task.key, word, share, len(people), decided))
    frame = pd.DataFrame(lines, columns=["task", "key", "label", "share", "n", "decided"]).set_index("task")
    content = [[a.annotator, a.label, repr(a.boxes)] for t in tasks for a in by_task[t.task_id]]
    digest = hash_value([batch.batch_id, method, min_share, min_answers, iou, [t.task_id for t in tasks], content])
    name = f"{method} of {sum(len(by_task[t.task_id]) for t in tasks)} answers"
    return Decided(Return(batch.batch_id, batch.queue, CONSENSUS, name, digest, tuple(rows)), tuple(moves), frame)


_WAITING = ("returned", "needs_second_opinion")
_Found = dict[str, tuple[str | None, tuple[Box, ...] | None, float]]


def answer_frame(by_task: Mapping[str, Sequence[GivenAnswer]]) -> pd.DataFrame:
    """Return label answers as `evaluation.agreement` takes them; the units are the tasks, the groups their images."""
    rows = [(task_id, a.annotator, a.label, a.task.key) for task_id, answers in by_task.items() for a in answers]
    return pd.DataFrame(rows, columns=["unit", "annotator", "label", "group"], dtype=TEXT)


def _of_labels(by_task: Mapping[str, Sequence[GivenAnswer]], method: Method) -> _Found:
    frame = answer_frame(by_task)
    known = {a.task.task_id: a.task.gold_label for answers in by_task.values() for a in answers if a.task.is_probe}
    joined = consensus(frame, method=method, known={k: v for k, v in known.items() if v is not None})
    labels = joined["label"].where(joined["label"].notna(), None)
    return {
        str(task): (None if pd.isna(label) else str(label), None, float(share))
        for task, label, share in zip(joined.index, labels, joined["share"], strict=True)
    }


def _of_boxes(
    tasks: Iterable[AnnotationTask], by_task: Mapping[str, Sequence[GivenAnswer]], min_share: float, iou: float
) -> _Found:
    found: _Found = {}
    for task in tasks:
        boxes = {a.annotator: a.boxes or () for a in by_task[task.task_id]}
        joined = box_consensus(boxes, min_share=min_share, iou=iou)
        found[task.task_id] = (None, _each_id_once(joined.boxes), joined.share)
    return found


def _each_id_once(boxes: Sequence[Box]) -> tuple[Box, ...]:
    seen: set[str] = set()
    kept = []
    for box in boxes:
        kept.append(replace(box, label_id="") if box.label_id in seen else box)
        seen.add(box.label_id)
    return tuple(kept)


def without_decided(returns: Sequence[Return], all_returns: Iterable[Return]) -> list[Return]:
    """Take one person's answers to tasks that several people have decided out of returns: the decision counts."""
    decided = {row.task_id for r in all_returns if r.format == CONSENSUS for row in r.matched}
    return [
        r if r.format == CONSENSUS else replace(r, rows=tuple(row for row in r.rows if row.task_id not in decided))
        for r in returns
    ]


def probe_scores(given: Iterable[GivenAnswer], *, iou: float = SAME_OBJECT) -> pd.DataFrame:
    """Score every answer to a gold probe.

    Returns
    -------
    DataFrame with `annotator`, `task`, `key`, `right`: 1 or 0 for a label; for boxes the F1 of those that are the same
    object with the same label.
    """
    rows = []
    for answer in given:
        task = answer.task
        if task.is_probe:
            rows.append((answer.annotator, task.task_id, task.key, _score(answer, iou)))
    return pd.DataFrame(rows, columns=["annotator", "task", "key", "right"])


def _score(answer: GivenAnswer, iou: float) -> float:
    gold = answer.task.gold_boxes
    if gold is None:
        return float(answer.label == answer.task.gold_label)
    mine = answer.boxes or ()
    right = sum(mine[i].label == gold[j].label for i, j, _ in pair_boxes(mine, gold, iou=iou))
    return 2 * right / (len(mine) + len(gold)) if mine or gold else 1.0
