"""COCO's average precision, on all images, some images or a slice of objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, InvalidInputError, check_unique
from slicelab.evaluation._match_boxes import (
    Bools,
    BoxArrays,
    Floats,
    Ints,
    find_pairs,
    labelled_arrays,
    match_greedily,
    predicted_arrays,
)

IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
MAX_DETECTIONS = 100
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class MapResult:
    """Average precision.

    Parameters
    ----------
    map
        Mean over IoU thresholds and over the classes that have a judged label; NaN where none has.
    ap50
        The same at IoU 0.5 only (NaN where that isn't among the thresholds).
    per_class
        Index `label`, every class in order; columns `ap`, `ap50` (NaN without labels), `n_labels`, `n_predictions`.
    """

    map: float
    ap50: float
    per_class: pd.DataFrame


def mean_average_precision(
    boxes: pd.DataFrame,
    predicted: pd.DataFrame,
    *,
    classes: Sequence[str],
    keys: Collection[str] | None = None,
    members: Collection[str] | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> MapResult:
    """Return COCO's mean average precision.

    Parameters
    ----------
    boxes
        Labelled boxes, `BOX_COLUMNS`.
    predicted
        Predicted boxes of every confidence, `PREDICTED_BOX_COLUMNS`; the 100 most confident per image and class count.
    classes
        Names of the classes in order. Boxes of other classes are left out.
    keys
        Only these images. None: every image that has a box (with `members`: every image that has a member).
    members
        Unit ids of labelled boxes: a slice of objects. The other labels are ignored as crowds are in COCO: a
        prediction that matches one is neither right nor wrong (each takes up one prediction, a crowd any number).
    iou_thresholds
        Least IoU of a match, from 0 to 1.

    Returns
    -------
    MapResult

    Raises
    ------
    InvalidInputError
        A column is missing, a confidence is NaN, or a class stands twice.

    Notes
    -----
    Source: COCOeval (pycocotools), area "all", 101 recall points. Equal confidences are taken by image key, then
    box id, so the order of rows doesn't matter.
    """
    ranked = rank_predictions(
        boxes, predicted, classes=classes, keys=keys, members=members, iou_thresholds=iou_thresholds
    )
    ap = ranked.average_precision(np.ones((1, ranked.n_images)))[0]
    halves = np.flatnonzero(np.isclose(iou_thresholds, 0.5))
    none = np.full(len(ranked.classes), np.nan)
    ap50 = ap[halves[0]] if len(halves) else none
    per_class = pd.DataFrame(
        {
            "ap": ap.mean(axis=0) if len(ap) else none,
            "ap50": ap50,
            "n_labels": np.bincount(ranked.label_class, minlength=len(ranked.classes)),
            "n_predictions": np.diff(ranked.bounds),
        },
        index=pd.Index(ranked.classes, name="label"),
    )
    return MapResult(float(nan_mean(per_class["ap"].to_numpy())), float(nan_mean(ap50)), per_class)


@dataclass(frozen=True, eq=False)
class RankedPredictions:
    """Matched predictions, by class and falling confidence: all that average precision needs.

    Parameters
    ----------
    classes, n_images
        Names of the classes, number of images.
    image
        int64 (n,), image of each predicted box.
    bounds
        int64 (c + 1,), where each class starts.
    hit, ignored
        bool (t, n) per IoU threshold: matches a judged label; matches an ignored one.
    label_image, label_class
        int64, image and class of each judged label.
    """

    classes: tuple[str, ...]
    n_images: int
    image: Ints
    bounds: Ints
    hit: Bools
    ignored: Bools
    label_image: Ints
    label_class: Ints

    def average_precision(self, weights: Floats) -> Floats:
        """Return average precision when images count several times.

        Parameters
        ----------
        weights
            float64 (r, n_images): how often each image counts, in each of r resamples.

        Returns
        -------
        float64 (r, t, c); NaN where a class has no label.
        """
        result = np.full((len(weights), len(self.hit), len(self.classes)), np.nan)
        for c in range(len(self.classes)):
            labels = weights @ np.bincount(self.label_image[self.label_class == c], minlength=self.n_images)
            there = np.flatnonzero(labels > 0)
            part = slice(int(self.bounds[c]), int(self.bounds[c + 1]))
            weight = weights[np.ix_(there, self.image[part])]
            boxes = np.cumsum(weight, axis=1)
            for t in range(len(self.hit)):
                hit, ignored = self.hit[t, part], self.ignored[t, part]
                judged = np.cumsum(np.where(ignored, 0.0, weight), axis=1) if ignored.any() else boxes
                result[there, t, c] = _area(weight[:, hit], judged[:, hit], labels[there])
        return result


def swap_ranked(mine: RankedPredictions, other: RankedPredictions) -> RankedPredictions:
    """Put two models' predictions on the same images side by side, so that each image can take either's.

    Parameters
    ----------
    mine, other
        Of the same labels, images, classes and IoU thresholds.

    Returns
    -------
    RankedPredictions on twice as many images: first each image with `mine`, then each with `other`. Weights of 1 and 0
    say whose predictions an image takes. Within a class boxes are merged by their rank under either model, as average
    precision takes nothing else from confidences and two models' confidences needn't be on one scale.
    """
    both = (mine, other)
    label = [np.repeat(np.arange(len(r.classes)), np.diff(r.bounds)) for r in both]
    rank = [np.arange(len(r.image)) - r.bounds[c] for r, c in zip(both, label, strict=True)]
    order = np.lexsort((np.concatenate(rank), np.concatenate(label)))
    return RankedPredictions(
        classes=mine.classes,
        n_images=2 * mine.n_images,
        image=np.concatenate([mine.image, other.image + mine.n_images])[order],
        bounds=mine.bounds + other.bounds,
        hit=np.concatenate([mine.hit, other.hit], axis=1)[:, order],
        ignored=np.concatenate([mine.ignored, other.ignored], axis=1)[:, order],
        label_image=np.concatenate([mine.label_image, mine.label_image + mine.n_images]),
        label_class=np.concatenate([mine.label_class, mine.label_class]),
    )


def rank_predictions(
    boxes: pd.DataFrame,
    predicted: pd.DataFrame,
    *,
    classes: Sequence[str],
    keys: Collection[str] | None = None,
    members: Collection[str] | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> RankedPredictions:
    """Match predictions to labels at each IoU threshold; parameters as in `mean_average_precision`."""
    check_unique(list(classes), "class")
    levels = np.asarray(iou_thresholds, dtype=np.float64)
    if levels.ndim != 1 or not ((levels >= 0) & (levels <= 1)).all():
        raise InvalidInputError(f"The iou_thresholds must be numbers from 0 to 1; got {iou_thresholds!r}.")
    inside = np.ones(len(boxes), dtype=bool)
    if members is not None:
        units = boxes["key"].astype(TEXT) + "#" + boxes["label_id"].astype(TEXT)
        inside = units.astype(object).isin(list(members)).to_numpy(bool)
    if keys is None:
        keys = [*boxes["key"][inside], *(predicted["key"] if members is None else ())]
    images = pd.Index(sorted(set(keys)), dtype=object)
    labelled = labelled_arrays(boxes, keys=images, classes=pd.Index(classes))
    found = predicted_arrays(predicted, keys=images, classes=pd.Index(classes))
    found = found.take(_most_confident(found, len(classes)))
    return _ranked(found, labelled, ~inside[labelled.row] | labelled.crowd, tuple(classes), len(images), levels)


def _ranked(
    found: BoxArrays, labelled: BoxArrays, ignored: Bools, classes: tuple[str, ...], n_images: int, levels: Floats
) -> RankedPredictions:
    pairs = find_pairs(found, labelled)
    label = match_greedily(
        pairs.where(found.label[pairs.predicted] == labelled.label[pairs.labelled]),
        group=found.image * len(classes) + found.label,
        n_labelled=len(labelled),
        thresholds=levels,
        ignored=ignored,
        crowd=labelled.crowd,
    )
    matched = label >= 0
    on_ignored = matched & ignored[label] if len(labelled) else matched
    order = np.argsort(found.label, kind="stable")
    return RankedPredictions(
        classes=classes,
        n_images=n_images,
        image=found.image[order],
        bounds=np.searchsorted(found.label[order], np.arange(len(classes) + 1)).astype(np.int64),
        hit=(matched & ~on_ignored)[:, order],
        ignored=on_ignored[:, order],
        label_image=labelled.image[~ignored],
        label_class=labelled.label[~ignored],
    )


def nan_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the last axis, leaving NaN out; NaN where all are, without a warning."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    mean: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return mean


def _most_confident(found: BoxArrays, n_classes: int) -> Bools:
    """Tell which boxes are among the first `MAX_DETECTIONS` of their image and class."""
    group = found.image * n_classes + found.label
    order = np.argsort(group, kind="stable")
    first = np.searchsorted(group[order], group[order], "left")
    keep = np.empty(len(group), dtype=bool)
    keep[order] = np.arange(len(group)) - first < MAX_DETECTIONS
    return keep


def _area(hit: Floats, judged: Floats, labels: Floats) -> Floats:
    """Average precision of one class at one IoU, (r,).

    At each hit: its weight, and the weight of all judged boxes down to it, (r, hits); labels (r,). Precision only
    rises at hits, so its envelope needs no other points.
    """
    hits = np.cumsum(hit, axis=1)
    precision = hits / (judged + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / labels[:, None]
    padded = np.pad(envelope, ((0, 0), (0, 1)))
    reached = np.array([row.searchsorted(_RECALLS, side="left") for row in recall], np.intp).reshape(-1, len(_RECALLS))
    area: Floats = np.take_along_axis(padded, reached, axis=1).mean(axis=1)
    return area
