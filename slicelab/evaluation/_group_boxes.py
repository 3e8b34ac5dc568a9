"""Which boxes of several people are the same object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slicelab.core import Box

SAME_OBJECT = 0.5
"""IoU from which two boxes are taken for the same object, as in Pascal VOC."""

Floats = npt.NDArray[np.float64]


def iou_matrix(ones: Sequence[Box], others: Sequence[Box]) -> Floats:
    """Return intersection over union of every pair, float64 (len(ones), len(others))."""
    a = np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in ones], dtype=np.float64).reshape(-1, 1, 4)
    b = np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in others], dtype=np.float64).reshape(1, -1, 4)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    common = sides.prod(axis=-1)
    areas = [(c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b)]
    union = areas[0] + areas[1] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0), dtype=np.float64)


def pair_boxes(ones: Sequence[Box], others: Sequence[Box], *, iou: float = SAME_OBJECT) -> list[tuple[int, int, float]]:
    """Pair the boxes of two people so that the sum of IoUs is largest; each box is in one pair at most.

    Returns
    -------
    list of (position in `ones`, position in `others`, IoU), by the first; pairs below `iou` are left out.

    Notes
    -----
    Source: the assignment problem as solved by `scipy.optimize.linear_sum_assignment`.
    """
    from scipy.optimize import linear_sum_assignment

    overlap = iou_matrix(ones, others)
    allowed = np.where(overlap >= iou, overlap, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    return [(int(r), int(c), float(overlap[r, c])) for r, c in zip(rows, columns, strict=True) if allowed[r, c] > 0]


def same_boxes(ones: Sequence[Box], others: Sequence[Box], *, iou: float = SAME_OBJECT) -> bool:
    """Tell whether two people drew the same objects with the same labels."""
    pairs = pair_boxes(ones, others, iou=iou)
    whole = len(pairs) == len(ones) == len(others)
    return whole and all(ones[i].label == others[j].label for i, j, _ in pairs)


def group_boxes(answers: Mapping[str, Sequence[Box]], *, iou: float = SAME_OBJECT) -> list[dict[str, Box]]:
    """Put the boxes that several people drew on one image together: a group is one object.

    Parameters
    ----------
    answers
        Each person's boxes.
    iou
        From which two boxes are the same object.

    Returns
    -------
    list of dict
        For each object the box of everybody who drew it, from the upper left to the lower right. In a group everybody
        has one box at most. The order of people and boxes doesn't matter.

    Notes
    -----
    Pairs are joined from the largest IoU down, as long as no person would be in a group twice.
    """
    drawn = sorted(
        ((person, box) for person, boxes in answers.items() for box in boxes),
        key=lambda each: (each[1].x, each[1].y, each[1].width, each[1].height, each[1].label, each[0]),
    )
    overlap = iou_matrix([box for _, box in drawn], [box for _, box in drawn])
    first, second = np.nonzero(np.triu(overlap >= iou, k=1))
    order = np.argsort(-overlap[first, second], kind="stable")
    group = list(range(len(drawn)))
    people = [{person} for person, _ in drawn]
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        one, other = group[i], group[j]
        if one == other or people[one] & people[other]:
            continue
        keep, gone = min(one, other), max(one, other)
        people[keep] |= people[gone]
        group = [keep if g == gone else g for g in group]
    found: dict[int, dict[str, Box]] = {}
    for g, (person, box) in zip(group, drawn, strict=True):
        found.setdefault(g, {})[person] = box
    return list(found.values())
