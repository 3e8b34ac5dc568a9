"""Outcomes over partitions of labels and predictions, on the machines of a Ray cluster."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicelab.core import (
    BOX_UNIT_COLUMNS,
    UNIT_COLUMNS,
    Predictions,
    SampleTable,
    SourceError,
    Task,
    check_fraction,
    check_name,
    hash_value,
)
from slicelab.evaluation._classification_units import classification_units
from slicelab.evaluation._detection_units import best_confidence, check_iou, confidence_levels, detection_units
from slicelab.evaluation._label_partition import label_table, prediction_table, task_of
from slicelab.partitions import Folder, cluster, transform

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
        with a key alone says that its image shows nothing. A column `group` says of which images that are not
        independent an image is one, such as the frames of a video; without it, or where it is missing, each image is
        by itself. Predictions: `key`, `prediction` (or `label`), `confidence`, for detection `x`, `y`, `width`,
        `height`, for classification `p_<class>` where there are any; a file without rows says that nothing was
        predicted.
    model
        Name of the model: it is a part of the ids of predicted boxes that no label explains.
    output
        Folder or fsspec URL that the driver and every worker see, for one Parquet file of units for each of labels, of
        the same name: `unit`, then `UNIT_COLUMNS` and for detection `BOX_UNIT_COLUMNS`. What is there and was made of
        the same labels and predictions is kept.
    iou, confidence
        Detection, as in `detection_units`. For a confidence of None everything is matched twice: how many boxes of each
        confidence match is counted first, in `<output>/_levels`.
    address
        None: a cluster of this machine alone, which ends with the call; "auto", "host:port" or "ray://host:port": that
        one.
    workers
        How many at most; None: as many as the cluster has processors.

    Returns
    -------
    DataFrame, sorted by its first three columns: `label`, `prediction` (NaN for none), `outcome`, and `units`, how many
    there are: the confusion matrix as rows. Of boxes the confidence stands in `attrs["confidence"]`.

    Raises
    ------
    InvalidInputError
        A number is out of range, or a place or address is none.
    MissingExtraError
        Ray isn't installed.
    SourceError
        The folders don't hold partitions of the same names, one can't be used, or the output holds those of another
        job or can't be written.
    StateError
        No cluster answers there, or its workers failed.

    Notes
    -----
    Units are those of `classification_units` and `detection_units` on all tables at once, bit for bit. A worker holds
    one partition; the driver one too, and where it chooses the confidence one row per different confidence.
    """
    sources = [Folder(labels), Folder(predictions)]
    asked = _Asked(_task(sources[0]), check_name(model, "model"), float(iou), confidence)
    asked.check()
    options: dict[str, Any] = {"address": address, "workers": workers, "progress": progress}
    if asked.task == "classification" or confidence is not None:
        return _evaluate(sources, output, asked, **options)
    with cluster(address):
        options["address"] = None  # the one that is connected
        level = _best_confidence(sources, Folder(output).below("_levels"), asked, **options)
        return _evaluate(sources, output, replace(asked, confidence=level), **options)


def _best_confidence(sources: list[Folder], output: Folder, asked: _Asked, **options: Any) -> float:
    job = hash_value(["levels", 1, asked.iou])
    levels, n_labelled = pd.DataFrame(columns=["confidence", "boxes", "hits"]), 0
    for _, table in transform(sources, output.place, _levels, asked, job=job, what="Matching", **options):
        here = table.to_pandas()
        n_labelled += int(here["labelled"].sum())
        here = here.loc[here["confidence"].notna(), ["confidence", "boxes", "hits"]]
        both = pd.concat([levels, here]) if len(levels) else here
        levels = both.groupby("confidence", as_index=False).sum()
    return best_confidence(levels, n_labelled)


def _evaluate(sources: list[Folder], output: str | Path, asked: _Asked, **options: Any) -> pd.DataFrame:
    by = ["label", "prediction", "outcome"]
    counts = pd.DataFrame(columns=[*by, "units"])
    job = hash_value(["evaluate", 2, list(astuple(asked))])
    for _, table in transform(sources, output, _evaluated, asked, job=job, what="Evaluating", **options):
        here = table.select(by).to_pandas().value_counts(by, dropna=False).rename("units").reset_index()
        both = pd.concat([counts, here]) if len(counts) else here
        counts = both.groupby(by, dropna=False, as_index=False)["units"].sum()
    counts = counts.sort_values(by, ignore_index=True)
    if asked.task == "detection":
        counts.attrs["confidence"] = asked.confidence
    return counts


@dataclass(frozen=True)
class _Asked:
    task: Task
    model: str
    iou: float
    confidence: float | None

    def check(self) -> None:
        """Raise `InvalidInputError` where `detection_units` would."""
        if self.task == "detection":
            check_iou(self.iou)
            check_fraction(0 if self.confidence is None else self.confidence, "confidence")


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

    table, said = _read(asked, labels, predictions)
    columns = list(UNIT_COLUMNS)
    if asked.task == "classification":
        units = classification_units(table, said)
    else:
        units = detection_units(table, said, iou=asked.iou, confidence=asked.confidence)
        columns += BOX_UNIT_COLUMNS
    types = {c: pa.float64() if c in _NUMBERS else pa.string() for c in ["unit", *columns]} | {"failure": pa.bool_()}
    frame = units.reset_index()
    return pa.table({c: pa.array(frame[c], type_, from_pandas=True) for c, type_ in types.items()})


def _levels(asked: _Asked, labels: pa.Table, predictions: pa.Table) -> pa.Table:
    """Return how many boxes of each confidence match in one partition; a row without one counts the labelled boxes."""
    import pyarrow as pa

    levels, n_labelled = confidence_levels(*_read(asked, labels, predictions), iou=asked.iou)
    rows = pd.concat([levels.assign(labelled=0), pd.DataFrame({"boxes": [0], "hits": 0, "labelled": n_labelled})])
    types = {"confidence": pa.float64(), "boxes": pa.int64(), "hits": pa.int64(), "labelled": pa.int64()}
    return pa.table({c: pa.array(rows[c], type_, from_pandas=True) for c, type_ in types.items()})


def _read(asked: _Asked, labels: pa.Table, predictions: pa.Table) -> tuple[SampleTable, Predictions]:
    table = label_table(labels.to_pandas(), asked.task)
    return table, prediction_table(predictions.to_pandas(), table, asked.model)
