"""Find the sample that a row of predictions is about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import SampleTable, Task
from slicelab.sources._rows import Floats, Objects, objects

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Target:
    """What predictions are read for.

    Parameters
    ----------
    task, classes
        As in `SampleTable`.
    keys
        The samples' keys, unique.
    sizes
        float64 (n, 2), width and height of each in pixels; NaN where unknown.
    filepaths
        Their absolute paths; None where there are none.
    image_ids
        From COCO image ids to keys; empty where there are none.
    """

    task: Task
    classes: tuple[str, ...]
    keys: pd.Index
    sizes: Floats
    filepaths: Objects | None
    image_ids: dict[int | str, str]

    @classmethod
    def of_table(cls, table: SampleTable, *, classes: tuple[str, ...] | None = None) -> Target:
        """Make it of the samples of a table; COCO image ids are in its metadata column `coco_image_id`."""
        samples = table.samples
        ids: dict[int | str, str] = {}
        if "coco_image_id" in samples:
            ids = dict(zip(samples["coco_image_id"].tolist(), samples.index.tolist(), strict=True))
        paths = objects(samples["filepath"].tolist())
        return cls(table.task, classes or table.classes, samples.index, frame_sizes(samples), paths, ids)


def frame_sizes(samples: pd.DataFrame) -> Floats:
    """Return width and height of each sample as float64 (n, 2); NaN where there are no such columns."""
    if not {"width", "height"} <= set(samples.columns):
        return np.full((len(samples), 2), np.nan)
    return samples[["width", "height"]].to_numpy(dtype=np.float64, na_value=np.nan)


def match_ids(values: list[Any], target: Target) -> list[Any]:
    """Replace COCO image ids by keys; what is no known id stays, as text."""
    known = target.image_ids
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    ids = [v if isinstance(v, (int, str)) else None for v in whole]
    return [None if v is None else known.get(v, str(v)) for v in ids]


def match_images(refs: Objects, target: Target) -> tuple[Positions, str]:
    """Find each row's sample by its key or path.

    One way of reading the paths holds for all rows: as keys, as absolute paths, or with a beginning that all
    of them share taken off (files that were made on another machine or for another folder). The way that finds most
    samples is taken, keys first, so a stray row can't be matched in a way of its own.

    Returns
    -------
    int64 (n,), positions in `target.keys`, -1 where there is none; and in words what was taken off ('': nothing).
    """
    names = pd.Index(["" if r is None else r for r in refs], dtype=object)
    wanted = int((names != "").sum())
    best, best_words, most = np.full(len(refs), -1, dtype=np.int64), "", 0
    for positions, words in _ways(names, target):
        found = int((positions >= 0).sum())
        if found > most:
            best, best_words, most = positions, words, found
        if most == wanted:
            break
    return best, best_words


def _ways(names: pd.Index, target: Target) -> Iterator[tuple[Positions, str]]:
    keys = target.keys.astype(object)
    yield _places(keys, names), ""
    paths = None if target.filepaths is None else pd.Index(target.filepaths, dtype=object)
    if paths is not None:
        yield _places(paths, names), ""
    if any("\\" in n for n in names):
        names = pd.Index([n.replace("\\", "/") for n in names], dtype=object)
        yield _places(keys, names), ""
    for start in _beginnings(names):
        yield _places(keys, _without(names, start)), f"after {start!r} was taken off the paths in the file"
    if paths is not None:
        for start in _beginnings(paths):
            yield _places(_without(paths, start), names), ""


def _places(known: pd.Index, names: pd.Index) -> Positions:
    return np.asarray(known.get_indexer(names), dtype=np.int64)


def _beginnings(names: pd.Index) -> list[str]:
    """Return the folders that all names are in, deepest first."""
    common = os.path.commonprefix([n for n in names if n])  # noqa: RUF071 - it is cut at its slashes below
    cuts = [i + 1 for i, c in enumerate(common) if c == "/"]
    return [common[:cut] for cut in reversed(cuts)]


def _without(names: pd.Index, start: str) -> pd.Index:
    shorter: pd.Index = pd.Index([n[len(start) :] for n in names], dtype=object)
    return shorter
