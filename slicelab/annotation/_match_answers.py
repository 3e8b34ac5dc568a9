"""Finding the task of every answer: by id, then by hash, then by a name that is one task's only; never by order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from slicelab.annotation._answer import Answer, shown
from slicelab.annotation._check_answer import AnswerProblemError, check_boxes, check_label, differs
from slicelab.annotation._file_names import NameIndex
from slicelab.core import AnnotationTask, Batch, Box, ReturnedRow
from slicelab.evaluation import same_boxes

_OUR_ID = re.compile(r"[0-9a-f]{32}-\d{5,}")
_HASH = re.compile(r"[0-9a-f]{64}")


def match_answers(answers: Sequence[Answer], batch: Batch, *, all_reviewed: bool) -> tuple[ReturnedRow, ...]:
    """Return one row per answer, in the order of the file; at most one per task is "matched".

    Parameters
    ----------
    answers
        What a reader found.
    batch
        The export that they answer.
    all_reviewed
        True: an answer of a format that can't say whether it was reviewed counts as reviewed.
    """
    index = _TaskIndex(batch)
    rows = [_row(answer, index, batch, all_reviewed=all_reviewed) for answer in answers]
    by_task: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        if row.status == "matched" and row.task_id:
            by_task[row.task_id].append(n)
    for found in by_task.values():
        if len(found) > 1:
            _settle(rows, found)
    return tuple(rows)


class _TaskIndex:
    """Tasks by id, by hash (those of one task only) and by name."""

    def __init__(self, batch: Batch) -> None:
        self.by_id = {t.task_id: t for t in batch.tasks}
        self._by_hash: dict[str, list[AnnotationTask]] = defaultdict(list)
        for task in batch.tasks:
            self._by_hash[task.sha256].append(task)
        self._names = NameIndex(batch)

    def find(self, answer: Answer) -> tuple[AnnotationTask, str]:
        """Return the task and by what it was found, or raise `AnswerProblemError`."""
        named = self._names.find(answer.name)
        ids = [i for i in answer.task_ids if i in self.by_id]
        if answer.marks_can_move and named:
            return self._by_steady_name(answer, named, ids)
        if len(ids) > 1:
            raise AnswerProblemError(f"its shapes carry the ids of {len(ids)} tasks, and its name is none of theirs")
        if ids:
            return self.by_id[ids[0]], "id"
        other = next((i for i in answer.task_ids if _OUR_ID.fullmatch(i)), "")
        if other:
            raise AnswerProblemError(f"it answers the task {other} of another batch")
        same = self._by_hash.get(answer.sha256, []) if answer.sha256 else []
        if len(same) == 1:
            return same[0], "hash"
        if len(named) == 1:
            return named[0], "name"
        if named:
            raise AnswerProblemError(f"its name {shown(answer.name)!r} fits {len(named)} images of the batch")
        raise AnswerProblemError("no task of the batch has its id, hash or name")

    def _by_steady_name(
        self, answer: Answer, named: list[AnnotationTask], ids: list[str]
    ) -> tuple[AnnotationTask, str]:
        confirmed = [t for t in named if t.task_id in ids]
        if len(confirmed) == 1:
            return confirmed[0], "id"
        if ids:
            raise AnswerProblemError("its name is that of one image, but all its shapes carry the id of another one")
        if answer.task_ids and _OUR_ID.fullmatch(answer.task_ids[0]):
            raise AnswerProblemError(f"it answers the task {answer.task_ids[0]} of another batch")
        if len(named) > 1:
            raise AnswerProblemError(f"its name {shown(answer.name)!r} fits {len(named)} images of the batch")
        return named[0], "name"


def _row(answer: Answer, index: _TaskIndex, batch: Batch, *, all_reviewed: bool) -> ReturnedRow:
    blank = ReturnedRow(
        "unmatched", answer.item, line=answer.line, annotator=answer.annotator, updated_at=answer.updated_at
    )
    try:
        task, matched_by = index.find(answer)
    except AnswerProblemError as problem:
        reason = f"{problem}; {answer.problem}" if answer.problem else str(problem)
        return replace(blank, reason=reason)
    known = replace(blank, task_id=task.task_id, matched_by=matched_by)
    if answer.reviewed is False:
        return replace(known, status="unreviewed", reason=answer.skipped)
    try:
        label, boxes = _content(answer, task, batch)
    except AnswerProblemError as problem:
        return replace(known, status="rejected", reason=str(problem))
    if answer.reviewed is None and not all_reviewed and not differs(task, label, boxes):
        reason = "nothing in it is new, and nothing marks it as reviewed; mark it, or read with all_reviewed=True"
        return replace(known, status="unreviewed", reason=reason)
    return replace(known, status="matched", reason=_note(task, boxes), label=label, boxes=boxes)


def _note(task: AnnotationTask, boxes: tuple[Box, ...] | None) -> str:
    """Say how many labelled boxes didn't come back: people should see it before they merge."""
    back = {box.label_id for box in boxes or ()}
    gone = sum(box.label_id not in back for box in task.boxes) if boxes is not None else 0
    return f"{gone} of its {len(task.boxes)} boxes were deleted" if gone else ""


