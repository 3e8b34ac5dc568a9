"""Labels from a table: one row per image (classification) or one row per box (detection)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import Task
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._read_table import (
    BOX_NUMBERS,
    KEY_COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    Table,
    metadata_of,
)
from slicelab.sources._rows import Floats, Mask, Objects, objects
from slicelab.sources._texts import numbers


def read_label_table(table: Table, *, task: Task | None, need_labels: bool = True) -> LabelSource:
    """Take a table's rows for labels.

    Parameters
    ----------
    table
        Needs a column for the file (`filepath`, `path`, `file_name`, `image`) and one for the label (`label`, `class`).
        `key` or `id` are the user's own ids. With `x`, `y`, `width`, `height` (pixels) every row is a box; a row with
        neither box nor label says that the image has no objects. Whatever else it has is metadata.
    task
        None: detection when it has boxes.
    need_labels
        False: it may lack a column for the label.
    """
    path = table.need(PATH_COLUMNS, "file")
    label = table.need(LABEL_COLUMNS, "label") if need_labels else table.find(LABEL_COLUMNS)
    key = table.find(KEY_COLUMNS)
    if table.has_boxes and task != "classification":
        return _boxes(table, path, label, key)
    metadata = metadata_of(table, [path, label, key])
    images = ImageRows.of(
        table.values(path),
        file=table.file,
        keys=table.values(key),
        labels=table.values(label),
        lines=table.lines.tolist(),
        metadata=metadata,
    )
    images.has_keys = key is not None
    return LabelSource(task=task or "classification", images=images, folder=table.folder)


def _boxes(table: Table, path: str, label: str | None, key: str | None) -> LabelSource:
    refs = table.values(path)
    texts = [r if isinstance(r, str) and r else None for r in refs]
    codes, _ = pd.factorize(objects(texts), use_na_sentinel=True)
    known = codes >= 0
    first = np.unique(codes[known], return_index=True)[1]
    rows_of_images = np.flatnonzero(known)[first]
    boxes, bad = table_boxes(table)
    labels = objects(table.values(label))
    no_label = np.array([v is None or v == "" or v != v for v in labels], dtype=bool)
    background = np.asarray(np.isnan(boxes).all(axis=1)) & ~bad & no_label & known
    problems = objects([("bad-box", "x, y, width and height must be numbers") if b else None for b in bad])
    for i in np.flatnonzero(~known).tolist():
        problems[i] = ("missing-path", f"the cell for the file is empty or no text: {refs[i]!r:.60}")
    rows = np.flatnonzero(~background)
    images = ImageRows.of(
        [refs[i] for i in rows_of_images],
        file=table.file,
        keys=_pick(table.values(key), rows_of_images),
        lines=table.lines[rows_of_images].tolist(),
    )
    images.has_keys = key is not None
    crowd = objects(table.values(table.find(("crowd", "iscrowd"))))
    return LabelSource(
        task="detection",
        images=images,
        boxes=BoxRows(
            images=codes[rows].astype(np.int64),
            labels=labels[rows],
            label_ids=_pick(table.values(table.find(("label_id",))), rows),
            boxes=boxes[rows],
            crowd=np.array([str(v).lower() in ("1", "1.0", "true") for v in crowd[rows]], dtype=bool),
            file=table.file,
            lines=objects(table.lines[rows].tolist()),
            items=objects([refs[i] for i in rows]),
            problems=problems[rows],
        ),
        folder=table.folder,
    )


def table_boxes(table: Table) -> tuple[Floats, Mask]:
    """Return x, y, width, height of each row as float64 (n, 4), and which rows hold something that is no number."""
    columns, bad = [], np.zeros(len(table.frame), dtype=bool)
    for names in BOX_NUMBERS:
        values, wrong = numbers(table.frame[table.need(names, names[0])])
        columns.append(values)
        bad |= wrong & ~_says_nan(table.frame[table.need(names, names[0])])
    return np.column_stack(columns), bad


def _says_nan(values: pd.Series) -> Mask:
    """Tell which cells say NaN in so many letters: those are numbers, but not finite."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return np.asarray(values.isna(), dtype=bool)
    return np.array(
        [(isinstance(v, str) and v.strip().lower() == "nan") or v != v for v in values.tolist()], dtype=bool
    )


def _pick(values: Sequence[Any], rows: Any) -> Objects:
    return objects([values[i] for i in rows])
