"""Metrics of detection on a slice of objects or images."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, image_group_codes, is_spurious, listed, unit_key
from slicelab.evaluation._intervals import (
    MetricValue,
    group_interval,
    proportion_interval,
    rate_interval,
    resampled_statistic,
    resampled_weights,
    share_interval,
    sums_by_group,
)
from slicelab.evaluation._match_boxes import Bools, Floats, Ints
from slicelab.evaluation._mean_average_precision import IOU_THRESHOLDS, nan_mean, rank_predictions

AP_RESAMPLES = 200
MACRO_METRICS = ("macro_recall", "macro_precision", "macro_f1")
"""Means over the classes of the member objects, in detection; in classification `recall` etc. are such means."""


def detection_value(
    name: str,
    units: pd.DataFrame,
    *,
    members: Collection[str] | None,
    boxes: pd.DataFrame | None,
    predicted: pd.DataFrame | None,
    classes: Sequence[str] | None,
    confidence: float,
    groups: Mapping[str, str] | pd.Series | None = None,
) -> MetricValue:
    """Return a metric of detection; see `metric_value`."""
    chosen = Selection.of(units, members, boxes=boxes, predicted=predicted, groups=groups)
    counts = sums_by_group(chosen.counts(), chosen.groups)
    if name in ("ap50", "map"):
        found = average_precisions(
            [name], units, chosen, boxes=boxes, predicted=predicted, classes=classes, confidence=confidence
        )
        return found[name]
    if name in MACRO_METRICS:
        n, k = counts[:, :2].sum(axis=0).astype(int).tolist()
        by_class = sums_by_group(chosen.class_counts(), chosen.groups)
        value = float(macro_of(name, by_class.sum(axis=0)[None])[0])
        if math.isnan(value):
            return MetricValue(math.nan, math.nan, math.nan, n, n - k)
        draws = resampled_statistic(by_class, partial(macro_of, name))
        n_groups = groups_with(counts[:, 0])
        interval = share_interval(value, draws, n=n_groups, confidence=confidence)
        return MetricValue(value, *interval, n, n - k, n_groups)
    if name == "false_positives_per_image":
        return _false_positives(chosen, counts, confidence)
    return _MEASURES[name](counts, confidence)


def groups_with(counts: Floats) -> int:
    """Return how many groups have any of what is counted."""
    return int(np.count_nonzero(counts))


@dataclass(frozen=True, eq=False)
class Selection:
    """The objects and images that members stand for.

    Parameters
    ----------
    units
        All rows on the images.
    objects
        bool per row: is it a member object.
    images
        Keys of the images, sorted.
    groups
        Number of each image's group, int64 (images,).
    """

    units: pd.DataFrame
    objects: Bools
    images: pd.Index
    groups: Ints

    @classmethod
    def of(
        cls,
        units: pd.DataFrame,
        members: Collection[str] | None,
        *,
        boxes: pd.DataFrame | None = None,
        predicted: pd.DataFrame | None = None,
        groups: Mapping[str, str] | pd.Series | None = None,
    ) -> Selection:
        """Resolve members; None: all (also the images that occur in `boxes` and `predicted` only)."""
        labelled = units["label_id"].notna().to_numpy(bool)
        known = set(units["key"])
        if members is None:
            frames = [frame["key"] for frame in (boxes, predicted) if frame is not None]
            images = pd.Index(sorted(known.union(*frames)), dtype=object)
            return cls(units, labelled, images, image_group_codes(images, units, groups))
        # Looked up as objects: pandas' own text type makes a Python text of every value that is asked for, each time.
        image, unit = units["key"].astype(object), units.index.astype(object)
        objects = labelled & unit.isin(list(members))
        keys = _image_keys(set(members).difference(unit[objects]), known)
        objects |= labelled & image.isin(keys).to_numpy(bool)
        images = pd.Index(sorted(keys.union(image[objects])), dtype=object)
        there = image.isin(images).to_numpy(bool)
        return cls(units[there], objects[there], images, image_group_codes(images, units[there], groups))

    def counts(self) -> Floats:
        """Return per image: member objects, tp among them, predicted boxes, tp among them; float64 (images, 4)."""
        image = self.images.get_indexer(pd.Index(self.units["key"]))
        columns = [np.bincount(image[m], minlength=len(self.images)) for m in self._masks()]
        return np.stack(columns, axis=1).astype(np.float64)

    def class_counts(self, classes: Sequence[str] | None = None) -> Floats:
        """Return `counts` for each class; float64 (images, 4 x classes), class by class.

        None: the classes of the member objects. A predicted box counts for the class that it names.
        """
        names = sorted(set(self.units["label"][self.objects])) if classes is None else list(classes)
        image = self.images.get_indexer(pd.Index(self.units["key"]))
        places = [
            pd.Index(names, dtype=object).get_indexer(pd.Index(self.units[c], dtype=object))
            for c in ("label", "prediction")
        ]
        found = np.zeros((len(self.images), len(names), 4))
        for i, mask in enumerate(self._masks()):
            place = places[i // 2]
            known = mask & (place >= 0)
            np.add.at(found[:, :, i], (image[known], place[known]), 1.0)
        return found.reshape(len(self.images), 4 * len(names))

    def _masks(self) -> tuple[Bools, Bools, Bools, Bools]:
        tp = self.units["outcome"].to_numpy(object) == "tp"
        return self.objects, self.objects & tp, self.units["box_id"].notna().to_numpy(bool), tp


def average_precisions(
    names: Sequence[str],
    units: pd.DataFrame,
    chosen: Selection,
    *,
    boxes: pd.DataFrame | None,
    predicted: pd.DataFrame | None,
    classes: Sequence[str] | None,
    confidence: float,
) -> dict[str, MetricValue]:
    """Return "ap50" or "map" or both, matching the boxes once."""
    if boxes is None or predicted is None:
        raise InvalidInputError(f"{listed(names)} needs boxes= (the labels) and predicted= (all of the model's boxes).")
    classes = classes if classes is not None else sorted(set(boxes["label"]) | set(predicted["label"]))
    ranked = rank_predictions(
        boxes,
        predicted,
        classes=classes,
        keys=chosen.images,
        members=chosen.units.index[chosen.objects],
        iou_thresholds=IOU_THRESHOLDS if "map" in names else (0.5,),
    )
    n_groups = int(chosen.groups.max(initial=-1)) + 1
    weights = [
        np.ones((1, ranked.n_images)),
        # An image is drawn as often as its group.
        *(w[:, chosen.groups] for w in resampled_weights(n_groups, n_resamples=AP_RESAMPLES, seed=0)),
    ]
    draws = np.concatenate([ranked.average_precision(w) for w in weights])
    counts = sums_by_group(chosen.counts(), chosen.groups)
    return {
        name: _with_bootstrap(nan_mean(draws.mean(axis=1) if name == "map" else draws[:, 0]), counts, confidence)
        for name in names
    }


def _with_bootstrap(draws: npt.NDArray[np.float64], counts: Floats, confidence: float) -> MetricValue:
    """Put value (the first) and resamples (the rest) of a share together."""
    n, hits = counts[:, :2].sum(axis=0).astype(int).tolist()
    value = float(draws[0])
    if math.isnan(value):
        return MetricValue(math.nan, math.nan, math.nan, n, n - hits)
    n_groups = groups_with(counts[:, 0])
    interval = share_interval(value, draws[1:], n=n_groups, confidence=confidence)
    return MetricValue(value, *interval, n, n - hits, n_groups)


def _image_keys(members: set[str], known: set[str]) -> set[str]:
    """Return the images that members other than known objects stand for."""
    keys = {m if m in known or not is_spurious(m) else unit_key(m) for m in members}
    lost = sorted(k for k in keys - known if "#" in k and unit_key(k) in known)
    if lost:
        raise InvalidInputError(
            f"{len(lost)} members are objects that their images don't have: {listed(lost)}. "
            "Were their labels deleted or made crowds?"
        )
    return keys


def _recall(counts: Floats, confidence: float) -> MetricValue:
    return _share(counts[:, 1], counts[:, 0], confidence, failing=False)


def _error_rate(counts: Floats, confidence: float) -> MetricValue:
    return _share(counts[:, 0] - counts[:, 1], counts[:, 0], confidence, failing=True)


def _precision(counts: Floats, confidence: float) -> MetricValue:
    return _share(counts[:, 3], counts[:, 2], confidence, failing=False)


def _share(k: Floats, n: Floats, confidence: float, *, failing: bool) -> MetricValue:
    """Return a share from counts by group; `failing`: what is counted are failures."""
    counted, units = int(k.sum()), int(n.sum())
    if not units:
        return MetricValue(math.nan, math.nan, math.nan, 0, 0)
    interval = proportion_interval(k, n, confidence=confidence)
    failures = counted if failing else units - counted
    return MetricValue(counted / units, *interval, units, failures, groups_with(n))


def f1_of(sums: Floats) -> Floats:
    """F1 from sums (r, 4) of `Selection.counts`: harmonic mean of recall and precision, NaN without any object."""
    objects, found, boxes, right = sums.T
    recall = np.divide(found, objects, out=np.full_like(found, np.nan), where=objects > 0)
    precision = np.divide(right, boxes, out=np.zeros_like(right), where=boxes > 0)
    total = recall + precision
    f1: Floats = np.divide(2 * recall * precision, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)
    return f1


def macro_of(name: str, sums: Floats) -> Floats:
    """Mean over classes of recall, precision or F1 from sums (r, 4 x classes) of `Selection.class_counts`.

    Over the classes of which a resample has objects; precision is 0 where such a class was never predicted.
    """
    objects, found, boxes, right = np.moveaxis(sums.reshape(len(sums), -1, 4), 2, 0)
    recall = np.divide(found, objects, out=np.zeros_like(found), where=objects > 0)
    precision = np.divide(right, boxes, out=np.zeros_like(right), where=boxes > 0)
    total = recall + precision
    f1 = np.divide(2 * recall * precision, total, out=np.zeros_like(total), where=total > 0)
    score = {"macro_recall": recall, "macro_precision": precision, "macro_f1": f1}[name]
    n = (objects > 0).sum(axis=1)
    mean: Floats = np.divide(
        np.where(objects > 0, score, 0.0).sum(axis=1), n, out=np.full(len(sums), np.nan), where=n > 0
    )
    return mean


def _f1(counts: Floats, confidence: float) -> MetricValue:
    n, k = counts[:, :2].sum(axis=0).astype(int).tolist()
    value = float(f1_of(counts.sum(axis=0)[None])[0])
    if math.isnan(value):
        return MetricValue(math.nan, math.nan, math.nan, n, n - k)
    draws = resampled_statistic(counts, f1_of)
    n_groups = groups_with(counts[:, 0])
    interval = share_interval(value, draws, n=n_groups, confidence=confidence)
    return MetricValue(value, *interval, n, n - k, n_groups)


def _false_positives(chosen: Selection, counts: Floats, confidence: float) -> MetricValue:
    """Return predicted boxes that aren't tp per image: a ratio of sums over groups."""
    n, n_groups = len(chosen.images), len(counts)
    if not n:
        return MetricValue(math.nan, math.nan, math.nan, 0, 0)
    by_image = chosen.counts()
    wrong = by_image[:, 2] - by_image[:, 3]
    value = float(wrong.mean())
    images = np.bincount(chosen.groups, minlength=n_groups)
    sums = np.stack([counts[:, 2] - counts[:, 3], images], axis=1)
    draws = resampled_statistic(sums, lambda drawn: drawn[:, 0] / drawn[:, 1])
    if np.ptp(draws) > 0:
        low, high = group_interval(value, draws, n=n_groups, confidence=confidence)
    else:  # the bootstrap knows nothing: events of a Poisson process, as many as there are per group
        low, high = rate_interval(round(value * n_groups), n_groups, confidence=confidence)
    interval = (max(min(low, value), 0.0), max(high, value))
    return MetricValue(value, *interval, n, int(np.count_nonzero(wrong)), n_groups)


_MEASURES: dict[str, Callable[[Floats, float], MetricValue]] = {
    "accuracy": _recall,
    "recall": _recall,
    "error_rate": _error_rate,
    "precision": _precision,
    "f1": _f1,
}
