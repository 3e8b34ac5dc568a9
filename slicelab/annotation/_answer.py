"""What every reader of a returned file yields: answers as they stand in it, matched with nothing yet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from slicelab.core import Box, visible

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class AnswerBox:
    """A box of an answer, and the task that its mark names ('' where it has none)."""

    box: Box
    task_id: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer as it stands in a returned file.

    Parameters
    ----------
    item
        What to call it in reports.
    line
        1-based line, task or image in the file.
    task_ids
        Task ids that it carries, each once.
    marks_can_move
        True where the ids stand on shapes, which can be copied between images (CVAT); then the name of the image
        must not contradict them.
    sha256, name
        Hash and name of the image, '' where the file doesn't say.
    reviewed
        True: a person submitted it. False: nobody did. None: the format can't say.
    problem
        Why it can't be an answer ('' where nothing is wrong).
    skipped
        Why it isn't reviewed, in words.
    labels, boxes
        Labels of the whole image, each once; the boxes, in pixels, or in percent of the image.
    percent
        Unit of the boxes.
    frame
        Width and height of the image that the boxes were drawn on; None: not said.
    rounding
        Pixels by which the format rounds a box that nobody moved.
    annotator, updated_at
        Who and when, '' where the file doesn't say.
    """

    item: str
    line: int | None = None
    task_ids: tuple[str, ...] = ()
    marks_can_move: bool = False
    sha256: str = ""
    name: str = ""
    reviewed: bool | None = None
    problem: str = ""
    skipped: str = ""
    labels: tuple[str, ...] = ()
    boxes: tuple[AnswerBox, ...] = ()
    percent: bool = False
    frame: tuple[float, float] | None = None
    rounding: float = 0.05
    annotator: str = ""
    updated_at: str = ""


def text(value: Any) -> str:
    """Return a text or whole number of the file as text, '' for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 256:
        return str(value)
    return value if isinstance(value, str) else ""


def number(value: Any) -> float:
    """Return a number of the file (also one written as text), NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def shown(value: Any, limit: int = 80) -> str:
    """Return text of the file so that it can be stored and shown: short, no control characters, no surrogates."""
    words = text(value)
    return visible(_SURROGATE.sub("\ufffd", words[:limit])) + ("…" if len(words) > limit else "")


def frame_of(width: Any, height: Any) -> tuple[float, float] | None:
    """Return the size of the image that the file says, None where it says none."""
    size = (number(width), number(height))
    return size if all(math.isfinite(v) and v > 0 for v in size) else None
