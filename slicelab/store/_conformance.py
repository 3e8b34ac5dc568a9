"""Are the documents of `BulkWriter` those that this version of FiftyOne writes? Found out once, and remembered."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import BOX_COLUMNS, PREDICTED_BOX_COLUMNS, TEXT, Predictions, SampleTable, Task
from slicelab.store import _bulk, _documents, _labels
from slicelab.store._builds import Builds
from slicelab.store._bulk import BulkWriter
from slicelab.store._columns import find_samples, read_samples
from slicelab.store._fields import declare, declare_media, declare_metadata, declare_text
from slicelab.store._public_writer import PublicWriter

if TYPE_CHECKING:
    import fiftyone as fo

    from slicelab.store._connection import Connection

log = logging.getLogger("slicelab")

_OWN = {"_id", "_rand", "_dataset_id", "created_at", "last_modified_at"}
"""Values that differ from document to document: only their types are compared."""


def conforms(connection: Connection) -> bool:
    """Tell whether bulk writes store what FiftyOne's public calls do.

    It is tried on a few samples of each task, once for this version of FiftyOne and of the code that writes;
    the database remembers what was found.
    """
    version = metadata.version("fiftyone")
    asked = f"fiftyone {version}, documents {_code()}"
    if asked not in _known:
        record = connection.records.get("conformance", asked)
        if record is None:
            found = {"_id": asked, "differences": differences(connection)}
            record = connection.records.insert("conformance", found)
        _known[asked] = not record["differences"]
        if record["differences"]:
            log.warning(
                "FiftyOne %s stores samples otherwise than SliceLab knows (%s); they are written by its public calls, "
                "which is slower.",
                version,
                "; ".join(record["differences"][:3]),
            )
    return _known[asked]


def differences(connection: Connection) -> list[str]:
    """Write the same few samples both ways, and say in which stored values they differ."""
    found: list[str] = []
    tasks: tuple[Task, ...] = ("classification", "detection")
    for task in tasks:
        with Builds(connection).scratch() as dataset:
            theirs = _write(connection, dataset, task, bulk=False)
        with Builds(connection).scratch() as dataset:
            try:
                ours = _write(connection, dataset, task, bulk=True)
            except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
                ours = [repr(error)]
        found += [f"{task}: {difference}" for difference in compare(ours, theirs)]
    return found


def compare(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Yield every place at which two stored values differ in keys, BSON types or, but for ids and times, values."""
    if type(ours) is not type(theirs):
        yield f"{at} is {type(ours).__name__}, FiftyOne's is {type(theirs).__name__}"
    elif isinstance(ours, Mapping):
        for key in sorted({*ours, *theirs}):
            if key not in theirs or key not in ours:
                yield f"{at}.{key} is stored by {'us' if key in ours else 'FiftyOne'} alone"
            else:
                yield from compare(ours[key], theirs[key], f"{at}.{key}")
    elif isinstance(ours, list):
        if len(ours) != len(theirs):
            yield f"{at} has {len(ours)} elements, FiftyOne's has {len(theirs)}"
        for place, pair in enumerate(zip(ours, theirs, strict=False)):
            yield from compare(*pair, f"{at}[{place}]")
    elif at.rpartition(".")[2] not in _OWN and ours != theirs and not (ours != ours and theirs != theirs):
        yield f"{at} is {ours!r}, FiftyOne's is {theirs!r}"


_known: dict[str, bool] = {}


def _write(connection: Connection, dataset: fo.Dataset, task: Task, *, bulk: bool) -> list[Any]:
    """Write samples of a task in one of the two ways, then everything that can be set; return what was stored."""
    table, model = _example(task)
    declare_metadata(dataset, table.samples, table.metadata_columns)
    declare(dataset, task, label_field="truth", prediction_fields=["first"])
    declare_media(dataset, table.samples)
    stored = find_samples(connection.samples, dataset.name)
    writer = BulkWriter(stored) if bulk else PublicWriter(dataset)
    writer.add_samples(table, label_field="truth", predictions={"first": model}, load_id="trial", progress=False)
    added = list(stored.collection.find({}).sort("key", 1))
    samples = read_samples(stored)
    writer.set_predictions("first", model, samples, progress=False)
    writer.set_labels("truth", table, samples)
    if task == "classification":
        declare_text(dataset, "outcome")
        writer.set_text("outcome", {"whole": "correct"}, samples)
    else:
        declare_text(dataset, "truth.detections.outcome_first")
        words = {("whole", "1"): "tp"}
        writer.set_box_outcomes("outcome_first", words, words, label_field="truth", prediction_field="first")
    return [dataset.media_type, added, list(stored.collection.find({}).sort("key", 1))]


def _example(task: Task) -> tuple[SampleTable, Predictions]:
    """Return samples with everything, with little and with nothing, and a model that says as much of them."""
    samples = pd.DataFrame(
        {
            "filepath": ["/trial/whole.jpg", "/trial/part.PNG", "/trial/bare"],
            "sha256": ["a", "b", "c"],
            "width": [640, 640, 2],
            "height": [480, 480, 1],
        },
        index=pd.Index(["whole", "part", "bare"], name="key"),
    )
    if task == "classification":
        samples["label"] = pd.Series(["nut", "bolt", None], index=samples.index, dtype=TEXT)
        samples["words"] = pd.Series(["a", None, "c"], index=samples.index, dtype=TEXT)
        samples["number"] = [1, 2, 3]
        samples["share"] = [0.5, np.nan, 1.0]
        samples["is_new"] = [True, False, True]
        samples["any"] = pd.Series(["one", None, "three"], index=samples.index, dtype=object)
    boxes = {
        "key": ["whole", "part", "whole"],
        "label_id": ["1", "1", "2"],
        "box_id": ["1", "1", "2"],
        "label": ["nut", "bolt", "bolt"],
        "x": [1.0, 2.5, 3.0],
        "y": [1.0, 2.5, 3.0],
        "width": [10.0, 20.25, 33.0],
        "height": [10.0, 20.25, 33.0],
        "crowd": [False, True, False],
        "confidence": [0.5, 1.0, 0.25],
    }
    if task == "detection":
        frame = pd.DataFrame(boxes)
        table = SampleTable(task, samples, frame[list(BOX_COLUMNS)], ("nut", "bolt"))
        return table, Predictions("first", task, frame[list(PREDICTED_BOX_COLUMNS)], ("nut", "bolt"))
    said = pd.DataFrame(
        {"label": pd.Series(["nut", "bolt"], dtype=TEXT), "confidence": [0.75, np.nan]},
    ).set_index(pd.Index(["whole", "part"], name="key"))
    table = SampleTable(task, samples, pd.DataFrame(columns=list(BOX_COLUMNS)), ("nut", "bolt"))
    shares = np.array([[0.75, 0.25], [0.0, 1.0]], np.float32)
    return table, Predictions("first", task, said, ("nut", "bolt"), shares)


def _code() -> str:
    """Return a short hash of the code that makes and writes documents."""
    text = b"".join(Path(str(module.__file__)).read_bytes() for module in (_bulk, _documents, _labels))
    return hashlib.sha256(text).hexdigest()[:12]
