"""Labels and images as they are now, to compare with what a suite froze; no image is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from slicelab.core import TEXT, Finding, SampleTable, SourceError, Task, hash_file
from slicelab.sources._label_source import BoxRows, LabelSource
from slicelab.sources._match_images import Target, frame_sizes, match_images
from slicelab.sources._open_labels import open_labels
from slicelab.sources._read_samples import empty_boxes, label_ids
from slicelab.sources._rows import Objects, Rows, not_none, objects, printable
from slicelab.sources._texts import clean_texts


def read_labels_for_suite(
    source: str | Path,
    *,
    task: Task,
    classes: Sequence[str],
    samples: pd.DataFrame,
    image_ids: Mapping[int | str, str] | None = None,
) -> tuple[SampleTable, list[Finding]]:
    """Read a file of labels for the gate, which has no images.

    Parameters
    ----------
    source
        As `read_samples` takes labels; not YOLO, whose boxes can't be read without images.
    task, classes, samples
        The suite's. Its samples give width, height and media of what the labels are for.
    image_ids
        From COCO image ids to keys; None: there are none.

    Returns
    -------
    The suite's samples that the file lists, with the labels that stand there (rows on other images are left out), and
    the refusals on them.

    Raises
    ------
    SourceError
        It can't be read, is for another task, or names none of the suite's images.
    """
    found, _ = open_labels(None, source, task=task, classes=tuple(classes))
    if found.task != task:
        raise SourceError(f"{printable(source)} holds labels for {found.task}, the suite is for {task}.")
    target = Target(task, tuple(classes), samples.index, frame_sizes(samples), None, dict(image_ids or {}))
    names = objects([k if k is not None else r for k, r in zip(found.images.keys, found.images.refs, strict=True)])
    positions, _ = match_images(names, target)
    if not (positions >= 0).any():
        raise SourceError(
            f"{printable(source)} names none of the suite's {len(samples)} images: it has some like "
            f"{next(iter(names), None)!r}, the suite like {next(iter(samples.index), None)!r}."
        )
    kept = samples.iloc[np.unique(positions[positions >= 0])].drop(columns="label", errors="ignore")
    if found.boxes is not None:
        boxes, refused = _boxes(found.boxes, positions, samples.index, source)
        return SampleTable(task, kept, boxes, tuple(classes)), [*_on_suite(found), *refused]
    texts, _ = clean_texts(found.images.labels, "label")
    labels = pd.Series(texts, index=samples.index.take(np.maximum(positions, 0)), dtype=TEXT)[positions >= 0]
    twice = labels.index.duplicated(keep=False) & labels.index.isin(labels.index[labels.index.duplicated()])
    if (labels[twice].groupby(level=0).nunique(dropna=False) > 1).any():
        raise SourceError(f"{printable(source)} gives images of the suite two labels. Keep one for each.")
    kept = kept.assign(label=labels[~labels.index.duplicated()].reindex(kept.index))
    return SampleTable(task, kept, empty_boxes(), tuple(classes)), _on_suite(found)


def _boxes(
    boxes: BoxRows, positions: np.ndarray[tuple[int], np.dtype[np.int64]], keys: pd.Index, source: str | Path
) -> tuple[pd.DataFrame, list[Finding]]:
    if boxes.normalised:
        raise SourceError(f"{printable(source)} gives boxes in shares of the image; give labels in pixels (COCO, CSV).")
    rows = Rows("labels", len(boxes), file=boxes.file, lines=boxes.lines, items=boxes.items)
    at = np.append(positions, -1)[boxes.images]
    inside = at >= 0
    problems: Objects = boxes.problems.copy()
    problems[~inside] = None
    rows.refuse_problems(problems)
    texts, _ = clean_texts(boxes.labels, "label")
    ids = label_ids(rows, boxes)
    kept = rows.kept & inside & not_none(texts)
    frame = pd.DataFrame(
        {
            "key": pd.Series(keys.take(np.maximum(at, 0))[kept], dtype=TEXT),
            "label_id": pd.Series(ids[kept], dtype=TEXT),
            "label": pd.Series(texts[kept], dtype=TEXT),
            **{name: boxes.boxes[kept, i] for i, name in enumerate(("x", "y", "width", "height"))},
            "crowd": boxes.crowd[kept],
        }
    )
    return frame, rows.findings


def _on_suite(found: LabelSource) -> list[Finding]:
    return [f for f in found.findings if f.refused]


def hash_images(keys: Sequence[str], folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of the files that keys name below a folder; those that aren't there are left out.

    Raises
    ------
    SourceError
        There is no such folder.
    """
    paths = locate_keys(keys, folder)
    return {key: hash_file(path) for key, path in paths.items()}


def locate_keys(keys: Sequence[str], folder: str | Path) -> dict[str, Path]:
    """Return the files that keys name below a folder; a key that leads out of it names nothing."""
    root = Path(folder)
    if not root.is_dir():
        raise SourceError(f"There is no folder of images {printable(folder)}.")
    root = root.resolve()
    found = {}
    for key in keys:
        try:
            path = (root / key).resolve()
            if path.is_relative_to(root) and path.is_file():
                found[key] = path
        except (OSError, ValueError):  # a key needn't be the name of a file at all
            continue
    return found
