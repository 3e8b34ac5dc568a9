"""A metric's value and interval against a bar: the verdict, and why, in words."""

from __future__ import annotations

import math
from statistics import NormalDist

from slicelab.core import Bar, Verdict

_TOLERANCE = 1e-9


def judge(
    bar: Bar, *, value: float, interval: tuple[float, float], n_units: int, share: bool = True
) -> tuple[Verdict, str]:
    """Judge a case.

    Parameters
    ----------
    bar
        What must be reached.
    value, interval
        The metric on the case, and its interval at the bar's confidence.
    n_units
        Units that were judged.
    share
        Whether the value is a share of the units, with Wilson's interval.

    Returns
    -------
    Verdict, str
        Strict: "pass" when the interval's nearer end reaches the bar, "fail" when even the farther end doesn't,
        else "inconclusive". Not strict: the value itself decides. With fewer units than the bar wants "pass"
        becomes "inconclusive". A value that isn't a number is "invalid". Then the reason.
    """
    if not math.isfinite(value):
        return "invalid", f"{bar.metric} can't be computed on these {n_units} units."
    verdict, reason = _judge_interval(bar, value, interval) if bar.strict else _judge_value(bar, value)
    if verdict == "inconclusive":
        reason = f"{reason} {_advice(bar, value, interval, n_units=n_units, share=share)}"
    if verdict == "pass" and n_units < bar.min_units:
        return "inconclusive", f"{reason} But there are {n_units} units, and the bar wants at least {bar.min_units}."
    return verdict, reason


def units_to_decide(
    bar: Bar, *, value: float, interval: tuple[float, float], n_units: int, share: bool = True
) -> int | None:
    """Tell about how many units in all would decide, if the value stayed as it is; None: no number would.

    Proportions: Wilson's interval leaves the bar b outside as soon as `|value - b| >= z sqrt(b (1 - b) / n)` (it is
    the inversion of that score test), hence n. Other metrics: the interval narrows with the square root of n.
    """
    target = _target(bar)
    gap = abs(value - target)
    if gap < _TOLERANCE:
        return None
    if share:
        z = NormalDist().inv_cdf(0.5 + bar.confidence / 2)
        return math.ceil(z * z * target * (1 - target) / gap**2 - _TOLERANCE)
    side = value - interval[0] if value > target else interval[1] - value
    return math.ceil(n_units * (side / gap) ** 2) if math.isfinite(side) else None


def _judge_value(bar: Bar, value: float) -> tuple[Verdict, str]:
    reached = _margin(bar, value) >= -_TOLERANCE
    verb = "reaches" if reached else "misses"
    return ("pass" if reached else "fail"), f"The value {value:.4g} {verb} the bar; its interval isn't judged."


def _judge_interval(bar: Bar, value: float, interval: tuple[float, float]) -> tuple[Verdict, str]:
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return "inconclusive", f"{bar.metric} is {value:.4g}, but has no interval."
    shown = f"{low:.4g} to {high:.4g}"
    worst, best = sorted((_margin(bar, low), _margin(bar, high)))
    if worst >= -_TOLERANCE:
        return "pass", f"The whole interval, {shown}, reaches the bar."
    if best < -_TOLERANCE:
        return "fail", f"The whole interval, {shown}, misses the bar."
    return "inconclusive", f"The interval, {shown}, straddles the bar."


def _advice(bar: Bar, value: float, interval: tuple[float, float], *, n_units: int, share: bool) -> str:
    if share and _target(bar) in (0.0, 1.0):
        return f"An interval never reaches a bar of {_target(bar):g}: move it a little, or set strict=False."
    needed = units_to_decide(bar, value=value, interval=interval, n_units=n_units, share=share)
    if needed is None:
        return f"No number of units would decide, if the value stayed at {value:.4g}."
    return f"About {max(needed - n_units, 1):,} more units would decide it, if the value stayed at {value:.4g}."


def _target(bar: Bar) -> float:
    return float(bar.at_least if bar.at_least is not None else bar.at_most)  # type: ignore[arg-type]


def _margin(bar: Bar, value: float) -> float:
    """By how much a value is on the good side of the bar (negative: on the bad side)."""
    return value - _target(bar) if bar.at_least is not None else _target(bar) - value
