"""The gate: a suite against a model's predictions, case by case."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from slicelab.core import (
    OWN_METRICS,
    Bar,
    Case,
    CaseResult,
    Confidence,
    InvalidInputError,
    Predictions,
    SampleTable,
    Suite,
    SuiteReport,
    Verdict,
    check_confidence,
    listed,
    lower_is_better,
    top_k,
)
from slicelab.evaluation import MetricValue, holm
from slicelab.gate._check_case import CaseChecks
from slicelab.gate._compare_parts import compare, flips, n_groups
from slicelab.gate._evaluate_suite import ModelOnSuite
from slicelab.gate._hash_case import GROUP, metric_hash
from slicelab.gate._judge import judge, judge_change

_NAN = math.nan
_TOLERANCE = 1e-9


def run_suite(
    suite: Suite,
    predictions: Predictions,
    *,
    against: Predictions | None = None,
    media: Mapping[str, str] | None = None,
    labels: SampleTable | None = None,
    confidence: Confidence | None = None,
) -> SuiteReport:
    """Judge a model on every case of a suite; neither images nor a database are needed.

    Parameters
    ----------
    suite
        Cases and the truth that they are judged by.
    predictions
        Of the model. Those for images outside the suite don't matter.
    against
        Of another model, judged on the same units: each case then says whether it regressed or improved.
    media
        SHA-256 (hex) of the images by key, as they are now; None: not checked.
    labels
        Samples and labels as they are now; None: not checked.
    confidence
        Detection: predicted boxes below it are left out (but for ap50 and map, which take all): a number, or one per
        class ("*": all others). None: as the suite says of each model; where it says nothing, each case is judged where
        the model's F1 on the case's own images is highest. `report.operating_points` says which it was. So no verdict
        depends on which other cases the suite holds; suites of schema 3 and older are judged as they were.

    Returns
    -------
    SuiteReport
        One result per case, in the suite's order. The verdict is "invalid" (with the reason, never an error) where
        a case can't be judged: members, labels or media aren't those that were frozen, a member has no prediction
        (classification), the predictions hold none of the case's images, or the metric can't be computed. An
        image without any predicted box counts as predicted, as files of boxes can't tell, but the reason says how many
        there are, and a bar can ask for a least share of images that have one (`Bar.min_predicted`). A bar that is
        another model's value is judged by the interval of the change; without that model in `against` it is invalid.

        A case that can be judged under both models has a baseline, a change and a raw p-value (McNemar's exact
        test for shares of units; else, and where units share a group, the models swapped in whole groups) and the
        units that flipped. "regressed" and "improved" hold after Holm's correction over all such cases, at 1 - the
        bar's confidence.

    Raises
    ------
    SuiteError
        Predictions and suite are for different tasks.
    InvalidInputError
        `labels` are for another task, an image is predicted twice, a predicted box has no confidence, a predicted
        class has no operating point, or `confidence` names a class that there isn't.
    """
    start = time.perf_counter()
    if labels is not None and labels.task != suite.task:
        raise InvalidInputError(f"The suite {suite.name!r} is for {suite.task}, the labels are for {labels.task}.")
    _check_given(confidence, suite, [predictions, *([] if against is None else [against])])
    checks = CaseChecks(suite, media=media, labels=labels)
    model = ModelOnSuite(suite, predictions, confidence=confidence)
    other = ModelOnSuite(suite, against, confidence=confidence) if against is not None else None
    results = [_judge_case(case, checks=checks, model=model) for case in suite.cases]
    if other is not None:
        results = _compare(results, model=model, other=other)
    results = [_judge_against(r, other=other, name=against.model if against is not None else None) for r in results]
    return SuiteReport(
        suite=suite.name,
        model=predictions.model,
        against=against.model if against is not None else None,
        results=tuple(results),
        seconds=time.perf_counter() - start,
        provenance=_provenance(predictions, against, model=model, other=other),
        operating_points={m.name: m.point for m in (model, other) if m is not None and m.point is not None},
        warnings=_warnings(suite, model=model, other=other),
        edited=suite.edited,
        content_hash=suite.content_hash,
    )


def _check_given(confidence: Confidence | None, suite: Suite, predictions: Sequence[Predictions]) -> None:
    """Refuse a confidence of a class that neither the suite nor the predictions know: it would change nothing."""
    if isinstance(confidence, Mapping) and suite.task == "detection":
        predicted = (p.frame["label"].unique() for p in predictions if p.task == "detection")
        check_confidence(confidence, classes=dict.fromkeys([*suite.classes, *chain.from_iterable(predicted)]))


def _judge_case(case: Case, *, checks: CaseChecks, model: ModelOnSuite) -> CaseResult:
    problems = checks.problems(case)
    if problems:
        return _invalid(case, " ".join(problems))
    part, bar = model.part(case.members), case.bar
    problem = model.problem(part, bar.min_predicted) or _metric_problem(case)
    if problem:
        return _invalid(case, problem)
    try:
        found = part.metric(bar.metric, confidence=bar.confidence)
    except InvalidInputError as error:
        if bar.metric not in OWN_METRICS:
            raise
        return _invalid(case, str(error))
    interval = (found.low, found.high)
    if bar.against is None or not math.isfinite(found.value):
        verdict, reason = judge(
            replace(bar, at_least=0.0, no_worse_than=None, improves_on=None, margin=0.0) if bar.against else bar,
            value=found.value,
            interval=interval,
            n_units=found.n_units,
            share=part.is_share(bar.metric),
            n_groups=found.n_groups,
            noun="groups" if GROUP in model.suite.samples or part.predicted is None else "images",
        )
    else:
        verdict, reason = "inconclusive", ""
    if verdict == "invalid":
        return _invalid(case, f"{reason}{_metric_needs(bar.metric)}")
    n_images, n_predicted = (len(part.images), part.n_predicted) if part.predicted is not None else (0, 0)
    if bar.against is None:
        verdict, reason = _tell_predicted(verdict, reason, bar, n_images=n_images, n_predicted=n_predicted)
    return CaseResult(
        case=case,
        verdict=verdict,
        reason=reason,
        value=found.value,
        interval=interval,
        n_units=found.n_units,
        n_failures=found.n_failures,
        failing=part.failing(bar.metric),
        hashes=checks.hashes(case)
        | {"predictions": model.prediction_hash(part), "metric": metric_hash(bar)}
        | model.point_hash(),
        n_groups=found.n_groups,
        confidence=part.confidence,
        n_images=n_images,
        n_predicted=n_predicted,
    )


def _tell_predicted(verdict: Verdict, reason: str, bar: Bar, *, n_images: int, n_predicted: int) -> tuple[Verdict, str]:
    """Say on how many images there is a predicted box where that isn't all, and what the bar wants of it."""
    if n_predicted >= n_images:
        return verdict, reason
    reason = f"{reason} {n_predicted} of {n_images} images have a predicted box."
    if bar.min_predicted is None or n_predicted >= bar.min_predicted * n_images - _TOLERANCE:
        return verdict, reason
    reason = f"{reason} The bar wants one on a share of at least {bar.min_predicted:.4g}."
    return ("inconclusive" if verdict == "pass" else verdict), reason


