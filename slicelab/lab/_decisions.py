"""What a relabel queue's answers come to: several annotators, second opinions, accepting and rejecting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from slicelab import curation, evaluation
from slicelab.core import (
    IN_FLIGHT,
    Batch,
    Box,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    Return,
    ReturnedRow,
    StateError,
    Undone,
    actor,
    new_id,
)
from slicelab.lab._units import Units
from slicelab.store import Queues

Verb = Literal["accepted", "rejected", "needs_second_opinion"]


class Decisions:
    """The part of a queue that decides; see `LabQueue`."""

    name: str
    _queues: Queues
    _units: Units

    def answers(self, *, batch: Batch | str | None = None) -> pd.DataFrame:
        """Return what every annotator answered, each one's last answer to each task.

        Parameters
        ----------
        batch
            Of one batch; None: of all.

        Returns
        -------
        DataFrame, one row per task and annotator: `batch`, `task`, `key`, `annotator`, `label` (classification) or
        `boxes` (a tuple of `slicelab.core.Box`), `probe` (its right answer is known), `updated_at`.
        """
        rows = [
            (a.batch_id, a.task.task_id, a.task.key, a.annotator, a.label, a.boxes, a.task.is_probe, a.updated_at)
            for a in self._given(batch)
        ]
        columns = ["batch", "task", "key", "annotator", "label", "boxes", "probe", "updated_at"]
        return pd.DataFrame(rows, columns=columns)

    def agreement(
        self, *, batch: Batch | str | None = None, iou: float = evaluation.SAME_OBJECT
    ) -> evaluation.Agreement:
        """Measure how far the annotators agree: Cohen's, Fleiss' and Krippendorff's coefficients.

        Parameters
        ----------
        batch
            Of one batch; None: of all.
        iou
            Boxes that overlap this much are the same object; what one drew and another didn't is a disagreement.
        """
        frame, overlap = self._measurable(self._given(batch), iou)
        found = evaluation.agreement(frame)
        return evaluation.Agreement(**{**vars(found), "iou": overlap})

    def annotators(self, *, batch: Batch | str | None = None, iou: float = evaluation.SAME_OBJECT) -> pd.DataFrame:
        """Say how good each annotator is: on the gold probes (see `export`), and beside the others.

        Returns
        -------
        DataFrame, index `annotator`: `answers`, `probes`, `accuracy` on them with its interval `low`, `high` (95 %),
        `agrees` (share of the pairs with others' answers that are equal).
        """
        given = self._given(batch)
        frame, _ = self._measurable(given, iou)
        return evaluation.annotator_quality(frame, curation.probe_scores(given, iou=iou))

    def decide(
        self,
        *,
        batch: Batch | str | None = None,
        method: evaluation.Method = "majority",
        min_share: float = 0.5,
        min_answers: int = 2,
        iou: float = evaluation.SAME_OBJECT,
    ) -> curation.Decided:
        """Join what several annotators answered: agreed items are accepted, the others need a second opinion.

        Parameters
        ----------
        batch
            None: the last one in which items wait.
        method
            "majority", or "dawid-skene" (labels of images only): everybody's answers weigh what they are worth.
        min_share
            More than this share of the answers (Dawid-Skene: of the posterior) must be behind the label.
        min_answers
            Tasks with fewer answers stay as they are.
        iou
            From which two boxes are the same object.

        Returns
        -------
        Decided
            `frame` shows every task; give `returned` to `merge`. Answers of an earlier round count as well. Deciding
            the same answers again changes nothing.

        Raises
        ------
        StateError
            Nothing waits for a decision.
        """
        if not 0 <= min_share < 1:
            raise InvalidInputError(f"min_share is in [0, 1): more than that share must agree; got {min_share!r}.")
        items = self._queues.items(self.name)
        of_batch = self._waiting_batch(batch, items)
        if of_batch.task == "detection" and method != "majority":
            raise InvalidInputError(f'Boxes are joined by method="majority" only; got {method!r}.')
        found = curation.decide(
            of_batch, items, self._given(None), method=method, min_share=min_share, min_answers=min_answers, iou=iou
        )
        if found.frame.empty:
            raise StateError(f"No task of the batch {of_batch.batch_id!r} has {min_answers} answers and waits.")
        self._queues.save_return(found.returned, found.moves)
        return found

    def review(self, *, batch: Batch | str | None = None, model: str | None = None) -> pd.DataFrame:
        """Show what came back beside what was there and what a model says; `accept` and `reject` take rules over it.

        Parameters
        ----------
        batch
            Of one batch; None: of all.
        model
            Whose predictions are shown; None: the first.

        Returns
        -------
        DataFrame, index `item`, highest priority first; one row per item that came back and isn't merged: `unit`,
        `key`, `state`, `reason`, `batch`, `task`, `old`, `new` (labels; of boxes all of the image's, sorted),
        `changed`, `prediction`, `confidence`, `annotators` (how many answered), `agree` (all said the same), `answers`
        (in words), for boxes also `n_old`, `n_new` and `iou` (of the kept box that moved most). `new` is missing where
        people don't agree and nothing was decided.
        """
        rows = self._review_rows(batch)
        frame = pd.DataFrame([row for row, _, _ in rows], columns=_COLUMNS).set_index("item")
        if rows and all(answer is None or answer.boxes is None for _, _, answer in rows):
            frame = frame.drop(columns=["n_old", "n_new", "iou"])
        return frame.join(self._said(frame, model), on="unit")

    def agreed(self, *, batch: Batch | str | None = None) -> dict[str, ReturnedRow]:
        """Return the answer that counts for each item in `review`, by item id; none where people don't agree."""
        return {item.item_id: answer for _, item, answer in self._review_rows(batch) if answer is not None}

    def accept(
        self,
        rule: str | None = None,
        *,
        items: Iterable[str] | None = None,
        batch: Batch | str | None = None,
        model: str | None = None,
    ) -> int:
        """Accept returned answers, by a rule over `review` or by item ids; `merge(..., only_accepted=True)` takes them.

        Parameters
        ----------
        rule
            Like ``new == prediction and confidence > 0.9`` or ``agree and annotators >= 2``.
        items
            Ids (the index of `review`) instead of a rule.
        batch, model
            As `review`.

        Returns
        -------
        How many items were accepted. All items of an image go together, as its answer does.

        Raises
        ------
        StateError
            Chosen items have no agreed answer: `decide`, or ask for a second opinion.
        ConflictError
            Somebody else moved one of them first; nothing was changed.
        """
        return self._judge("accepted", rule, items, batch, model)

    def reject(
        self,
        rule: str | None = None,
        *,
        items: Iterable[str] | None = None,
        batch: Batch | str | None = None,
        model: str | None = None,
    ) -> int:
        """Reject returned answers: the old labels stay; parameters as `accept`."""
        return self._judge("rejected", rule, items, batch, model)

    def ask_again(
        self,
        rule: str | None = None,
        *,
        items: Iterable[str] | None = None,
        batch: Batch | str | None = None,
        model: str | None = None,
    ) -> int:
        """Say that returned answers need a second opinion (`export_again` sends them out); parameters as `accept`."""
        return self._judge("needs_second_opinion", rule, items, batch, model)

    def undo(self) -> Undone:
        """Take back the last `accept`, `reject` or `ask_again` that you made in this queue; again: the one before it.

        Returns
        -------
        Undone
            Its items are where they were before; the history keeps both steps.

        Raises
        ------
        StateError
            There is none, its items went on meanwhile (merged, out again, or judged by somebody else), or one of its
            units was queued anew.
        ConflictError
            Somebody else moved one of them at this moment; nothing was changed.
        """
        steps = self._queues.last_decision(self.name, by=actor())
        if not steps:
            raise StateError(f"You have accepted, rejected or asked again nothing in queue {self.name!r} to take back.")
        items = {item.item_id: item for item in self._queues.items(self.name)}
        decided = [(items[step["item_id"]], step) for step, _ in steps]
        decision, verdict = steps[0][0]["decision"], str(steps[0][0]["to"])
        since = [item for (item, _), (_, rev) in zip(decided, steps, strict=True) if item.rev != rev]
        if since:
            raise StateError(
                f"Your last verdict ({verdict.replace('_', ' ')}, {len(steps)} items) can't be taken back: "
                f"{len(since)} of them went on since, first {since[0].unit!r}, which is {since[0].state!r} now."
            )
        ids = {item.item_id for item, _ in decided}
        busy = {i.unit for i in items.values() if i.state in IN_FLIGHT and i.item_id not in ids}
        again = [i.unit for i, _ in decided if i.unit in busy]
        if again:
            raise StateError(f"{len(again)} of these units were queued anew meanwhile, first {again[0]!r}.")
        moves = [(item, curation.take_back(item, step["from"])) for item, step in decided]
        self._queues.move(moves, undoes=decision)
        return Undone(verdict, tuple(i.item_id for i, _ in decided), tuple(i.unit for i, _ in decided))

    # -- inside --------------------------------------------------------------------------------------------------

    def _given(self, batch: Batch | str | None) -> list[curation.GivenAnswer]:
        wanted = batch.batch_id if isinstance(batch, Batch) else batch
        batches = self._queues.batches(self.name)
        if wanted is not None and all(b.batch_id != wanted for b in batches):
            raise NotFoundError(f"Queue {self.name!r} has no batch {wanted!r}.")
        batches = [b for b in batches if wanted in (None, b.batch_id)]
        return curation.given_answers(batches, self._queues.returns(self.name))

    def _measurable(self, given: Sequence[curation.GivenAnswer], iou: float) -> tuple[pd.DataFrame, float]:
        if any(a.boxes is not None for a in given):
            boxes: dict[str, dict[str, tuple[Box, ...]]] = defaultdict(dict)
            for a in given:
                boxes[a.task.task_id][a.annotator] = a.boxes or ()
            return evaluation.box_answers(boxes, iou=iou)
        by_task: dict[str, list[curation.GivenAnswer]] = defaultdict(list)
        for a in given:
            by_task[a.task.task_id].append(a)
        return curation.answer_frame(by_task), float("nan")

    def _waiting_batch(self, batch: Batch | str | None, items: Sequence[QueueItem]) -> Batch:
        if batch is not None:
            return self._queues.batch(batch.batch_id if isinstance(batch, Batch) else batch)
        waiting = {i.batch_id for i in items if i.state in ("returned", "needs_second_opinion")}
        for found in reversed(self._queues.batches(self.name)):
            if found.batch_id in waiting:
                return found
        raise StateError(f"Nothing waits for a decision in queue {self.name!r}; receive answers first.")

    def _review_rows(self, batch: Batch | str | None) -> list[tuple[tuple[Any, ...], QueueItem, ReturnedRow | None]]:
        wanted = batch.batch_id if isinstance(batch, Batch) else batch
        items = [i for i in self._queues.items(self.name) if i.state in _REVIEWED and wanted in (None, i.batch_id)]
        batches = {i: self._queues.batch(i) for i in dict.fromkeys(i.batch_id for i in items) if i is not None}
        all_batches, returns = self._queues.batches(self.name), self._queues.returns(self.name)
        given = curation.given_answers(all_batches, returns)
        rows = []
        for batch_id, of_batch in batches.items():
            by_task = curation.answers_by_task(of_batch, given)
            common = _agreed_rows(returns, batch_id)
            task_of = {item: task for task in of_batch.tasks for item in task.items}
            for item in (i for i in items if i.batch_id == batch_id and i.item_id in task_of):
                task = task_of[item.item_id]
                answer = common.get(task.task_id)
                told = by_task[task.task_id]
                if answer is not None and not (answer.matched_by == "id" and answer.reason in evaluation.METHODS):
                    answer = answer if curation.all_agree(told) else None
                rows.append((_line(item, task, answer, told), item, answer))
        position = {item.item_id: n for n, item in enumerate(items)}
        return sorted(rows, key=lambda row: position[row[1].item_id])

    def _said(self, frame: pd.DataFrame, model: str | None) -> pd.DataFrame:
        chosen = model or next(iter(self._units.info().models), None)
        if chosen is None:
            return pd.DataFrame(index=frame["unit"].drop_duplicates())
        units = self._units.frame(chosen)
        return units.loc[units.index.isin(frame["unit"]), ["prediction", "confidence"]]

    def _judge(
        self,
        verb: Verb,
        rule: str | None,
        ids: Iterable[str] | None,
        batch: Batch | str | None,
        model: str | None,
    ) -> int:
        if (rule is None) == (ids is None):
            raise InvalidInputError("Say which items: a rule over review(), or items=, one of them.")
        rows = self._review_rows(batch)
        by_id = {item.item_id: (line, item, answer) for line, item, answer in rows}
        if ids is None:
            frame = self.review(batch=batch, model=model)
            chosen = frame.index[curation.evaluate_rule(str(rule), frame)].tolist() if len(frame) else []
        else:
            chosen = list(dict.fromkeys(ids))
            missing = [i for i in chosen if i not in by_id]
            if missing:
                raise NotFoundError(
                    f"{len(missing)} items aren't there to review, first {missing[0]!r}: they didn't come back, or are "
                    "merged or rejected. See review()."
                )
        tasks = {by_id[i][0][_TASK] for i in chosen}
        together = [(item, answer) for line, item, answer in rows if line[_TASK] in tasks and item.state != verb]
        if verb == "accepted":
            open_ = [item.unit for item, answer in together if answer is None]
            if open_:
                raise StateError(
                    f"{len(open_)} of these items have no agreed answer, first {open_[0]!r}. "
                    "Call decide(), or ask_again()."
                )
        self._queues.move([(item, curation.move_item(item, verb)) for item, _ in together], decision=new_id())
        return len(together)


_REVIEWED = ("returned", "needs_second_opinion", "accepted")
_COLUMNS = [
    *("item", "unit", "key", "state", "reason", "batch", "task", "old", "new", "changed", "annotators", "agree"),
    *("answers", "n_old", "n_new", "iou"),
]
_TASK = _COLUMNS.index("task")


def _agreed_rows(returns: Sequence[Return], batch_id: str) -> dict[str, ReturnedRow]:
    """Return the last answer to each task of a batch that counts; a consensus counts more than one person's."""
    found: dict[str, ReturnedRow] = {}
    for returned in sorted(returns, key=lambda r: r.format == curation.CONSENSUS):
        if returned.batch_id == batch_id:
            found |= {row.task_id: row for row in returned.matched if row.task_id is not None}
    return found


def _line(
    item: QueueItem, task: Any, answer: ReturnedRow | None, told: Sequence[curation.GivenAnswer]
) -> tuple[Any, ...]:
    detection = task.label is None and any(a.boxes is not None for a in told)
    old = _names(task.boxes) if detection else task.label
    new = None if answer is None else _names(answer.boxes) if answer.boxes is not None else answer.label
    words = "; ".join(f"{a.annotator}: {_answered(a)}" for a in told)
    boxes = (np.nan, np.nan, np.nan) if answer is None or answer.boxes is None else _moved(task.boxes, answer.boxes)
    changed = answer is not None and (new != old or (answer.boxes is not None and boxes[2] < 1))
    about = (item.item_id, item.unit, item.key, item.state, item.reason, item.batch_id, task.task_id)
    return (*about, old, new, changed, len(told), curation.all_agree(told), words, *boxes)


def _answered(answer: curation.GivenAnswer) -> str:
    return str(answer.label) if answer.boxes is None else _names(answer.boxes) or "nothing"


def _names(boxes: Sequence[Box]) -> str:
    return ", ".join(sorted(b.label for b in boxes))


def _moved(old: Sequence[Box], new: Sequence[Box]) -> tuple[float, float, float]:
    """Return the number of boxes before and after, and the smallest IoU of a box that was kept (1: none moved)."""
    before = {b.label_id: b for b in old if b.label_id}
    pairs = [evaluation.pair_boxes([before[b.label_id]], [b], iou=0.0) for b in new if b.label_id in before]
    return len(old), len(new), min((p[0][2] if p else 0.0 for p in pairs), default=1.0)
