"""What discovery proposes, and what is known of it on units that did not choose it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from slicelab.core._rule import Rule

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A slice on the units that had no part in choosing it, beside the others of its population there.

    Parameters
    ----------
    rows, outside_rows
        int64: the units inside and outside that were counted.
    rate, interval
        Mean failure inside, and its interval at 95 %: Wilson's, or that of shares of groups.
    outside_rate
        Mean failure outside.
    effect, effect_interval
        rate - outside_rate, and Newcombe's interval at 95 %.
    p_value
        One-sided: does it fail more than its class? Exact for independent units; where units come in groups, groups
        are exchanged. Of the half whose test decides where both halves led to the group.
    p_given_confidence
        The same within bands of the model's confidence, on the same units; equal to `p_value` where no confidences
        were given.
    smallest_p_value
        What `p_value` would be had all inside failed: too large means too few units, or groups, to ever confirm it.
    n_groups
        Number of groups that the units inside are of; of independent units, that of the units.
    """

    rows: Rows
    outside_rows: Rows
    rate: float
    interval: tuple[float, float]
    outside_rate: float
    effect: float
    effect_interval: tuple[float, float]
    p_value: float
    p_given_confidence: float
    smallest_p_value: float
    n_groups: int = 0

    @property
    def n(self) -> int:
        """Number of units inside."""
        return len(self.rows)


class CandidateTree(Protocol):
    """The tree that a candidate was cut from."""

    def parent(self, node: int) -> Candidate | None:
        """Return the group above, or None at the top."""

    def children(self, node: int) -> tuple[Candidate, ...]:
        """Return the two groups of which it was made, larger failure rate first; none for a single unit."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A group of units that discovery proposes.

    Parameters
    ----------
    members
        int64 (m,), row positions, most typical first.
    membership
        float32 (n,) in [0, 1]: how strongly every row belongs.
    size, failures
        Number of members and of failures among them (graded failures: their sum, rounded).
    failure_rate, interval
        Share of failures and its interval (low, high) at 95 %. These members were chosen for failing: `held_out`
        has the unbiased figures.
    base_rate
        Share of failures of the population it was compared with: its class (small classes together), among labelled
        objects or among predicted boxes, whichever were searched.
    p_value, q_value
        One-sided held-out test against the rest, and its value after adjustment over all that was tried: never less.
    status
        "confirmed": it fails more on held-out units than its class and than the model's confidence accounts for.
    kind
        "slice"; "boundary": it fails more than its class, but no more than units of the same confidence do (the
        neighbourhood of the decision boundary); "small": too few held-out units, or groups, to ever be confirmed;
        "lead": among the rest it stands out most, but nothing was tried to confirm it.
    held_out
        None where neither half of the units alone led to this group.
    stability
        Mean Jaccard index with the most similar group found again on bootstraps of the units and on maps of single
        seeds, in [0, 1]; of a lead, with the most similar group of the maps' trees, found by failures or not.
    coherence
        How much tighter its units lie together than random ones of the same population and confidence: share of
        their 10 nearest neighbours that are members, scaled so that random is 0 and all is 1. NaN: not measured.
    rule
        The expression that describes it best, with its held-out precision and recall; None: none does.
    border, counterexamples
        int64: members that belong least; the nearest units outside that are handled correctly.
    name, description
        What it is, in words made from labels, predictions and the rule.
    unit_ids
        Ids of `members`, same order; empty where `discover` was given no ids.
    """

    members: Rows
    membership: npt.NDArray[np.float32]
    size: int
    failures: int
    failure_rate: float
    interval: tuple[float, float]
    base_rate: float
    p_value: float
    q_value: float
    status: Literal["confirmed", "candidate"] = "candidate"
    kind: Literal["slice", "boundary", "small", "lead"] = "slice"
    held_out: HeldOut | None = None
    stability: float = float("nan")
    coherence: float = float("nan")
    rule: Rule | None = None
    border: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    counterexamples: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    name: str = ""
    description: str = ""
    unit_ids: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    tree: CandidateTree | None = None
    node: int = -1

    @property
    def lift(self) -> float:
        """How many times the base rate its failure rate is."""
        return self.failure_rate / self.base_rate if self.base_rate else float("inf")

    @property
    def parent(self) -> Candidate | None:
        """The group of the tree that it is a part of; None where there is none."""
        return self.tree.parent(self.node) if self.tree else None

    @property
    def children(self) -> tuple[Candidate, ...]:
        """The parts of the tree that it was made of, worst first."""
        return self.tree.children(self.node) if self.tree else ()