def _content(answer: Answer, task: AnnotationTask, batch: Batch) -> tuple[str | None, tuple[Box, ...] | None]:
    if answer.problem:
        raise AnswerProblemError(answer.problem)
    if answer.sha256 and task.sha256 and _HASH.fullmatch(answer.sha256) and answer.sha256 != task.sha256:
        raise AnswerProblemError(f"its image has the hash {answer.sha256[:12]}..., ours {task.sha256[:12]}...")
    if batch.task == "classification":
        return check_label(answer, batch), None
    return None, check_boxes(answer, task, batch)


def _settle(rows: list[ReturnedRow], found: list[int]) -> None:
    """Leave one of several answers to a task: each annotator's last one, if those of all annotators say the same."""
    by_person: dict[str, list[int]] = defaultdict(list)
    for n in found:
        by_person[rows[n].annotator].append(n)
    if len(by_person) == 1:
        _settle_one(rows, found)
        return
    for mine in by_person.values():
        if len(mine) > 1:
            _settle_one(rows, mine)
    left = [n for n in found if rows[n].status == "matched"]
    if len(left) < 2:
        return
    people = ", ".join(rows[n].annotator or "somebody" for n in left)
    if all(_alike(rows[n], rows[left[0]]) for n in left):
        for n in left[1:]:
            rows[n] = replace(rows[n], status="duplicated", reason=f"{len(left)} annotators agree: {people}")
        return
    for n in left:
        rows[n] = replace(rows[n], status="conflicting", reason=f"{len(left)} annotators don't agree: {people}")


def _alike(one: ReturnedRow, other: ReturnedRow) -> bool:
    """Tell whether two people said the same; nobody draws the same box to the pixel."""
    if one.boxes is None or other.boxes is None:
        return one.label == other.label
    return same_boxes(one.boxes, other.boxes)


def _settle_one(rows: list[ReturnedRow], found: list[int]) -> None:
    """Leave one of several answers of one person: the latest, or the first of equal ones; none where none is known."""
    first = found[0]
    where = ", ".join(str(rows[n].line) for n in found)
    winner = _latest([rows[n].updated_at for n in found])
    agree = all(_same(rows[n], rows[first]) for n in found)
    if agree:
        winner = 0
    elif winner is None:
        reason = f"answered {len(found)} times, differently, and no time says which is the latest (lines {where})"
        rows[first] = replace(rows[first], status="rejected", reason=reason)
    for position, n in enumerate(found):
        if position == winner:
            notes = (rows[n].reason, "" if agree else f"the latest of {len(found)} answers that differ")
            rows[n] = replace(rows[n], reason="; ".join(note for note in notes if note))
        elif rows[n].status == "matched":
            note = "the same answer stands earlier" if agree else "another answer to this task differs from it"
            rows[n] = replace(rows[n], status="duplicated", reason=f"{note} (lines {where})")


def _same(one: ReturnedRow, other: ReturnedRow) -> bool:
    return one.label == other.label and sorted(one.boxes or (), key=repr) == sorted(other.boxes or (), key=repr)


def _latest(times: Iterable[str]) -> int | None:
    """Return the position of the one latest time, None where times are missing or equal."""
    read: list[datetime] = []
    for word in times:
        try:
            time = datetime.fromisoformat(word)
        except ValueError:
            return None
        read.append(time if time.tzinfo else time.replace(tzinfo=UTC))
    return read.index(max(read)) if read.count(max(read)) == 1 else None
