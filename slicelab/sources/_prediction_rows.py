"""What every format of predictions is read into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slicelab.core import Finding, SourceError, Task, did_you_mean, listed
from slicelab.sources._match_images import Target, match_ids, match_images
from slicelab.sources._read_coco import Entries, box_values, category_names
from slicelab.sources._read_json import column, decode, hash_bytes, parse_json, read_bytes
from slicelab.sources._read_label_table import table_boxes
from slicelab.sources._read_table import (
    CONFIDENCE_COLUMNS,
    KEY_COLUMNS,
    PATH_COLUMNS,
    PREDICTION_COLUMNS,
    PROBABILITY,
    Table,
)
from slicelab.sources._read_yolo import class_names, name_classes, read_yolo_rows
from slicelab.sources._rows import Floats, Mask, Objects, objects, printable
from slicelab.sources._texts import MAX_PATH, clean_texts, number, numbers


@dataclass
class PredictionRows:
    """Predictions as they stand in a file, one row each.

    Parameters
    ----------
    task
        What they are for.
    refs, labels
        Key or path of the image and class name, as written; None where there is none.
    confidence
        float64 (n,), NaN where there is none.
    file, lines, items, problems
        As in `BoxRows`.
    boxes
        Detection: float64 (n, 4), x, y, width, height in pixels, or in shares of the image when `normalised`.
    probabilities
        Classification: float64 (n, n_classes), or None.
    sha256
        Hex hash of the source.
    """

    task: Task
    refs: Objects
    labels: Objects
    confidence: Floats
    file: str | Objects
    lines: Objects
    problems: Objects
    sha256: str
    boxes: Floats | None = None
    probabilities: Floats | None = None
    normalised: bool = False
    classes: tuple[str, ...] | None = None
    findings: list[Finding] = field(default_factory=list)


def rows_of_table(
    table: Table, target: Target | None, *, task: Task | None, classes: Sequence[str] | None
) -> PredictionRows:
    """Take a table's rows: boxes where it has `x`, `y`, `width`, `height`, else one class per image."""
    is_boxes = table.has_boxes and task != "classification"
    confidence, bad = _confidence(table)
    problems = objects([("bad-confidence", "the confidence is no number") if b else None for b in bad])
    boxes, probabilities, names = None, None, None
    label: str | None
    if is_boxes:
        boxes, bad = table_boxes(table)
        for i in np.flatnonzero(bad).tolist():
            problems[i] = ("bad-box", "x, y, width and height must be numbers")
        label = table.need(PREDICTION_COLUMNS, "predicted class")
    else:
        probabilities, names, bad = _probabilities(table, classes)
        for i in np.flatnonzero(bad).tolist():
            problems[i] = ("bad-probability", "a probability is missing or no number")
        label = table.find(PREDICTION_COLUMNS) if names else table.need(PREDICTION_COLUMNS, "predicted class")
    return PredictionRows(
        task="detection" if is_boxes else "classification",
        refs=_table_refs(table, target),
        labels=objects(table.values(label)),
        confidence=confidence,
        file=table.file,
        lines=objects(table.lines.tolist()),
        problems=problems,
        sha256=table.sha256,
        boxes=boxes,
        probabilities=probabilities,
        classes=names,
    )


def rows_of_coco(
    path: str | Path, target: Target | None, *, classes: Sequence[str], categories: dict[int, str] | None
) -> PredictionRows:
    """Read a list of COCO results: image_id (or key or file name), category_id (or a name), bbox, score."""
    file = printable(path)
    data = read_bytes(path)
    values = parse_json(decode(data, file), file)
    if not isinstance(values, list):
        raise SourceError(f"{file}: COCO results are a list; got {type(values).__name__}. Are these labels?")
    found: Entries = [v if isinstance(v, dict) else None for v in values]
    boxes, problems = box_values(column(found, "bbox"))
    for i, entry in enumerate(found):
        if entry is None:
            problems[i] = ("malformed-row", "a result must be a JSON object")
    refs = _first_of(found, ("image_id", "key", "file_name", "filepath"))
    return PredictionRows(
        task="detection",
        refs=objects(_image_keys(refs, target, file)),
        labels=objects(_labels(found, categories, classes, file)),
        confidence=np.array([number(v) for v in _first_of(found, ("score", "confidence"))], dtype=np.float64),
        file=file,
        lines=objects(list(range(1, len(found) + 1))),
        problems=problems,
        sha256=hash_bytes(data),
        boxes=boxes,
    )


