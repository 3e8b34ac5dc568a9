"""The search in one population: the groups of its landscape that fail more than it does, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slicelab.discovery._edges import with_edges
from slicelab.discovery._landscape import NEAR, Landscape, Node, jaccard
from slicelab.discovery._regions import dense_regions
from slicelab.discovery._scan import MAX_SHARE, MIN_SIZE, earned, likelihood_ratio

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BOOTSTRAPS = 10
LEADS = 10
LEADS_OVERLAP = 0.5
LEADS_ALIKE = 0.6
"""Leads may share half of their units, for none of them is sure, but aren't the same group twice."""


@dataclass(frozen=True, eq=False)
class Found:
    """A group of one population.

    Parameters
    ----------
    node
        Of one of the population's trees; of a region the most similar.
    inside, vote
        bool and float64 (n,): members, and how strongly every unit belongs.
    stability, coherence
        See `Candidate`.
    weight
        Of a lead, by which leads are ordered: the likelihood ratio of its failures, times its stability.
    """

    node: Node
    inside: Mask
    vote: FloatArray
    stability: float = float("nan")
    coherence: float = float("nan")
    weight: float = float("nan")


def find(landscape: Landscape, failures: FloatArray, weights: FloatArray | None = None) -> list[Found]:
    """Find the groups of a population that fail more than it does, best first.

    Parameters
    ----------
    landscape
        Of the population.
    failures
        float64 (n,) in [0, 1].
    weights
        float64 (n,), 0 for units that may have no say in the choice; None: all have.

    Returns
    -------
    Groups that don't overlap. Each has at least one member, and stands out without the units of those before it.
    """
    nodes = landscape.scan(failures, weights)
    groups = with_edges(landscape, [inside for _, inside in nodes], failures, weights)
    found = [Found(node, *group) for (node, _), group in zip(nodes, groups, strict=True)]
    return [group for group in found if earned(group.inside, failures, weights) > 0]


def leads(landscape: Landscape, failures: FloatArray, found: Sequence[Found]) -> list[Found]:
    """Return the groups that stand out most beside what was found, which nothing is tried to confirm.

    Parameters
    ----------
    landscape, failures
        As `find`.
    found
        What is no lead any more.

    Returns
    -------
    Up to `LEADS` groups: nodes of the trees, and regions of any form that failures make (`dense_regions`), which may
    also be a better cut of what was found. They are chosen by their likelihood ratio of failures: of one kind, a group
    shares at most half of its units with larger ratios; of either kind, none is there twice. First come those of most
    `weight`. Failures made the regions, which flatters their ratios; the trees, which saw none, know them less.
    """
    means, counts = landscape.gather(failures)
    base_rate = float((means * counts).sum() / counts.sum())
    if not 0 < base_rate < 1:
        return []
    known = [landscape.at_landmarks(group.inside) for group in found]
    none = np.zeros(len(counts), bool)
    taken = {True: np.any(known, axis=0) if known else none, False: none}
    chosen: list[Found] = []
    for group in _standing_out(landscape, means, counts, base_rate):
        is_node = isinstance(group, Node)
        inside = landscape.mask(group) if isinstance(group, Node) else group
        if (inside & taken[is_node]).sum() > LEADS_OVERLAP * inside.sum():
            continue
        members, vote = with_edges(landscape, [inside], failures)[0]
        seen = landscape.at_landmarks(members)
        if any(jaccard(seen, other) > LEADS_ALIKE for other in known):
            continue
        known.append(seen)
        taken[is_node] = taken[is_node] | inside
        node = group if isinstance(group, Node) else landscape.closest(inside)
        known_to = landscape.familiarity(seen)
        weight = earned(members, failures, penalty=0) * known_to
        chosen.append(Found(node, members, vote, stability=known_to, weight=weight))
        if len(chosen) == LEADS:
            break
    return sorted((lead for lead in chosen if lead.inside.any()), key=lambda lead: -lead.weight)


