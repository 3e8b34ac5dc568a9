"""How the units of a population lie: maps and trees from the vectors alone, and the groups on which they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slicelab.discovery._project import FloatMatrix, embed_features, nearest
from slicelab.discovery._regions import connected
from slicelab.discovery._scan import (
    MAX_SHARE,
    MIN_SIZE,
    PENALTY,
    ClusterTree,
    conductance,
    earned,
    grow_tree,
    scan_tree,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

VOTERS = 15
NEAR = 10
MAPS = 5
MAPS_OF_MANY = 3
MANY = 5_000
"""A map depends on its seed, so several are made; above this many landmarks, fewer."""
EPOCHS = 100
AGREED = 0.6
"""A group must be found on the other maps too, whole or in pieces: mean Jaccard with what each proposes there. Where
they cut differently, a unit must be in what that share of them proposes."""
SHARED = 2 * PENALTY
"""What such a group must earn: more than a node, for it is cut out of several."""
OVERLAP = 0.3
"""A group of which more than this share is in one that stands out more is that one over again."""


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
        laid_out = embed_features(
            self.points,
            self._nearest,
            range(self.random_state, self.random_state + count),
            n_components=5,
            n_neighbors=self._n_neighbors,
            min_dist=0.0,
            n_epochs=EPOCHS,
        )
        trees = [grow_tree(points) for points in laid_out]
        near = self.neighbours[:, 1 : NEAR + 1]
        return tuple(ClusterMap(tree, conductance(tree, near)) for tree in trees)

    def scan(self, failures: FloatArray, weights: FloatArray | None = None) -> list[tuple[Node, Mask]]:
        """Return the groups that stand out on most maps, each with its landmarks (bool (m,)) and the node it is like.

        Parameters
        ----------
        failures, weights
            As `find`.

        Notes
        -----
        Every map proposes its best disjoint nodes. Those that the other maps know too are taken by what they earn;
        where two overlap a little, the better one keeps the units of both. What is left are proposals that every map
        cuts differently, as where units lie without gaps: of these, the landmarks that most maps propose are taken,
        by connected parts, if they earn more than a node has to.
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
        return kept + [(self.closest(inside), inside) for inside in self._shared(masks, taken, failures, weights)]

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

    def _shared(
        self, masks: Mapping[Node, Mask], taken: Mask, failures: FloatArray, weights: FloatArray | None
    ) -> list[Mask]:
        """Return the groups of landmarks that are in some node on most maps and aren't taken, best first."""
        means, totals = self.gather(failures, weights)
        proposed = np.zeros((len(self.maps), len(taken)), bool)
        for node, inside in masks.items():
            proposed[node.on] |= inside
        most_maps = proposed.sum(axis=0) >= AGREED * len(self.maps)
        most = MAX_SHARE * self.counts.sum()
        parts = connected(self.neighbours[:, 1:], most_maps & ~taken, self.counts, least=MIN_SIZE, most=most)
        gains = [earned(part, means, totals, penalty=SHARED) for part in parts]
        order = sorted(range(len(parts)), key=lambda i: (-gains[i], int(parts[i].argmax())))
        return [parts[i] for i in order if gains[i] > 0]

    def mask(self, node: Node) -> Mask:
        """Return the landmarks of a node, bool (m,)."""
        inside = np.zeros(len(self.points), bool)
        inside[self.maps[node.on].tree.leaves(node.number)] = True
        return inside

    def closest(self, inside: Mask) -> Node:
        """Return the node of the first map's tree that is most like a group of landmarks, by Jaccard."""
        return Node(0, int(_likeness(self.maps[0].tree, inside).argmax()))

    def familiarity(self, inside: Mask) -> float:
        """Say how well the trees know a group of landmarks, in [0, 1].

        The mean over all maps but the best of them, which may have made the group, of the Jaccard index with the node
        that is most like it; 1 where there is one map.
        """
        best = sorted(float(_likeness(each.tree, inside).max()) for each in self.maps)
        return float(np.mean(best[:-1])) if len(best) > 1 else 1.0


def _likeness(tree: ClusterTree, inside: Mask) -> FloatArray:
    """Return the Jaccard index of every node of a tree with a group of its leaves."""
    both = tree.totals(inside.astype(np.float64))
    return np.asarray(both / (tree.sizes + inside.sum() - both))


def jaccard(a: Mask, b: Mask) -> float:
    """Return the share of units in either group that are in both."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0
