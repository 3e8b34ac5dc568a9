"""One model's predictions, in whatever format, to a checked frame and a list of everything that was noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import (
    TASKS,
    Finding,
    InvalidInputError,
    Predictions,
    SampleTable,
    SourceError,
    Task,
    check_choice,
    check_name,
    check_unique,
    did_you_mean,
    listed,
)
from slicelab.sources._check_boxes import check_boxes
from slicelab.sources._formats import detect_format
from slicelab.sources._match_images import Positions, Target, frame_sizes, match_images
from slicelab.sources._plain_predictions import plain_classes
from slicelab.sources._prediction_rows import PredictionRows, rows_of_coco, rows_of_table, rows_of_yolo
from slicelab.sources._read_table import Table, read_table
from slicelab.sources._rows import Floats, Objects, Rows, later_repeats, not_none, objects, printable
from slicelab.sources._texts import MAX_PATH, clean_texts

SUM_TOLERANCE = 1e-2
Source = str | Path | pd.DataFrame


def read_predictions(
    source: Source,
    *,
    model: str,
    table: SampleTable | None,
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    categories: dict[int, str] | None = None,
    progress: bool = True,
) -> tuple[Predictions, list[Finding], int]:
    """Read what one model says and check every row against the samples.

    Parameters
    ----------
    source
        A table (CSV, TSV, JSON lines, Parquet, DataFrame) with `key` or `filepath`; for classification `prediction`,
        `confidence` and `p_<class>` (either the prediction or all probabilities are needed); for detection `label`,
        `x`, `y`, `width`, `height` (pixels) and `confidence`. A list of COCO results (JSON). A folder of YOLO files
        with six cells per row.
    model
        Its name.
    table
        The samples. None: any key is taken and boxes aren't compared with frames.
    task, classes
        None: the table's.
    categories
        COCO results: class names by category id, see `read_categories`. None: ids are places in `classes`, if it is
        clear from where they count.
    progress
        Kept for symmetry; nothing here takes long.

    Returns
    -------
    The predictions in the order of the file; findings; rows in the file, which are the loaded and the refused.
    Probabilities that sum to 1 within 0.01 are divided by their sum.

    Raises
    ------
    SourceError
        The file as a whole can't be used. Single bad rows are findings.
    InvalidInputError
        The arguments don't go together.
    """
    names = _names(classes)
    if table is None:
        return _read(source, model, None, task=task, classes=names, categories=categories)
    if task is not None and task != table.task:
        raise InvalidInputError(f"The samples are for {table.task}, but task={task!r}.")
    target = Target.of_table(table, classes=names)
    return _read(source, model, target, task=target.task, classes=target.classes, categories=categories)


def read_predictions_for_suite(
    source: Source,
    *,
    model: str,
    task: Task,
    classes: Sequence[str],
    samples: pd.DataFrame,
    image_ids: Mapping[int | str, str] | None,
    categories: dict[int, str] | None = None,
) -> tuple[Predictions, list[Finding], int]:
    """Read predictions where there are no images: `read_predictions` for the gate.

    Parameters
    ----------
    source, model, categories
        As in `read_predictions`.
    task, classes
        The suite's.
    samples
        Index `key` (unique); columns `width`, `height` in pixels.
    image_ids
        From COCO image ids to keys; None: there are none.
    """
    names = _names(classes) or ()
    target = Target(task, names, samples.index, frame_sizes(samples), None, dict(image_ids or {}))
    return _read(source, model, target, task=task, classes=names, categories=categories)


def _names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    names = None if classes is None else tuple(check_name(c, "class") for c in classes)
    check_unique(names or (), "class")
    return names


def _read(
    source: Source,
    model: str,
    target: Target | None,
    *,
    task: Task | None,
    classes: tuple[str, ...] | None,
    categories: dict[int, str] | None,
) -> tuple[Predictions, list[Finding], int]:
    check_name(model, "model")
    if task is not None:
        check_choice(task, TASKS, "task")
    found = _open(source, model, target, task=task, classes=classes or (), categories=categories)
    if isinstance(found, Table):
        plain = None if target is None or task != "classification" else plain_classes(found, target, classes or ())
        if plain is not None and target is not None:
            return _plain(source, model, target, found, classes=classes or (), plain=plain)
        found = rows_of_table(found, target, task=task, classes=classes or ())
    if task is not None and found.task != task:
        hint = " Boxes need the columns x, y, width, height." if task == "detection" else ""
        raise SourceError(f"{_file_of(source)} holds predictions for {found.task}, the samples are for {task}.{hint}")
    rows = Rows(f"predictions:{model}", len(found.refs), file=found.file, lines=found.lines, items=found.refs)
    rows.refuse_problems(found.problems)
    keys, positions = _match(rows, found, target)
    texts, problems = clean_texts(found.labels, "label")
    rows.refuse_where(problems, "bad-label")
    _check_confidence(rows, found)
    if found.task == "classification":
        result = _classification(rows, found, keys, texts, classes or found.classes)
    else:
        frames = (
            np.full((len(rows), 2), np.nan)
            if target is None
            else np.append(target.sizes, [[np.nan] * 2], axis=0)[positions]
        )
        result = _detection(rows, found, keys, texts, classes, frames=frames)
    frame, names, probabilities = result
    if target is not None:
        _note_unpredicted(rows, target, positions)
    refused = sum(f.refused for f in found.findings)
    predictions = Predictions(
        model=model,
        task=found.task,
        frame=frame,
        classes=names,
        probabilities=probabilities,
        sha256=found.sha256,
        source=_file_of(source),
    )
    return predictions, [*found.findings, *rows.findings], len(rows) + refused


def _open(
    source: Source,
    model: str,
    target: Target | None,
    *,
    task: Task | None,
    classes: tuple[str, ...],
    categories: dict[int, str] | None,
) -> PredictionRows | Table:
    kind = "table" if isinstance(source, pd.DataFrame) else detect_format(source)
    if kind == "coco-results" and not isinstance(source, pd.DataFrame):
        return rows_of_coco(source, target, classes=classes, categories=categories)
    if kind == "yolo" and not isinstance(source, pd.DataFrame):
        if target is None:
            raise InvalidInputError("YOLO predictions are shares of their images: give table=, which has the sizes.")
        return rows_of_yolo(source, target, model=model, classes=classes)
    if kind in ("coco", "voc", "folder"):
        what = {"coco": "a COCO file of labels; results are a list", "voc": "a folder of VOC labels"}
        raise SourceError(f"{_file_of(source)} holds no predictions: it is {what.get(kind, 'a folder')}.")
    table = read_table(source)
    if not len(table.frame) and task != "detection":
        raise SourceError(f"{table.file} holds no rows.")
    return table


def _plain(
    source: Source,
    model: str,
    target: Target,
    table: Table,
    *,
    classes: tuple[str, ...],
    plain: tuple[pd.DataFrame, Positions],
) -> tuple[Predictions, list[Finding], int]:
    frame, positions = plain
    rows = Rows(f"predictions:{model}", len(frame), file=table.file)
    _note_unpredicted(rows, target, positions)
    read = Predictions(
        model=model,
        task="classification",
        frame=frame,
        classes=classes,
        sha256=table.sha256,
        source=_file_of(source),
    )
    return read, rows.findings, len(rows)


def _match(rows: Rows, found: PredictionRows, target: Target | None) -> tuple[Objects, Positions]:
    """Return each row's key and its place among the samples; refuse rows without."""
    refs, problems = clean_texts(found.refs, "key", limit=MAX_PATH)
    rows.refuse_where(problems, "bad-key")
    rows.refuse(~not_none(refs), "missing-key", "the row names no image")
    if target is None:
        return refs, np.full(len(refs), -1, dtype=np.int64)
    positions, words = match_images(refs, target)
    rows.refuse(positions < 0, "unknown-image", lambda i: f"{refs[i]!r} is none of the {len(target.keys)} samples")
    if words:
        rows.notice_once(rows.kept, "matched-by-path", f"were matched {words}")
    known = objects([*target.keys.tolist(), None])
    return known[positions], positions


