"""Declaring the fields of a FiftyOne dataset, and its saved views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import InvalidInputError, Task
from slicelab.store._dataset_info import LOAD

if TYPE_CHECKING:
    import fiftyone as fo


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


def declare_media(dataset: fo.Dataset, samples: pd.DataFrame) -> None:
    """Say of a new dataset what its first sample's media are, as FiftyOne does at the first sample that it adds."""
    from fiftyone.core.media import get_media_type

    if dataset.media_type is None and len(samples):
        dataset.media_type = get_media_type(samples["filepath"].iloc[0])


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
    """Declare a field for each of the user's metadata columns, by its dtype.

    Raises
    ------
    InvalidInputError
        A column holds values that its field doesn't take.
    """
    import fiftyone as fo

    for column in columns:
        values = samples[column]
        if not dataset.has_field(column):
            if pd.api.types.is_bool_dtype(values):
                kind = fo.BooleanField
            elif pd.api.types.is_integer_dtype(values):
                kind = fo.IntField
            elif pd.api.types.is_float_dtype(values):
                kind = fo.FloatField
            else:
                kind = fo.StringField
            dataset.add_sample_field(column, kind)
        _check_values(values, dataset.get_field(column))


def _check_values(values: pd.Series[Any], field: Any) -> None:
    """Refuse values with which FiftyOne couldn't read the sample again."""
    import fiftyone as fo

    numbers = (int, float, np.integer, np.floating)
    fields: dict[type, Any] = {
        fo.StringField: str,
        fo.BooleanField: (bool, np.bool_),
        fo.IntField: numbers,
        fo.FloatField: numbers,
    }
    allowed = fields.get(type(field), object)
    wrong = next((v for v in values.dropna().tolist() if not isinstance(v, allowed)), None)
    if wrong is not None:
        raise InvalidInputError(
            f"The column {values.name!r} is a {type(field).__name__} of the dataset, but holds {wrong!r}. "
            "Give all its values one type."
        )


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
