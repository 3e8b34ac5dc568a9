"""Datasets that FiftyOne made without us: read as tables, from this database or from FiftyOne's own store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import (
    BOX_COLUMNS,
    TEXT,
    Finding,
    InvalidInputError,
    LoadRefusedError,
    NotFoundError,
    Predictions,
    SampleTable,
    Task,
    did_you_mean,
)
from slicelab.store._fiftyone import import_fiftyone

if TYPE_CHECKING:
    import fiftyone as fo

    from slicelab.store._connection import Connection

Foreign = tuple[SampleTable, list[Predictions], list[Finding], dict[str, int]]

_EXPORT = """
import sys
from slicelab.store._foreign import write_dump
write_dump(*sys.argv[1:])
"""


def read_foreign(
    connection: Connection,
    dataset: str | fo.Dataset,
    *,
    label_field: str,
    prediction_fields: Mapping[str, str],
    metadata_fields: Sequence[str] = (),
) -> Foreign:
    """Read a FiftyOne dataset that SliceLab didn't load.

    Parameters
    ----------
    connection
        The database.
    dataset
        The dataset, or the name of one: in this database, else in the store that FiftyOne keeps by itself.
    label_field
        Field of the labels (Classification or Detections).
    prediction_fields
        By model name, the field of its predictions.
    metadata_fields
        Fields of plain values (texts, numbers, booleans) that become metadata columns.

    Returns
    -------
    Table, predictions, findings and numbers of rows, as the readers of files give them.

    Raises
    ------
    NotFoundError
        No dataset or field of that name.
    LoadRefusedError
        A field is of another type.
    """
    asked = label_field, dict(prediction_fields), list(metadata_fields)
    if not isinstance(dataset, str):
        return _tables(dump(dataset, *asked), label_field)
    fiftyone = import_fiftyone(connection)
    if fiftyone.dataset_exists(dataset):
        found = fiftyone.load_dataset(dataset)
        return _tables(dump(found, *asked), label_field)
    return _tables(_from_default_store(dataset, *asked), label_field)


def dump(
    dataset: fo.Dataset, label_field: str, prediction_fields: Mapping[str, str], metadata_fields: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what SliceLab reads of a dataset, as JSON values."""
    _check_fields(dataset, [label_field, *prediction_fields.values()])
    _check_plain(dataset, metadata_fields)
    if dataset.count("metadata.width") < dataset.count():
        dataset.compute_metadata(progress=False)
    columns = {
        "key": "key" if dataset.has_field("key") else "filepath",
        "filepath": "filepath",
        "width": "metadata.width",
        "height": "metadata.height",
    }
    content: dict[str, Any] = dict(zip(columns, dataset.values(list(columns.values())), strict=True))
    content["labels"] = _labels(dataset, label_field)
    content["models"] = {model: _labels(dataset, name) for model, name in prediction_fields.items()}
    content["metadata"] = {name: dataset.values(name) for name in metadata_fields}
    return content


def write_dump(name: str, target: str, label_field: str, prediction_fields: str, metadata_fields: str = "[]") -> None:
    """Write a dataset of the store that this process's FiftyOne is connected to as JSON."""
    import fiftyone

    if not fiftyone.dataset_exists(name):
        content: dict[str, Any] = {"there": fiftyone.list_datasets()}
    else:
        found = fiftyone.load_dataset(name)
        content = dump(found, label_field, json.loads(prediction_fields), json.loads(metadata_fields))
    Path(target).write_text(json.dumps(content))


