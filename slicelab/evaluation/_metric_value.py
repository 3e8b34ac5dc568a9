"""The metrics that a bar can be set on, by name, on any slice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import (
    METRICS,
    OWN_METRICS,
    InvalidInputError,
    check_choice,
    group_codes,
    image_group_codes,
    listed,
    top_k,
)
from slicelab.evaluation._confidence_metrics import CONFIDENCE_METRICS, confidence_sums
from slicelab.evaluation._intervals import (
    RESAMPLES,
    MetricValue,
    proportion_interval,
    resampled_statistic,
    resampled_weights,
    share_interval,
    sums_by_group,
)
from slicelab.evaluation._measure_detection import Selection, detection_value
from slicelab.evaluation._own_value import own_value

_DETECTION_ONLY = ("macro_recall", "macro_precision", "macro_f1", "false_positives_per_image", "ap50", "map")


def metric_value(
    name: str,
    units: pd.DataFrame,
    *,
    members: Collection[str] | None = None,
    boxes: pd.DataFrame | None = None,
    predicted: pd.DataFrame | None = None,
    classes: Sequence[str] | None = None,
    confidence: float = 0.95,
    groups: Mapping[str, str] | pd.Series | None = None,
) -> MetricValue:
    """Return a metric on a slice, with its interval.

    Parameters
    ----------
    name
        One of `slicelab.core.METRICS`, "top<k>", or one registered by `slicelab.core.metric`.
    units
        From `classification_units` or `detection_units`; for "top<k>" with the column `label_rank` of `label_ranks`.
    members
        Unit ids of the slice; None: all units. In detection a sample's key stands for the image with every object
        on it, and so does a spurious box (it belongs to its image); a key without any unit is an image where the
        model rightly found nothing.
    boxes, predicted, classes
        For "ap50" and "map": the labelled boxes, all of the model's boxes, and the classes (None: those that occur).
    confidence
        Of the interval, in (0, 1).
    groups
        The group of each image by its key: units of one group are not independent. None: the column `group_id` of
        the units; without it, or for an image without any unit, the image itself.

    Returns
    -------
    MetricValue; value and interval NaN where there is nothing to judge.

    Raises
    ------
    InvalidInputError
        The metric doesn't exist or doesn't fit the task, `ap50` or `map` lack their boxes, or a member is unknown.

    Notes
    -----
    Intervals count groups, not units: objects of an image, or frames of a video, are not independent. Shares have
    `proportion_interval` (Wilson's corrected one where every group has one unit); other metrics are resampled by group,
    with the percentile interval, stretched where there are few groups (Hesterberg 2015).

    Classification. `accuracy` and `error_rate`: the share of correct members and of failures. `recall`, `precision`,
    `f1`: the mean over the classes that the members' true labels have (each class weighs the same; precision is 0
    where a class was never predicted), with 1000 resamples. An unpredicted sample counts as not found.

    Detection. `recall`, and `accuracy` which is the same here: the share of member objects that are tp;
    `error_rate` is 1 - that. `precision`: tp among all predicted boxes on the members' images. `f1`: harmonic mean of
    the two; `false_positives_per_image`: predicted boxes that aren't tp per member image; both with 1000 resamples.
    `ap50`, `map`: `mean_average_precision` of the member objects on their images, with 200 resamples. All but the last
    two hold at the confidence threshold with which the units were made.

    `macro_recall`, `macro_precision`, `macro_f1` (detection): means over the classes that the member objects have, with
    1000 resamples; precision is 0 where such a class was never predicted.

    `top<k>` (classification): the share of members whose true label is among the k most probable classes; NaN without
    `label_rank`. `ece` (expected calibration error, 15 bins of equal width) and `confidence_gap` (|mean confidence -
    share that is right|): over the members that have a prediction, in detection over the predicted boxes on the
    members' images; 1000 resamples; NaN where a confidence is unknown. A user's own metric: what its function returns,
    with 200 resamples.

    Where every resample gives the same value the bootstrap knows nothing, so the interval is Wilson's for that share
    of `n_groups`, and Garwood's for `false_positives_per_image`. A user's own metric has no interval (NaN) then
    on one group, or where its value isn't in [0, 1].

    `n_units` and `n_failures` are members (objects) and failures among them; for `precision` predicted boxes and
    those that aren't tp; for `false_positives_per_image` images and those with such a box. `n_groups` is the number of
    groups that hold what `n_units` counts.
    """
    k = top_k(name)
    detection = "label_id" in units.columns
    if name in OWN_METRICS or name in CONFIDENCE_METRICS:
        chosen = Selection.of(units, members) if detection else None
        rows = _members(units, members) if chosen is None else chosen.units.assign(member=chosen.objects)
        images = list(rows["key"]) if chosen is None else list(chosen.images)
        if name in OWN_METRICS:
            return own_value(name, rows, images, confidence=confidence, groups=groups)
        return _confidence_value(name, rows, images, confidence=confidence, groups=groups)
    if k is not None:
        if detection:
            raise InvalidInputError(f"{name!r} is a metric of whole images; these units are objects. Use recall.")
        return _top_k_value(k, _members(units, members), confidence=confidence, groups=groups)
    check_choice(name, METRICS, "metric")
    if detection:
        return detection_value(
            name,
            units,
            members=members,
            boxes=boxes,
            predicted=predicted,
            classes=classes,
            confidence=confidence,
            groups=groups,
        )
    if name in _DETECTION_ONLY:
        raise InvalidInputError(
            f"{name!r} is a metric for detection; these units are whole images. "
            f"Use one of {listed([m for m in METRICS if m not in _DETECTION_ONLY])}."
        )
    return _classification_value(name, _members(units, members), confidence=confidence, groups=groups)


def _members(units: pd.DataFrame, members: Collection[str] | None) -> pd.DataFrame:
    if members is None:
        return units
    unknown = sorted(set(members).difference(units.index))
    if unknown:
        raise InvalidInputError(
            f"{len(unknown)} members are not among the {len(units)} units: {listed(unknown)}. "
            "A unit is a sample with a label."
        )
    return units[units.index.isin(list(members))]


Groups = Mapping[str, str] | pd.Series | None


def _share(counted: npt.NDArray[np.bool_], codes: npt.NDArray[np.int64], confidence: float) -> tuple[float, float, int]:
    """Return the interval of a share, and of how many groups it is."""
    trials = np.bincount(codes)
    interval = proportion_interval(np.bincount(codes[counted], minlength=len(trials)), trials, confidence=confidence)
    return *interval, len(trials)


def _classification_value(name: str, units: pd.DataFrame, *, confidence: float, groups: Groups) -> MetricValue:
    failing = units["failure"].to_numpy(bool)
    n, failures = len(units), int(failing.sum())
    if not n:
        return MetricValue(math.nan, math.nan, math.nan, 0, 0)
    codes = group_codes(units, groups)
    if name in ("accuracy", "error_rate"):
        counted = failing if name == "error_rate" else ~failing
        low, high, n_groups = _share(counted, codes, confidence)
        return MetricValue(int(counted.sum()) / n, low, high, n, failures, n_groups)
    pairs = units[["label", "prediction"]].reset_index(drop=True)
    cell = pairs.groupby(["label", "prediction"], dropna=False, observed=True).ngroup().to_numpy()
    first = pairs.iloc[np.unique(cell, return_index=True)[1]]
    classes = pd.Index(first["label"].unique())
    true = classes.get_indexer(pd.Index(first["label"]))
    said = classes.get_indexer(pd.Index(first["prediction"]))
    counts: npt.NDArray[np.float64] = np.bincount(cell).astype(np.float64)
    value = float(_macro(name, counts[None], true, said, len(classes))[0])
    n_groups = int(codes.max()) + 1
    if n_groups == n:
        # Drawing units one by one is drawing how many of them fall in each cell of the confusion matrix.
        drawn = np.random.default_rng(0).multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
        draws = _macro(name, drawn, true, said, len(classes))
    else:
        by_group = np.zeros((n_groups, len(counts)))
        np.add.at(by_group, (codes, cell), 1.0)
        blocks = resampled_weights(n_groups, n_resamples=RESAMPLES, seed=0)
        draws = np.concatenate([_macro(name, w @ by_group, true, said, len(classes)) for w in blocks])
    interval = share_interval(value, draws, n=n_groups, confidence=confidence)
    return MetricValue(value, *interval, n, failures, n_groups)


def _top_k_value(k: int, units: pd.DataFrame, *, confidence: float, groups: Groups) -> MetricValue:
    n = len(units)
    ranks = units["label_rank"].to_numpy(np.float64) if "label_rank" in units else np.full(n, np.nan)
    if not n or np.isnan(ranks).any():
        return MetricValue(math.nan, math.nan, math.nan, n, 0)
    hits = int(np.count_nonzero(ranks <= k))
    low, high, n_groups = _share(ranks <= k, group_codes(units, groups), confidence)
    return MetricValue(hits / n, low, high, n, n - hits, n_groups)


def _confidence_value(
    name: str, units: pd.DataFrame, images: Sequence[str], *, confidence: float, groups: Groups
) -> MetricValue:
    said = units[units["box_id" if "box_id" in units else "prediction"].notna()]
    n, failures = len(said), int(said["failure"].sum())
    keys = pd.Index(list(images), dtype=object)
    by_image, statistic = confidence_sums(
        name, said, keys.get_indexer(pd.Index(said["key"], dtype=object)), len(images)
    )
    sums = sums_by_group(by_image, image_group_codes(keys, units, groups))
    value = float(statistic(sums.sum(axis=0)[None])[0])
    if math.isnan(value):
        return MetricValue(math.nan, math.nan, math.nan, n, failures)
    draws = resampled_statistic(sums, statistic)
    n_groups = int(np.count_nonzero(sums[:, -1]))  # images without any prediction say nothing
    interval = share_interval(value, draws, n=n_groups, confidence=confidence)
    return MetricValue(value, *interval, n, failures, n_groups)


def _macro(
    name: str,
    counts: npt.NDArray[np.float64],
    true: npt.NDArray[np.intp],
    said: npt.NDArray[np.intp],
    n_classes: int,
) -> npt.NDArray[np.float64]:
    """Mean over classes of recall, precision or f1: counts of confusion cells (r, cells) to (r,)."""

    def by_class(cells: npt.NDArray[np.bool_], code: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        sums = np.zeros((n_classes, len(counts)))
        np.add.at(sums, code[cells], counts.T[cells])
        return sums.T

    labelled = by_class(true >= 0, true)
    predicted = by_class(said >= 0, said)
    hits = by_class(true == said, true)
    below = {"recall": labelled, "precision": predicted, "f1": (labelled + predicted) / 2}[name]
    score = np.divide(hits, below, out=np.zeros_like(hits), where=below > 0)
    there = labelled > 0
    mean: npt.NDArray[np.float64] = np.where(there, score, 0.0).sum(axis=1) / there.sum(axis=1)
    return mean
