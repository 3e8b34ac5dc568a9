"""Units: the things that are right or wrong, and what happened to them under one model."""

from __future__ import annotations

CLASSIFICATION_OUTCOMES = ("correct", "wrong", "unpredicted")
DETECTION_OUTCOMES = ("tp", "missed", "misclassified", "mislocalised", "spurious", "duplicate")
FAILURES = frozenset({"wrong", "unpredicted", "missed", "misclassified", "mislocalised", "spurious", "duplicate"})

UNIT_COLUMNS = ("key", "label", "prediction", "confidence", "outcome", "failure", "loss", "group_id")
"""Columns of every units frame; its index is `unit` (str). Detection adds `BOX_UNIT_COLUMNS`.

`label` is NaN for a spurious or duplicate box, `prediction` NaN for a missed or unpredicted unit; `confidence` is
the model's, NaN where it has none; `failure` is bool; `loss` float64 in [0, 1]: 1 - p(label), where p is the
probability (or confidence) given to the true label, 1.0 for a missed object, the confidence for a spurious box;
`group_id` (str) the group of its image: units of one group are not independent.
"""
BOX_UNIT_COLUMNS = ("label_id", "box_id", "x", "y", "width", "height", "iou")


def object_unit(key: str, label_id: str) -> str:
    """Id of a labelled box."""
    return f"{key}#{label_id}"


def spurious_unit(key: str, model: str, box_id: str) -> str:
    """Id of a predicted box that matches no label; it belongs to one model."""
    return f"{key}#pred:{model}:{box_id}"


def is_spurious(unit: str) -> bool:
    """Tell whether a unit id is that of a spurious predicted box."""
    return "#pred:" in unit


def unit_key(unit: str) -> str:
    """Return the key of the sample to which an object's unit id belongs.

    Keys of samples may hold '#'; label and box ids may not.
    """
    return unit.rsplit("#", 1)[0]