def _metric_problem(case: Case) -> str:
    """Say why a user's own metric can't be used ('' if it can, or isn't one)."""
    bar = case.bar
    if bar.code is None:
        return ""
    own = OWN_METRICS.get(bar.metric)
    if own is None:
        return f"The metric {bar.metric!r} isn't registered here. Import the module that defines it (--metrics FILE)."
    if own.code != bar.code:
        return (
            f"The source of the metric {bar.metric!r} changed since the bar was set: SHA-256 {own.code[:12]} now, "
            f"{bar.code[:12]} then."
        )
    return ""


def _metric_needs(metric: str) -> str:
    if top_k(metric):
        return " It needs the probabilities of all classes."
    return " Every prediction needs a confidence." if metric in ("ece", "confidence_gap") else ""


def _judge_against(r: CaseResult, *, other: ModelOnSuite | None, name: str | None) -> CaseResult:
    """Judge a case whose bar is another model's value, now that the two were compared."""
    bar = r.case.bar
    if bar.against is None or r.verdict == "invalid":
        return r
    if other is None or bar.against != name:
        got = f"those of {name!r} were given" if name is not None else "none were given"
        return _invalid(
            r.case,
            f"The bar compares with the model {bar.against!r}, but {got}. "
            f"Give its predictions: --against {bar.against}=PATH.",
        )
    if r.change is None or r.change_interval is None:
        return _invalid(r.case, r.reason.strip() or f"It can't be compared with {bar.against}.")
    verdict, reason = judge_change(
        bar,
        change=r.change,
        interval=r.change_interval,
        n_units=r.n_units,
        n_groups=n_groups(bar.metric, other.part(r.case.members)),
    )
    verdict, reason = _tell_predicted(verdict, reason, bar, n_images=r.n_images, n_predicted=r.n_predicted)
    return replace(r, verdict=verdict, reason=reason)


