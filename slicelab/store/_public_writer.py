"""Writing samples, labels and outcomes through FiftyOne's public calls.

What they store is what `BulkWriter` must store; they are used where it stores something else (see `_conformance`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import Predictions, SampleTable
from slicelab.store._bulk import Words
from slicelab.store._dataset_info import LOAD
from slicelab.store._documents import plain

if TYPE_CHECKING:
    import fiftyone as fo

_BATCH = 1000


class PublicWriter:
    """Does what `BulkWriter` does, with the same arguments.

    Parameters
    ----------
    dataset
        FiftyOne's; the fields are declared.
    """

    def __init__(self, dataset: fo.Dataset) -> None:
        self._dataset = dataset

    def add_samples(
        self,
        table: SampleTable,
        *,
        label_field: str,
        predictions: Mapping[str, Predictions],
        load_id: str,
        progress: bool,
    ) -> None:
        """Add the samples of a table with their labels and predictions."""
        import fiftyone as fo
        from tqdm.auto import tqdm

        truth = label_values(table, table.samples)
        predicted = {name: prediction_values(p, table.samples) for name, p in predictions.items()}
        metadata = {c: plain(table.samples[c]) for c in table.metadata_columns}
        rows = zip(
            table.samples.index,
            table.samples["filepath"],
            table.samples["sha256"],
            table.samples["width"].tolist(),
            table.samples["height"].tolist(),
            strict=True,
        )

        def samples() -> Iterator[fo.Sample]:
            for i, (key, filepath, sha256, width, height) in enumerate(rows):
                fields: dict[str, Any] = {c: values[i] for c, values in metadata.items()}
                fields |= {name: values.get(key) for name, values in predicted.items()}
                fields |= {label_field: truth.get(key), LOAD: load_id}
                size = fo.ImageMetadata(width=width, height=height)
                yield fo.Sample(filepath, key=key, sha256=sha256, metadata=size, **fields)

        stream = samples()
        with tqdm(total=len(table.samples), desc="write samples", disable=not progress, leave=False) as bar:
            while batch := list(itertools.islice(stream, _BATCH)):
                self._dataset.add_samples(batch, expand_schema=False, validate=False, progress=False)
                bar.update(len(batch))

    def set_predictions(self, field: str, predictions: Predictions, samples: pd.DataFrame, *, progress: bool) -> None:
        """Set a model's predictions on samples that are there."""
        self._set(field, prediction_values(predictions, samples), progress=progress)

    def set_labels(self, field: str, table: SampleTable, samples: pd.DataFrame) -> None:
        """Set labels on samples that are there."""
        self._set(field, label_values(table, samples))

    def set_text(self, field: str, values: Mapping[str, str], samples: pd.DataFrame) -> None:
        """Set a text by key on samples that are there."""
        self._set(field, {key: values[key] for key in samples.index if key in values})

    def set_box_outcomes(
        self, outcome: str, on_labels: Words, on_boxes: Words, *, label_field: str, prediction_field: str
    ) -> None:
        """Set the outcome of every labelled and predicted box; None where nothing is said of it."""
        view = self._dataset.sort_by("_id")  # the database's own order may change
        on_label, on_box = f"{label_field}.detections", f"{prediction_field}.detections"
        keys, label_ids, box_ids = view.values(["key", f"{on_label}.label_id", f"{on_box}.box_id"])
        words = [[on_labels.get((k, i)) for i in ids or []] for k, ids in zip(keys, label_ids, strict=True)]
        view.set_values(f"{on_label}.{outcome}", words)
        words = [[on_boxes.get((k, i)) for i in ids or []] for k, ids in zip(keys, box_ids, strict=True)]
        view.set_values(f"{on_box}.outcome", words)

    def _set(self, field: str, values: Mapping[str, Any], *, progress: bool = False) -> None:
        if values:
            self._dataset.set_values(field, values, key_field="key", progress=progress)


def label_values(table: SampleTable, samples: pd.DataFrame) -> dict[str, Any]:
    """FiftyOne labels by key."""
    import fiftyone as fo

    if table.task == "classification":
        labels = table.samples["label"].reindex(samples.index)
        known = labels.notna()
        return {str(key): fo.Classification(label=label) for key, label in labels[known].items()}
    values = _boxes_by_key(table.boxes, samples, ids="label_id")
    return {key: fo.Detections(detections=values.get(key, [])) for key in samples.index}


def prediction_values(predictions: Predictions, samples: pd.DataFrame) -> dict[str, Any]:
    """FiftyOne labels by key; probabilities are kept as `logits`, their logarithms (softmax gives them back)."""
    import fiftyone as fo

    if predictions.task == "detection":
        values = _boxes_by_key(predictions.frame, samples, ids="box_id")
        return {key: fo.Detections(detections=values.get(key, [])) for key in samples.index}
    frame = predictions.frame
    confidences = [None if np.isnan(c) else c for c in frame["confidence"].tolist()]
    logits: Sequence[Any] = [None] * len(frame)
    if predictions.probabilities is not None:
        logits = list(np.log(np.clip(predictions.probabilities, 1e-12, None)))
    return {
        key: fo.Classification(label=label, confidence=confidence, logits=logit)
        for key, label, confidence, logit in zip(frame.index, frame["label"], confidences, logits, strict=True)
        if key in samples.index
    }


def _boxes_by_key(boxes: pd.DataFrame, samples: pd.DataFrame, *, ids: str) -> dict[str, list[Any]]:
    """FiftyOne detections (corners and sizes as fractions of the image) by key."""
    import fiftyone as fo

    boxes = boxes[boxes["key"].isin(samples.index)]
    size = samples.loc[boxes["key"], ["width", "height"]].to_numpy(np.float64)
    relative = boxes[["x", "y", "width", "height"]].to_numpy(np.float64) / np.hstack([size, size])
    confidences = boxes["confidence"].tolist() if "confidence" in boxes else [None] * len(boxes)
    crowds = boxes["crowd"].tolist() if "crowd" in boxes else [None] * len(boxes)
    found: dict[str, list[Any]] = {}
    columns = zip(boxes["key"], boxes[ids], boxes["label"], relative.tolist(), confidences, crowds, strict=True)
    for key, box_id, label, corners, confidence, crowd in columns:
        more = {ids: box_id} | ({} if crowd is None else {"iscrowd": crowd})
        detection = fo.Detection(label=label, bounding_box=corners, confidence=confidence, **more)
        found.setdefault(key, []).append(detection)
    return found