def _check_confidence(rows: Rows, found: PredictionRows) -> None:
    values = found.confidence
    rows.refuse(
        ~np.isnan(values) & ~((values >= 0) & (values <= 1)),
        "bad-confidence",
        lambda i: f"the confidence must be from 0 to 1; got {values[i]:g}",
    )
    if found.task == "detection":
        rows.refuse(np.isnan(values), "bad-confidence", "a predicted box needs a confidence from 0 to 1; it has none")


Result = tuple[pd.DataFrame, tuple[str, ...], npt.NDArray[np.float32] | None]


def _classification(
    rows: Rows, found: PredictionRows, keys: Objects, texts: Objects, classes: tuple[str, ...] | None
) -> Result:
    kept_keys = objects([k if ok else None for k, ok in zip(keys, rows.kept, strict=True)])
    rows.refuse(later_repeats(kept_keys), "duplicate-prediction", lambda i: f"{keys[i]!r} was predicted before")
    confidence, probabilities = found.confidence, found.probabilities
    if probabilities is not None and classes:
        probabilities = _check_probabilities(rows, probabilities)
        likeliest = probabilities.argmax(axis=1)
        best = objects([classes[i] for i in likeliest])
        texts = np.where(not_none(texts), texts, best)
        _check_known(rows, texts, classes)
        at = pd.Index(classes, dtype=object).get_indexer(pd.Index(texts, dtype=object))
        chosen = probabilities[np.arange(len(texts)), at]
        confidence = np.where(np.isnan(confidence), chosen, confidence)
        lower = chosen < probabilities.max(axis=1, initial=0) - 1e-3
        rows.notice_once(lower, "prediction-not-likeliest", "predict a class that isn't the likeliest of their own")
    rows.refuse(~not_none(texts), "missing-label", "the row has no prediction")
    _check_known(rows, texts, classes)
    kept = rows.kept
    frame = pd.DataFrame({"label": pd.Series(texts[kept], dtype="str"), "confidence": confidence[kept]})
    frame.index = pd.Index(keys[kept], dtype="str", name="key")
    names = classes or tuple(sorted(frame["label"].unique()))
    return frame, names, None if probabilities is None else probabilities[kept].astype(np.float32)


