"""Whether an answer can be a label: known class, boxes in the frame, each box known for what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from slicelab.annotation._answer import Answer, AnswerBox, shown
from slicelab.core import MAX_NAME, AnnotationTask, Batch, Box, did_you_mean

FRAME_TOLERANCE = 0.5
"""Pixels by which a box may stand out of its image: it is cut to the frame."""
NEAR_TOLERANCE = 0.52
"""Pixels within which a box that lost its mark is taken for the labelled box at the same place."""
UNTOUCHED_TOLERANCE = 1.5
"""Pixels by which tools move boxes without anybody's doing (whole pixels, counting from 1)."""

_EDGES = ("left", "top", "right", "bottom")


class AnswerProblemError(Exception):
    """Why an answer can't be taken; becomes the reason of its row, never leaves the room."""


def check_label(answer: Answer, batch: Batch) -> str:
    """Return the label of a classification answer, or raise `AnswerProblemError`."""
    if len(answer.labels) != 1:
        count = len(answer.labels) or "no"
        raise AnswerProblemError(f"it has {count} label{'s' if answer.labels else ''}; one is needed")
    return _known_class(answer.labels[0], batch.classes)


def check_boxes(answer: Answer, task: AnnotationTask, batch: Batch) -> tuple[Box, ...]:
    """Return the boxes of a detection answer in pixels of our image, or raise `AnswerProblemError`.

    Boxes with the mark of one of the task's labelled boxes carry its `label_id`, all others ''.
    """
    _check_frame(answer, task)
    boxes = [_in_pixels(each, task) for each in answer.boxes] if answer.percent else list(answer.boxes)
    for each in boxes:
        _known_class(each.box.label, batch.classes)
        if not all(math.isfinite(v) for v in _edges(each.box)):
            raise AnswerProblemError("a box has a side that is no finite number")
        if each.box.width <= 0 or each.box.height <= 0:
            raise AnswerProblemError(f"a box must be wider and taller than 0; got {_size(each.box)}")
    return tuple(_settled(box, task, answer.rounding) for box in _identified(boxes, task))


def _known_class(label: str, classes: Sequence[str]) -> str:
    if label in classes:
        return label
    if not label:
        raise AnswerProblemError("it has a label that is empty or that the file doesn't define")
    if len(label) > MAX_NAME:
        raise AnswerProblemError(f"its label has {len(label)} characters, at most {MAX_NAME} are kept")
    raise AnswerProblemError(f"unknown class {shown(label)!r}.{did_you_mean(shown(label, MAX_NAME), classes)}")


def _check_frame(answer: Answer, task: AnnotationTask) -> None:
    if answer.frame is None:
        return
    width, height = answer.frame
    same = width == task.width and height == task.height
    same_shape = math.isclose(width * task.height, height * task.width, rel_tol=0.02)
    if not same and not (answer.percent and same_shape):
        raise AnswerProblemError(
            f"it was drawn on an image of {width:g} x {height:g} px; ours has {task.width} x {task.height}"
        )


def _in_pixels(each: AnswerBox, task: AnnotationTask) -> AnswerBox:
    box, x, y = each.box, task.width / 100, task.height / 100
    return replace(each, box=replace(box, x=box.x * x, width=box.width * x, y=box.y * y, height=box.height * y))


def _identified(boxes: list[AnswerBox], task: AnnotationTask) -> list[Box]:
    """Give every box the id of the labelled box that it is, each id once; '' for a new one."""
    ours = {b.label_id: b for b in task.boxes if b.label_id}
    claims: dict[str, list[int]] = {}
    for n, each in enumerate(boxes):
        if each.box.label_id in ours and each.task_id in ("", task.task_id):
            claims.setdefault(each.box.label_id, []).append(n)
    # Of several copies of a box the one that is nearest to where it was is the box, the others are new.
    owner = {min(rows, key=lambda n: _distance(boxes[n].box, ours[i])): i for i, rows in claims.items()}
    free = [b for label_id, b in ours.items() if label_id not in claims]
    for n, each in enumerate(boxes):
        near = [b for b in free if _distance(each.box, b) <= NEAR_TOLERANCE]
        if n not in owner and len(near) == 1:
            owner[n] = near[0].label_id
            free.remove(near[0])
    return [replace(each.box, label_id=owner.get(n, "")) for n, each in enumerate(boxes)]


def _settled(box: Box, task: AnnotationTask, rounding: float) -> Box:
    """Return a box that moved no more than the format rounds as it was, any other one within the frame."""
    before = next((b for b in task.boxes if box.label_id and b.label_id == box.label_id), None)
    if before is not None:
        box = replace(box, crowd=before.crowd)
        if _distance(box, before) <= rounding:
            return replace(box, x=before.x, y=before.y, width=before.width, height=before.height)
    left, top, right, bottom = _edges(box)
    outside = (-left, -top, right - task.width, bottom - task.height)
    if max(outside) > FRAME_TOLERANCE:
        side = _EDGES[outside.index(max(outside))]
        raise AnswerProblemError(
            f"a box stands {max(outside):.1f} px out of the image at the {side}; got {_size(box)} in an image of "
            f"{task.width} x {task.height} px"
        )
    if max(outside) <= 0:
        return box
    left, top = min(max(left, 0.0), task.width), min(max(top, 0.0), task.height)
    width, height = min(right, task.width) - left, min(bottom, task.height) - top
    if width <= 0 or height <= 0:
        raise AnswerProblemError("a box lies on the edge of the image; nothing of it is inside")
    return replace(box, x=left, y=top, width=width, height=height)


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _distance(one: Box, other: Box) -> float:
    """Return how far the edges of two boxes are apart at most, in pixels."""
    return max(abs(a - b) for a, b in zip(_edges(one), _edges(other), strict=True))


def _size(box: Box) -> str:
    return f"x {box.x:g}, y {box.y:g}, width {box.width:g}, height {box.height:g}"


def differs(task: AnnotationTask, label: str | None, boxes: tuple[Box, ...] | None) -> bool:
    """Tell whether somebody must have worked on an answer that carries no mark of review.

    A label or a box that isn't there at present was made by someone. Boxes that are missing prove nothing: the tool
    may never have shown them.
    """
    if boxes is None:
        return label != task.label
    return not all(
        any(box.label == b.label and _distance(box, b) <= UNTOUCHED_TOLERANCE for b in task.boxes) for box in boxes
    )
