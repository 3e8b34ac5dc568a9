"""Outcomes over partitions of labels and predictions, on the machines of a Ray cluster."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from slicelab.core import (
    BOX_UNIT_COLUMNS,
    UNIT_COLUMNS,
    InvalidInputError,
    SourceError,
    Task,
    check_fraction,
    check_name,
    hash_value,
)
from slicelab.evaluation._classification_units import classification_units
from slicelab.evaluation._detection_units import check_iou, detection_units
from slicelab.evaluation._label_partition import label_table, prediction_table, task_of
from slicelab.partitions import Folder, transform

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = {"confidence", "loss", "x", "y", "width", "height", "iou"}


def evaluate_with_ray(
    labels: str | Path,
    predictions: str | Path,
    *,
    model: str,
    output: str | Path,
    iou: float = 0.5,
    confidence: float | None = None,
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Tell for every unit of partitioned tables what a model made of it: `lab.evaluate` past one machine.

    Parameters
    ----------
    labels, predictions
        Folders or fsspec URLs of Parquet files of the same names; what is said of one image stands in files of one
        name. Labels for classification: `key` (once) and `label` (missing where unknown). For detection one row per
        box: `key`, `label`, `x`, `y`, `width`, `height` (pixels), and where there are any `label_id` and `crowd`; a row
        with a key alone says that its image shows nothing. Predictions: `key`, `prediction` (or `label`),
        `confidence`, for detection `x`, `y`, `width`, `height`, for classification `p_<class>` where there are any; a
        file without rows says that nothing was predicted.
    model
        Name of the model: it is a part of the ids of predicted boxes that no label explains.
    output
        Folder or fsspec URL that the driver and every worker see, for one Parquet file of units for each of labels, of
        the same name: `unit`, then `UNIT_COLUMNS` and for detection `BOX_UNIT_COLUMNS`. What is there and was made of
        the same labels and predictions is kept.
    iou, confidence
        Detection, as in `detection_units`; the confidence must be given, as the one with the highest F1 is known only
        when all is matched: take that of a sample, `units.attrs["confidence"]`.
    address
        None: a cluster of this machine alone, which ends with the call; "auto", "host:port" or "ray://host:port": that
        one.
    workers
        How many at most; None: as many as the cluster has processors.

    Returns
    -------
    DataFrame, sorted by its first three columns: `label`, `prediction` (NaN for none), `outcome`, and `units`, how many
    there are: the confusion matrix as rows.

    Raises
    ------
    InvalidInputError
        A number is out of range, the confidence is missing, or a place or address is none.
    MissingExtraError
        Ray isn't installed.
    SourceError
        The folders don't hold partitions of the same names, one can't be used, or the output holds those of another
        job or can't be written.
    StateError
        No cluster answers there, or its workers failed.

    Notes
    -----
    Units are those of `classification_units` and `detection_units` on all tables at once, bit for bit.
    """
    sources = [Folder(labels), Folder(predictions)]
    asked = _Asked(_task(sources[0]), check_name(model, "model"), float(iou), confidence)
    asked.check()
    made = transform(
        sources,
        output,
        _evaluated,
        asked,
        job=hash_value(["evaluate", 1, list(astuple(asked))]),
        address=address,
        workers=workers,
        what="Evaluating",
        progress=progress,
    )
    by = ["label", "prediction", "outcome"]
    counts = pd.DataFrame(columns=[*by, "units"])
    for _, table in made:
        here = table.select(by).to_pandas().value_counts(by, dropna=False).rename("units").reset_index()
        both = pd.concat([counts, here]) if len(counts) else here
        counts = both.groupby(by, dropna=False, as_index=False)["units"].sum()
    return counts.sort_values(by, ignore_index=True)


@dataclass(frozen=True)
class _Asked:
    task: Task
    model: str
    iou: float
    confidence: float | None

    def check(self) -> None:
        """Raise `InvalidInputError` where `detection_units` would, and for boxes without a confidence."""
        if self.task == "classification":
            return
        check_iou(self.iou)
        if self.confidence is None:
            raise InvalidInputError(
                "Boxes in partitions need confidence=, below which predicted boxes are left out; it can't be chosen "
                'partition by partition. Take that of a sample, detection_units(...).attrs["confidence"].'
            )
        check_fraction(self.confidence, "confidence")


def _task(labels: Folder) -> Task:
    """Look at one partition before a cluster is started."""
    names = labels.names()
    table = labels.read(names[0]) if names else None
    if table is None:
        raise SourceError(f"There are no partitions of labels (.parquet files) that can be read in {labels.place!r}.")
    try:
        return task_of(table.column_names)
    except SourceError as error:
        raise SourceError(f"The partitions in {labels.place!r} can't be used: {error}") from error


def _evaluated(asked: _Asked, labels: pa.Table, predictions: pa.Table) -> pa.Table:
    """Return the units of one partition."""
    import pyarrow as pa

    table = label_table(labels.to_pandas(), asked.task)
    said = prediction_table(predictions.to_pandas(), table, asked.model)
    columns = list(UNIT_COLUMNS)
    if asked.task == "classification":
        units = classification_units(table, said)
    else:
        units = detection_units(table, said, iou=asked.iou, confidence=asked.confidence)
        columns += BOX_UNIT_COLUMNS
    types = {c: pa.float64() if c in _NUMBERS else pa.string() for c in ["unit", *columns]} | {"failure": pa.bool_()}
    frame = units.reset_index()
    return pa.table({c: pa.array(frame[c], type_, from_pandas=True) for c, type_ in types.items()})
