"""Tables of samples, labels and predictions, as they come from files and go to the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core._groups import sample_groups

Task = Literal["classification", "detection"]
TASKS = ("classification", "detection")

SAMPLE_COLUMNS = ("filepath", "sha256", "width", "height")
BOX_COLUMNS = ("key", "label_id", "label", "x", "y", "width", "height", "crowd")
PREDICTED_BOX_COLUMNS = ("key", "box_id", "label", "x", "y", "width", "height", "confidence")


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Images with their true labels, checked and complete.

    Parameters
    ----------
    task
        "classification" or "detection".
    samples
        One row per image, index `key` (str, unique). Columns `filepath` (absolute path, str), `sha256` (hex of
        the file's bytes), `width`, `height` (int64, pixels, after EXIF orientation); for classification `label`
        (str, NaN where unknown); then the user's metadata columns.
    boxes
        Detection only, else empty. One row per labelled box with `BOX_COLUMNS`: `key`, `label_id` (str, unique
        within its key), `label`, `x`, `y`, `width`, `height` (float64, pixels, top-left corner), `crowd` (bool).
    classes
        Names of the classes in order.
    group
        Column of `samples` whose equal values mark images that are not independent, such as the video of a frame;
        a missing value is a group of its own. None: each image is a group of its own.
    """

    task: Task
    samples: pd.DataFrame
    boxes: pd.DataFrame
    classes: tuple[str, ...]
    group: str | None = None

    @property
    def metadata_columns(self) -> list[str]:
        """The user's own columns of `samples`."""
        return [c for c in self.samples.columns if c not in (*SAMPLE_COLUMNS, "label")]

    @property
    def groups(self) -> pd.Series[str]:
        """The group of every image, index `key`; units of one group are not independent."""
        return sample_groups(self.samples, self.group)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one model says, checked and complete.

    Parameters
    ----------
    model
        Its name, like "v3".
    task
        "classification" or "detection".
    frame
        Classification: index `key` (unique), columns `label` (str) and `confidence` (float64, NaN where unknown).
        Detection: one row per predicted box with `PREDICTED_BOX_COLUMNS` (`box_id` str, unique within its key).
    classes
        Names of the classes in order.
    probabilities
        Classification only: float32 (n, len(classes)), rows as `frame`, columns as `classes`; None: not given.
    sha256
        Hex hash of the file's bytes (of the frame's content where there was no file).
    """

    model: str
    task: Task
    frame: pd.DataFrame
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32] | None = None
    sha256: str = ""
    source: str = ""
    extra: dict[str, str] = field(default_factory=dict)
