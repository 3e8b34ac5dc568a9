"""The search within one population: maps and trees from the vectors alone, and a scan of them for failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slicelab.discovery._project import FloatMatrix, embed_features, nearest
from slicelab.discovery._scan import (
    MAX_SHARE,
    MIN_SIZE,
    ClusterTree,
    conductance,
    grow_tree,
    likelihood_ratio,
    scan_tree,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VOTERS = 15
NEAR = 10
BOOTSTRAPS = 10
MAPS = 5
MAPS_OF_MANY = 3
MANY = 5_000
"""A map depends on its seed, so several are made; above this many units, fewer."""
EPOCHS = 100
AGREED = 0.6
"""A group must be found on the other maps too, whole or in pieces: mean Jaccard with what each proposes there."""
OVERLAP = 0.3
"""A group of which more than this share is in one that stands out more is that one over again."""
SCATTERED = 0.5
LEADS = 10
LEADS_OVERLAP = 0.5
LEADS_ALIKE = 0.6
"""Leads may share half of their units, for none of them is sure, but aren't the same group twice."""


class Node(NamedTuple):
    """A node of one map's tree.

    Parameters
    ----------
    on
        Position of the map.
    number
        Of the node.
    """

    on: int
    number: int


@dataclass(frozen=True, eq=False)
class ClusterMap:
    """A Ward tree on a UMAP of five dimensions, and the conductance of its nodes."""

    tree: ClusterTree
    gaps: FloatArray


