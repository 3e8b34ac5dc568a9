"""One model on a suite's images: units are computed once, each case then takes its rows by position."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import (
    GROUP_ID,
    Confidence,
    InvalidInputError,
    OperatingPoint,
    Predictions,
    Suite,
    SuiteError,
    confidence_by_class,
    hash_value,
    listed,
    top_k,
)
from slicelab.evaluation import (
    MetricValue,
    classification_units,
    detection_units,
    label_ranks,
    metric_value,
    unit_share,
)
from slicelab.gate._freeze_case import member_keys, suite_table
from slicelab.gate._member_rows import member_rows
from slicelab.gate._operating_point import operating_point
from slicelab.sources import find_texts

CLASSIFICATION_SHARES = ("accuracy", "error_rate")
OBJECT_METRICS = ("accuracy", "recall", "error_rate")
"""In detection: shares of labelled objects, so that two models are judged on the same units."""
_BOX_METRICS = ("precision", "false_positives_per_image", "ece", "confidence_gap")

Positions = npt.NDArray[np.intp]


class Groups:
    """Row positions by image."""

    def __init__(self, keys: Iterable[str]) -> None:
        codes, names = pd.factorize(np.asarray(list(keys), dtype=object))
        self._names = pd.Index(names, dtype=object)
        self._rows = np.argsort(codes, kind="stable")
        self._ends = np.cumsum(np.bincount(codes, minlength=len(names)))

    def rows(self, images: Sequence[str]) -> Positions:
        """Positions of the rows on these images, in their order; an image without rows gives none."""
        found = self._names.get_indexer(pd.Index(list(images), dtype=object))
        found = found[found >= 0]
        starts = np.concatenate([[0], self._ends])[found]
        parts = [self._rows[a:b] for a, b in zip(starts, self._ends[found], strict=True)]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.intp)


class Units:
    """A units frame, with the columns that every case needs as arrays."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.ids: npt.NDArray[np.object_] = frame.index.to_numpy(object)
        self.failure = frame["failure"].to_numpy(bool)
        self.loss = frame["loss"].to_numpy(np.float64)
        self.unpredicted = (frame["outcome"] == "unpredicted").to_numpy(bool)

    @cached_property
    def are_independent(self) -> bool:
        """True when each unit of a classification is a group of its own."""
        return GROUP_ID not in self.frame or bool((self.frame[GROUP_ID].array == self.frame["key"].array).all())


@dataclass(frozen=True, eq=False)
class Part:
    """What a case needs of a model.

    Parameters
    ----------
    members
        Unit ids.
    whole
        The units of the suite.
    rows
        Positions of the case's units there. Classification: the members. Detection: every row on their images.
    judged
        bool per row: the members; an image stands for every object on it.
    images
        Keys of the members' images.
    boxes, predicted
        Detection: labelled and predicted boxes on them.
    groups
        Detection, where the suite declares groups: the group of each image, by key.
    confidence
        Detection: from which on predicted boxes count.
    independent
        Classification: whether each unit is a group of its own.
    """

    members: tuple[str, ...]
    whole: Units
    rows: Positions
    judged: npt.NDArray[np.bool_]
    images: list[str]
    boxes: pd.DataFrame | None = None
    predicted: pd.DataFrame | None = None
    groups: pd.Series[str] | None = None
    confidence: float | dict[str, float] | None = None
    independent: bool = False

    @property
    def n_predicted(self) -> int:
        """Detection: images that have a predicted box, at any confidence."""
        return 0 if self.predicted is None else int(self.predicted["key"].nunique())

    @cached_property
    def units(self) -> pd.DataFrame:
        """The rows as a units frame; many metrics don't need it."""
        return self.whole.frame.iloc[self.rows]

    def metric(self, name: str, *, confidence: float) -> MetricValue:
        """Return the metric on the members with its interval."""
        if self.independent and name in CLASSIFICATION_SHARES:
            return unit_share(name, self.whole.failure[self.rows], confidence=confidence)
        return metric_value(
            name,
            self.units,
            members=None if self.boxes is None else self.members,
            boxes=self.boxes,
            predicted=self.predicted,
            confidence=confidence,
            groups=self.groups,
        )

    def failing(self, name: str) -> tuple[str, ...]:
        """Ids of what fails, as far as the metric counts it; the highest loss first, then by id."""
        rows = self.rows[self._failures(name)]
        ids = self.whole.ids[rows]
        order = np.lexsort((ids.astype("U"), -self.whole.loss[rows]))
        return tuple(ids[order].tolist())

    def is_share(self, name: str) -> bool:
        """Tell whether a metric is a share of single units here (an average over classes isn't)."""
        return self.is_unit_share(name) or (self.boxes is not None and name == "precision")

    def is_unit_share(self, name: str) -> bool:
        """Tell whether a metric is a share of the judged units, the same under every model."""
        if self.boxes is None:
            return name in CLASSIFICATION_SHARES or top_k(name) is not None
        return name in OBJECT_METRICS

    def judged_failures(self, name: str) -> npt.NDArray[np.bool_]:
        """Tell for every judged row whether it fails by this metric."""
        return self._failed(name)[self.judged]

    def own_units(self) -> pd.DataFrame:
        """Return what a user's own metric gets."""
        return self.units if self.boxes is None else self.units.assign(member=self.judged)

    def unpredicted(self) -> list[str]:
        """Ids of members that the model has no prediction for (classification; boxes can't tell)."""
        ids: list[str] = self.whole.ids[self.rows[self.whole.unpredicted[self.rows]]].tolist()
        return ids

    def _failures(self, name: str) -> npt.NDArray[np.bool_]:
        failure = self._failed(name)
        if self.boxes is None or name in OBJECT_METRICS:
            return failure & self.judged
        if name in _BOX_METRICS:
            return failure & self.units["box_id"].notna().to_numpy(bool)
        return failure & (self.judged | self.units["label_id"].isna().to_numpy(bool))

    def _failed(self, name: str) -> npt.NDArray[np.bool_]:
        k = top_k(name)
        if k is not None:
            return self.units["label_rank"].to_numpy(np.float64) > k
        return self.whole.failure[self.rows]


