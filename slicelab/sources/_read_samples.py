"""Images and labels, in whatever format, to one checked table and a list of everything that was noticed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slicelab.core import (
    GROUP_ID,
    TASKS,
    TEXT,
    Finding,
    InvalidInputError,
    SampleTable,
    Task,
    check_choice,
    check_name,
    check_unique,
    did_you_mean,
    listed,
)
from slicelab.sources._check_boxes import check_boxes
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._locate_images import absolute, locate_images
from slicelab.sources._open_labels import Images, Labels, open_labels
from slicelab.sources._probe_images import ImageInfo, probe_images
from slicelab.sources._rows import Objects, Rows, later_repeats, not_none, objects, printable
from slicelab.sources._texts import clean_texts, storable
from slicelab.sources._walk_folder import FolderListing

RESERVED = frozenset(
    ("id", "_id", "filepath", "metadata", "tags", "created_at", "last_modified_at", "key", "sha256")
) | {"width", "height", "label", "ground_truth", GROUP_ID}


def read_samples(
    images: Images,
    labels: Labels = None,
    *,
    task: Task | None = None,
    classes: Sequence[str] | None = None,
    root: str | Path | None = None,
    clip_boxes: bool = False,
    verify: bool = True,
    progress: bool = True,
) -> tuple[SampleTable, list[Finding], dict[str, int]]:
    """Read images and their labels and check every row.

    Parameters
    ----------
    images
        A folder, a list of files, or a DataFrame with a row per image. None: `labels` says where the images are.
    labels
        None: one folder per class. A CSV, TSV, JSON-lines or Parquet file or a DataFrame with columns `filepath`,
        `label`, perhaps `key`, and metadata (with `x`, `y`, `width`, `height` in pixels: a row per box). A COCO file.
        A folder of Pascal VOC files. A YOLO `data.yaml` or folder of text files. For a list of images: their labels.
    task
        "classification" or "detection"; None: what the labels are for.
    classes
        Names in order; labels that aren't among them are refused. None: those the labels have.
    root
        Keys are paths relative to it, with '/'. None: the folder of images.
    clip_boxes
        Cut boxes that stick out of their image by more than 1 px at the frame, with a notice. False: refuse them.
    verify
        Decode every image, which alone finds truncated files.
    progress
        Show a progress bar.

    Returns
    -------
    The table; findings (refusals and notices); rows in by kind ("samples", "labels"). For each kind rows in = loaded
    + refused, and each refused row has one finding with `refused=True`. In the table images are in the order of the
    labels' list of images, those of a folder in the order of their paths.

    Raises
    ------
    SourceError
        The labels as a whole can't be used: not there, malformed, columns missing. Single bad rows are findings.
    InvalidInputError
        The arguments don't go together.
    """
    if task is not None:
        check_choice(task, TASKS, "task")
    wanted = None if classes is None else tuple(check_name(c, "class") for c in classes)
    check_unique(wanted or (), "class")
    source, pictures = open_labels(images, labels, task=task, classes=wanted)
    if task is not None and task != source.task:
        raise InvalidInputError(f"The labels are for {source.task}, but task={task!r}. Leave task out, or give others.")
    reading = _read_images(source, pictures, None if root is None else absolute(root), verify=verify, progress=progress)
    names = wanted or _clean_classes(source.classes)
    if source.boxes is None:
        table, label_rows = _classification(source, reading, names)
    else:
        table, label_rows = _detection(source, source.boxes, reading, names, clip=clip_boxes)
    findings = [*source.findings, *reading.rows.findings, *label_rows.findings]
    rows_in = {"samples": len(reading.rows), "labels": len(label_rows)}
    for finding in source.findings:
        rows_in[finding.rows] += finding.refused
    return table, findings, rows_in


@dataclass
class _Reading:
    """The images of a load: which stay, and what they are."""

    rows: Rows
    paths: Objects
    keys: Objects
    infos: list[ImageInfo | None]
    metadata: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return `SampleTable.samples` without labels."""
        kept = np.flatnonzero(self.rows.kept)
        infos = [info for i in kept if (info := self.infos[i]) is not None]
        frame = pd.DataFrame(
            {
                "filepath": pd.Series([self.paths[i] for i in kept], dtype=TEXT),
                "sha256": pd.Series([i.sha256 for i in infos], dtype=TEXT),
                "width": np.array([i.width for i in infos], dtype=np.int64),
                "height": np.array([i.height for i in infos], dtype=np.int64),
            }
        )
        frame.index = pd.Index([self.keys[i] for i in kept], dtype=TEXT, name="key")
        return frame

    def with_metadata(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Add the metadata of the rows that stay."""
        if self.metadata.empty:
            return frame
        metadata = self.metadata[self.rows.kept].set_axis(frame.index)
        return pd.concat([frame, metadata.apply(storable)], axis=1)


def _read_images(
    source: LabelSource, pictures: FolderListing | None, root: str | None, *, verify: bool, progress: bool
) -> _Reading:
    images = source.images
    items = np.where(not_none(images.keys), images.keys, images.refs)
    rows = Rows("samples", len(images), file=images.file, lines=images.lines, items=items)
    rows.refuse_problems(images.problems)
    paths, keys = locate_images(
        rows, images, folder=pictures.root if pictures else None, root=root, beside=source.folder
    )
    infos: list[ImageInfo | None] = [None] * len(images)
    candidates = np.flatnonzero(rows.kept).tolist()
    problems = objects([None] * len(images))
    for i, found in zip(
        candidates, probe_images([paths[i] for i in candidates], verify=verify, progress=progress), strict=True
    ):
        if isinstance(found, ImageInfo):
            infos[i] = found
        else:
            problems[i] = (found.kind, str(found))
    rows.refuse_problems(problems)
    _note_images(rows, images, infos)
    if pictures is not None and source.lists_images:
        _note_unlisted(source, pictures, paths)
    return _Reading(rows, paths, keys, infos, _name_metadata(images.metadata, source))


def _note_images(rows: Rows, images: ImageRows, infos: list[ImageInfo | None]) -> None:
    wrong = np.array([info is not None and info.misnamed != "" for info in infos], dtype=bool)
    rows.notice(
        wrong, "misnamed-file", lambda i: f"its suffix says {_of(infos, i).misnamed}, it is a {_of(infos, i).format}"
    )
    found = np.array([(np.nan, np.nan) if n is None else (n.width, n.height) for n in infos], dtype=np.float64)
    claimed = images.sizes
    other = np.isfinite(claimed).all(axis=1) & (claimed != found.reshape(-1, 2)).any(axis=1)
    rows.notice_once(np.asarray(other), "size-mismatch", "claim another width or height than the upright image has")


def _of(infos: list[ImageInfo | None], i: int) -> ImageInfo:
    info = infos[i]
    if info is None:
        raise LookupError(i)
    return info


def _note_unlisted(source: LabelSource, pictures: FolderListing, paths: Objects) -> None:
    listed_paths = {p for p in paths if p is not None}
    there = [f for f in pictures.files if os.path.join(pictures.root, f) not in listed_paths]
    if there:
        reason = f"{len(there)} images in the folder are not in the labels and are left out: {listed(there)}"
        source.findings.append(
            Finding("unlisted-image", printable(pictures.root), None, there[0], reason, refused=False, rows="samples")
        )


def _name_metadata(metadata: pd.DataFrame, source: LabelSource) -> pd.DataFrame:
    names: dict[str, str] = {}
    for name in metadata.columns:
        plain = re.sub(r"[^\w]", "_", name).lstrip("_")
        safe = f"metadata_{plain}" if plain in RESERVED or name in RESERVED or not plain else plain
        while safe in names.values():
            safe += "_"
        names[name] = safe
        if safe != name:
            file = source.images.file if isinstance(source.images.file, str) else ""
            reason = f"the column {printable(name)!r} is kept as {safe!r}: the name is taken or can't be a field's"
            source.findings.append(
                Finding("renamed-column", file, None, printable(name), reason, refused=False, rows="samples")
            )
    return metadata.rename(columns=names)


def _clean_classes(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    texts, _ = clean_texts(classes, "class")
    return tuple(dict.fromkeys(t for t in texts if t is not None))


def _classification(
    source: LabelSource, reading: _Reading, classes: tuple[str, ...] | None
) -> tuple[SampleTable, Rows]:
    texts, problems = clean_texts(source.images.labels, "label")
    has_label = np.flatnonzero(not_none(texts) | not_none(problems))
    images = source.images
    rows = Rows(
        "labels",
        len(has_label),
        file=images.file if isinstance(images.file, str) else images.file[has_label],
        lines=images.lines[has_label],
        items=images.refs[has_label],
    )
    rows.refuse(~reading.rows.kept[has_label], "refused-image", "its image was refused")
    _check_labels(rows, texts[has_label], problems[has_label], classes)
    labels = objects([None] * len(texts))
    labels[has_label[rows.kept]] = texts[has_label[rows.kept]]
    frame = reading.frame()
    frame["label"] = pd.Series(labels[reading.rows.kept], index=frame.index, dtype=TEXT)
    names = classes or tuple(sorted(frame["label"].dropna().unique()))
    without = np.array([v is None for v in labels], dtype=bool)
    reading.rows.notice_once(without, "unlabelled-image", "have no label")
    return SampleTable("classification", reading.with_metadata(frame), empty_boxes(), names), rows


def _detection(
    source: LabelSource, boxes: BoxRows, reading: _Reading, classes: tuple[str, ...] | None, *, clip: bool
) -> tuple[SampleTable, Rows]:
    rows = Rows("labels", len(boxes), file=boxes.file, lines=boxes.lines, items=boxes.items)
    rows.refuse_problems(boxes.problems)
    rows.refuse(~np.append(reading.rows.kept, False)[boxes.images], "refused-image", "its image was refused")
    texts, problems = clean_texts(boxes.labels, "label")
    _check_labels(rows, texts, problems, classes)
    rows.refuse(~not_none(texts), "missing-label", "the box has no label")
    ids = label_ids(rows, boxes)
    sizes = [(np.nan, np.nan) if n is None else (n.width, n.height) for n in [*reading.infos, None]]
    frames = np.array(sizes, dtype=np.float64)[boxes.images]
    pixels = boxes.boxes * frames[:, [0, 1, 0, 1]] if boxes.normalised else boxes.boxes
    pixels = check_boxes(rows, pixels, frames, beyond="clip" if clip else "refuse")
    kept = rows.kept
    keys = np.append(reading.keys, objects([None]))[boxes.images]
    frame = pd.DataFrame(
        {
            "key": pd.Series(keys[kept], dtype=TEXT),
            "label_id": pd.Series(ids[kept], dtype=TEXT),
            "label": pd.Series(texts[kept], dtype=TEXT),
            **{name: pixels[kept, i] for i, name in enumerate(("x", "y", "width", "height"))},
            "crowd": boxes.crowd[kept],
        }
    )
    names = classes or tuple(sorted(frame["label"].unique()))
    return SampleTable("detection", reading.with_metadata(reading.frame()), frame, names), rows


def label_ids(rows: Rows, boxes: BoxRows) -> Objects:
    """Return the ids of labelled boxes, "row<n>" where there is none; refuse those that can't be ids."""
    ids, problems = clean_texts(boxes.label_ids, "label id")
    rows.refuse_where(problems, "bad-id")
    rows.refuse(
        np.array(["#" in (i or "") for i in ids], dtype=bool), "bad-id", lambda i: f"'#' is in the id {ids[i]!r}"
    )
    ids = objects([f"row{n}" if i is None else i for n, i in enumerate(ids)])
    pairs = objects([(image, i) if ok else None for image, i, ok in zip(boxes.images, ids, rows.kept, strict=True)])
    rows.refuse(later_repeats(pairs), "duplicate-id", lambda i: f"the id {ids[i]!r} was on this image before")
    return ids


def _check_labels(rows: Rows, texts: Objects, problems: Objects, classes: tuple[str, ...] | None) -> None:
    rows.refuse_where(problems, "bad-label")
    if classes is not None:
        known = frozenset(classes)
        unknown = np.array([t is not None and t not in known for t in texts], dtype=bool)
        rows.refuse(
            unknown,
            "unknown-label",
            lambda i: f"{texts[i]!r} is not among the classes.{did_you_mean(texts[i], classes)}",
        )


def empty_boxes() -> pd.DataFrame:
    """Return `SampleTable.boxes` without rows."""
    text, numbers = pd.Series([], dtype=TEXT), np.zeros(0)
    return pd.DataFrame(
        {
            **dict.fromkeys(("key", "label_id", "label"), text),
            **dict.fromkeys(("x", "y", "width", "height"), numbers),
            "crowd": np.zeros(0, dtype=bool),
        }
    )
