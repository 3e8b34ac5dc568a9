"""Units of a dataset under each model, computed when they are asked for and again when the dataset changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slicelab import curation
from slicelab.core import Predictions, SampleTable, unit_key
from slicelab.store import DatasetInfo, Datasets

if TYPE_CHECKING:
    from slicelab.embeddings import ImageItem


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
        self._statistics: pd.DataFrame | None = None

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

    def objects(self, model: str) -> pd.DataFrame:
        """Return the units that carry a label: samples, or labelled objects."""
        units = self.frame(model)
        return units if "label_id" not in units else units[units["label_id"].notna()]

    def overall(self, model: str) -> pd.DataFrame:
        """Return the model's metrics with intervals."""
        from slicelab.evaluation import overall

        table, units = self.table(), self.frame(model)
        if table.task == "classification":
            return overall(units)
        predicted = self.predictions(model).frame
        keys = list(table.samples.index)
        return overall(units, boxes=table.boxes, predicted=predicted, classes=table.classes, keys=keys)

    def known(self, models: Sequence[str]) -> pd.DataFrame:
        """Return every unit under any model once, with its columns."""
        frames = [self.frame(model) for model in models]
        if not frames:
            samples = self.table().samples
            return pd.DataFrame({"key": samples.index, **samples}, index=pd.Index(samples.index, name="unit"))
        together = pd.concat(frames)
        return together[~together.index.duplicated()]

    def for_rule(self, rule: str | None, model: str) -> pd.DataFrame:
        """Return the units frame, with image statistics where the rule needs them."""
        from slicelab.embeddings import STATISTICS

        if rule is not None and curation.rule_columns(rule) & set(STATISTICS):
            self.measure([model], progress=True)
        return self.frame(model)

    def measure(self, models: Sequence[str], *, progress: bool) -> pd.DataFrame:
        """Measure the pictures of every unit; frames have the columns from now on."""
        from slicelab.embeddings import image_statistics

        items = self.items(self.known(models))
        self._statistics = image_statistics(items, cache_folder=self._cache / "statistics", progress=progress)
        self._frames.clear()
        return self._statistics

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
        return detection_units(table, predictions)

    def _with_columns(self, units: pd.DataFrame) -> pd.DataFrame:
        table = self.table()
        attributes = dict(units.attrs)
        more = table.samples.loc[units["key"], ["sha256", *table.metadata_columns]]
        more.index = units.index
        units = units.join(more[[c for c in more if c not in units]])
        if "x" in units:
            size = table.samples.loc[units["key"], ["width", "height"]].to_numpy(np.float64)
            units["area_share"] = (units["width"] * units["height"]).to_numpy() / size.prod(axis=1)
            units["aspect"] = units["width"] / units["height"]
        if self._statistics is not None:
            units = units.join(self._statistics[[c for c in self._statistics if c not in units]])
        units.attrs.update(attributes)
        return units

    def _forget_if_changed(self) -> None:
        rev = self._datasets.info(self._name).rev
        if rev != self._rev:
            self._rev, self._table = rev, None
            self._predictions.clear()
            self._frames.clear()