class ModelOnSuite:
    """A model's units on the images of a suite.

    Parameters
    ----------
    suite, predictions
        Of the same task.
    confidence
        Detection: instead of what the suite says of the model; see `operating_point`.
    """

    def __init__(self, suite: Suite, predictions: Predictions, *, confidence: Confidence | None) -> None:
        if predictions.task != suite.task:
            raise SuiteError(
                f"The suite {suite.name!r} is for {suite.task}, the predictions of {predictions.model!r} "
                f"are for {predictions.task}."
            )
        if suite.task == "classification" and not predictions.frame.index.is_unique:
            twice = predictions.frame.index[predictions.frame.index.duplicated()].unique()
            raise InvalidInputError(f"{predictions.model!r} predicts {len(twice)} images twice: {listed(twice)}.")
        self.suite = suite
        self._table = suite_table(suite)
        self._predictions = predictions
        self.name = predictions.model
        self.point = operating_point(suite, predictions.model, confidence=confidence)
        if suite.task == "classification":
            self.units = classification_units(self._table, predictions)
            if any(top_k(case.bar.metric) for case in suite.cases):
                self.units["label_rank"] = label_ranks(self.units, predictions)
            self._row_hashes = _hash_units(self.units, predictions)
            self._unit_of_sample = _positions_among(suite.samples["label"].notna().to_numpy(bool))
        else:
            self._groups = self._table.groups if self._table.group else None
            self._evaluate(predictions)
            self._predicted = predictions.frame[predictions.frame["key"].isin(self._keys)]
            self._boxes_by_image = Groups(suite.boxes["key"])
            self._predicted_by_image = Groups(self._predicted["key"])
            self._row_hashes = _hash_rows(self._predicted, predictions)
        if suite.task == "classification":
            self._whole = Units(self.units)

    def _evaluate(self, predictions: Predictions) -> None:
        """Make the units of all images at once, unless each case has a confidence of its own."""
        self._by_case: dict[tuple[str, ...], Units] = {}
        if self.point is None or self.point.source == "case":
            return
        if isinstance(self.point.confidence, dict):
            # Whether every class has one must not depend on which images the suite holds.
            predicted = predictions.frame["label"].unique().tolist()
            whose = f"operating point of {self.name!r} ({self.point.where})"
            confidence_by_class(self.point.confidence, predicted, what=whose)
        self.units = detection_units(self._table, predictions, confidence=self.point.confidence)
        self._whole = Units(self.units)
        self.point = OperatingPoint(self.units.attrs["confidence"], self.point.source)
        self._rows_by_image = Groups(self.units["key"])

    def _units_on(self, images: list[str], boxes: pd.DataFrame, predicted: pd.DataFrame) -> tuple[Units, Positions]:
        """Return a units frame and the positions of the images' rows in it."""
        if self.point is not None and self.point.source != "case":
            return self._whole, self._rows_by_image.rows(images)
        found = self._by_case.get(tuple(images))
        if found is None:
            table = replace(self._table, samples=self._table.samples.loc[images], boxes=boxes)
            found = Units(detection_units(table, replace(self._predictions, frame=predicted)))
            self._by_case[tuple(images)] = found
        return found, np.arange(len(found.ids))

    @cached_property
    def _keys(self) -> set[str]:
        return set(self.suite.samples.index.to_numpy(object))

    def part(self, members: Iterable[str]) -> Part:
        """Take what a case needs; its members must be there."""
        if not isinstance(members, tuple) or len(set(members)) < len(members):
            members = tuple(dict.fromkeys(members))
        if self.suite.task == "classification":
            rows = self._unit_of_sample[member_rows(self.suite).of(members)]
            if (rows < 0).any():
                raise InvalidInputError(f"{int((rows < 0).sum())} members are no units of the suite.")
            everyone = np.ones(len(rows), dtype=bool)
            return Part(members, self._whole, rows, everyone, list(members), independent=self._whole.are_independent)
        images = sorted(member_keys(members, self._keys))
        boxes = self.suite.boxes.iloc[self._boxes_by_image.rows(images)]
        predicted = self._predicted.iloc[self._predicted_by_image.rows(images)]
        whole, rows = self._units_on(images, boxes, predicted)
        units = whole.frame.iloc[rows]
        named = set(members)
        chosen = np.fromiter(map(named.__contains__, whole.ids[rows]), dtype=bool, count=len(rows))
        if not self._keys.isdisjoint(named):
            chosen |= units["key"].isin(self._keys.intersection(named)).to_numpy(bool)
        objects = units["label_id"].notna().to_numpy(bool)
        return Part(
            members,
            whole,
            rows,
            objects & chosen,
            images,
            boxes,
            predicted,
            None if self._groups is None else self._groups.loc[images],
            whole.frame.attrs["confidence"],
        )

    def prediction_hash(self, part: Part) -> str:
        """SHA-256 of what the model says of a case's images, whatever the order of its rows."""
        rows = self._row_hashes[part.rows if part.predicted is None else self._predicted_by_image.rows(part.images)]
        return hashlib.sha256(np.sort(rows).astype("<u8").tobytes()).hexdigest()

    def point_hash(self) -> dict[str, str]:
        """SHA-256 of the operating point, or of the rule by which it is found; empty in classification."""
        if self.point is None:
            return {}
        return {"confidence": hash_value(self.point.source if self.point.confidence is None else self.point.confidence)}

    def problem(self, part: Part, min_predicted: float | None) -> str:
        """Say why this model can't be judged on a case ('' if it can)."""
        if self.suite.task == "classification":
            unpredicted = part.unpredicted()
            if not unpredicted or len(unpredicted) < len(part.members):
                told = f"{len(unpredicted)} of {len(part.members)} members have no prediction: {listed(unpredicted)}."
                return told if unpredicted else ""
            return self._nothing(part)
        if self.suite.others == "suite":
            # What older versions asked: whether the suite's images are among those predicted at all.
            return self._nothing(part) if self._predicted.empty and self._keys else ""
        return self._nothing(part) if not part.n_predicted and min_predicted != 0 else ""

    def _nothing(self, part: Part) -> str:
        frame = self._predictions.frame
        keys = frame.index if self.suite.task == "classification" else frame["key"]
        named = f"they name images like {next(iter(keys))!r}" if len(keys) else "they have no row at all"
        n = len(part.images)
        told = f"The predictions of {self.name!r} hold none of the case's {n} images: {named}, "
        told += f"the case names ones like {part.images[0]!r}."
        if self.suite.task == "classification" or self.suite.others == "suite":
            return told
        return f"{told} If it is right to find nothing on them, set the bar's min_predicted to 0."


