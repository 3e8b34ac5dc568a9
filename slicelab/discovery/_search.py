"""The search within one population: a map and a tree from the vectors alone, and a scan of it for failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from slicelab.discovery._project import FloatMatrix, embed_features, nearest
from slicelab.discovery._scan import ClusterTree, conductance, grow_tree, scan_tree

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VOTERS = 15
NEAR = 10
BOOTSTRAPS = 10
SECOND_MAP_UP_TO = 2_000
SCATTERED = 0.5


@dataclass(frozen=True, eq=False)
class Landscape:
    """How the units of a population lie, seen without their failures.

    Parameters
    ----------
    features
        float32 (n, k), reduced embeddings.
    random_state
        Seed of the map.
    """

    features: FloatMatrix
    random_state: int

    @cached_property
    def neighbours(self) -> IntArray:
        """Every unit and its 15 nearest, int64 (n, 16), itself first."""
        return nearest(self.features, VOTERS + 1)[0]

    @cached_property
    def tree(self) -> ClusterTree:
        """A Ward tree on a UMAP of five dimensions."""
        n_neighbors = int(np.clip(np.sqrt(len(self.features)) / 3, 8, 30))
        points = embed_features(
            self.features, n_components=5, n_neighbors=n_neighbors, min_dist=0.0, random_state=self.random_state
        )
        return grow_tree(points)

    @cached_property
    def gaps(self) -> FloatArray:
        """Conductance of every node of the tree."""
        return conductance(self.tree, self.neighbours[:, 1 : NEAR + 1])

    def scan(self, failures: FloatArray, weights: FloatArray | None = None) -> list[int]:
        """Return the nodes that stand out, best first."""
        return scan_tree(self.tree, failures, weights=weights, gaps=self.gaps)

    def mask(self, node: int) -> Mask:
        """Return the units of a node, bool (n,)."""
        inside = np.zeros(len(self.features), bool)
        inside[self.tree.leaves(node)] = True
        return inside

    def vote(self, nodes: Sequence[int]) -> FloatArray:
        """Return the share of every unit's neighbourhood (itself included) that is of each node, (len(nodes), n).

        A unit belongs to the node with the largest share, if that is half or more. This smooths the ragged edge that
        cutting a tree leaves, and says how strongly units near the edge belong.
        """
        return np.array([self.mask(node)[self.neighbours].mean(axis=1) for node in nodes]).reshape(len(nodes), -1)

    def groups(self, nodes: Sequence[int]) -> list[tuple[Mask, FloatArray]]:
        """Return members, bool (n,), and votes, float64 (n,), of nodes that don't overlap."""
        if not nodes:
            return []
        votes = self.vote(nodes)
        smooth = [(votes.argmax(axis=0) == i) & (vote >= 0.5) for i, vote in enumerate(votes)]
        exact = [self.mask(node) for node in nodes]
        if any(jaccard(a, b) < SCATTERED for a, b in zip(smooth, exact, strict=True)):
            return list(zip(exact, votes, strict=True))  # too scattered to have edges
        return list(zip(smooth, votes, strict=True))


@dataclass(frozen=True, eq=False)
class Found:
    """A group of one population.

    Parameters
    ----------
    node
        Of the population's tree.
    inside, vote
        bool and float64 (n,): members, and how strongly every unit belongs.
    stability, coherence
        See `Candidate`.
    """

    node: int
    inside: Mask
    vote: FloatArray
    stability: float = float("nan")
    coherence: float = float("nan")


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
    groups = landscape.groups(nodes)
    return [Found(node, *group) for node, group in zip(nodes, groups, strict=True) if group[0].any()]


def stability(landscape: Landscape, failures: FloatArray, found: Sequence[Found]) -> list[float]:
    """Return how well each group is found again: mean Jaccard over bootstraps of the units and a second map."""
    if not found:
        return []
    rng = np.random.default_rng(landscape.random_state)
    n = len(failures)
    drawn = [np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(BOOTSTRAPS)]
    again = [find(landscape, failures, weights) for weights in drawn]
    if n <= SECOND_MAP_UP_TO:
        other = find(Landscape(landscape.features, landscape.random_state + 1), failures)
        again += [other] * (BOOTSTRAPS // 2)  # a map counts as much as five bootstraps
    best = [[max((jaccard(each.inside, o.inside) for o in run), default=0.0) for run in again] for each in found]
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
    if near.shape[1] == 0 or inside.all():
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
    around = failures[near].mean(axis=1) if near.shape[1] else np.zeros(len(failures))
    strength = 0.5 + 0.25 * (found.vote + around)
    return np.where(found.inside, np.minimum(strength, 1.0), np.minimum(found.vote, 0.499))


def jaccard(a: Mask, b: Mask) -> float:
    """Return the share of units in either group that are in both."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0
