"""Labels as FiftyOne stores them: one document per sample, None where a sample has no label.

What FiftyOne's classes make of the same values is compared with these documents by `_conformance`.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Predictions, SampleTable

if TYPE_CHECKING:
    from collections.abc import Iterable

Document = dict[str, Any]


def label_documents(table: SampleTable, samples: pd.DataFrame | None = None) -> Iterator[Document | None]:
    """Yield the label document of each sample.

    Parameters
    ----------
    table
        With the labels.
    samples
        Index `key`, columns `width` and `height`: for which samples, in this order. None: those of the table.
    """
    samples = table.samples if samples is None else samples
    if table.task == "classification":
        labels = table.samples["label"].reindex(samples.index)
        return _classifications(_objects(labels), itertools.repeat(None), itertools.repeat(None))
    return _detections(table.boxes, samples, ids="label_id")


def prediction_documents(predictions: Predictions, samples: pd.DataFrame) -> Iterator[Document | None]:
    """Yield a model's label document of each sample.

    Probabilities are kept as `logits`, their logarithms (softmax gives them back).

    Parameters
    ----------
    predictions
        Of one model.
    samples
        As in `label_documents`.
    """
    if predictions.task == "detection":
        return _detections(predictions.frame, samples, ids="box_id")
    frame = predictions.frame.reindex(samples.index)
    logits: Iterable[bytes | None] = itertools.repeat(None)
    if predictions.probabilities is not None:
        rows = predictions.frame.index.get_indexer(samples.index)
        logits = _arrays(np.log(np.clip(predictions.probabilities, 1e-12, None)), rows)
    return _classifications(_objects(frame["label"]), _objects(frame["confidence"]), logits)


def _classifications(
    labels: Sequence[str | None], confidences: Iterable[float | None], logits: Iterable[bytes | None]
) -> Iterator[Document | None]:
    from bson import ObjectId

    for label, confidence, scores in zip(labels, confidences, logits, strict=False):
        if label is None:
            yield None
            continue
        document = {"_id": ObjectId(), "_cls": "Classification", "tags": [], "label": label}
        if confidence is not None:
            document["confidence"] = confidence
        if scores is not None:
            document["logits"] = scores
        yield document


def _detections(boxes: pd.DataFrame, samples: pd.DataFrame, *, ids: str) -> Iterator[Document]:
    """Corners and sizes are fractions of the image; boxes of a sample stay in their order."""
    from bson import ObjectId

    sample = samples.index.get_indexer(pd.Index(boxes["key"]))
    order = np.argsort(sample, kind="stable")
    order = order[np.searchsorted(sample[order], 0) :]  # without boxes of other samples
    boxes, sample = boxes.iloc[order], sample[order]
    size = samples[["width", "height"]].to_numpy(np.float64)[sample]
    relative = boxes[["x", "y", "width", "height"]].to_numpy(np.float64) / np.hstack([size, size])
    crowds = boxes["crowd"].tolist() if "crowd" in boxes else itertools.repeat(None)
    confidences = boxes["confidence"].tolist() if "confidence" in boxes else itertools.repeat(None)
    rows = zip(boxes[ids].tolist(), boxes["label"].tolist(), relative.tolist(), confidences, crowds, strict=False)
    for count in np.bincount(sample, minlength=len(samples)).tolist():
        detections = []
        for box_id, label, corners, confidence, crowd in itertools.islice(rows, count):
            box = {
                "_id": ObjectId(),
                "_cls": "Detection",
                "attributes": {},
                "tags": [],
                "label": label,
                "bounding_box": corners,
                ids: box_id,
            }
            if confidence is not None:
                box["confidence"] = confidence
            if crowd is not None:
                box["iscrowd"] = crowd
            detections.append(box)
        yield {"_cls": "Detections", "detections": detections}


def _arrays(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Iterator[bytes | None]:
    """Yield rows of an array as FiftyOne stores arrays: each a .npy file, compressed by zlib; -1: no row."""
    stream = BytesIO()
    descr = np.lib.format.dtype_to_descr(values.dtype)
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": values.shape[1:]})
    head = stream.getvalue()
    for row in rows.tolist():
        yield None if row < 0 else zlib.compress(head + values[row].tobytes())


def _objects(values: pd.Series[Any]) -> list[Any]:
    """Python values, None where missing."""
    return [None if missing else v for v, missing in zip(values.tolist(), values.isna(), strict=True)]
