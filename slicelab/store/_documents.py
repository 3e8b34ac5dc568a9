"""Samples as FiftyOne stores them: one document each.

What `fiftyone.Sample` makes of the same values is compared with these documents by `_conformance`.
"""

from __future__ import annotations

import numbers
import os
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import Predictions, SampleTable
from slicelab.store._dataset_info import LOAD
from slicelab.store._labels import label_documents, prediction_documents

Document = dict[str, Any]

_random = random.Random()  # noqa: S311 - the order of FiftyOne's random samples, not a secret


def sample_documents(
    table: SampleTable,
    *,
    label_field: str,
    predictions: Mapping[str, Predictions],
    load_id: str,
    dataset_id: Any,
    media_type: Callable[[str], str],
) -> Iterator[Document]:
    """Yield a document per sample, in the order of the table.

    Parameters
    ----------
    table
        Samples with labels.
    label_field
        Field of the labels.
    predictions
        By field.
    load_id
        Of the addition.
    dataset_id
        That FiftyOne has given to the dataset.
    media_type
        FiftyOne's word for the media at a path.
    """
    from bson import ObjectId

    samples = table.samples
    # Ascending, whatever the counter inside: samples are read by it in the order of the table.
    ids = sorted(ObjectId() for _ in range(len(samples)))
    columns = {
        "_id": ids,
        "filepath": [os.path.abspath(os.path.expanduser(path)) for path in samples["filepath"].tolist()],
        "key": samples.index.tolist(),
        "sha256": samples["sha256"].tolist(),
        "metadata": _sizes(samples),
        **{name: plain(samples[name]) for name in table.metadata_columns},
        label_field: label_documents(table),
        **{name: prediction_documents(p, samples) for name, p in predictions.items()},
    }
    kinds: dict[str, str] = {}
    for values in zip(*columns.values(), strict=True):
        document = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        path = document["filepath"]
        suffix = os.path.splitext(path)[1]
        if suffix not in kinds:
            kinds[suffix] = media_type(path)
        now = datetime.now(UTC)
        document |= {
            "tags": [],
            LOAD: load_id,
            "created_at": now,
            "last_modified_at": now,
            "_media_type": kinds[suffix],
            "_rand": _random.random() * 0.001 + 0.999,
            "_dataset_id": dataset_id,
        }
        yield document


def plain(values: pd.Series[Any]) -> list[Any]:
    """Python values, None where missing."""
    found = [None if missing else v for v, missing in zip(values.tolist(), values.isna(), strict=True)]
    return [_plain(v) for v in found] if values.dtype == object else found


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _sizes(samples: pd.DataFrame) -> Iterator[Document]:
    for width, height in zip(samples["width"].tolist(), samples["height"].tolist(), strict=True):
        yield {"_cls": "ImageMetadata", "width": width, "height": height}
