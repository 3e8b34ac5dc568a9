"""Units of a dataset under each model, computed when they are asked for and again when the dataset changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab import curation
from slicelab.core import (
    Confidence,
    ConflictError,
    InvalidInputError,
    Predictions,
    SampleTable,
    StateError,
    check_confidence,
    unit_key,
)
from slicelab.store import DatasetInfo, Datasets

if TYPE_CHECKING:
    from slicelab.core import Fingerprints
    from slicelab.embeddings import ImageItem


ALIKE = ("near_duplicates", "uniqueness")
"""Columns that units have once their images were compared."""

Population = Literal["labelled", "spurious"]


class Units:
    """The units of one dataset.

    Parameters
    ----------
    datasets, name
        Where the samples are.
    cache
        Folder of what was measured on pictures.
    """

    def __init__(self, datasets: Datasets, name: str, *, cache: Path) -> None:
        self._datasets = datasets
        self._name = name
        self._cache = cache
        self._rev = 0
        self._table: SampleTable | None = None
        self._predictions: dict[str, Predictions] = {}
        self._frames: dict[str, pd.DataFrame] = {}
        self._known: dict[tuple[str, ...], pd.DataFrame] = {}
        self._statistics: pd.DataFrame | None = None
        self._measured = 0
        self._alike: pd.DataFrame | None = None
        self._prints: Fingerprints | None = None

    @property
    def revision(self) -> int:
        """A number that grows whenever frames change."""
        self._forget_if_changed()
        return self._rev * 1000 + self._measured

    def table(self) -> SampleTable:
        """Return samples and present labels."""
        self._forget_if_changed()
        if self._table is None:
            self._table = self._datasets.read_table(self._name)
        return self._table

    def info(self) -> DatasetInfo:
        """Return what is known of the dataset."""
        return self._datasets.info(self._name)

    def predictions(self, model: str) -> Predictions:
        """Return a model's predictions."""
        self._forget_if_changed()
        if model not in self._predictions:
            self._predictions[model] = self._datasets.read_predictions(self._name, model)
        return self._predictions[model]

    def frame(self, model: str) -> pd.DataFrame:
        """Return the units frame under a model, with the media's hash, metadata and statistics."""
        self._forget_if_changed()
        if model not in self._frames:
            self._frames[model] = self._with_columns(self._outcomes(model))
        return self._frames[model].copy()

    def set_confidence(self, model: str, confidence: Confidence | Literal["f1"]) -> None:
        """Keep from which confidence on a model's boxes count; frames are made anew.

        Parameters
        ----------
        model
            Its name.
        confidence
            A number, one per class ("*": all others), or "f1": where F1 over the whole dataset is highest now.

        Raises
        ------
        InvalidInputError
            It is none of these, a class isn't one of the dataset's or its predictions', or a predicted class has none;
            nothing is kept then.
        """
        from slicelab.evaluation import detection_units

        table, predictions = self.table(), self.predictions(model)
        if table.task != "detection":
            raise InvalidInputError(
                f"A confidence belongs to boxes; {self._name!r} holds classifications, where every prediction counts. "
                "Leave confidence= out."
            )
        if isinstance(confidence, str) and confidence != "f1":
            raise InvalidInputError(
                f'The confidence must be a number from 0 to 1, such numbers by class, or "f1"; got {confidence!r}.'
            )
        if confidence == "f1":
            level = detection_units(table, predictions).attrs["confidence"]
        else:
            known = dict.fromkeys([*table.classes, *predictions.frame["label"].unique()])
            level = check_confidence(confidence, classes=known)
            detection_units(table, predictions, confidence=level)  # which refuses a class without one
        self._datasets.set_confidence(self._name, model, level, by="f1" if confidence == "f1" else "given")

    def operating_points(self, models: Iterable[str]) -> dict[str, float | dict[str, float]]:
        """Return from which confidence on the boxes of models count; empty in classification.

        Where nobody has set one it is found now and kept: where F1 over the whole dataset is highest.
        """
        if self.info().task != "detection":
            return {}
        return {model: self._confidence(model) for model in models}

    def _confidence(self, model: str) -> float | dict[str, float]:
        level = self.info().confidence(model)
        if level is None:
            self.frame(model)
            level = self.info().confidence(model)
        if level is None:  # another process is at work on the dataset, so it couldn't be kept
            level = self.frame(model).attrs["confidence"]
        return level

    def _keep_best(self, model: str, level: float) -> None:
        """Keep the best confidence, unless somebody is changing the dataset at this moment."""
        try:
            info = self._datasets.set_confidence(self._name, model, level, by="f1")
        except (ConflictError, StateError):
            return
        if info.rev == self._rev + 1:  # nothing else has changed, so what is known here still holds
            self._rev = info.rev

    def objects(self, model: str) -> pd.DataFrame:
        """Return the units that carry a label: samples, or labelled objects."""
        units = self.frame(model)
        return units if "label_id" not in units else units[units["label_id"].notna()]

    def population(self, model: str, population: Population) -> pd.DataFrame:
        """Return the units to search for slices in, `label` being what they are compared within.

        "labelled": what carries a label. "spurious": what the model predicted (labelled objects that it found, and
        boxes that no label explains), each under the class that was predicted; a failure is a box without a label.
        """
        if population == "labelled":
            return self.objects(model)
        units = self.frame(model)
        if "label_id" not in units:
            raise InvalidInputError(
                f"Spurious boxes are a population of detection; {self._name!r} holds classifications. "
                'Leave population="labelled".'
            )
        units = units[units["prediction"].notna()].copy()
        units["label"], units["failure"] = units["prediction"], units["outcome"].isin(["spurious", "duplicate"])
        return units

    def attributes(self, units: pd.DataFrame, *, progress: bool) -> pd.DataFrame:
        """Return what slices are described with: metadata, position, surroundings and image statistics."""
        statistics = self.measure(list(self.info().models), progress=progress)
        return self.described(units.join(statistics[[c for c in statistics if c not in units]]))

    def described(self, units: pd.DataFrame) -> pd.DataFrame:
        """Return those columns of a units frame that slices are described with; nothing is measured for it."""
        from slicelab.embeddings import STATISTICS
        from slicelab.evaluation import SURROUNDINGS

        metadata = [name for name in self.table().metadata_columns if name != "coco_image_id"]  # a number, no quality
        names = [*metadata, *SURROUNDINGS, *STATISTICS]
        return units[[name for name in dict.fromkeys(names) if name in units]]

    def overall(self, model: str) -> pd.DataFrame:
        """Return the model's metrics with intervals."""
        from slicelab.evaluation import overall

        table, units = self.table(), self.frame(model)
        if table.task == "classification":
            return overall(units, groups=table.groups)
        predicted = self.predictions(model).frame
        keys = list(table.samples.index)
        return overall(
            units, boxes=table.boxes, predicted=predicted, classes=table.classes, keys=keys, groups=table.groups
        )

    def known(self, models: Sequence[str]) -> pd.DataFrame:
        """Return every unit under any model once, with its columns."""
        self._forget_if_changed()
        if not models:
            samples = self.table().samples
            return pd.DataFrame({"key": samples.index, **samples}, index=pd.Index(samples.index, name="unit"))
        kept = self._known.get(tuple(models))
        if kept is None:
            together = pd.concat([self.frame(model) for model in models])
            kept = self._known[tuple(models)] = together[~together.index.duplicated()]
        return kept.copy(deep=False)

    def for_rule(self, rule: str | None, model: str) -> pd.DataFrame:
        """Return the units frame, with image statistics where the rule needs them."""
        from slicelab.embeddings import STATISTICS

        if rule is not None and curation.rule_columns(rule) & set(STATISTICS):
            self.measure([model], progress=True)
        if rule is not None and self._alike is None and curation.rule_columns(rule) & set(ALIKE):
            self.alike(progress=True)
        return self.frame(model)

    def measure(self, models: Sequence[str], *, progress: bool) -> pd.DataFrame:
        """Measure the pictures of every unit; frames have the columns from now on."""
        from slicelab.embeddings import image_statistics

        items = self.items(self.known(models))
        self._statistics = image_statistics(items, cache_folder=self._cache / "statistics", progress=progress)
        self._frames.clear()
        self._known.clear()
        self._measured += 1
        return self._statistics

    def fingerprints(self, *, progress: bool) -> Fingerprints:
        """Return the thumbnails of all images, in their order."""
        from slicelab.embeddings import ImageItem, fingerprints

        samples = self.table().samples
        if self._prints is None or self._prints.units != tuple(samples.index):
            rows = zip(samples.index, samples["filepath"], samples["sha256"], strict=True)
            items = [ImageItem(key, filepath, sha256) for key, filepath, sha256 in rows]
            self._prints = fingerprints(items, cache_folder=self._cache / "fingerprints", progress=progress)
        return self._prints

    def alike(self, *, vectors: npt.NDArray[np.float32] | None = None, progress: bool) -> pd.DataFrame:
        """Compare the images and return pairs of near-duplicates; frames have the columns `ALIKE` from now on."""
        from slicelab.discovery import duplicate_counts, near_duplicates, uniqueness

        prints = self.fingerprints(progress=progress)
        pairs = near_duplicates(prints, vectors=vectors, progress=progress)
        counts = duplicate_counts(pairs, prints.units)
        unique = pd.Series(uniqueness(prints, vectors=vectors), index=counts.index)
        self._alike = pd.DataFrame(dict(zip(ALIKE, (counts, unique), strict=True)))
        self._frames.clear()
        self._known.clear()
        self._measured += 1
        return pairs

    def items(self, units: pd.DataFrame) -> list[ImageItem]:
        """Return what the embedders take: one item per unit, with its box where it is an object."""
        from slicelab.embeddings import ImageItem

        samples = self.table().samples.loc[units["key"]]
        if "x" in units:
            corners = units[["x", "y", "width", "height"]].to_numpy(np.float64)
            boxes = [tuple(row) if np.isfinite(row).all() else None for row in corners.tolist()]
        else:
            boxes = [None] * len(units)
        rows = zip(units.index, samples["filepath"], samples["sha256"], boxes, strict=True)
        return [ImageItem(unit, filepath, sha256, box) for unit, filepath, sha256, box in rows]

    def keys_of(self, units: Iterable[str]) -> list[str]:
        """Return the samples' keys of units, each once, in order."""
        samples = self.table().samples.index
        return list(dict.fromkeys(u if u in samples else unit_key(u) for u in units))

    def _outcomes(self, model: str) -> pd.DataFrame:
        from slicelab.evaluation import classification_units, detection_units

        table, predictions = self.table(), self.predictions(model)
        if table.task == "classification":
            return classification_units(table, predictions)
        kept = self.info().confidence(model)
        units = detection_units(table, predictions, confidence=kept)
        if kept is None:
            self._keep_best(model, units.attrs["confidence"])
        return units

    def _with_columns(self, units: pd.DataFrame) -> pd.DataFrame:
        from slicelab.evaluation import surroundings

        table = self.table()
        attributes = dict(units.attrs)
        more = table.samples.loc[units["key"], ["sha256", *table.metadata_columns]]
        more.index = units.index
        units = units.join(more[[c for c in more if c not in units]])
        if "x" in units:
            size = table.samples.loc[units["key"], ["width", "height"]].to_numpy(np.float64)
            units = units.join(surroundings(units, size))
        if self._statistics is not None:
            units = units.join(self._statistics[[c for c in self._statistics if c not in units]])
        if self._alike is not None:
            alike = self._alike.reindex(units["key"]).set_axis(units.index)
            units = units.join(alike[[c for c in alike if c not in units]])
        units.attrs.update(attributes)
        return units

    def _forget_if_changed(self) -> None:
        rev = self._datasets.info(self._name).rev
        if rev != self._rev:
            self._rev, self._table = rev, None
            self._predictions.clear()
            self._frames.clear()
            self._known.clear()
