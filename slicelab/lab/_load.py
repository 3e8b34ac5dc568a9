"""From files to a dataset: read and check everything first, then write it at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicelab.core import TEXT, Finding, InvalidInputError, LoadRefusedError, LoadReport, Predictions, SampleTable, Task
from slicelab.lab._first_map import running_loop, warm_up
from slicelab.lab._lab import Lab
from slicelab.store import Datasets, check_group, connect, read_foreign

if TYPE_CHECKING:
    import fiftyone as fo

log = logging.getLogger("slicelab")

Source = str | Path | pd.DataFrame


def load(
    name: str,
    images: Source | Sequence[str] | None = None,
    labels: Source | None = None,
    predictions: Mapping[str, Source] | None = None,
    *,
    dataset: str | fo.Dataset | None = None,
    label_field: str = "ground_truth",
    prediction_fields: Mapping[str, str] | None = None,
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    overwrite: bool = False,
    clip_boxes: bool = False,
    group: str | None = None,
    progress: bool = True,
) -> Lab:
    """Load images, labels and the predictions of models into a persistent dataset.

    Everything is read and checked first; then it is written at once. The same load twice changes nothing. New
    samples and new models are added to a dataset that is there.

    Parameters
    ----------
    name
        Of the dataset.
    images
        A folder, or a list of files. None: no new images, only predictions for the samples that are there.
    labels
        None: a folder per class. Else a CSV, Parquet or JSONL file or a DataFrame (`filepath`, `label`, more columns),
        a COCO JSON file, a folder of Pascal VOC XML, or a YOLO `data.yaml`.
    predictions
        By model name. A CSV, Parquet or JSONL file or a DataFrame (`filepath`, `prediction`, `confidence`,
        `p_<class>` columns), COCO results, or a folder of YOLO text files with a sixth column.
    dataset
        Instead of files: a FiftyOne dataset, or the name of one in FiftyOne's own store.
    label_field, prediction_fields
        Its fields: of the labels, and by model name of the predictions.
    task, classes
        None: found out from the labels.
    strict
        Refuse the whole load when one row is refused.
    overwrite
        Replace the dataset of that name.
    clip_boxes
        Cut labelled boxes that stick out of their image by more than 1 px, instead of refusing them. Predicted boxes
        that stick out are kept as they are.
    group
        Metadata column whose equal values mark images that aren't independent, such as the video of a frame or the
        patient of a scan; intervals and tests count groups. A missing value is a group of its own. None: what the
        dataset says already, and for a new one each image by itself; `lab.groups.set` changes it.
    progress
        Show progress bars.

    Returns
    -------
    Lab
        `lab.load_report` counts every row: rows in = loaded + refused, and each refusal has file, line and reason.

    Raises
    ------
    InvalidInputError
        `group` is no metadata column.
    LoadRefusedError
        Nothing can be loaded (or `strict` and a row was refused); nothing was written; `report` says why.
    SourceError
        A file can't be read as what it was given for.
    ConflictError
        Labels or media differ from those of the dataset that is there.
    """
    clock = _Clock()
    connection = connect()
    store = Datasets(connection)
    present = name in store.names() and not overwrite
    if dataset is not None:
        table, models, findings, rows = read_foreign(
            connection,
            dataset,
            label_field=label_field,
            prediction_fields=prediction_fields or {},
            metadata_fields=() if group is None else (group,),
        )
        roots = _roots(table)
    elif images is None:
        if not present:
            raise InvalidInputError(f"There is no dataset {name!r} yet; load(...) needs images= (a folder or files).")
        table, findings, rows, roots = store.read_table(name), [], {}, []
        models = []
    else:
        from slicelab.sources import read_samples

        table, findings, rows = read_samples(
            images, labels, task=task, classes=classes, clip_boxes=clip_boxes, progress=progress
        )
        models, roots = [], _roots(table)
    clock.lap("read samples")
    categories = _categories(table, labels) or (store.info(name).coco_categories if present else {})
    read, more, counts = _read_models(predictions or {}, table, categories, progress=progress)
    models, findings, rows = [*models, *read], [*findings, *more], {**rows, **counts}
    clock.lap("read predictions")
    report = LoadReport(rows, _loaded(rows, findings), tuple(findings), {}, clock.laps)
    _refuse_if_hopeless(report, table, strict=strict)
    table = _with_group(store, name, table, group, present=present)
    if present:
        new, models, unchanged = _difference(
            store, name, table, models, check=images is not None or dataset is not None
        )
        if len(new.samples) or models:
            store.add(name, new, models, progress=progress)
        store.set_group(name, table.group)
        report = replace(report, unchanged=unchanged)
    else:
        store.create(
            name, table, models, media_roots=roots, categories=categories, overwrite=overwrite, progress=progress
        )
    clock.lap("write")
    lab = Lab(connection, name)
    lab.load_report = replace(report, seconds=clock.laps)
    return lab


def open_lab(name: str) -> Lab:
    """Open a dataset that was loaded before.

    Parameters
    ----------
    name
        Of the dataset.

    Raises
    ------
    NotFoundError
        There is none of that name.
    """
    connection = connect()
    Datasets(connection).info(name)
    lab = Lab(connection, name)
    if running_loop() is not None and not lab.has_map():
        warm_up()  # while the notebook goes on
    return lab


class _Clock:
    """Wall time per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = round(now - self._last, 3)
        self._last = now