@dataclass(frozen=True, eq=False)
class Landscape:
    """How the units of a population lie, seen without their failures.

    Maps and trees are over its landmarks. These are all units, or where there are too many a random part of them,
    each of which stands for the units that it is the nearest landmark of.

    Parameters
    ----------
    features
        float32 (n, k), reduced embeddings.
    random_state
        Seed of the maps, and of the choice of landmarks.
    limit
        At most so many landmarks.
    """

    features: FloatMatrix
    random_state: int
    limit: int

    @cached_property
    def landmarks(self) -> IntArray | None:
        """Which units are landmarks, ascending; None: all."""
        n = len(self.features)
        if n <= self.limit:
            return None
        return np.sort(np.random.default_rng(self.random_state).choice(n, self.limit, replace=False))

    @cached_property
    def cells(self) -> IntArray | None:
        """The position among the landmarks of the one that stands for each unit, int64 (n,); None: every unit's own."""
        if self.landmarks is None:
            return None
        cells = nearest(self.points, 1, queries=self.features)[0][:, 0]
        cells[self.landmarks] = np.arange(len(self.landmarks))  # among twins too
        return cells

    @cached_property
    def points(self) -> FloatMatrix:
        """Features of the landmarks, float32 (m, k)."""
        return self.features if self.landmarks is None else self.features[self.landmarks]

    @cached_property
    def counts(self) -> FloatArray:
        """How many units each landmark stands for, float64 (m,)."""
        return np.ones(len(self.points)) if self.cells is None else np.bincount(self.cells).astype(np.float64)

    def at_landmarks(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the landmarks themselves have of a value per unit: (m,) of (n,)."""
        return values if self.landmarks is None else values[self.landmarks]

    def gather(self, failures: FloatArray, weights: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return the mean failure of the units that each landmark stands for, and their weight: float64 (m,) each."""
        weights = np.ones(len(failures)) if weights is None else weights
        if self.cells is None:
            return failures, weights
        total: FloatArray = np.bincount(self.cells, weights=weights).astype(np.float64)
        failed = np.bincount(self.cells, weights=weights * failures)
        return np.divide(failed, total, out=np.zeros(len(total)), where=total > 0), total

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give each unit what its landmark has: (n,) of (m,)."""
        return values if self.cells is None else values[self.cells]

    @cached_property
    def neighbours(self) -> IntArray:
        """Every landmark and its 15 nearest, int64 (m, 16), itself first."""
        return self._nearest[0][:, : VOTERS + 1]

    @cached_property
    def _nearest(self) -> tuple[IntArray, FloatMatrix]:
        return nearest(self.points, max(VOTERS + 1, self._n_neighbors))

    @property
    def _n_neighbors(self) -> int:
        """Of the maps: more where there are more landmarks."""
        return int(np.clip(np.sqrt(len(self.points)) / 3, 8, 30))

    @cached_property
    def maps(self) -> tuple[ClusterMap, ...]:
        """Maps from one seed each."""
        count = MAPS if len(self.points) <= MANY else MAPS_OF_MANY
        made = []
        for seed in range(self.random_state, self.random_state + count):
            points = embed_features(
                self.points,
                n_components=5,
                n_neighbors=self._n_neighbors,
                min_dist=0.0,
                n_epochs=EPOCHS,
                random_state=seed,
                neighbours=self._nearest,
            )
            tree = grow_tree(points)
            made.append(ClusterMap(tree, conductance(tree, self.neighbours[:, 1 : NEAR + 1])))
        return tuple(made)

    def scan(self, failures: FloatArray, weights: FloatArray | None = None) -> list[tuple[Node, Mask]]:
        """Return the nodes that stand out on most maps, best first, and their landmarks (bool (m,)).

        Parameters
        ----------
        failures, weights
            As `find`.

        Notes
        -----
        Every map proposes its best disjoint nodes. Those that the other maps don't know are dropped, the others are
        taken by what they earn; where two overlap a little, the better one keeps the units of both.
        """
        gains: dict[Node, float] = {}
        for at in range(len(self.maps)):
            gains |= self.chosen_on(at, failures, weights)
        masks = {node: self.mask(node) for node in gains}
        taken = np.zeros(len(self.points), bool)
        kept = []
        for node in sorted(gains, key=lambda node: (-gains[node], node)):
            inside = masks[node]
            if self._agreement(node, masks) < AGREED or int((inside & taken).sum()) > OVERLAP * int(inside.sum()):
                continue
            kept.append((node, inside & ~taken))
            taken |= inside
        return kept

    def chosen_on(self, at: int, failures: FloatArray, weights: FloatArray | None = None) -> dict[Node, float]:
        """Return what each node that one map proposes earns."""
        one = self.maps[at]
        means, totals = self.gather(failures, weights)
        chosen = scan_tree(one.tree, means, weights=totals, counts=self.counts, gaps=one.gaps)
        return {Node(at, number): gain for number, gain in chosen.items()}

    def _agreement(self, node: Node, masks: Mapping[Node, Mask]) -> float:
        """Return how well the other maps know a node: mean Jaccard with the union of those mostly inside it."""
        inside = masks[node]
        unions = np.zeros((len(self.maps), len(inside)), bool)
        for other, mask in masks.items():
            if 2 * int((mask & inside).sum()) >= int(mask.sum()):
                unions[other.on] |= mask
        known = [jaccard(inside, union) for at, union in enumerate(unions) if at != node.on]
        return float(np.mean(known)) if known else 1.0

    def mask(self, node: Node) -> Mask:
        """Return the landmarks of a node, bool (m,)."""
        inside = np.zeros(len(self.points), bool)
        inside[self.maps[node.on].tree.leaves(node.number)] = True
        return inside

    def groups(self, exact: Sequence[Mask]) -> list[tuple[Mask, FloatArray]]:
        """Smooth the ragged edges that cutting a tree leaves.

        A landmark belongs to the group with the largest share of its neighbourhood (itself included), if that is half
        or more. The share is its vote: how strongly it belongs, and with it the units that it stands for.

        Parameters
        ----------
        exact
            bool (m,) each, of the landmarks; they don't overlap.

        Returns
        -------
        Members, bool (n,), and votes, float64 (n,), of each: of all units.
        """
        if not exact:
            return []
        votes = np.array([inside[self.neighbours].mean(axis=1) for inside in exact])
        smooth = [(votes.argmax(axis=0) == i) & (vote >= 0.5) for i, vote in enumerate(votes)]
        scattered = any(jaccard(a, b) < SCATTERED for a, b in zip(smooth, exact, strict=True))  # without edges
        return [
            (self.spread(inside), self.spread(vote))
            for inside, vote in zip(exact if scattered else smooth, votes, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Found:
    """A group of one population.

    Parameters
    ----------
    node
        Of one of the population's trees.
    inside, vote
        bool and float64 (n,): members, and how strongly every unit belongs.
    stability, coherence
        See `Candidate`.
    gain
        Of a lead: its likelihood ratio.
    """

    node: Node
    inside: Mask
    vote: FloatArray
    stability: float = float("nan")
    coherence: float = float("nan")
    gain: float = float("nan")


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
    Groups that don't overlap; each has at least one member.
    """
    nodes = landscape.scan(failures, weights)
    groups = landscape.groups([inside for _, inside in nodes])
    return [Found(node, *group) for (node, _), group in zip(nodes, groups, strict=True) if group[0].any()]


def leads(landscape: Landscape, failures: FloatArray, found: Sequence[Found]) -> list[Found]:
    """Return the groups that stand out most among the rest, though no more than chance can make them.

    Parameters
    ----------
    landscape, failures
        As `find`.
    found
        What is no lead any more.

    Returns
    -------
    Up to `LEADS` groups, the largest likelihood ratio of failures first. They may overlap each other by half.
    """
    size = float(len(failures))
    every: list[tuple[float, Node]] = []
    means, counts = landscape.gather(failures)
    for at, one in enumerate(landscape.maps):
        failed = one.tree.totals(means * counts)
        sizes = one.tree.totals(counts)
        base_rate = failed[-1] / size
        if not 0 < base_rate < 1:
            return []
        gain = likelihood_ratio(sizes, failed, base_rate)
        gain[(sizes < MIN_SIZE) | (sizes > MAX_SHARE * size)] = 0.0
        every += [(-float(gain[number]), Node(at, int(number))) for number in np.flatnonzero(gain)]
    taken = np.zeros(len(counts), bool)
    for group in found:
        taken |= landscape.at_landmarks(group.inside)
    exact: list[Mask] = []
    chosen = []
    for loss, node in sorted(every):
        inside = landscape.mask(node)
        if (inside & taken).sum() > LEADS_OVERLAP * inside.sum():
            continue
        if any(jaccard(inside, other) > LEADS_ALIKE for other in exact):
            continue
        exact.append(inside)
        taken = taken | inside
        smooth, vote = landscape.groups([inside])[0]
        chosen.append(Found(node, smooth, vote, gain=-loss))
        if len(chosen) == LEADS:
            break
    return [lead for lead in chosen if lead.inside.any()]


def stability(landscape: Landscape, failures: FloatArray, found: Sequence[Found]) -> list[float]:
    """Return how well each group is found again: mean Jaccard over bootstraps and over single maps."""
    if not found:
        return []
    rng = np.random.default_rng(landscape.random_state)
    n = len(failures)
    drawn = [np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(BOOTSTRAPS)]
    again = [[o.inside for o in find(landscape, failures, weights)] for weights in drawn]
    again += [
        [landscape.spread(landscape.mask(node)) for node in landscape.chosen_on(at, failures)]
        for at in range(len(landscape.maps))
    ]
    best = [[max((jaccard(each.inside, inside) for inside in run), default=0.0) for run in again] for each in found]
    return [float(np.mean(row)) for row in best]


def coherence(landscape: Landscape, inside: Mask, bands: IntArray) -> float:
    """Return how much tighter a group lies than random ones with as many units of each band.

    Parameters
    ----------
    landscape
        Of the population.
    inside
        bool (n,).
    bands
        int64 (n,): class and confidence band of every unit.

    Returns
    -------
    (share of the members' 10 nearest neighbours that are members - expected) / (1 - expected), where the expected
    share is that of units drawn at random within every band.
    """
    near = landscape.neighbours[:, 1 : NEAR + 1]
    inside, bands = landscape.at_landmarks(inside), landscape.at_landmarks(bands)
    if near.shape[1] == 0 or inside.all() or not inside.any():
        return float("nan")
    _, codes = np.unique(bands, return_inverse=True)
    share = np.bincount(codes, weights=inside) / np.bincount(codes)
    drawn = share[codes]
    expected = float((drawn[:, None] * drawn[near]).sum() / (drawn.sum() * near.shape[1]))
    observed = float(inside[near[inside]].mean())
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


def jaccard(a: Mask, b: Mask) -> float:
    """Return the share of units in either group that are in both."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0
