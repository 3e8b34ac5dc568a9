"""What every label format is read into, before any image was opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Finding, Task
from slicelab.sources._rows import Floats, Mask, Objects, objects


@dataclass
class ImageRows:
    """The images that a label source lists, one row each, as they stand there.

    Parameters
    ----------
    refs
        Paths as written. None where there is none.
    keys, labels
        The user's own ids, class names (classification); None where there are none.
    file, lines
        Where each row stands.
    problems
        (kind, reason) for rows that can't be used; None for the others.
    sizes
        float64 (n, 2), the width and height that the source claims; NaN: it claims none.
    metadata
        The user's other columns.
    has_keys
        True: `keys` are the user's own, so every row must have one.
    """

    refs: Objects
    file: str | Objects
    keys: Objects
    labels: Objects
    lines: Objects
    problems: Objects
    sizes: Floats
    metadata: pd.DataFrame
    has_keys: bool = False

    @classmethod
    def of(
        cls,
        refs: Sequence[Any] | Objects,
        *,
        file: str | Objects,
        keys: Sequence[Any] | Objects | None = None,
        labels: Sequence[Any] | Objects | None = None,
        lines: Sequence[Any] | Objects | None = None,
        problems: Objects | None = None,
        sizes: Floats | None = None,
        metadata: pd.DataFrame | None = None,
    ) -> ImageRows:
        """Make them, with None for whatever isn't given."""
        n = len(refs)
        return cls(
            refs=objects(refs),
            file=file,
            keys=_or_none(keys, n),
            labels=_or_none(labels, n),
            lines=_or_none(lines, n),
            problems=_or_none(problems, n),
            sizes=np.full((n, 2), np.nan) if sizes is None else sizes,
            metadata=pd.DataFrame(index=range(n)) if metadata is None else metadata,
        )

    def __len__(self) -> int:
        return len(self.refs)


@dataclass
class BoxRows:
    """The labelled boxes of a label source, one row each.

    Parameters
    ----------
    images
        int64 (n,), the row of `ImageRows` to which each belongs; -1: to none.
    labels, label_ids
        Class names and ids as written; None where there is none.
    boxes
        float64 (n, 4): x, y, width, height, in pixels, or in shares of the image when `normalised`.
    crowd
        bool (n,).
    file, lines, items
        Where each row stands and what it concerns.
    problems
        (kind, reason) for rows that can't be used; None for the others.
    """

    images: npt.NDArray[np.int64]
    labels: Objects
    label_ids: Objects
    boxes: Floats
    crowd: Mask
    file: str | Objects
    lines: Objects
    items: Objects
    problems: Objects
    normalised: bool = False

    def __len__(self) -> int:
        return len(self.images)


@dataclass
class LabelSource:
    """A label source as it was read.

    Parameters
    ----------
    task
        What its labels are for.
    images, boxes
        Its rows; `boxes` None for classification.
    classes
        Its class names in order; None where it has no list of them.
    folder
        Where the file lies; paths may be relative to it.
    findings
        What the reader noticed, and refusals of rows that are not in `images` and `boxes`.
    lists_images
        False: its images are all those of the folder.
    """

    task: Task
    images: ImageRows
    boxes: BoxRows | None = None
    classes: tuple[str, ...] | None = None
    folder: str | None = None
    findings: list[Finding] = field(default_factory=list)
    lists_images: bool = True


def _or_none(values: Sequence[Any] | Objects | None, n: int) -> Objects:
    return objects([None] * n) if values is None else objects(values)
