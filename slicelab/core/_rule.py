"""A rule that describes a slice, and how well it does on units that didn't make it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """An expression over the units' columns that describes a group.

    Parameters
    ----------
    expression
        In the language of slice rules, such as `label == "knife" and brightness < 0.2`.
    precision, recall
        Share of the held-out units that satisfy it which are members, and of the held-out members that satisfy it.
    support
        Held-out units that satisfy it.
    """

    expression: str
    precision: float
    recall: float
    support: int
