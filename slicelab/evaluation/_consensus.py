"""What several annotators say together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import pandas as pd

from slicelab.core import TEXT, Box, MissingExtraError, check_choice
from slicelab.evaluation._agreement import NOTHING, _check
from slicelab.evaluation._group_boxes import SAME_OBJECT, group_boxes

Method = Literal["majority", "dawid-skene"]
METHODS = ("majority", "dawid-skene")


@dataclass(frozen=True)
class BoxConsensus:
    """What several annotators say together about one image.

    Parameters
    ----------
    boxes
        The objects on which they agree; edges are the medians, `label_id` is that of most.
    share
        The share of the answers behind the least certain object, [0, 1]; 1 where nobody drew anything.
    n
        Annotators.
    """

    boxes: tuple[Box, ...]
    share: float
    n: int


def consensus(
    answers: pd.DataFrame, *, method: Method = "majority", known: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Join the answers to each unit.

    Parameters
    ----------
    answers
        As `agreement` takes them: `unit`, `annotator`, `label`; nobody answers a unit twice.
    method
        "majority": the label that most gave. "dawid-skene": each annotator's confusions are estimated from all
        answers together, and every answer weighs what it is worth.

    Returns
    -------
    DataFrame, index `unit`, sorted: `label`, `share` (of the votes; for Dawid-Skene the label's posterior
    probability), `n` (answers). Where two labels lead the share is theirs and `label` is missing.

    Raises
    ------
    MissingExtraError
        Dawid-Skene needs crowd-kit.

    Notes
    -----
    Source: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (1979), as
    implemented by crowd-kit. Where few answers are there per annotator its posteriors are too sure of themselves.
    """
    check_choice(method, METHODS, "method")
    _check(answers)
    n = answers.groupby("unit").size()
    votes = answers.groupby(["unit", "label"]).size().unstack(fill_value=0)
    shares = votes.div(n, axis=0) if method == "majority" else _dawid_skene(answers, known or {})
    shares = shares.sort_index()
    values = shares.to_numpy(dtype=np.float64)
    best = values.max(axis=1) if len(values) else np.zeros(0)
    leads = (np.isclose(values, best[:, None])).sum(axis=1) == 1 if len(values) else np.zeros(0, bool)
    labels = shares.columns.to_numpy(dtype=object)[values.argmax(axis=1)] if len(values) else []
    return pd.DataFrame(
        {"label": pd.Series(labels, index=shares.index, dtype=TEXT).where(leads), "share": best, "n": n}
    )


def _dawid_skene(answers: pd.DataFrame, known: Mapping[str, str]) -> pd.DataFrame:
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError as error:
        raise MissingExtraError(
            "Dawid-Skene needs crowd-kit, which isn't installed: pip install 'slicelab[consensus]'. "
            'Or take method="majority".'
        ) from error
    frame = answers.rename(columns={"unit": "task", "annotator": "worker"})[["task", "worker", "label"]]
    gold = pd.Series({k: v for k, v in known.items() if k in set(frame["task"])}, dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # crowd-kit's words to pandas, hundreds of them
        warnings.simplefilter("ignore", FutureWarning)
        fitted = DawidSkene(n_iter=100).fit(frame.astype(object), true_labels=gold if len(gold) else None)
    found = pd.DataFrame(fitted.probas_)
    return found.rename_axis(index="unit", columns=None)


def box_consensus(
    answers: Mapping[str, tuple[Box, ...]], *, min_share: float = 0.5, iou: float = SAME_OBJECT
) -> BoxConsensus:
    """Join the boxes that several annotators drew on one image.

    Parameters
    ----------
    answers
        Boxes by annotator.
    min_share
        An object counts where more than this share of the annotators drew it.
    iou
        From which two boxes are the same object.

    Notes
    -----
    Each object is decided as a label is: "nothing there" is one of the answers. An object that leads with exactly
    `min_share` isn't decided: it is left out, and `share` says so.
    """
    boxes: list[Box] = []
    shares: list[float] = []
    n = len(answers)
    for group in group_boxes(answers, iou=iou):
        votes: dict[str, int] = {}
        for who in answers:
            label = group[who].label if who in group else NOTHING
            votes[label] = votes.get(label, 0) + 1
        label = max(sorted(votes), key=lambda word: votes[word])
        shares.append(votes[label] / n)
        if label != NOTHING and votes[label] / n > min_share:
            boxes.append(_joined(label, [box for box in group.values() if box.label == label]))
    return BoxConsensus(tuple(boxes), min(shares, default=1.0), n)


def _joined(label: str, boxes: list[Box]) -> Box:
    """Return the box with the median edges."""
    left, top = median(b.x for b in boxes), median(b.y for b in boxes)
    right, bottom = median(b.x + b.width for b in boxes), median(b.y + b.height for b in boxes)
    ids = sorted({b.label_id for b in boxes if b.label_id})
    label_id = max(ids, key=lambda i: sum(b.label_id == i for b in boxes), default="")
    return Box(label, left, top, right - left, bottom - top, label_id, crowd=any(b.crowd for b in boxes))
