"""A queue's returned answers for the review widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicelab.core import REVIEW_VERDICTS as VERDICTS
from slicelab.core import Batch, Box, DrawnBox, ReviewItem, ReviewPanel, Undone, check_choice
from slicelab.lab._pictures import Pictures
from slicelab.lab._units import Units

if TYPE_CHECKING:
    from slicelab.lab._queue import LabQueue


class QueueReview:
    """What `slicelab.core.ReviewDesk` asks for.

    Parameters
    ----------
    queue, batch
        Whose answers; None: of all batches.
    units, pictures
        The dataset's.
    model
        Whose predictions are shown; None: no model.
    """

    def __init__(
        self, queue: LabQueue, units: Units, pictures: Pictures, *, batch: Batch | str | None, model: str | None
    ) -> None:
        self._queue, self._units, self._pictures = queue, units, pictures
        self._batch, self._model = batch, model

    def review_items(self) -> list[ReviewItem]:
        frame = self._queue.review(batch=self._batch, model=self._model)
        table = self._units.table()
        answers = self._queue.agreed(batch=self._batch)
        predicted = self._predicted(set(frame["key"]))
        tasks = {t.task_id: t for b in self._queue.batches() if b.batch_id in set(frame["batch"]) for t in b.tasks}
        found = []
        for row in frame.reset_index().to_dict("records"):
            task, answer = tasks[row["task"]], answers.get(row["item"])
            size = (task.width, task.height)
            new = "the annotators don't agree" if answer is None else str(row["new"])
            panels = [
                ReviewPanel("old label", _words(row["old"]), _drawn(task.boxes, size, "label")),
                ReviewPanel("returned", new, _drawn((answer.boxes if answer else None) or (), size, "unit")),
            ]
            if self._model is not None:
                panels.append(_said(self._model, predicted.get(row["key"]), size, detection=table.task == "detection"))
            facts = [(name, str(row[name])) for name in ("reason", "answers", "unit")]
            found.append(
                ReviewItem(
                    item=str(row["item"]),
                    unit=str(row["unit"]),
                    key=str(row["key"]),
                    state=str(row["state"]),
                    changed=bool(row["changed"]),
                    can_accept=answer is not None,
                    panels=tuple(panels),
                    facts=tuple(facts),
                )
            )
        return found

    def picture(self, key: str, *, size: int) -> bytes:
        return self._pictures.whole(key, size=size)

    def judge(self, verdict: str, *, items: Sequence[str] | None = None, rule: str | None = None) -> int:
        check_choice(verdict, VERDICTS, "verdict")
        act = {"accepted": self._queue.accept, "rejected": self._queue.reject}.get(verdict, self._queue.ask_again)
        return act(rule, items=items, batch=self._batch, model=self._model)

    def undo(self) -> Undone:
        return self._queue.undo()

    def _predicted(self, keys: set[str]) -> dict[str, Any]:
        """Return what the model says of these samples: label and confidence, or its boxes."""
        if self._model is None:
            return {}
        frame = self._units.predictions(self._model).frame
        if self._units.table().task == "classification":
            rows = frame[frame.index.isin(keys)]
            return dict(zip(rows.index, zip(rows["label"], rows["confidence"], strict=True), strict=True))
        found: dict[str, list[Box]] = {}
        for b in frame[frame["key"].isin(keys)].to_dict("records"):
            x, y, width, height, sure = (float(b[c]) for c in ("x", "y", "width", "height", "confidence"))
            found.setdefault(str(b["key"]), []).append(Box(str(b["label"]), x, y, width, height, confidence=sure))
        return dict(found)


def _words(value: Any) -> str:
    return "\N{EN DASH}" if value is None or pd.isna(value) or value == "" else str(value)


def _said(model: str, said: Any, size: tuple[int, int], *, detection: bool) -> ReviewPanel:
    if detection:
        boxes = said or ()
        return ReviewPanel(model, _words(", ".join(sorted(b.label for b in boxes))), _drawn(boxes, size, "prediction"))
    if said is None:
        return ReviewPanel(model, _words(None))
    label, confidence = said
    return ReviewPanel(model, _words(label) if pd.isna(confidence) else f"{label} ({confidence:.2f})")


def _drawn(boxes: Sequence[Box], size: tuple[int, int], role: str) -> tuple[DrawnBox, ...]:
    width, height = size
    return tuple(
        DrawnBox(
            b.x / width,
            b.y / height,
            b.width / width,
            b.height / height,
            role,
            b.label if b.confidence is None or pd.isna(b.confidence) else f"{b.label} {b.confidence:.2f}",
        )
        for b in boxes
    )
