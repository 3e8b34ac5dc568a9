"""Whether a model differs from another on the same case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import GROUP_ID, OWN_METRICS, InvalidInputError, group_codes, image_group_codes
from slicelab.evaluation import (
    CONFIDENCE_METRICS,
    IOU_THRESHOLDS,
    MACRO_METRICS,
    PairedDifference,
    RankedPredictions,
    Selection,
    compare_own,
    confidence_sums,
    difference_of_draws,
    f1_of,
    macro_of,
    nan_mean,
    paired_bootstrap,
    paired_shares,
    rank_predictions,
    resampled_weights,
    swap_ranked,
    swap_test,
)
from slicelab.gate._evaluate_suite import Part

RESAMPLES_PER_CASE = 50
AP_RESAMPLES = 400

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def compare(name: str, part: Part, baseline: Part, *, n_cases: int, confidence: float) -> PairedDifference:
    """Tell how much two models differ in a metric on the same members.

    Parameters
    ----------
    name
        Of the metric.
    part, baseline
        The case under either model.
    n_cases
        How many cases are compared: the more, the smaller a p-value must be able to get, the more resamples.
    confidence
        Of the interval.

    Returns
    -------
    PairedDifference
        Value less the baseline's, its interval and the two-sided p-value; what shares a group isn't independent.
        Shares of units: `paired_shares`. All others: `paired_bootstrap`, or the same with fewer resamples where they
        are dear: 400 of average precision, 200 of a user's own metric.
    """
    n_resamples = max(1000, RESAMPLES_PER_CASE * n_cases)
    if part.is_unit_share(name):
        # A share of failures grows as a share of successes falls.
        (mine, groups), (base, _) = _failures(part, name), _failures(baseline, name)
        found = paired_shares(mine, base, groups, confidence=confidence)
        return found if name == "error_rate" else _negative(found)
    groups = image_groups(part, baseline)
    if name in OWN_METRICS:
        return compare_own(name, part.own_units(), baseline.own_units(), part.images, groups, confidence=confidence)
    if name in ("ap50", "map"):
        return _compare_average_precision(name, part, baseline, groups, confidence=confidence)
    sums, base_sums, statistic = _sums(name, part, baseline)
    return paired_bootstrap(sums, base_sums, statistic, groups, n_resamples=n_resamples, confidence=confidence)


def n_groups(name: str, part: Part) -> int:
    """Return how many groups stand behind the units, or images, that a metric takes."""
    if part.is_unit_share(name):
        return len(np.unique(group_codes(part.units[part.judged])))
    return len(np.unique(image_groups(part)))


def image_groups(*parts: Part) -> Codes:
    """Return the group of each of the images that the parts share, int64 from 0."""
    units = pd.concat([p.units[["key", GROUP_ID]] if GROUP_ID in p.units else p.units[["key"]] for p in parts])
    return image_group_codes(pd.Index(parts[0].images, dtype=object), units, parts[0].groups)


def _negative(d: PairedDifference) -> PairedDifference:
    return PairedDifference(0.0 - d.difference, 0.0 - d.high, 0.0 - d.low, d.p_value)


def _sums(name: str, part: Part, baseline: Part) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
    """Return per image what is summed under either model, and the metric of the sums."""
    if name in CONFIDENCE_METRICS:
        (mine, statistic), (base, _) = (_confidence_sums(name, p) for p in (part, baseline))
        return mine, base, statistic
    if part.boxes is None:
        classes = pd.Index(part.units["label"].unique(), dtype=object)
        macro = partial(_macro, name=name, n_classes=len(classes))
        return _class_counts(part, classes), _class_counts(baseline, classes), macro
    if name in MACRO_METRICS:
        chosen = Selection.of(part.units, part.members)
        classes = sorted(set(chosen.units["label"][chosen.objects]))
        mine, base = (Selection.of(p.units, p.members).class_counts(classes) for p in (part, baseline))
        return mine, base, partial(macro_of, name)
    mine, base = _image_counts(part), _image_counts(baseline)
    statistics: dict[str, Callable[[Floats], Floats]] = {
        "precision": _precision,
        "f1": f1_of,
        "false_positives_per_image": _wrong,
    }
    if name == "false_positives_per_image":  # groups that are drawn differ in how many images they have
        mine, base = (np.hstack([counts, np.ones((len(counts), 1))]) for counts in (mine, base))
    return mine, base, statistics[name]


def _confidence_sums(name: str, part: Part) -> tuple[Floats, Callable[[Floats], Floats]]:
    said = part.units[part.units["prediction" if part.boxes is None else "box_id"].notna()]
    image = pd.Index(part.images, dtype=object).get_indexer(pd.Index(said["key"], dtype=object))
    return confidence_sums(name, said, image, len(part.images))


def flips(name: str, part: Part, baseline: Part) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labelled members that only this model fails on, and those that only the baseline fails on.

    The highest loss first (under the model that fails), then by id.
    """
    mine, base = (p.units[p.judged].assign(failed=p.judged_failures(name)) for p in (part, baseline))
    base = base.loc[mine.index]
    broke = mine[mine["failed"].to_numpy() & ~base["failed"].to_numpy()]
    fixed = base[base["failed"].to_numpy() & ~mine["failed"].to_numpy()]
    return _worst_first(broke), _worst_first(fixed)


def _worst_first(rows: pd.DataFrame) -> tuple[str, ...]:
    order = np.lexsort((rows.index.to_numpy(str), -rows["loss"].to_numpy(np.float64)))
    return tuple(rows.index[order].tolist())


def _failures(part: Part, name: str) -> tuple[npt.NDArray[np.bool_], Codes]:
    """Return of every judged unit, in the order of ids, whether it fails, and its group."""
    units = part.units[part.judged]
    order = np.argsort(units.index.to_numpy(str))
    return part.judged_failures(name)[order], group_codes(units)[order]


def _image_counts(part: Part) -> Floats:
    return Selection.of(part.units, part.members).counts()


def _precision(sums: Floats) -> Floats:
    share: Floats = np.divide(sums[:, 3], sums[:, 2], out=np.full(len(sums), np.nan), where=sums[:, 2] > 0)
    return share


def _wrong(sums: Floats) -> Floats:
    rate: Floats = (sums[:, 2] - sums[:, 3]) / sums[:, 4]
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


def _compare_average_precision(
    name: str, part: Part, baseline: Part, groups: Codes, *, confidence: float
) -> PairedDifference:
    mine, base = (_ranked(name, p) for p in (part, baseline))
    groups = np.unique(groups, return_inverse=True)[1]
    n = int(groups.max()) + 1 if len(groups) else 0
    both = swap_ranked(mine, base)

    def precision(weights: Floats) -> Floats:
        return nan_mean(both.average_precision(weights).mean(axis=1))

    def swapped(signs: Floats) -> Floats:
        own = (signs[:, groups] > 0).astype(np.float64)
        return precision(np.hstack([own, 1 - own])) - precision(np.hstack([1 - own, own]))

    draws = [
        nan_mean(mine.average_precision(w[:, groups]).mean(axis=1))
        - nan_mean(base.average_precision(w[:, groups]).mean(axis=1))
        for w in resampled_weights(n, n_resamples=AP_RESAMPLES, seed=0)
    ]
    difference = float(swapped(np.ones((1, n)))[0])
    p = swap_test(difference, swapped, n, n_resamples=AP_RESAMPLES)
    return difference_of_draws(difference, np.concatenate([np.zeros(0), *draws]), p, n_groups=n, confidence=confidence)


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
