"""What is special about a group of units, beside all the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contrast:
    """One column, in a group and among the rest.

    Parameters
    ----------
    column
        Its name.
    value
        For texts and truth values: the value that sets the group apart; "" for numbers.
    inside, outside
        For numbers the means; else the shares of that value.
    effect
        How far apart: for numbers the difference of the means in standard deviations of all units (Glass); for shares
        Cohen's h, 2 asin(sqrt(a)) - 2 asin(sqrt(b)). Its sign says whether the group has more.
    """

    column: str
    value: str
    inside: float
    outside: float
    effect: float


@dataclass(frozen=True)
class Share:
    """A kind of unit, and how frequent it is in a group and among the rest (both in [0, 1])."""

    words: str
    count: int
    inside: float
    outside: float


@dataclass(frozen=True)
class Inspection:
    """A group of units beside the rest.

    Parameters
    ----------
    size, failures
        Units in the group and failures among them.
    interval
        At 95 % for the failure rate, by groups of units that aren't independent; (nan, nan) where there are no units.
    rest_rate
        Failure rate of the rest; NaN where there is none.
    confusions
        Pairs of label and prediction that fail, most frequent first.
    agreement
        Which models fail: "both", "only v3", ...; empty for one model.
    contrasts
        Columns in which the units differ by more than two standard errors, most different first. The standard errors
        count groups: what the objects of two images have in common is no contrast.
    n_groups
        Groups behind the units, such as images behind objects; None: not known.
    """

    size: int
    failures: int
    interval: tuple[float, float]
    rest_rate: float
    confusions: tuple[Share, ...] = ()
    agreement: tuple[Share, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    n_groups: int | None = None
