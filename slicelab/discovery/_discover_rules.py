"""Discovery from metadata alone: rules under which a model fails more, without any embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import MAX_NAME, Candidate, HeldOut, InvalidInputError, Rule
from slicelab.discovery._check_units import check_column, check_confidences, check_failures, check_rest
from slicelab.discovery._confirm import ALPHA, hardest, hold_out, kind_of, pool
from slicelab.discovery._describe import (
    DEPTH,
    LONGEST_RULE,
    Column,
    grow_paths,
    read_column,
    read_columns,
    satisfied,
    write_name,
    write_rule,
    write_value,
)
from slicelab.discovery._grouped import numbered, share_interval
from slicelab.discovery._landscape import jaccard
from slicelab.discovery._populations import class_codes, group_ranks, halves, populations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]

MIN_LEAF = 10
PENALTY = 2.0
"""What a leaf costs, times ln(units) times the variance, as in the Bayesian information criterion for a place to split
and a mean: splits that follow noise would cut a slice to pieces and add rules to correct for."""
SAME = 0.5
"""Rules of one population whose units have this Jaccard index or more are the same rule."""


@dataclass(frozen=True, eq=False)
class _Units:
    """What was given, rows in canonical order."""

    columns: list[Column]
    failures: FloatArray
    codes: IntArray
    groups: IntArray
    half: IntArray
    confidences: FloatArray | None


@dataclass(frozen=True, eq=False)
class _Given:
    """What says what a row is, rows as given; and the row as given of every canonical row."""

    order: IntArray
    classes: Objects | None
    class_column: Column | None
    ids: Sequence[str] | None


@dataclass(frozen=True, eq=False)
class _Tried:
    """A rule that one half of a population chose, and what the other half says of it."""

    rows: IntArray
    inside: Mask
    expression: str
    held_out: HeldOut

    @property
    def p_value(self) -> float:
        """Of the harder of the two tests."""
        return hardest(self.held_out)


def discover_rules(
    frame: pd.DataFrame,
    failures: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    confidences: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    max_slices: int = 20,
    random_state: int = 0,
    ids: Sequence[str] | None = None,
) -> tuple[Candidate, ...]:
    """Propose rules over metadata under which a model fails more than on others of the class.

    Parameters
    ----------
    frame
        DataFrame with n rows, one per unit. Columns of numbers, texts or truth values are used, where at least half
        the values are there and differ. A column that equals `labels` names the class in the rules.
    failures
        (n,) booleans, or graded failures in [0, 1] such as 1 - p(label).
    labels
        (n,) true classes: rules are searched within each, against its own failure rate. None: among all.
    confidences
        (n,) how sure the model was, in [0, 1]; as in `discover`.
    groups
        (n,) units that are not independent have one value, such as the objects of an image: they stay in one half, and
        tests and intervals heed them, as in `discover`. A missing value is a group of its own. None: units are
        independent.
    max_slices
        At most this many are returned. Fewer is usual, none is possible.
    random_state
        Seed. The same seed and units give the same rules, in whatever order the rows come.
    ids
        (n,) unique ids of the units; they come back as `unit_ids`.

    Returns
    -------
    tuple of Candidate
        Confirmed ones first, then by the failures above what their class's rate would give. `members` are all units of
        the classes `details["classes"]` that satisfy the rule, in order. `rule` (also in `details["rule"]`) has the
        expression with the held-out share of failures among the units that satisfy it as precision, and the share of
        the held-out failures that satisfy it as recall.

    Raises
    ------
    InvalidInputError
        A length, dtype or value is wrong, or no column can be used.

    Notes
    -----
    Per class: a regression tree of depth 3 (scikit-learn) on one half's failures, pruned by cost and complexity; every
    leaf that fails more than the half is a rule, tested on the other half as in `discover`, against its class and
    against units of the same confidence. Both halves choose and test. The q-value is Benjamini and Yekutieli's of the
    harder of the two tests, over every rule so tried; where several rules are one, such as those of both halves, the
    p-value and the q-value are the smallest, both times their number (Bonferroni's correction: Dunn 1961), so that a
    q-value is never less than its p-value. "confirmed" is at most 0.1. Apart from the rule, which failures made,
    nothing but the frame and the labels says who is a member.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInputError(f"The frame must be a DataFrame; got {type(frame).__name__}.")
    n = len(frame)
    failed = check_failures(failures, n)
    classes = check_column(labels, n, "labels")
    sure = check_confidences(confidences, n)
    check_rest(n, ids, None, max_slices, 1)
    class_column = _class_column(frame, classes)
    columns = [c for c in read_columns(frame) if class_column is None or c.name != class_column.name]
    if not columns:
        raise InvalidInputError(
            "No column of the frame can be used for rules: they need numbers, texts or truth values that differ, "
            "with at least half of them there."
        )
    codes = class_codes(classes, n)
    grouped = check_column(groups, n, "groups")
    ranks = np.zeros(n, np.int64) if grouped is None else group_ranks(grouped)
    order = _canonical_order(columns, failed, codes, sure, ranks)
    together = np.arange(n) if grouped is None else numbered(ranks[order])
    units = _Units(
        columns=[column.take(order) for column in columns],
        failures=failed[order],
        codes=codes[order],
        groups=together,
        half=halves(together, random_state),
        confidences=None if sure is None else sure[order],
    )
    tried = [each for rows in populations(units.codes, units.failures) for each in _try(units, rows, random_state)]
    given = _Given(order, classes, class_column, ids)
    found = [_candidate(group, units, given, q_class, q_both, len(tried)) for group, q_class, q_both in _merge(tried)]
    found = [candidate for candidate in found if candidate.failure_rate > candidate.base_rate]
    found.sort(key=lambda c: (c.status != "confirmed", -c.size * (c.failure_rate - c.base_rate)))
    return tuple(found[:max_slices])


def _class_column(frame: pd.DataFrame, classes: Objects | None) -> Column | None:
    """Return the first column that holds the classes."""
    if classes is None or pd.isna(pd.Series(classes, dtype=object)).any():
        return None
    twice = frame.columns.duplicated(keep=False)
    for at, name in enumerate(frame.columns):
        if isinstance(name, str) and not twice[at]:
            values = frame.iloc[:, at]
            if not values.isna().any() and values.to_numpy(object).tolist() == classes.tolist():
                return read_column(name, values)
    return None


def _canonical_order(
    columns: Sequence[Column], failures: FloatArray, codes: IntArray, confidences: FloatArray | None, groups: IntArray
) -> IntArray:
    """Order rows by their content, so that the same rows in another order give the same rules."""
    keys = [failures, codes, *(column.data for column in columns)]
    return np.lexsort([groups, *([] if confidences is None else [confidences]), *keys])


def _try(units: _Units, rows: IntArray, random_state: int) -> list[_Tried]:
    """Find the rules of one population on either half, and test them on the other."""
    from sklearn.tree import DecisionTreeRegressor

    columns = [column for column in (c.take(rows) for c in units.columns) if column.usable]
    failures, half = units.failures[rows], units.half[rows]
    codes, groups = units.codes[rows], units.groups[rows]
    confidences = None if units.confidences is None else units.confidences[rows]
    tried = []
    for side in (0, 1):
        here = half == side
        tree = DecisionTreeRegressor(
            max_depth=DEPTH,
            min_samples_leaf=MIN_LEAF,
            ccp_alpha=_cost_of_a_leaf(failures[here]),
            random_state=random_state,
        )
        for conditions in grow_paths(columns, failures, np.flatnonzero(here), tree):
            inside = satisfied(columns, conditions)
            if _fails_more(inside, failures, here):
                held_out = hold_out(inside, failures, ~here, rows, codes, confidences, groups)
                tried.append(_Tried(rows, inside, write_rule(columns, conditions), held_out))
    return tried


def _cost_of_a_leaf(failures: FloatArray) -> float:
    """Return the mean squared error that a leaf must spare."""
    return PENALTY * float(np.log(len(failures)) * failures.var()) / len(failures) if len(failures) else 0.0


def _fails_more(inside: Mask, failures: FloatArray, here: Mask) -> bool:
    return bool((inside & here).any() and failures[inside & here].mean() > failures[here].mean())


def _merge(tried: Sequence[_Tried]) -> list[tuple[list[_Tried], float, float]]:
    """Group rules that are the same, the one with the smallest p-value first; with their q-values by both tests."""
    q_class = _q_values([each.held_out.p_value for each in tried])
    q_both = _q_values([each.p_value for each in tried])
    waiting = sorted(range(len(tried)), key=lambda i: (tried[i].p_value, i))
    groups = []
    while waiting:
        first = tried[waiting[0]]
        same = [i for i in waiting if tried[i].rows is first.rows and jaccard(first.inside, tried[i].inside) >= SAME]
        waiting = [i for i in waiting if i not in same]
        by_class, by_both = (min(1.0, len(same) * float(q[same].min())) for q in (q_class, q_both))
        groups.append(([tried[i] for i in same], by_class, by_both))
    return groups


def _q_values(p_values: Sequence[float]) -> FloatArray:
    """Adjust by Benjamini and Yekutieli (2001): rules overlap, in whatever way; empty for none."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(np.asarray(p_values), method="by")) if len(p_values) else np.zeros(0)


def _candidate(
    group: Sequence[_Tried], units: _Units, given: _Given, q_class: float, q_both: float, tried: int
) -> Candidate:
    """Make a candidate of rules that are the same."""
    best = group[0]
    held_out = pool([each.held_out for each in group], units.failures, units.groups, times=len(group))
    members = best.rows[best.inside]
    total = float(units.failures[members].sum())
    fresh = float(units.failures[held_out.rows].sum())
    all_fresh = fresh + float(units.failures[held_out.outside_rows].sum())
    order = given.order
    rows = np.sort(order[members])
    membership = np.zeros(len(order), np.float32)
    membership[rows] = 1.0
    population = order[best.rows]
    rule = Rule(
        _within_classes(best.expression, given.class_column, population),
        precision=fresh / held_out.n if held_out.n else 0.0,
        recall=fresh / all_fresh if all_fresh else 0.0,
        support=held_out.n,
    )
    details: dict[str, object] = {"rule": rule}
    if given.classes is not None:
        details["classes"] = list(dict.fromkeys(sorted(given.classes[population], key=str)))
    name = rule.expression
    return Candidate(
        members=rows,
        membership=membership,
        size=len(rows),
        failures=round(total),
        failure_rate=total / len(rows),
        interval=share_interval(units.failures[members], units.groups[members]),
        base_rate=float(units.failures[best.rows].mean()),
        p_value=hardest(held_out),
        q_value=q_both,
        status="confirmed" if q_both <= ALPHA else "candidate",
        kind=kind_of(held_out, q_class, q_both, tried),
        held_out=replace(held_out, rows=order[held_out.rows], outside_rows=order[held_out.outside_rows]),
        rule=rule,
        name=name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…",
        description=name,
        unit_ids=tuple(given.ids[i] for i in rows) if given.ids is not None else (),
        details=details,
    )


def _within_classes(expression: str, column: Column | None, population: IntArray) -> str:
    """Say the classes first, where a column holds them."""
    if column is None:
        return expression
    values = [write_value(column, float(value)) for value in np.unique(column.data[population])]
    which = f"== {values[0]}" if len(values) == 1 else f"in [{', '.join(values)}]"
    longer = f"{write_name(column.name)} {which} and {expression}"
    return longer if len(longer) <= LONGEST_RULE else expression
