"""What changed between two runs of a case, and how much of its change each explains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from slicelab.core import CaseResult, Confidence, NotFoundError, Predictions, SampleTable, Suite, did_you_mean
from slicelab.gate._freeze_case import freeze_case, make_suite, member_keys
from slicelab.gate._hash_case import GROUP
from slicelab.gate._run_suite import run_suite

CAUSES = ("membership", "labels", "media", "groups", "predictions", "confidence", "metric")
_STILL = ("media", "groups")

Run = tuple[Suite, Predictions]


@dataclass(frozen=True)
class Explanation:
    """Why a case's value is another.

    Parameters
    ----------
    before, after
        The results of the two runs. Where the bar names another model their verdict is of the value alone, and `str`
        leaves it out, but for "invalid".
    changed
        Which of `CAUSES` differ.
    shares
        By what the value changes with each of them; together they are the whole change. NaN: can't be told.
    """

    before: CaseResult
    after: CaseResult
    changed: tuple[str, ...]
    shares: Mapping[str, float]

    def __str__(self) -> str:
        a, b = (_told(result) for result in (self.before, self.after))
        told = [f"{cause} {self.shares[cause]:+.4g}" for cause in self.changed]
        why = ", ".join(told) or "nothing changed"
        return f"{self.before.case.name}: {a} -> {b}: {why}"


def _told(result: CaseResult) -> str:
    """Say a verdict and its value; a bar that names another model has no verdict without it."""
    verdict = "" if result.case.bar.against and result.verdict != "invalid" else f"{result.verdict} "
    return f"{verdict}{result.value:.4g}"


def what_changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Name which of `CAUSES` differ between the hashes of two results of one case."""
    return tuple(c for c in CAUSES if before.get(c) != after.get(c))


def explain_change(name: str, *, before: Run, after: Run, confidence: Confidence | None = None) -> Explanation:
    """Tell what changed between two runs of a case, and how much of its change each explains.

    Parameters
    ----------
    name
        Of the case; both suites have it.
    before, after
        Suite and predictions of either run.
    confidence
        Detection: as in `run_suite`, for both runs. None: each run has the operating point that its suite gives the
        model, and where they differ "confidence" is a cause like the others.

    Returns
    -------
    Explanation
        A share is the mean of what a cause adds over all orders in which the causes can come (Shapley's value), so
        that they sum to the change. A unit whose label only one of the suites knows keeps that label. Changed media
        by themselves move no number: what they did to the model lies in the predictions; changed groups move intervals
        only. Of a changed metric only the bar's metric can be replaced; where its code changed the share is NaN, as the
        old code isn't there.

    Raises
    ------
    NotFoundError
        A suite has no such case.

    Notes
    -----
    Source: Shapley, "A value for n-person games", 1953.
    """
    (first, old_point), (second, new_point) = (_run(run, name, confidence) for run in (before, after))
    changed = what_changed(first.hashes, second.hashes)
    if first.verdict == "invalid" or second.verdict == "invalid":
        return Explanation(first, second, changed, dict.fromkeys(changed, math.nan))
    code = "metric" in changed and first.case.bar.metric == second.case.bar.metric
    moving = [c for c in changed if c not in _STILL and not (c == "metric" and code)]
    values = {
        frozenset(subset): _value(
            name, before, after, frozenset(subset), new_point if "confidence" in subset else old_point
        )
        for n in range(len(moving) + 1)
        for subset in itertools.combinations(moving, n)
    }
    orders = list(itertools.permutations(moving))
    shares = dict.fromkeys(changed, 0.0) | ({"metric": math.nan} if code else {})
    for cause in moving:
        steps = [values[frozenset(o[: o.index(cause) + 1])] - values[frozenset(o[: o.index(cause)])] for o in orders]
        shares[cause] = float(np.mean(steps))
    return Explanation(first, second, changed, shares)


def _run(run: Run, name: str, confidence: Confidence | None) -> tuple[CaseResult, Confidence | None]:
    """Return the case's result, and the confidence that it was judged at; None: found on its own images."""
    suite, predictions = run
    cases = [c for c in suite.cases if c.name == name]
    if not cases:
        hint = did_you_mean(name, [c.name for c in suite.cases])
        raise NotFoundError(f"The suite {suite.name!r} has no case {name!r}.{hint}")
    # What a bar that names another model asks doesn't matter for a value.
    bar = cases[0].bar
    judged = replace(bar, no_worse_than=None, improves_on=None, margin=0.0, at_least=0.0) if bar.against else bar
    only = replace(suite, cases=(replace(cases[0], bar=judged),))
    report = run_suite(only, predictions, confidence=confidence)
    point = report.operating_points.get(predictions.model)
    result = replace(report.results[0], case=cases[0])
    return result, None if point is None or point.source == "case" else point.confidence


def _value(name: str, before: Run, after: Run, new: frozenset[str], confidence: Confidence | None) -> float:
    """Return the value with the causes in `new` as they are after, the others as before."""
    olds, news = (next(c for c in run[0].cases if c.name == name) for run in (before, after))
    members = (news if "membership" in new else olds).members
    bar = (news if "metric" in new else olds).bar
    known, other = (after[0], before[0]) if "labels" in new else (before[0], after[0])
    table = _table(known, other, members)
    if bar.against is not None:
        bar = replace(bar, no_worse_than=None, improves_on=None, margin=0.0, at_least=0.0)
    if known.task == "detection":  # a value is wanted, not a verdict; older suites asked for no box either
        bar = replace(bar, min_predicted=0.0)
    case = freeze_case(name, suite=known.name, members=members, table=table, bar=bar)
    predictions = (after if "predictions" in new else before)[1]
    return run_suite(make_suite(known.name, [case], table), predictions, confidence=confidence).results[0].value


def _table(known: Suite, other: Suite, members: tuple[str, ...]) -> SampleTable:
    """Return the truth of a suite, and of another where it has none for the members' images."""
    missing = member_keys(members, {*known.samples.index, *other.samples.index}) - set(known.samples.index)
    samples = pd.concat([known.samples, other.samples[other.samples.index.isin(missing)]])
    boxes = known.boxes
    if missing and known.task == "detection":
        boxes = pd.concat([boxes, other.boxes[other.boxes["key"].isin(missing)]], ignore_index=True)
    classes = tuple(dict.fromkeys([*known.classes, *other.classes]))
    return SampleTable(known.task, samples, boxes, classes, GROUP if GROUP in samples else None)