def rows_of_yolo(folder: str | Path, target: Target, *, model: str, classes: Sequence[str]) -> PredictionRows:
    """Read a folder of YOLO files whose sixth cell is the confidence; a file belongs to the image of its name."""
    names = tuple(classes) or class_names(folder)
    rows = read_yolo_rows(os.path.abspath(folder), rows=f"predictions:{model}")
    by_stem: dict[str, str | None] = {}
    for key, path in zip(target.keys, target.keys if target.filepaths is None else target.filepaths, strict=True):
        for stem in {os.path.splitext(key)[0], os.path.splitext(os.path.basename(path))[0]}:
            by_stem[stem] = None if stem in by_stem else key
    by_stem |= {os.path.splitext(key)[0]: key for key in target.keys}
    keys = [by_stem.get(s) or s for s in rows.stems]
    return PredictionRows(
        task="detection",
        refs=objects([keys[i] for i in rows.of]),
        labels=name_classes(rows, names),
        confidence=rows.confidence,
        file=rows.files,
        lines=rows.lines,
        problems=rows.problems,
        sha256=rows.sha256,
        boxes=rows.boxes,
        normalised=True,
        findings=rows.findings,
    )


def _table_refs(table: Table, target: Target | None) -> Objects:
    """Return the column that names the images: of several (`id` and `filepath`) the one that finds most samples."""
    names = (*KEY_COLUMNS, *PATH_COLUMNS)
    first = table.need(names, "key or file of the image")
    there = [n for n in names if n in table.frame.columns]
    if target is None or len(there) == 1:
        return objects(table.values(first))
    columns = [clean_texts(table.values(n), "key", limit=MAX_PATH)[0] for n in there]
    found = [int((match_images(refs, target)[0] >= 0).sum()) for refs in columns]
    return objects(table.values(there[int(np.argmax(found))]))


def _confidence(table: Table) -> tuple[Floats, Mask]:
    name = table.find(CONFIDENCE_COLUMNS)
    if name is None:
        return np.full(len(table.frame), np.nan), np.zeros(len(table.frame), dtype=bool)
    return numbers(table.frame[name])


def _probabilities(table: Table, classes: Sequence[str] | None) -> tuple[Floats | None, tuple[str, ...] | None, Mask]:
    """Return the `p_<class>` columns in the order of the classes, the classes, and the rows that lack a number."""
    there = [str(c)[len(PROBABILITY) :] for c in table.frame.columns if str(c).startswith(PROBABILITY)]
    names = tuple(there) if not classes else tuple(classes)
    none = np.zeros(len(table.frame), dtype=bool)
    if not set(there) & set(names):
        return None, None, none
    missing = [n for n in names if n not in there]
    surplus = [n for n in there if n not in names]
    if missing or surplus:
        hint = did_you_mean(surplus[0], names) if surplus else ""
        raise SourceError(
            f"{table.file}: every class needs its column of probabilities and no other may be there. "
            f"Missing: {listed([PROBABILITY + n for n in missing]) or 'none'}; "
            f"of no class: {listed([PROBABILITY + n for n in surplus]) or 'none'}.{hint}"
        )
    parsed = [numbers(table.frame[PROBABILITY + n]) for n in names]
    matrix = np.column_stack([values for values, _ in parsed]).reshape(len(table.frame), len(names))
    return matrix, names, np.asarray(np.isnan(matrix).any(axis=1))


def _first_of(found: Entries, names: Sequence[str]) -> list[Any]:
    values = column(found, names[0])
    for name in names[1:]:
        if any(v is None for v in values):
            values = [b if a is None else a for a, b in zip(values, column(found, name), strict=True)]
    return values


def _labels(found: Entries, categories: dict[int, str] | None, classes: Sequence[str], file: str) -> list[Any]:
    names = _first_of(found, ("category", "label", "category_name"))
    ids = column(found, "category_id")
    if all(n is not None or i is None for n, i in zip(names, ids, strict=True)):
        return names
    known = set(classes)
    names = [i if n is None and isinstance(i, str) and i in known else n for n, i in zip(names, ids, strict=True)]
    rest = [i if n is None else None for n, i in zip(names, ids, strict=True)]
    by_id = category_names(rest, categories, classes, file)
    return [b if n is None else n for n, b in zip(names, by_id, strict=True)]


def _image_keys(refs: list[Any], target: Target | None, file: str) -> list[Any]:
    if target is None:
        return refs
    keys = match_ids(refs, target)
    if not target.image_ids and any(isinstance(r, int) for r in refs):
        known = set(target.keys)
        if not any(k in known for k in keys):
            raise SourceError(
                f"{file}: it names images by number ({listed(refs)}), and the samples have no COCO image ids. "
                "Load the labels from COCO, or write keys or file names as image_id."
            )
    return keys
