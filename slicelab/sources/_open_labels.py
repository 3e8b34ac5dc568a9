"""Which reader reads which labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import InvalidInputError, SourceError, Task, listed
from slicelab.sources._formats import detect_format
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._read_coco import read_coco
from slicelab.sources._read_label_table import read_label_table
from slicelab.sources._read_table import read_table
from slicelab.sources._read_voc import read_voc
from slicelab.sources._read_yolo import read_yolo
from slicelab.sources._rows import objects, printable
from slicelab.sources._walk_folder import FolderListing, walk_images

_SPLITS = {"train", "val", "valid", "validation", "test"}
Images = str | Path | Sequence[str | Path] | pd.Series | pd.DataFrame | None
Labels = str | Path | Sequence[Any] | pd.Series | pd.DataFrame | None


def open_labels(
    images: Images, labels: Labels, *, task: Task | None, classes: tuple[str, ...] | None
) -> tuple[LabelSource, FolderListing | None]:
    """Return the labels and, where `images` is a folder, what is in it.

    Raises
    ------
    SourceError
        They can't be read.
    InvalidInputError
        The arguments don't go together.
    """
    if isinstance(images, pd.DataFrame):
        if labels is not None:
            raise InvalidInputError("images is a DataFrame, so labels must be one of its columns; leave labels= out.")
        return read_label_table(read_table(images), task=task, need_labels=False), None
    if images is not None and not isinstance(images, (str, Path)):
        return _from_list(images, labels, task), None
    if images is None:
        if labels is None:
            raise InvalidInputError("Give images=, or labels= that say where the images are.")
        return _from_labels(labels, None, task, classes), None
    pictures = walk_images(images)
    if labels is None:
        return _from_folders(pictures, task), pictures
    source = _from_labels(labels, pictures, task, classes)
    # The names of files that the labels don't list are no rows of this load.
    found = [replace(f, refused=False) for f in pictures.findings] if source.lists_images else pictures.findings
    source.findings.extend(found)
    return source, pictures


def _from_labels(
    labels: Labels, pictures: FolderListing | None, task: Task | None, classes: tuple[str, ...] | None
) -> LabelSource:
    if isinstance(labels, pd.DataFrame):
        return read_label_table(read_table(labels), task=task)
    if not isinstance(labels, (str, Path)):
        raise InvalidInputError(f"labels must be a path or a DataFrame where images is a folder; got {type(labels)}.")
    kind = detect_format(labels)
    if kind in ("voc", "yolo"):
        if pictures is None:
            raise InvalidInputError(f"{kind} labels need images=, the folder of images.")
        return read_voc(labels, pictures) if kind == "voc" else read_yolo(labels, pictures, classes=classes)
    if kind == "coco":
        return read_coco(labels)
    if kind in ("folder", "coco-results"):
        what = "a folder without labels" if kind == "folder" else "a list of COCO results, which are predictions"
        raise SourceError(f"{printable(labels)} is {what}; give a file of labels.")
    return read_label_table(read_table(labels), task=task)


def _from_list(images: Any, labels: Labels, task: Task | None) -> LabelSource:
    files = [os.fspath(p) if isinstance(p, (str, os.PathLike)) else p for p in images]
    if isinstance(labels, (str, Path, pd.DataFrame)):
        raise InvalidInputError("images is a list, so labels must be a list too, or give the folder of images.")
    answers = [None] * len(files) if labels is None else list(labels)
    if len(answers) != len(files):
        raise InvalidInputError(f"There are {len(files)} images and {len(answers)} labels; give one for each.")
    if not files:
        raise InvalidInputError("The list of images is empty.")
    rows = list(range(1, len(files) + 1))
    source = LabelSource(
        task=task or "classification", images=ImageRows.of(files, file="list", labels=answers, lines=rows)
    )
    return _without_boxes(source) if task == "detection" else source


def _from_folders(pictures: FolderListing, task: Task | None) -> LabelSource:
    if not pictures.files and not pictures.refused:
        raise SourceError(f"There are no images in {printable(pictures.root)}.")
    labels = [f.split("/", 1)[0] if "/" in f else None for f in pictures.files]
    names = {n for n in labels if n is not None}
    source = LabelSource(
        task=task or "classification",
        images=ImageRows.of(pictures.files, file=pictures.root, labels=labels),
        findings=list(pictures.findings),
        lists_images=False,
    )
    if task == "detection":
        return _without_boxes(source)
    if names and names <= _SPLITS and any(f.count("/") > 1 for f in pictures.files):
        found = listed(sorted(names))
        raise SourceError(
            f"{printable(pictures.root)} holds splits ({found}), not classes. Give one of them as images."
        )
    return source


def _without_boxes(source: LabelSource) -> LabelSource:
    none = objects([])
    source.boxes = BoxRows(
        np.zeros(0, dtype=np.int64), none, none, np.zeros((0, 4)), np.zeros(0, dtype=bool), "", none, none, none
    )
    source.images.labels = objects([None] * len(source.images))
    return source
