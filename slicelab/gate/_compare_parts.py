"""Whether a model differs from another on the same case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError
from slicelab.evaluation import (
    IOU_THRESHOLDS,
    RankedPredictions,
    Selection,
    f1_of,
    mcnemar,
    nan_mean,
    paired_bootstrap,
    rank_predictions,
    resampled_weights,
)
from slicelab.gate._evaluate_suite import CLASSIFICATION_SHARES, OBJECT_METRICS, Part

LOWER_IS_BETTER = ("error_rate", "false_positives_per_image")
RESAMPLES_PER_CASE = 50

Floats = npt.NDArray[np.float64]


def p_value(name: str, part: Part, baseline: Part, *, n_cases: int) -> float:
    """Test whether two models differ in a metric on the same members, two-sided.

    Parameters
    ----------
    name
        Of the metric.
    part, baseline
        The case under either model.
    n_cases
        How many cases are compared: the more, the smaller a p-value must be able to get, the more resamples.

    Returns
    -------
    float
        Shares of units: McNemar's exact test. All others: the paired bootstrap by image; it can't go
        below 2 / (resamples + 1), and average precision, whose resamples are dear, has 1000 at most.
    """
    n_resamples = max(1000, RESAMPLES_PER_CASE * n_cases)
    detection = part.boxes is not None
    if name in (OBJECT_METRICS if detection else CLASSIFICATION_SHARES):
        return mcnemar(_failures(part), _failures(baseline))
    if not detection:
        classes = pd.Index(part.units["label"].unique(), dtype=object)
        statistic = partial(_macro, name=name, n_classes=len(classes))
        mine, base = _class_counts(part, classes), _class_counts(baseline, classes)
        return paired_bootstrap(mine, base, statistic, n_resamples=n_resamples).p_value
    if name in ("ap50", "map"):
        return _compare_average_precision(
            name, part, baseline, n_resamples=min(max(200, RESAMPLES_PER_CASE * n_cases), 1000)
        )
    mine, base = _image_counts(part), _image_counts(baseline)
    statistics: dict[str, Callable[[Floats], Floats]] = {
        "precision": _precision,
        "f1": f1_of,
        "false_positives_per_image": partial(_wrong, n=len(mine)),
    }
    return paired_bootstrap(mine, base, statistics[name], n_resamples=n_resamples).p_value


def _failures(part: Part) -> npt.NDArray[np.bool_]:
    judged = part.units[part.judged]
    return judged["failure"].to_numpy(bool)[np.argsort(judged.index.to_numpy(str))]


def _image_counts(part: Part) -> Floats:
    return Selection.of(part.units, part.members).counts()


def _precision(sums: Floats) -> Floats:
    share: Floats = np.divide(sums[:, 3], sums[:, 2], out=np.full(len(sums), np.nan), where=sums[:, 2] > 0)
    return share


def _wrong(sums: Floats, *, n: int) -> Floats:
    rate: Floats = (sums[:, 2] - sums[:, 3]) / n
    return rate


def _class_counts(part: Part, classes: pd.Index) -> Floats:
    """Per member and class: labelled, predicted, both; float64 (members, 3 x classes)."""
    true = classes.get_indexer(pd.Index(part.units["label"], dtype=object))
    said = classes.get_indexer(pd.Index(part.units["prediction"], dtype=object))
    all_classes = np.arange(len(classes))
    labelled, predicted = true[:, None] == all_classes, said[:, None] == all_classes
    return np.concatenate([labelled, predicted, labelled & predicted], axis=1).astype(np.float64)


def _macro(sums: Floats, *, name: str, n_classes: int) -> Floats:
    labelled, predicted, hits = np.split(sums, [n_classes, 2 * n_classes], axis=1)
    below = {"recall": labelled, "precision": predicted, "f1": (labelled + predicted) / 2}[name]
    score = np.divide(hits, below, out=np.zeros_like(hits), where=below > 0)
    mean: Floats = np.where(labelled > 0, score, 0).sum(axis=1) / np.maximum((labelled > 0).sum(axis=1), 1)
    return mean


def _compare_average_precision(name: str, part: Part, baseline: Part, *, n_resamples: int) -> float:
    mine, base = (_ranked(name, p) for p in (part, baseline))
    blocks = [
        nan_mean(mine.average_precision(w).mean(axis=1)) - nan_mean(base.average_precision(w).mean(axis=1))
        for w in resampled_weights(len(part.images), n_resamples=n_resamples, seed=0)
    ]
    draws = np.concatenate([np.zeros(0), *blocks])
    draws = draws[~np.isnan(draws)]
    side = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return min(1.0, 2 * (side + 1) / (len(draws) + 1))


def _ranked(name: str, part: Part) -> RankedPredictions:
    boxes, predicted = part.boxes, part.predicted
    if boxes is None or predicted is None:
        raise InvalidInputError(f"{name!r} needs labelled and predicted boxes; this part holds classification units.")
    return rank_predictions(
        boxes,
        predicted,
        classes=sorted(set(boxes["label"])),
        keys=part.images,
        members=part.units.index[part.judged],
        iou_thresholds=(0.5,) if name == "ap50" else IOU_THRESHOLDS,
    )
