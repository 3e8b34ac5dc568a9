"""From a group that was found to a candidate that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, Candidate, HeldOut, Rule
from slicelab.discovery._confirm import ALPHA, hardest, kind_of, pool
from slicelab.discovery._describe import describe
from slicelab.discovery._grouped import share_interval
from slicelab.discovery._landscape import Landscape, Node
from slicelab.discovery._scan import ClusterTree
from slicelab.discovery._search import Found, membership

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]

EXAMPLES = 6


@dataclass(frozen=True, eq=False)
class Explained:
    """What slices are explained with, rows as given."""

    failures: FloatArray
    groups: IntArray
    classes: Objects | None
    predicted: Objects | None
    attributes: pd.DataFrame | None
    ids: Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Judged:
    """A group of a population with what was learned about it; rows in canonical order."""

    rows: IntArray
    landscape: Landscape
    found: Found
    held_out: list[HeldOut]
    q_class: float
    q_both: float
    tried: int
    half: IntArray
    stability: float
    coherence: float


def explain(judged: Judged, order: IntArray, columns: Explained, canonical: IntArray, random_state: int) -> Candidate:
    """Make a candidate of a group.

    Parameters
    ----------
    judged
        The group.
    order
        int64 (n,): row as given of every canonical row.
    columns
        What it is explained with.
    canonical
        int64 (n,): the inverse of `order`.
    random_state
        Seed of what describes it.

    Returns
    -------
    Candidate with rows as given.
    """
    rows = order[judged.rows]
    failures = columns.failures[rows]
    inside = judged.found.inside
    strength = membership(judged.landscape, judged.found, failures)
    centre = np.median(judged.landscape.features[inside], axis=0)
    distance = np.linalg.norm(judged.landscape.features - centre, axis=1)
    at = np.flatnonzero(inside)
    at = at[np.lexsort((canonical[rows[at]], distance[at], -strength[at]))]
    everywhere = np.zeros(len(order), np.float32)
    everywhere[rows] = strength
    parts = [_as_given(part, order) for part in judged.held_out]
    held_out = pool(parts, columns.failures, columns.groups) if parts else None
    rule = _rule(inside, rows, judged.half, columns.attributes, random_state)
    words, confusion = _confusion(rows[at], columns, held_out)
    total = float(failures[inside].sum())
    return Candidate(
        members=rows[at],
        membership=everywhere,
        size=len(at),
        failures=round(total),
        failure_rate=total / len(at),
        interval=share_interval(failures[inside], columns.groups[rows[inside]]),
        base_rate=float(failures.mean()),
        p_value=1.0 if held_out is None else hardest(held_out),
        q_value=judged.q_both,
        status="confirmed" if judged.q_both <= ALPHA else "candidate",
        kind=kind_of(held_out, judged.q_class, judged.q_both, judged.tried),
        held_out=held_out,
        stability=judged.stability,
        coherence=judged.coherence,
        rule=rule,
        border=rows[at[::-1][:EXAMPLES]],
        counterexamples=_counterexamples(rows, inside, failures, distance),
        name=words if rule is None or len(rule.expression) > 40 else f"{words}, {rule.expression}",
        description=_description(words, confusion, rule),
        unit_ids=tuple(columns.ids[i] for i in rows[at]) if columns.ids else (),
        details={"confusion": confusion} if confusion else {},
        tree=PopulationTree(judged.landscape, judged.found.node.on, rows, columns, len(order)),
        node=judged.found.node.number,
    )


@dataclass(frozen=True, eq=False)
class PopulationTree:
    """A tree of a population, whose groups can be looked at one by one."""

    landscape: Landscape
    on: int
    rows: IntArray
    columns: Explained
    n_rows: int

    @property
    def clusters(self) -> ClusterTree:
        """The tree over its landmarks."""
        return self.landscape.maps[self.on].tree

    def parent(self, node: int) -> Candidate | None:
        """Return the group above, or None at the top."""
        above = int(self.clusters.parents[node])
        return None if above < 0 else self._candidate(above)

    def children(self, node: int) -> tuple[Candidate, ...]:
        """Return the two groups of which it was made, larger failure rate first; none for a single unit."""
        if node < self.clusters.n_leaves:
            return ()
        parts = [self._candidate(int(child)) for child in self.clusters.children[node - self.clusters.n_leaves]]
        return tuple(sorted(parts, key=lambda part: -part.failure_rate))

    def _candidate(self, node: int) -> Candidate:
        members = self.rows[np.flatnonzero(self.landscape.spread(self.landscape.mask(Node(self.on, node))))]
        strength = np.zeros(self.n_rows, np.float32)
        strength[members] = 1.0
        total = float(self.columns.failures[members].sum())
        words, _ = _confusion(members, self.columns, None)
        return Candidate(
            members=members,
            membership=strength,
            size=len(members),
            failures=round(total),
            failure_rate=total / len(members),
            interval=share_interval(self.columns.failures[members], self.columns.groups[members]),
            base_rate=float(self.columns.failures[self.rows].mean()),
            p_value=1.0,
            q_value=1.0,
            name=words,
            description=words,
            unit_ids=tuple(self.columns.ids[i] for i in members) if self.columns.ids else (),
            tree=self,
            node=node,
        )


def _as_given(part: HeldOut, order: IntArray) -> HeldOut:
    from dataclasses import replace

    return replace(part, rows=order[part.rows], outside_rows=order[part.outside_rows])


def _rule(
    inside: Mask, rows: IntArray, half: IntArray, attributes: pd.DataFrame | None, random_state: int
) -> Rule | None:
    if attributes is None or attributes.shape[1] == 0:
        return None
    return describe(inside, attributes.iloc[rows].reset_index(drop=True), half, random_state=random_state)


def _counterexamples(rows: IntArray, inside: Mask, failures: FloatArray, distance: FloatArray) -> IntArray:
    """Return the units outside that are handled correctly and lie nearest to the middle of the slice."""
    right = np.flatnonzero(~inside & (failures < 0.5))
    return rows[right[np.argsort(distance[right], kind="stable")[:EXAMPLES]]]


def _confusion(members: IntArray, columns: Explained, held_out: HeldOut | None) -> tuple[str, dict[str, object]]:
    """Say which classes these are and as what they were taken; the share is counted on held-out failures too."""
    of = "units"
    if columns.classes is not None:
        names = pd.Series(columns.classes[members]).value_counts()
        of = " and ".join(str(name) for name in names.index[:2]) + (" and others" if len(names) > 2 else "")
    failing = members[columns.failures[members] >= 0.5]
    if columns.predicted is None or not len(failing):
        return of, {}
    taken = _taken(columns.predicted[failing])
    top = str(taken.index[0])
    became = f"taken for {top}" if top else "missed"
    if top == of:
        became = "badly located"
    confusion: dict[str, object] = {"prediction": top, "failures": len(failing), "share": float(taken.iloc[0])}
    if held_out is not None:
        fresh = held_out.rows[columns.failures[held_out.rows] >= 0.5]
        confusion["held_out_failures"] = len(fresh)
        confusion["held_out_share"] = float(_taken(columns.predicted[fresh]).get(top, 0.0)) if len(fresh) else 0.0
    return f"{of} {became}", confusion


def _taken(predicted: Objects) -> pd.Series[float]:
    return pd.Series(predicted, dtype=object).fillna("").astype(TEXT).value_counts(normalize=True)


def _description(words: str, confusion: dict[str, object], rule: Rule | None) -> str:
    parts = [words]
    if confusion:
        parts[0] += f" ({float(str(confusion['share'])):.0%} of its failures)"
    if rule is not None:
        parts.append(f"mostly where {rule.expression}")
    return "; ".join(parts)
