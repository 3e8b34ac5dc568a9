"""The metrics that a bar can be set on, by name, on any slice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import METRICS, OWN_METRICS, InvalidInputError, check_choice, listed, top_k
from slicelab.evaluation._confidence_metrics import CONFIDENCE_METRICS, confidence_sums
from slicelab.evaluation._intervals import (
    RESAMPLES,
    MetricValue,
    resampled_statistic,
    share_interval,
    wilson_interval,
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
    groups: pd.Series | Mapping[str, str] | None = None,
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
        The group of each image by its key, for images without any unit as well. None: as the units say.

    Returns
    -------
    MetricValue; value and interval NaN where there is nothing to judge.

    Raises
    ------
    InvalidInputError
        The metric doesn't exist or doesn't fit the task, `ap50` or `map` lack their boxes, or a member is unknown.

    Notes
    -----
    Wilson's interval is the corrected one here: it covers at least as often as it says.

    Classification. `accuracy` and `error_rate`: the share of correct members and of failures, with Wilson's
    interval. `recall`, `precision`, `f1`: the mean over the classes that the members' true labels have (each class
    weighs the same; precision is 0 where a class was never predicted), with the percentile interval of 1000
    resamples of the members. An unpredicted sample counts as not found.

    Detection. `recall`, and `accuracy` which is the same here: the share of member objects that are tp;
    `error_rate` is 1 - that; Wilson's interval. `precision`: tp among all predicted boxes on the members' images;
    Wilson's interval. `f1`: harmonic mean of the two; `false_positives_per_image`: predicted boxes that aren't tp
    per member image; both with 1000 resamples of the images. `ap50`, `map`: `mean_average_precision` of the
    member objects on their images, with 200 resamples of the images. All but the last two hold at the confidence
    threshold with which the units were made.

    `macro_recall`, `macro_precision`, `macro_f1` (detection): means over the classes that the member objects have, with
    1000 resamples of the images; precision is 0 where such a class was never predicted.

    `top<k>` (classification): the share of members whose true label is among the k most probable classes; Wilson's
    interval; NaN without `label_rank`. `ece` (expected calibration error, 15 bins of equal width) and
    `confidence_gap` (|mean confidence - share that is right|): over the members that have a prediction, in detection
    over the predicted boxes on the members' images; 1000 resamples; NaN where a confidence is unknown. A user's own
    metric: what its function returns, with 200 resamples of the images.

    Where every resample gives the same value the bootstrap knows nothing, so the interval is Wilson's for that
    share of so many images (members, in classification), and Garwood's for `false_positives_per_image`.

    `n_units` and `n_failures` are members (objects) and failures among them; for `precision` predicted boxes and
    those that aren't tp; for `false_positives_per_image` images and those with such a box.
    """
    k = top_k(name)
    detection = "label_id" in units.columns
    if name in OWN_METRICS or name in CONFIDENCE_METRICS:
        chosen = Selection.of(units, members) if detection else None
        rows = _members(units, members) if chosen is None else chosen.units.assign(member=chosen.objects)
        images = list(rows["key"]) if chosen is None else list(chosen.images)
        if name in OWN_METRICS:
            return own_value(name, rows, images, confidence=confidence)
        return _confidence_value(name, rows, images, confidence=confidence)
    if k is not None:
        if detection:
            raise InvalidInputError(f"{name!r} is a metric of whole images; these units are objects. Use recall.")
        return _top_k_value(k, _members(units, members), confidence=confidence)
    check_choice(name, METRICS, "metric")
    if detection:
        return detection_value(
            name, units, members=members, boxes=boxes, predicted=predicted, classes=classes, confidence=confidence
        )
    if name in _DETECTION_ONLY:
        raise InvalidInputError(
            f"{name!r} is a metric for detection; these units are whole images. "
            f"Use one of {listed([m for m in METRICS if m not in _DETECTION_ONLY])}."
        )
    return _classification_value(name, _members(units, members), confidence=confidence)


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


def _classification_value(name: str, units: pd.DataFrame, *, confidence: float) -> MetricValue:
    n, failures = len(units), int(units["failure"].sum())
    if not n:
        return MetricValue(math.nan, math.nan, math.nan, 0, 0)
    if name in ("accuracy", "error_rate"):
        k = n - failures if name == "accuracy" else failures
        return MetricValue(k / n, *wilson_interval(k, n, confidence=confidence, corrected=True), n, failures)
    cells = units.groupby(["label", "prediction"], dropna=False, observed=True).size()
    labels = pd.Index(cells.index.get_level_values("label"))
    classes = labels.unique()
    true = classes.get_indexer(labels)
    said = classes.get_indexer(pd.Index(cells.index.get_level_values("prediction")))
    counts: npt.NDArray[np.float64] = np.asarray(cells, dtype=np.float64)
    value = float(_macro(name, counts[None], true, said, len(classes))[0])
    # Drawing units one by one is drawing how many of them fall in each cell of the confusion matrix.
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
    draws = _macro(name, drawn, true, said, len(classes))
    return MetricValue(value, *share_interval(value, draws, n=n, confidence=confidence), n, failures)


def _top_k_value(k: int, units: pd.DataFrame, *, confidence: float) -> MetricValue:
    n = len(units)
    ranks = units["label_rank"].to_numpy(np.float64) if "label_rank" in units else np.full(n, np.nan)
    if not n or np.isnan(ranks).any():
        return MetricValue(math.nan, math.nan, math.nan, n, 0)
    hits = int(np.count_nonzero(ranks <= k))
    return MetricValue(hits / n, *wilson_interval(hits, n, confidence=confidence, corrected=True), n, n - hits)


def _confidence_value(name: str, units: pd.DataFrame, images: Sequence[str], *, confidence: float) -> MetricValue:
    said = units[units["box_id" if "box_id" in units else "prediction"].notna()]
    n, failures = len(said), int(said["failure"].sum())
    image = pd.Index(list(images), dtype=object).get_indexer(pd.Index(said["key"], dtype=object))
    sums, statistic = confidence_sums(name, said, image, len(images))
    value = float(statistic(sums.sum(axis=0)[None])[0])
    if math.isnan(value):
        return MetricValue(math.nan, math.nan, math.nan, n, failures)
    draws = resampled_statistic(sums, statistic)
    return MetricValue(value, *share_interval(value, draws, n=len(images), confidence=confidence), n, failures)


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