def _positions_among(chosen: npt.NDArray[np.bool_]) -> Positions:
    """Return which of the chosen rows each row is, -1 where it is none and at the end."""
    return np.append(np.where(chosen, np.cumsum(chosen) - 1, -1), -1).astype(np.intp)


def _hash_units(units: pd.DataFrame, predictions: Predictions) -> npt.NDArray[np.uint64]:
    """Return `_hash_rows` of each unit's prediction, 0 where there is none."""
    if predictions.probabilities is not None:
        at = find_texts(units.index, predictions.frame.index)
        return np.append(_hash_rows(predictions.frame, predictions), np.uint64(0))[at]
    said = units[["prediction", "confidence"]]
    hashes = pd.util.hash_pandas_object(said, index=True, categorize=False).to_numpy(np.uint64)
    return np.where(said["prediction"].notna().to_numpy(bool), hashes, np.uint64(0))


def _hash_rows(frame: pd.DataFrame, predictions: Predictions) -> npt.NDArray[np.uint64]:
    """Return a hash of each row of predictions, equal on every machine; box ids don't count."""
    classification = predictions.task == "classification"
    columns = frame[["label", "confidence"]] if classification else frame.drop(columns="box_id")
    hashes = pd.util.hash_pandas_object(columns, index=classification, categorize=False).to_numpy(np.uint64)
    if predictions.probabilities is not None:
        weights = np.arange(1, predictions.probabilities.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = predictions.probabilities.astype("<f4").view("<u4").astype(np.uint64)
        hashes = hashes + (bits * weights).sum(axis=1, dtype=np.uint64)
    return np.asarray(hashes, dtype=np.uint64)