def _invalid(case: Case, reason: str) -> CaseResult:
    return CaseResult(case, "invalid", reason, _NAN, (_NAN, _NAN), 0, 0)


def _compare(results: list[CaseResult], *, model: ModelOnSuite, other: ModelOnSuite) -> list[CaseResult]:
    """Add the other model's values, and what is evidence among all comparisons of the suite."""
    compared = [_compare_case(r, model=model, other=other, n_cases=len(results)) for r in results]
    p_values = {i: r.p_value for i, r in enumerate(compared) if r.p_value is not None}
    adjusted = holm(list(p_values.values()))
    for i, p in zip(p_values, adjusted.tolist(), strict=True):
        compared[i] = replace(compared[i], p_adjusted=p, comparison=_word(compared[i], p))
    return compared


def _compare_case(r: CaseResult, *, model: ModelOnSuite, other: ModelOnSuite, n_cases: int) -> CaseResult:
    if r.verdict == "invalid":
        return r
    part, base = model.part(r.case.members), other.part(r.case.members)
    metric, confidence = r.case.bar.metric, r.case.bar.confidence
    problem = other.problem(base, r.case.bar.min_predicted)
    found = MetricValue(_NAN, _NAN, _NAN, 0, 0)
    try:
        found = found if problem else base.metric(metric, confidence=confidence)
    except InvalidInputError as error:
        if metric not in OWN_METRICS:
            raise
        problem = str(error)
    if not math.isfinite(found.value):
        why = problem or f"{metric} can't be computed for the other model."
        return replace(r, reason=f"{r.reason} Not compared: {why}")
    difference = compare(metric, part, base, n_cases=n_cases, confidence=confidence)
    # How many cases there are says how small a p-value must be able to get; a verdict mustn't depend on it.
    judged = difference if r.case.bar.against is None else compare(metric, part, base, n_cases=1, confidence=confidence)
    broke, fixed = flips(metric, part, base)
    return replace(
        r,
        baseline=found.value,
        baseline_interval=(found.low, found.high),
        change=r.value - found.value,
        change_interval=(judged.low, judged.high),
        p_value=difference.p_value,
        broke=broke,
        fixed=fixed,
    )


def _word(r: CaseResult, adjusted: float) -> str:
    if not r.change or adjusted >= 1 - r.case.bar.confidence:
        return "no evidence"
    better = (r.change > 0) != lower_is_better(r.case.bar.metric)
    return "improved" if better else "regressed"


def _provenance(
    predictions: Predictions, against: Predictions | None, *, model: ModelOnSuite, other: ModelOnSuite | None
) -> dict[str, object]:
    told: dict[str, object] = {"predictions_sha256": predictions.sha256, "source": predictions.source}
    if against is not None:
        told |= {"against_sha256": against.sha256, "against_source": against.source}
    for name, judged in (("confidence", model), ("against_confidence", other)):
        if judged is not None and judged.point is not None:
            told[name] = judged.point.confidence
    return told


def _warnings(suite: Suite, *, model: ModelOnSuite, other: ModelOnSuite | None) -> tuple[str, ...]:
    """Say what whoever relies on the verdicts must know of the suite."""
    told = []
    if suite.edited:
        told.append(
            f"The suite file was edited by hand or merged: its content hash doesn't match (it is "
            f"{suite.content_hash[:12]} now). Names, bars and operating points are as they stand there; check them and "
            "save the suite anew."
        )
    points = [m.point for m in (model, other) if m is not None and m.point is not None]
    if any(point.source == "old suite" for point in points):
        told.append(
            f"The suite is of an older version (schema {suite.schema_version}) and holds no operating points: models "
            "are judged where F1 over all its images is highest, so a verdict depends on which cases it holds. Save it "
            "anew from its dataset, or give a confidence."
        )
    old = [case.name for case in suite.cases if case.schema_version < 2]
    if old and (suite.task == "detection" or GROUP in suite.samples):
        told.append(
            f"{len(old)} cases were frozen by an older version, so only their members' labels are covered: "
            f"{listed(old)}. Other labels on their images, and groups, may have changed unseen; refreeze them."
        )
    return tuple(told)
