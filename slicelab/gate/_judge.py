"""A metric's value and interval against a bar: the verdict, and why, in words."""

from __future__ import annotations

import math
from statistics import NormalDist

from slicelab.core import Bar, InvalidInputError, Verdict

_TOLERANCE = 1e-9


def judge(
    bar: Bar,
    *,
    value: float,
    interval: tuple[float, float],
    n_units: int,
    share: bool = True,
    n_groups: int | None = None,
    noun: str = "groups",
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
        Whether the value is a share of the units, with the interval of `proportion_interval`.
    n_groups
        How many groups the units come from; None, or as many as units: they are independent.
    noun
        What groups are called in the reason: "images", or "groups".

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
    if verdict == "inconclusive" and all(map(math.isfinite, interval)):
        grouped = n_groups is not None and n_groups < n_units
        count, what = (n_groups or 0, noun) if grouped else (n_units, "units")
        needed = units_to_decide(bar, value=value, interval=interval, n_units=count, share=share, grouped=grouped)
        reason = f"{reason} {_advice(bar, value, needed, count=count, noun=what, share=share)}"
    if verdict == "pass" and n_units < bar.min_units:
        return "inconclusive", f"{reason} But there are {n_units} units, and the bar wants at least {bar.min_units}."
    return verdict, reason


def judge_change(
    bar: Bar, *, change: float, interval: tuple[float, float], n_units: int, n_groups: int | None = None
) -> tuple[Verdict, str]:
    """Judge a case whose bar is another model's value, by the difference on the same units.

    Parameters
    ----------
    bar
        With `no_worse_than` or `improves_on`.
    change, interval
        The metric less that of the other model, and its interval at the bar's confidence.
    n_units
        As in `judge`.
    n_groups
        Groups behind the units, such as images behind objects. Where there are fewer than units, more of them are
        what would decide, as more units of the same groups tell little. None: the units are independent.

    Returns
    -------
    Verdict, str
        As in `judge`: "no worse than" is reached by a gain of -margin, "improves on" by a gain above the margin.
    """
    sign = -1.0 if bar.lower_is_better else 1.0
    gain, least = sign * change, bar.least_gain
    low, high = sorted(sign * end for end in interval)
    shown = f"{interval[0]:+.4g} to {interval[1]:+.4g}"
    above = f"{bar.against} by more than {bar.margin:g}" if bar.margin else bar.against
    wanted = f"no worse than {bar.against}" if bar.no_worse_than is not None else f"better than {above}"
    wanted += f" by more than {bar.margin:g}" if bar.no_worse_than is not None and bar.margin else ""

    def reached(value: float) -> bool:
        return value >= least - _TOLERANCE if bar.no_worse_than is not None else value > least + _TOLERANCE

    if not math.isfinite(gain):
        return "invalid", f"{bar.metric} can't be compared with {bar.against} on these {n_units} units."
    if not bar.strict:
        verdict: Verdict = "pass" if reached(gain) else "fail"
        reason = f"It must be {wanted}: the change is {change:+.4g}; its interval isn't judged."
    elif not (math.isfinite(low) and math.isfinite(high)):
        verdict, reason = "inconclusive", f"It must be {wanted}: the change is {change:+.4g}, but has no interval."
    elif reached(low):
        verdict, reason = "pass", f"It must be {wanted}: the whole interval of the change, {shown}, is."
    elif not reached(high):
        verdict, reason = "fail", f"It must be {wanted}: the whole interval of the change, {shown}, isn't."
    else:
        verdict = "inconclusive"
        side = gain - low if gain > least else high - gain
        reason = f"It must be {wanted}: the interval of the change, {shown}, says neither."
        reason += _more_to_decide(abs(gain - least), side, n_units=n_units, n_groups=n_groups)
    if verdict == "pass" and n_units < bar.min_units:
        return "inconclusive", f"{reason} But there are {n_units} units, and the bar wants at least {bar.min_units}."
    return verdict, reason


def _more_to_decide(gap: float, side: float, *, n_units: int, n_groups: int | None) -> str:
    if gap <= _TOLERANCE:
        return " No number of units would decide, if the change stayed as it is."
    grouped = n_groups is not None and n_groups < n_units
    n = n_groups if grouped and n_groups is not None else n_units
    # The interval narrows with the square root of n.
    more = max(math.ceil(n * (side / gap) ** 2) - n, 1)
    what = _counted(more, "groups" if grouped else "units")
    what += f" (such as images) beside {'this one' if n == 1 else f'these {n:,}'}" if grouped else ""
    return f" About {what} would decide it, if the change stayed as it is."


def units_to_decide(
    bar: Bar,
    *,
    value: float,
    interval: tuple[float, float],
    n_units: int,
    share: bool = True,
    grouped: bool = False,
) -> int | None:
    """Tell about how many units in all would decide, if the value stayed as it is; None: no number would.

    With `grouped` units come in groups, `n_units` is how many groups there are, and so is the answer: of groups like
    those that were judged the interval narrows with the square root of their number.

    Proportions: Wilson's corrected interval leaves the bar b outside as soon as `|value - b| - 1 / (2 n) >=
    z sqrt(b (1 - b) / n)` (it is the inversion of that score test), hence n; where all or none succeed it does so as
    soon as that has a chance of (1 - confidence) / 2 at most. Other metrics: the interval narrows with the square root
    of n.
    """
    target = _number_of(bar)
    gap = abs(value - target)
    if gap < _TOLERANCE:
        return None
    if share and value in (0.0, 1.0):
        if grouped:  # the exact limit of n independent units is (1 - confidence) / 2 to the power of 1 / n
            end, bound = (interval[0], target) if value else (1 - interval[1], 1 - target)
            return math.ceil(n_units * math.log(end) / math.log(bound)) if 0 < end < 1 else None
        return math.ceil(math.log((1 - bar.confidence) / 2) / math.log(target if value else 1 - target) - _TOLERANCE)
    if share and not grouped:
        z = NormalDist().inv_cdf(0.5 + bar.confidence / 2)
        spread = z * math.sqrt(target * (1 - target))
        root = (spread + math.sqrt(spread * spread + 2 * gap)) / (2 * gap)
        return math.ceil(root * root - _TOLERANCE)
    side = value - interval[0] if value > target else interval[1] - value
    return math.ceil(n_units * (side / gap) ** 2) if math.isfinite(side) else None


def _judge_value(bar: Bar, value: float) -> tuple[Verdict, str]:
    reached = _margin(bar, value) >= -_TOLERANCE
    verb = "reaches" if reached else "misses"
    return ("pass" if reached else "fail"), f"The value {value:.4g} {verb} the bar; its interval isn't judged."


def _judge_interval(bar: Bar, value: float, interval: tuple[float, float]) -> tuple[Verdict, str]:
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return "inconclusive", f"{bar.metric} is {value:.4g}, but has no interval: more groups would tell."
    shown = f"{low:.4g} to {high:.4g}"
    worst, best = sorted((_margin(bar, low), _margin(bar, high)))
    if worst >= -_TOLERANCE:
        return "pass", f"The whole interval, {shown}, reaches the bar."
    if best < -_TOLERANCE:
        return "fail", f"The whole interval, {shown}, misses the bar."
    return "inconclusive", f"The interval, {shown}, straddles the bar."


def _advice(bar: Bar, value: float, needed: int | None, *, count: int, noun: str, share: bool) -> str:
    if share and _number_of(bar) in (0.0, 1.0):
        return f"An interval never reaches a bar of {_number_of(bar):g}: move it a little, or set strict=False."
    if needed is None:
        return f"No number of {noun} would decide, if the value stayed at {value:.4g}."
    return f"About {_counted(max(needed - count, 1), noun)} would decide it, if the value stayed at {value:.4g}."


def _counted(more: int, noun: str) -> str:
    """Say how many more: "1 more image", "1,200 more groups"."""
    return f"{more:,} more {noun.removesuffix('s') if more == 1 else noun}"


def _margin(bar: Bar, value: float) -> float:
    """By how much a value is on the good side of the bar (negative: on the bad side)."""
    gain = value - _number_of(bar)
    return -gain if bar.lower_is_better else gain


def _number_of(bar: Bar) -> float:
    target = bar.target()
    if target is None:
        raise InvalidInputError(f"The bar {str(bar)!r} is another model's value; use judge_change().")
    return target