def _roots(table: SampleTable) -> list[str]:
    """Return the folders below which all images lie: those that hold no other."""
    folders = sorted({str(Path(p).parent) for p in table.samples["filepath"]}, key=len)
    roots: list[str] = []
    for folder in folders:
        if not any(Path(folder).is_relative_to(root) for root in roots):
            roots.append(folder)
    return roots


def _read_models(
    predictions: Mapping[str, Source], table: SampleTable, categories: Mapping[int, str], *, progress: bool
) -> tuple[list[Predictions], list[Finding], dict[str, int]]:
    from slicelab.sources import read_predictions

    models, findings, rows = [], [], {}
    for model, source in predictions.items():
        read, found, n = read_predictions(
            source, model=model, table=table, categories=dict(categories) or None, progress=progress
        )
        models.append(read)
        findings.extend(found)
        rows[f"predictions:{model}"] = n
    return models, findings, rows


def _categories(table: SampleTable, labels: Source | None) -> dict[int, str]:
    """Return class names by COCO category id; empty where the labels aren't COCO."""
    from slicelab.sources import detect_format, read_categories

    if table.task != "detection" or not isinstance(labels, (str, Path)) or detect_format(labels) != "coco":
        return {}
    return read_categories(labels)


def _loaded(rows: dict[str, int], findings: Sequence[Finding]) -> dict[str, int]:
    refused = dict.fromkeys(rows, 0)
    for finding in findings:
        if finding.refused:
            refused[finding.rows] += 1
    return {kind: n - refused[kind] for kind, n in rows.items()}


def _with_group(store: Datasets, name: str, table: SampleTable, group: str | None, *, present: bool) -> SampleTable:
    """Say in the table which column holds the groups: the one asked for, else the one the dataset has by now."""
    old = store.info(name) if name in store.names() else None
    columns = [*table.metadata_columns, *(old.metadata_columns if old is not None and present else ())]
    check_group(group, columns)
    if group is None and old is not None and old.group is not None:
        if old.group in columns:
            return replace(table, group=old.group)
        log.warning(
            "The groups of %s were those of the column %r, which isn't there any more; each image is by itself now. "
            "Pass group=, or call lab.groups.set.",
            name,
            old.group,
        )
    return replace(table, group=group)


def _refuse_if_hopeless(report: LoadReport, table: SampleTable, *, strict: bool) -> None:
    if strict and not report.ok:
        raise LoadRefusedError(f"The load was refused, nothing was written: strict=True and\n{report}", report)
    if not len(table.samples):
        raise LoadRefusedError(f"There is nothing to load; nothing was written.\n{report}", report)


def _difference(
    store: Datasets, name: str, table: SampleTable, models: Sequence[Predictions], *, check: bool
) -> tuple[SampleTable, list[Predictions], dict[str, int]]:
    """Find what is new; raise `LoadRefusedError` where what is there differs."""
    info = store.info(name)
    old = store.read_table(name, label_field="ground_truth")
    if table.task != info.task:
        raise LoadRefusedError(f"Dataset {name!r} is for {info.task}, these labels are for {table.task}.")
    known = table.samples.index[table.samples.index.isin(old.samples.index)]
    if check:
        _refuse_differences(name, table, old, known)
    new = table.samples[~table.samples.index.isin(known)]
    boxes = table.boxes[table.boxes["key"].isin(new.index)]
    fresh: list[Predictions] = []
    unchanged: dict[str, Any] = {"samples": len(known)} if check else {}
    for model in models:
        entry = info.models.get(model.model)
        if entry is None:
            fresh.append(model)
        elif entry["sha256"] == model.sha256:
            unchanged[f"predictions:{model.model}"] = len(model.frame)
        else:
            raise LoadRefusedError(
                f"Dataset {name!r} has other predictions of model {model.model!r}, from {entry['source']!r}. "
                "Give these another model name, or pass overwrite=True to replace the whole dataset."
            )
    return replace(table, samples=new, boxes=boxes.reset_index(drop=True)), fresh, unchanged


def _refuse_differences(name: str, table: SampleTable, old: SampleTable, known: pd.Index[str]) -> None:
    now, before = table.samples.loc[known], old.samples.loc[known]
    media = now.index[(now["sha256"] != before["sha256"]).to_numpy()]
    labels = known[(_signatures(table).loc[known] != _signatures(old).loc[known]).to_numpy()]
    for keys, what in ((media, "another picture"), (labels, "other labels")):
        if len(keys):
            raise LoadRefusedError(
                f"Dataset {name!r} holds {what} for {len(keys)} of these samples, first {keys[0]!r}. "
                "Nothing was written. Load under another name, or pass overwrite=True to replace the dataset."
            )


def _signatures(table: SampleTable) -> pd.Series[str]:
    """Say what labels a sample has, in one text: for classification its class, for detection all its boxes."""
    if table.task == "classification":
        return table.samples["label"].fillna("")
    boxes = table.boxes
    corners = boxes[["x", "y", "width", "height"]].round(2).astype(TEXT)
    text = (
        boxes["label_id"]
        + " "
        + boxes["label"]
        + " "
        + corners["x"]
        + " "
        + corners["y"]
        + " "
        + corners["width"]
        + " "
        + corners["height"]
    )
    joined = text.groupby(boxes["key"]).agg(lambda rows: "\n".join(sorted(rows)))
    return joined.reindex(table.samples.index, fill_value="")


def datasets() -> list[str]:
    """Return the names of the datasets that were loaded, sorted."""
    return Datasets(connect()).names()