def _standing_out(landscape: Landscape, means: FloatArray, counts: FloatArray, base_rate: float) -> list[Node | Mask]:
    """Return the groups with more failures than the population has, the largest likelihood ratio first."""
    least, most = MIN_SIZE, MAX_SHARE * counts.sum()
    groups: list[Node | Mask] = []
    sizes, failed = [], []
    for at, one in enumerate(landscape.maps):
        size = one.tree.totals(counts)
        allowed = np.flatnonzero((size >= least) & (size <= most))
        groups += [Node(at, int(number)) for number in allowed]
        sizes.append(size[allowed])
        failed.append(one.tree.totals(means * counts)[allowed])
    regions = dense_regions(landscape.neighbours[:, 1:], means, counts, least=least, most=most)
    groups += regions
    sizes.append(np.array([counts[inside].sum() for inside in regions]))
    failed.append(np.array([(means * counts)[inside].sum() for inside in regions]))
    gain = likelihood_ratio(np.concatenate(sizes), np.concatenate(failed), base_rate)
    order = np.argsort(-gain, kind="stable")
    return [groups[i] for i in order[gain[order] > 0]]


def stability(landscape: Landscape, failures: FloatArray, found: Sequence[Found], groups: IntArray) -> list[float]:
    """Return how well each group is found again: mean Jaccard over bootstraps and over single maps.

    Bootstraps draw what is independent: whole groups (int64 (n,)), which are the units where each is its own.
    """
    if not found:
        return []
    rng = np.random.default_rng(landscape.random_state)
    codes = np.unique(groups, return_inverse=True)[1]
    n = int(codes.max()) + 1
    drawn = [np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)[codes] for _ in range(BOOTSTRAPS)]
    again = [[o.inside for o in find(landscape, failures, weights)] for weights in drawn]
    again += [
        [landscape.spread(landscape.mask(node)) for node in landscape.chosen_on(at, failures)]
        for at in range(len(landscape.maps))
    ]
    best = [[max((jaccard(each.inside, inside) for inside in run), default=0.0) for run in again] for each in found]
    return [float(np.mean(row)) for row in best]


def coherence(landscape: Landscape, inside: Mask, bands: IntArray, groups: IntArray) -> float:
    """Return how much tighter a group lies than random ones with as many units of each band.

    Parameters
    ----------
    landscape
        Of the population.
    inside
        bool (n,).
    bands
        int64 (n,): class and confidence band of every unit.
    groups
        int64 (n,): neighbours of a unit's own group say nothing, as they lie near it whatever they are.

    Returns
    -------
    (share of the members' 10 nearest neighbours that are members - expected) / (1 - expected), where the expected
    share is that of units drawn at random within every band. NaN where no member has a neighbour of another group.
    """
    near = landscape.neighbours[:, 1 : NEAR + 1]
    inside, bands, groups = (landscape.at_landmarks(values) for values in (inside, bands, groups))
    other = groups[:, None] != groups[near]
    if not other[inside].any() or inside.all():
        return float("nan")
    _, codes = np.unique(bands, return_inverse=True)
    share = np.bincount(codes, weights=inside) / np.bincount(codes)
    drawn = share[codes]
    expected = float((drawn[:, None] * drawn[near])[other].sum() / (drawn[:, None] * other).sum())
    observed = float(inside[near[inside]][other[inside]].mean())
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def membership(landscape: Landscape, found: Found, failures: FloatArray) -> FloatArray:
    """Say how strongly every unit belongs, float64 (n,): 0.5 and more for members, less for the others.

    Members rank by their neighbourhood's share in the group and by how much its other units fail: a unit's own
    failure has no part in it.
    """
    near = landscape.neighbours[:, 1:]
    around = landscape.gather(failures)[0][near].mean(axis=1) if near.shape[1] else np.zeros(len(near))
    strength = 0.5 + 0.25 * (found.vote + landscape.spread(around))
    return np.where(found.inside, np.minimum(strength, 1.0), np.minimum(found.vote, 0.499))
