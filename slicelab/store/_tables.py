"""From what FiftyOne has stored to tables of samples, labels and predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slicelab.core import TEXT, NotFoundError, Predictions, SampleTable, did_you_mean
from slicelab.store._columns import StoredSamples, empty_boxes, read_arrays, read_boxes, read_columns, read_samples
from slicelab.store._dataset_info import DatasetInfo


def read_table(stored: StoredSamples, info: DatasetInfo, label_field: str) -> SampleTable:
    """Read samples and the labels of a field, or raise `NotFoundError`."""
    if label_field not in stored.fields:
        raise NotFoundError(
            f"Dataset {info.name!r} has no label field {label_field!r}.{did_you_mean(label_field, info.label_fields)}"
        )
    group = info.group if info.group in info.metadata_columns else None
    is_classification = info.task == "classification"
    columns = ["key", "filepath", "sha256", "metadata.width", "metadata.height", *info.metadata_columns]
    *values, labels = read_columns(stored, [*columns, f"{label_field}.label" if is_classification else "_id"])
    names = (c.removeprefix("metadata.") for c in columns)
    samples = pd.DataFrame(dict(zip(names, values, strict=True))).set_index("key")
    if is_classification:
        samples.insert(4, "label", pd.Series(labels, index=samples.index, dtype=TEXT))
        return SampleTable(info.task, samples, empty_boxes(), info.classes, group)
    boxes = read_boxes(stored, label_field, samples, ids="label_id")
    return SampleTable(info.task, samples, boxes, info.classes, group)


def read_predictions(stored: StoredSamples, info: DatasetInfo, model: str) -> Predictions:
    """Read a model's predictions, or raise `NotFoundError`."""
    at = info.prediction_field(model)
    entry = info.models[model]
    said = {"sha256": entry["sha256"], "source": entry["source"]}
    if info.task == "detection":
        frame = read_boxes(stored, at, read_samples(stored), ids="box_id")
        return Predictions(model, "detection", frame, info.classes, **said)
    paths = ["key", f"{at}.label", f"{at}.confidence", f"{at}.logits"]
    keys, labels, confidences, logits = read_columns(stored, paths)
    frame = pd.DataFrame(
        {"label": pd.array(labels, dtype=TEXT), "confidence": np.array(confidences, dtype=np.float64)},
        index=pd.Index(keys, name="key"),
    )
    there = frame["label"].notna().to_numpy()
    rows = [v for v, ok in zip(logits, there, strict=True) if ok]
    probabilities = None
    if rows and None not in rows:
        probabilities = np.exp(read_arrays(rows)).astype(np.float32)
    return Predictions(model, "classification", frame[there], tuple(entry["classes"]), probabilities, **said)
