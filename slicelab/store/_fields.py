"""From tables to the fields of a FiftyOne dataset: declaring and writing them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import InvalidInputError, Predictions, SampleTable, Task
from slicelab.store._dataset_info import LOAD

if TYPE_CHECKING:
    import fiftyone as fo

BATCH = 1000


def declare(dataset: fo.Dataset, task: Task, *, label_field: str, prediction_fields: Sequence[str]) -> None:
    """Declare the fields that SliceLab writes, so that they are in the schema before any value is."""
    import fiftyone as fo

    for name in ("key", "sha256", LOAD):
        if not dataset.has_field(name):
            dataset.add_sample_field(name, fo.StringField)
    if "key" not in dataset.list_indexes():
        dataset.create_index("key", unique=True)
    declare_labels(dataset, label_field, task, ids="label_id")
    for name in prediction_fields:
        declare_labels(dataset, name, task, ids="box_id")


def declare_labels(dataset: fo.Dataset, name: str, task: Task, *, ids: str) -> None:
    """Declare a label field; boxes carry their own id in the attribute `ids`."""
    import fiftyone as fo

    if dataset.has_field(name):
        return
    kind = fo.Classification if task == "classification" else fo.Detections
    dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind)
    if task == "detection":
        dataset.add_sample_field(f"{name}.detections.{ids}", fo.StringField)
        dataset.add_sample_field(f"{name}.detections.iscrowd", fo.BooleanField)
        dataset.add_sample_field(f"{name}.detections.outcome", fo.StringField)


def declare_metadata(dataset: fo.Dataset, samples: pd.DataFrame, columns: Sequence[str]) -> None:
    """Declare a field for each of the user's metadata columns, by its dtype."""
    import fiftyone as fo

    for column in columns:
        if dataset.has_field(column):
            continue
        values = samples[column]
        if pd.api.types.is_bool_dtype(values):
            kind = fo.BooleanField
        elif pd.api.types.is_integer_dtype(values):
            kind = fo.IntField
        elif pd.api.types.is_float_dtype(values):
            kind = fo.FloatField
        else:
            kind = fo.StringField
        dataset.add_sample_field(column, kind)


def write_samples(
    dataset: fo.Dataset,
    table: SampleTable,
    *,
    label_field: str,
    predictions: dict[str, Predictions],
    load_id: str,
    progress: bool,
) -> None:
    """Add the samples of a table with their labels and predictions, in batches.

    Parameters
    ----------
    dataset
        Its fields are declared.
    table
        Keys that aren't there yet.
    label_field
        Field of the labels.
    predictions
        By field name.
    load_id
        Written on every sample, so that a load that was cut off can be taken back.
    """
    import fiftyone as fo
    from tqdm.auto import tqdm

    truth = label_values(table)
    predicted = {name: prediction_values(p, table.samples) for name, p in predictions.items()}
    metadata = {c: _plain(table.samples[c]) for c in table.metadata_columns}
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

    bar = tqdm(total=len(table.samples), desc="write samples", disable=not progress, leave=False)
    stream = samples()
    while batch := list(itertools.islice(stream, BATCH)):
        dataset.add_samples(batch, expand_schema=False, validate=False, progress=False)
        bar.update(len(batch))
    bar.close()


def label_values(table: SampleTable) -> dict[str, Any]:
    """FiftyOne labels by key."""
    import fiftyone as fo

    if table.task == "classification":
        labels = table.samples["label"]
        known = labels.notna()
        return {str(key): fo.Classification(label=label) for key, label in labels[known].items()}
    values = _boxes_by_key(table.boxes, table.samples, ids="label_id")
    return {key: fo.Detections(detections=values.get(key, [])) for key in table.samples.index}


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


def write_box_outcomes(
    dataset: fo.Dataset, units: pd.DataFrame, *, label_field: str, prediction_field: str, outcome: str
) -> None:
    """Write outcomes on labelled boxes (attribute `outcome`) and on predicted boxes (attribute "outcome").

    Predicted boxes that no unit speaks of lie below the operating point: they get no outcome.
    """
    import fiftyone as fo

    path = f"{label_field}.detections.{outcome}"
    if not dataset.has_field(path):
        dataset.add_sample_field(path, fo.StringField)
    on_labels = _words(units, "label_id")
    on_boxes = _words(units, "box_id")
    view = dataset.sort_by("_id")  # the database's own order may change
    keys, label_ids, box_ids = view.values(
        ["key", f"{label_field}.detections.label_id", f"{prediction_field}.detections.box_id"]
    )
    on_label_field = [[on_labels.get((k, i)) for i in ids or []] for k, ids in zip(keys, label_ids, strict=True)]
    on_box_field = [[on_boxes.get((k, i)) for i in ids or []] for k, ids in zip(keys, box_ids, strict=True)]
    view.set_values(path, on_label_field)
    view.set_values(f"{prediction_field}.detections.outcome", on_box_field)


def _words(units: pd.DataFrame, ids: str) -> dict[tuple[str, str], str]:
    """Outcome by key and id of the box."""
    there = units[units[ids].notna()]
    return {(key, i): word for key, i, word in zip(there["key"], there[ids], there["outcome"].astype(str), strict=True)}


def declare_text(dataset: fo.Dataset, name: str) -> None:
    """Declare a text field."""
    import fiftyone as fo

    if not dataset.has_field(name):
        dataset.add_sample_field(name, fo.StringField)


def save_view(dataset: fo.Dataset, title: str, view: Any, description: str) -> None:
    """Save a view under a title; where FiftyOne can't take the title, under the slice's id."""
    names = [title, f"{title} ({description.split()[2][:8]})", f"slice {description.split()[2][:8]}"]
    for name in names:
        try:
            dataset.save_view(name, view, description=description)
        except ValueError:  # a title without letters or digits, or one that reads like another's
            continue
        return
    raise InvalidInputError(f"FiftyOne takes no view of the name {title!r}.")


def _plain(values: pd.Series[Any]) -> list[Any]:
    """Python values, None where missing."""
    return [None if missing else v for v, missing in zip(values.tolist(), values.isna(), strict=True)]
