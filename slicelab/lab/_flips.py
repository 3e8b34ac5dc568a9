"""Every case judged by the labels before and after a merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slicelab import gate
from slicelab.core import Case, CaseResult, Confidence, Flip, Predictions, SampleTable, unit_key


def flips(
    cases: Iterable[Case],
    before: SampleTable,
    after: SampleTable,
    predictions: Sequence[Predictions],
    *,
    changed: Iterable[str],
    operating_points: Mapping[str, Confidence],
) -> tuple[Flip, ...]:
    """Judge each case that has a member on a changed sample, under each model, by both tables.

    Parameters
    ----------
    cases
        Cases of any suites.
    before, after
        Samples with the old and with the new labels.
    predictions
        The models'.
    changed
        Keys of the samples whose labels differ.
    operating_points
        Of the models, the same for both tables; empty in classification.
    """
    keys = set(changed)
    found = []
    for case in cases:
        if keys.isdisjoint({m if m in before.samples.index else unit_key(m) for m in case.members}):
            continue
        for each in predictions:
            old, new = (_judged(case, table, each, operating_points) for table in (before, after))
            if old is not None and new is not None:
                found.append(_flip(case, each, old, new, keys))
    return tuple(found)


def _judged(
    case: Case, table: SampleTable, predictions: Predictions, points: Mapping[str, Confidence]
) -> CaseResult | None:
    """Return the case's result with the labels of this table; None where none of its members is left."""
    boxes = set() if table.task == "classification" else set(table.boxes["key"] + "#" + table.boxes["label_id"])
    members = tuple(m for m in case.members if m in table.samples.index or m in boxes)
    if not members:
        return None
    frozen = gate.freeze_case(case.name, suite=case.suite, members=members, table=table, bar=case.bar)
    suite = gate.make_suite(case.suite, [frozen], table, operating_points=points)
    return gate.run_suite(suite, predictions).results[0]


def _flip(case: Case, predictions: Predictions, old: CaseResult, new: CaseResult, changed: set[str]) -> Flip:
    gone, come = set(old.failing) - set(new.failing), set(new.failing) - set(old.failing)
    touched = [u for u in gone if u in changed or unit_key(u) in changed]
    return Flip(
        suite=case.suite,
        case=case.name,
        model=predictions.model,
        verdict_before=old.verdict,
        verdict_after=new.verdict,
        value_before=old.value,
        value_after=new.value,
        n_before=old.n_units,
        n_after=new.n_units,
        failures_before=old.n_failures,
        failures_after=new.n_failures,
        label_errors=len(touched),
        new_failures=len(come),
        predictions_sha256=predictions.sha256,
    )
