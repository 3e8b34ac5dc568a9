"""The names of the built-in metrics."""

from __future__ import annotations

import re

METRICS = (
    "accuracy",
    "error_rate",
    "recall",
    "precision",
    "f1",
    "macro_recall",
    "macro_precision",
    "macro_f1",
    "false_positives_per_image",
    "ap50",
    "map",
    "top5",
    "ece",
    "confidence_gap",
)
"""Metrics by name; "top5" stands for any "top<k>"."""

_TOP = re.compile(r"top([1-9]\d{0,3})")


def top_k(metric: str) -> int | None:
    """Return k where a metric is "top<k>", else None."""
    match = _TOP.fullmatch(metric)
    return int(match[1]) if match else None