def _from_default_store(
    name: str, label_field: str, prediction_fields: Mapping[str, str], metadata_fields: Sequence[str]
) -> dict[str, Any]:
    """Read from FiftyOne's own store, in a process of its own: one process speaks with one database."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FIFTYONE_DATABASE_URI", "SLICELAB_OWN_URI")}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "dump.json"
        arguments = [name, str(target), label_field, json.dumps(dict(prediction_fields)), json.dumps(metadata_fields)]
        done = subprocess.run(
            [sys.executable, "-c", _EXPORT, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode or not target.exists():
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise NotFoundError(f"There is no dataset {name!r} here, and FiftyOne's own store can't be read: {reason}")
        content: dict[str, Any] = json.loads(target.read_text())
    if "there" in content:
        raise NotFoundError(
            f"There is no dataset {name!r}, neither here nor in FiftyOne's own store."
            + did_you_mean(name, content["there"])
        )
    return content


def _check_fields(dataset: fo.Dataset, names: Sequence[str]) -> None:
    schema = dataset.get_field_schema()
    for name in names:
        if name not in schema:
            raise NotFoundError(f"Dataset {dataset.name!r} has no field {name!r}.{did_you_mean(name, schema)}")
        kind = getattr(getattr(schema[name], "document_type", None), "__name__", type(schema[name]).__name__)
        if kind not in ("Classification", "Detections"):
            raise LoadRefusedError(
                f"Field {name!r} of dataset {dataset.name!r} holds {kind}; only Classification and Detections can be "
                "loaded."
            )


def _check_plain(dataset: fo.Dataset, names: Sequence[str]) -> None:
    import fiftyone as fo

    schema = dataset.get_field_schema()
    for name in names:
        if name not in schema:
            raise NotFoundError(f"Dataset {dataset.name!r} has no field {name!r}.{did_you_mean(name, schema)}")
        if not isinstance(schema[name], (fo.StringField, fo.BooleanField, fo.IntField, fo.FloatField)):
            raise LoadRefusedError(
                f"Field {name!r} of dataset {dataset.name!r} is a {type(schema[name]).__name__}; groups are texts, "
                "numbers or booleans."
            )


def _labels(dataset: fo.Dataset, name: str) -> dict[str, Any]:
    kind = dataset.get_field_schema()[name].document_type.__name__
    if kind == "Classification":
        labels, confidences = dataset.values([f"{name}.label", f"{name}.confidence"])
        return {"kind": kind, "label": labels, "confidence": confidences}
    at = f"{name}.detections"
    columns = dataset.values([f"{at}.id", f"{at}.label", f"{at}.bounding_box", f"{at}.confidence"])
    return {"kind": kind} | dict(zip(("id", "label", "bounding_box", "confidence"), columns, strict=True))


def _tables(content: dict[str, Any], label_field: str) -> Foreign:
    """Check media and labels, and make tables of them."""
    from slicelab.sources import read_predictions, read_samples

    kind = content["labels"]["kind"]
    others = {model: v["kind"] for model, v in content["models"].items() if v["kind"] != kind}
    if others:
        raise InvalidInputError(f"The labels in {label_field!r} are {kind}, but the predictions are {others}.")
    keys = [str(k) for k in content["key"]]
    frame = pd.DataFrame({"filepath": content["filepath"], "key": keys, **content.get("metadata", {})})
    task: Task = "classification" if kind == "Classification" else "detection"
    if kind == "Classification":
        frame["label"] = pd.array(content["labels"]["label"], dtype=TEXT)
    table, findings, rows = read_samples(frame, task=task, progress=False)
    if task == "detection":
        boxes = _boxes(content, content["labels"], "label_id")
        boxes["crowd"] = False
        boxes = boxes[boxes["key"].isin(table.samples.index)].reset_index(drop=True)
        classes = tuple(sorted(set(boxes["label"])))
        table = SampleTable("detection", table.samples, boxes[list(BOX_COLUMNS)], classes)
        rows["labels"] = len(boxes)
    models = []
    for model, values in content["models"].items():
        if kind == "Classification":
            given = pd.DataFrame(
                {"key": keys, "prediction": values["label"], "confidence": np.array(values["confidence"], float)}
            )
        else:
            given = _boxes(content, values, "box_id")
            given["confidence"] = [c for row in values["confidence"] for c in row or []]
        read, found, n = read_predictions(given, model=model, table=table, progress=False)
        models.append(read)
        findings.extend(found)
        rows[f"predictions:{model}"] = n
    return table, models, findings, rows


def _boxes(content: dict[str, Any], values: dict[str, Any], ids: str) -> pd.DataFrame:
    counts = [len(row or []) for row in values["id"]]
    size = np.repeat(np.array([content["width"], content["height"]], np.float64).T, counts, axis=0)
    corners = np.array([c for row in values["bounding_box"] for c in row or []], np.float64).reshape(-1, 4)
    frame = pd.DataFrame(corners * np.hstack([size, size]), columns=["x", "y", "width", "height"])
    frame.insert(0, "key", np.repeat(np.array([str(k) for k in content["key"]], object), counts))
    frame.insert(1, ids, [i for row in values["id"] for i in row or []])
    frame.insert(2, "label", [v for row in values["label"] for v in row or []])
    return frame