def _check_probabilities(rows: Rows, values: Floats) -> Floats:
    """Refuse rows that are no distribution; return the others divided by their sums."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(axis=1)
        bad = ~(np.isfinite(values) & (values >= 0)).all(axis=1)
        rows.refuse(
            np.asarray(bad),
            "bad-probability",
            lambda i: f"a probability is negative or not finite: {values[i].min():g}",
        )
        off = ~(np.abs(total - 1) <= SUM_TOLERANCE)
    rows.refuse(off, "bad-probability", lambda i: f"the probabilities must sum to 1; they sum to {total[i]:.6g}")
    rows.notice_once(np.abs(total - 1) > 1e-3, "renormalised", "have probabilities that summed to 1 within 0.01 only")
    return np.where(rows.kept[:, None], values, 0.0) / np.where(rows.kept, total, 1.0)[:, None]


def _detection(
    rows: Rows,
    found: PredictionRows,
    keys: Objects,
    texts: Objects,
    classes: tuple[str, ...] | None,
    *,
    frames: Floats,
) -> Result:
    rows.refuse(~not_none(texts), "unknown-label", _no_class(found, classes))
    _check_known(rows, texts, classes)
    boxes = found.boxes if found.boxes is not None else np.zeros((0, 4))
    boxes = boxes * frames[:, [0, 1, 0, 1]] if found.normalised else boxes
    boxes = check_boxes(rows, boxes, frames, beyond="keep")
    # Counted before refusals, so that an id says which box of its image in the file it is.
    ids = (
        pd.Series(keys, dtype=object).groupby(keys, dropna=False).cumcount() if len(keys) else pd.Series([], dtype=int)
    )
    kept = rows.kept
    frame = pd.DataFrame(
        {
            "key": pd.Series(keys[kept], dtype="str"),
            "box_id": pd.Series(ids.to_numpy()[kept].astype(str), dtype="str"),
            "label": pd.Series(texts[kept], dtype="str"),
            **{name: boxes[kept, i] for i, name in enumerate(("x", "y", "width", "height"))},
            "confidence": found.confidence[kept],
        }
    )
    return frame, classes or tuple(sorted(frame["label"].unique())), None


def _no_class(found: PredictionRows, classes: tuple[str, ...] | None) -> str:
    return f"the row names no class, or a number that stands for none of {listed(classes or found.classes or ())}"


def _check_known(rows: Rows, texts: Objects, classes: tuple[str, ...] | None) -> None:
    if not classes:
        return
    known = frozenset(classes)
    unknown = np.array([t is not None and t not in known for t in texts], dtype=bool)
    hints = {t: did_you_mean(t, classes) for t in set(texts[unknown & rows.kept])}
    rows.refuse(unknown, "unknown-label", lambda i: f"{texts[i]!r} is not among the classes.{hints[texts[i]]}")


def _note_unpredicted(rows: Rows, target: Target, positions: Positions) -> None:
    predicted = np.zeros(len(target.keys) + 1, dtype=bool)
    predicted[positions[rows.kept]] = True
    without = target.keys[~predicted[:-1]].tolist()
    if without:
        reason = f"{len(without)} of {len(target.keys)} samples have no prediction: {listed(without)}"
        rows.findings.append(Finding("unpredicted-image", "", None, without[0], reason, refused=False, rows=rows.rows))


def _file_of(source: Any) -> str:
    return "DataFrame" if isinstance(source, pd.DataFrame) else printable(source)
