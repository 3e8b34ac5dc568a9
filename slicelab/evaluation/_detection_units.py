"""Labelled and predicted boxes to units, for detection: COCO's matching, then TIDE's types of error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import (
    BOX_UNIT_COLUMNS,
    TEXT,
    UNIT_COLUMNS,
    Confidence,
    InvalidInputError,
    Predictions,
    SampleTable,
    check_confidence,
    check_fraction,
    confidence_by_class,
)
from slicelab.evaluation._match_boxes import (
    Bools,
    BoxArrays,
    Floats,
    Ints,
    Pairs,
    find_pairs,
    labelled_arrays,
    match_greedily,
    predicted_arrays,
)

BACKGROUND_IOU = 0.1
"""A predicted box that overlaps a label less than this says nothing of it (TIDE's background threshold)."""


def detection_units(
    table: SampleTable, predictions: Predictions, *, iou: float = 0.5, confidence: Confidence | None = None
) -> pd.DataFrame:
    """Tell for every labelled box what the model made of it, and which predicted boxes no label explains.

    Parameters
    ----------
    table
        Images with labelled boxes. Crowd boxes are not units: predicted boxes that match them are left out.
    predictions
        The model's boxes. Those on images outside the table are left out.
    iou
        Least IoU of a match.
    confidence
        Predicted boxes below it are left out: a number, or one per class that is predicted ("*": all others). None:
        the value at which F1 over the whole table is highest (the highest such value; 0 where no box matches). It
        stands in `units.attrs["confidence"]`.

    Returns
    -------
    DataFrame, index `unit`, columns `UNIT_COLUMNS` and `BOX_UNIT_COLUMNS`: first one row per labelled box in the
    order of the table, then one per spurious or duplicate predicted box in the order of the predictions. Every
    predicted box that was kept and matched no crowd stands in exactly one row. Outcomes:

    - tp: the predicted box of its class that COCO's greedy matching gives to it.
    - misclassified: a left-over box of another class has IoU >= `iou`.
    - mislocalised: a left-over box of its class has IoU from 0.1 to `iou`, and overlaps no other label of that
      class more.
    - missed: none of these.
    - duplicate (a predicted box): IoU >= `iou` with a label of its class that a more confident box matched.
    - spurious (a predicted box): explains no label.

    `iou` is the IoU with the predicted box of the row (NaN when missed), for a predicted box the highest with any
    label on the image. `loss` is 1 - confidence for tp, 1 - confidence x IoU for mislocalised, the confidence for
    misclassified, duplicate and spurious, 1 for missed.

    Raises
    ------
    InvalidInputError
        The table or the predictions are not for detection, `iou` or `confidence` is out of range, or a predicted class
        has no confidence.

    Notes
    -----
    Source: COCOeval (pycocotools); Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors",
    ECCV 2020. Where TIDE counts errors of predictions, we give each label one reason: a predicted box explains one
    label at most, the more confident box first.
    """
    _check(table, predictions, iou, confidence)
    labelled, predicted = _arrays(table, predictions)
    found = _Matches.find(predicted, labelled, iou=iou)
    n_labelled = int(np.count_nonzero(~labelled.crowd))
    if confidence is None:
        confidence = best_confidence(found.levels(predicted), n_labelled)
    level = check_confidence(confidence)
    least = _least(level, predictions.frame["label"])[predicted.row] if isinstance(level, dict) else level
    found.drop(predicted.confidence < least)
    found.explain(predicted, labelled, iou=iou)
    units = pd.concat(
        [
            _label_rows(table.boxes, predictions.frame, labelled, predicted, found),
            _box_rows(predictions, labelled, predicted, found, iou=iou),
        ]
    )
    units["group_id"] = table.groups.reindex(units["key"]).to_numpy(object)
    units = units.astype({"group_id": TEXT})
    units.attrs["confidence"] = level
    units.attrs["iou"] = float(iou)
    return units


def _least(confidence: dict[str, float], labels: pd.Series[str]) -> Floats:
    """Return from which confidence on each predicted box counts."""
    codes, classes = pd.factorize(labels.to_numpy(object))
    return confidence_by_class(confidence, classes.tolist())[codes] if len(classes) else np.zeros(len(codes))


def confidence_levels(table: SampleTable, predictions: Predictions, *, iou: float) -> tuple[pd.DataFrame, int]:
    """Return what `best_confidence` chooses by; that of several tables with different images adds up.

    Returns
    -------
    DataFrame, one row per confidence of a box that is judged: `confidence`, `boxes` (how many have it), `hits` (how
    many of them match); and the number of labelled boxes that aren't crowds.
    """
    _check(table, predictions, iou, None)
    labelled, predicted = _arrays(table, predictions)
    levels = _Matches.find(predicted, labelled, iou=iou).levels(predicted)
    return levels, int(np.count_nonzero(~labelled.crowd))


def best_confidence(levels: pd.DataFrame, n_labelled: int) -> float:
    """Return the confidence at which F1 is highest, the highest such; 0 where no box matches."""
    levels = levels.sort_values("confidence", ascending=False)
    boxes, hits = levels["boxes"].to_numpy().cumsum(), levels["hits"].to_numpy().cumsum()
    if not len(hits) or not hits[-1]:
        return 0.0
    return float(levels["confidence"].iloc[np.argmax(2 * hits / (boxes + n_labelled))])


def _arrays(table: SampleTable, predictions: Predictions) -> tuple[BoxArrays, BoxArrays]:
    keys = pd.Index(table.samples.index).sort_values()
    classes = pd.Index(pd.unique(pd.concat([table.boxes["label"], predictions.frame["label"]]).dropna()))
    labelled = labelled_arrays(table.boxes, keys=keys, classes=classes)
    return labelled, predicted_arrays(predictions.frame, keys=keys, classes=classes)


@dataclass(eq=False)
class _Matches:
    """How predicted and labelled boxes belong together.

    `kept` says which predicted boxes are judged, `label` which label each of them matched (-1: none), `outcome` and
    `box` what happened to each labelled box and by which predicted box (-1: none).
    """

    pairs: Pairs
    same: Bools
    kept: Bools
    label: Ints
    outcome: npt.NDArray[np.object_]
    box: Ints

    @classmethod
    def find(cls, predicted: BoxArrays, labelled: BoxArrays, *, iou: float) -> _Matches:
        """Match as COCO does: within image and class."""
        pairs = find_pairs(predicted, labelled)
        same = predicted.label[pairs.predicted] == labelled.label[pairs.labelled]
        n_classes = int(max(predicted.label.max(initial=0), labelled.label.max(initial=0))) + 1
        label = match_greedily(
            pairs.where(same),
            group=predicted.image * n_classes + predicted.label,
            n_labelled=len(labelled),
            thresholds=[iou],
            ignored=labelled.crowd,
            crowd=labelled.crowd,
        )[0]
        on_crowd = (label >= 0) & labelled.crowd[label] if len(labelled) else np.zeros(len(predicted), dtype=bool)
        label[on_crowd] = -1
        outcome = np.full(len(labelled), "missed", dtype=object)
        return cls(pairs, same, ~on_crowd, label, outcome, np.full(len(labelled), -1, dtype=np.int64))

    def levels(self, predicted: BoxArrays) -> pd.DataFrame:
        """Return by confidence how many boxes are judged, and how many of them match.

        Greedy matching by falling confidence gives every threshold at once: the boxes above it match the same.
        """
        score, at = np.unique(predicted.confidence[self.kept], return_inverse=True)
        hits = np.bincount(at[self.label[self.kept] >= 0], minlength=len(score))
        return pd.DataFrame({"confidence": score, "boxes": np.bincount(at, minlength=len(score)), "hits": hits})

    def drop(self, below: Bools) -> None:
        """Leave predicted boxes out."""
        self.kept &= ~below
        self.label[below] = -1

    def explain(self, predicted: BoxArrays, labelled: BoxArrays, *, iou: float) -> None:
        """Give each label its outcome, and each unmatched label the predicted box that explains it."""
        hit = np.flatnonzero(self.label >= 0)
        self._assign("tp", hit, self.label[hit])
        best = np.zeros(len(predicted))
        same = self.same & ~labelled.crowd[self.pairs.labelled]
        np.maximum.at(best, self.pairs.predicted[same], self.pairs.iou[same])
        confused = ~self.same & (self.pairs.iou >= iou)
        displaced = self.same & (self.pairs.iou >= BACKGROUND_IOU) & (self.pairs.iou == best[self.pairs.predicted])
        for outcome, candidates in (("misclassified", confused), ("mislocalised", displaced & (self.pairs.iou < iou))):
            open_label = (self.outcome == "missed") & ~labelled.crowd
            free = candidates & self.left_over()[self.pairs.predicted] & open_label[self.pairs.labelled]
            label = match_greedily(
                self.pairs.where(free), group=predicted.image, n_labelled=len(labelled), thresholds=[0.0]
            )[0]
            box = np.flatnonzero(label >= 0)
            self._assign(outcome, box, label[box])

    def _assign(self, outcome: str, box: Ints, label: Ints) -> None:
        self.outcome[label] = outcome
        self.box[label] = box

    def left_over(self) -> Bools:
        """Tell which of the kept predicted boxes belong to no label yet."""
        free = self.kept.copy()
        free[self.box[self.box >= 0]] = False
        return free


def _check(table: SampleTable, predictions: Predictions, iou: float, confidence: Confidence | None) -> None:
    for what, task in (("table", table.task), ("predictions", predictions.task)):
        if task != "detection":
            raise InvalidInputError(
                f"detection_units() needs a {what} for detection; got one for {task}. "
                "For whole images use classification_units()."
            )
    check_iou(iou)
    if confidence is not None:
        check_confidence(confidence)


def check_iou(iou: float) -> None:
    """Raise `InvalidInputError` when that can't be the least IoU of a match."""
    if check_fraction(iou, "iou") <= BACKGROUND_IOU:
        raise InvalidInputError(f"The iou must be above {BACKGROUND_IOU} (below is background); got {iou}.")


def _label_rows(
    boxes: pd.DataFrame, frame: pd.DataFrame, labelled: BoxArrays, predicted: BoxArrays, found: _Matches
) -> pd.DataFrame:
    judged = np.flatnonzero(~labelled.crowd)
    judged = judged[np.argsort(labelled.row[judged])]
    rows = boxes.iloc[labelled.row[judged]]
    outcome, box = found.outcome[judged].astype(np.str_), found.box[judged]
    there = box >= 0
    by = frame.iloc[predicted.row[box[there]]]
    confidence, overlap = np.full(len(judged), np.nan), np.full(len(judged), np.nan)
    confidence[there] = predicted.confidence[box[there]]
    overlap[there] = _iou_of(found.pairs, box[there], judged[there], len(labelled))
    loss = np.select(
        [outcome == "tp", outcome == "mislocalised", outcome == "misclassified"],
        [1 - confidence, 1 - confidence * overlap, confidence],
        default=1.0,
    )
    return _rows(
        rows,
        unit=rows["key"].astype(TEXT) + "#" + rows["label_id"].astype(TEXT),
        label=rows["label"].to_numpy(object),
        prediction=_filled(by["label"], there),
        confidence=confidence,
        outcome=outcome,
        loss=loss,
        label_id=rows["label_id"].to_numpy(object),
        box_id=_filled(by["box_id"], there),
        iou=overlap,
    )


def _box_rows(
    predictions: Predictions, labelled: BoxArrays, predicted: BoxArrays, found: _Matches, *, iou: float
) -> pd.DataFrame:
    pairs = found.pairs.where(~labelled.crowd[found.pairs.labelled])
    same = found.same[~labelled.crowd[found.pairs.labelled]]
    best = np.zeros(len(predicted))
    np.maximum.at(best, pairs.predicted, pairs.iou)
    repeats = np.zeros(len(predicted), dtype=bool)
    repeats[pairs.predicted[same & (pairs.iou >= iou) & (found.outcome[pairs.labelled] == "tp")]] = True
    left = np.flatnonzero(found.left_over())
    left = left[np.argsort(predicted.row[left])]
    rows = predictions.frame.iloc[predicted.row[left]]
    nothing = np.full(len(left), np.nan, dtype=object)
    return _rows(
        rows,
        unit=rows["key"].astype(TEXT) + f"#pred:{predictions.model}:" + rows["box_id"].astype(TEXT),
        label=nothing,
        prediction=rows["label"].to_numpy(object),
        confidence=predicted.confidence[left],
        outcome=np.where(repeats[left], "duplicate", "spurious"),
        loss=predicted.confidence[left],
        label_id=nothing,
        box_id=rows["box_id"].to_numpy(object),
        iou=best[left],
    )


def _rows(boxes: pd.DataFrame, *, unit: pd.Series, outcome: npt.NDArray[np.str_], **columns: object) -> pd.DataFrame:
    place = {c: boxes[c].to_numpy(np.float64) for c in ("x", "y", "width", "height")}
    values = {"key": boxes["key"].to_numpy(object), "outcome": outcome, "failure": outcome != "tp"} | columns | place
    index = pd.Index(unit.to_numpy(object), name="unit", dtype=TEXT)
    units = pd.DataFrame(values, index=index, columns=[*UNIT_COLUMNS, *BOX_UNIT_COLUMNS])
    return units.astype(dict.fromkeys(("key", "label", "prediction", "outcome", "label_id", "box_id"), TEXT))


def _filled(values: pd.Series, where: Bools) -> npt.NDArray[np.object_]:
    filled = np.full(len(where), np.nan, dtype=object)
    filled[where] = values.to_numpy(object)
    return filled


def _iou_of(pairs: Pairs, box: Ints, label: Ints, n_labelled: int) -> Floats:
    """Look up the IoU of given pairs."""
    code = pairs.predicted * n_labelled + pairs.labelled
    order = np.argsort(code)
    return pairs.iou[order[np.searchsorted(code[order], box * n_labelled + label)]]
