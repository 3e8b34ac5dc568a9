"""Boxes: finite, with an area, on their image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from slicelab.sources._rows import Floats, Mask, Rows

ROUNDING = 0.01
TOLERANCE = 1.0


Beyond = Literal["refuse", "clip", "keep"]


def check_boxes(rows: Rows, boxes: Floats, frames: Floats, *, beyond: Beyond) -> Floats:
    """Refuse boxes that can't be right; say what happens to those that reach beyond their frame.

    Parameters
    ----------
    rows
        The rows of `boxes`; those refused before are left alone.
    boxes
        float64 (n, 4): x, y, width, height in pixels.
    frames
        float64 (n, 2): width and height of each box's image in pixels; NaN where unknown.
    beyond
        Boxes that stick out by more than 1 px (less is cut): "refuse" them, "clip" them at the frame, or "keep" them
        as they are, as COCO's evaluation does with predicted boxes (then less than 1 px is kept too).

    Returns
    -------
    float64 (n, 4): the boxes. Up to a hundredth of a pixel is cut silently, more with a notice.
    """
    x, y, width, height = boxes.T
    words = _words(boxes, frames)
    missing: Mask = np.asarray(np.isnan(boxes).any(axis=1))
    finite: Mask = np.asarray(np.isfinite(boxes).all(axis=1))
    rows.refuse(missing, "nan-box", lambda i: f"a number of the box is missing or NaN: {words(i)}")
    rows.refuse(~finite, "infinite-box", lambda i: f"the box is not finite: {words(i)}")
    rows.refuse((width <= 0) | (height <= 0), "inverted-box", lambda i: f"width and height must be above 0: {words(i)}")
    with np.errstate(over="ignore", invalid="ignore"):
        right, bottom = x + width, y + height
        outside = (right <= 0) | (bottom <= 0) | (x >= frames[:, 0]) | (y >= frames[:, 1])
        overhang = np.fmax(np.fmax(-x, -y), np.fmax(right - frames[:, 0], bottom - frames[:, 1]))
    rows.refuse(outside, "box-out-of-frame", lambda i: f"the box lies outside its image: {words(i)}")
    if beyond == "keep":
        rows.notice_once(overhang > TOLERANCE, "box-beyond-frame", "have a box that sticks out; it is kept as it is")
        return boxes
    far = overhang > TOLERANCE
    if beyond == "clip":
        rows.notice(far, "clipped-box", lambda i: f"cut at the frame, it stuck out by {overhang[i]:.6g} px: {words(i)}")
    else:
        rows.refuse(
            far,
            "box-out-of-frame",
            lambda i: f"the box sticks out by {overhang[i]:.6g} px: {words(i)}; clip_boxes=True cuts such boxes",
        )
    rows.notice_once(
        (overhang > ROUNDING) & ~far, "clipped-box", "have a box that stuck out by at most 1 px; cut at the frame"
    )
    left, top = np.fmax(x, 0.0), np.fmax(y, 0.0)
    right, bottom = np.fmin(right, frames[:, 0]), np.fmin(bottom, frames[:, 1])
    inside = overhang <= 0  # these stay as they are, to the last bit
    return np.where(inside[:, None], boxes, np.column_stack([left, top, right - left, bottom - top]))


def _words(boxes: Floats, frames: Floats) -> Callable[[int], str]:
    def words(i: int) -> str:
        x, y, width, height = boxes[i]
        of = "" if np.isnan(frames[i]).any() else f" on an image of {frames[i, 0]:.0f} x {frames[i, 1]:.0f}"
        return f"x={x:.6g}, y={y:.6g}, width={width:.6g}, height={height:.6g}{of}"

    return words
