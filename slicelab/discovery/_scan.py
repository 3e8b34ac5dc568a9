"""Scan a tree of clusters for the nodes that fail more than they should.

The tree is made from the vectors alone. Only the scan looks at failures: every node is scored by a likelihood ratio
against the failure rate of its population, less a penalty for having looked at many, and the best set of nodes that
don't overlap is found exactly. How many slices there are is an outcome, not a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.discovery._kept_code import load_kernels
from slicelab.discovery._neighbours import FloatMatrix

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MIN_SIZE = 10
MAX_SHARE = 0.35
PENALTY = 1.0
GAP = 0.04
"""Two parts of a node with less conductance than this are two clusters."""


@dataclass(frozen=True, eq=False)
class ClusterTree:
    """A binary tree over n leaves.

    Parameters
    ----------
    children
        int64 (n - 1, 2): the two nodes of which node n + i was made; leaves are 0 to n - 1.
    """

    children: IntArray

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return len(self.children) + 1

    @cached_property
    def sizes(self) -> IntArray:
        """Number of leaves under every node, int64 (2n - 1,)."""
        n = self.n_leaves
        sizes = [1] * n
        for left, right in self.children.tolist():
            sizes.append(sizes[left] + sizes[right])
        return np.array(sizes, np.int64)

    @cached_property
    def _starts(self) -> IntArray:
        """Place of every node's first leaf in an order in which the leaves of a node stand together."""
        n, sizes = self.n_leaves, self.sizes.tolist()
        starts = [0] * (2 * n - 1)
        for i in range(n - 2, -1, -1):
            left, right = self.children[i].tolist()
            starts[left] = starts[n + i]
            starts[right] = starts[n + i] + sizes[left]
        return np.array(starts, np.int64)

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self._starts[: self.n_leaves])

    @cached_property
    def parents(self) -> IntArray:
        """The node above every node, -1 above the root, int64 (2n - 1,)."""
        above = np.full(2 * self.n_leaves - 1, -1, np.int64)
        above[self.children.ravel()] = np.repeat(np.arange(self.n_leaves, 2 * self.n_leaves - 1), 2)
        return above

    def totals(self, leaf_values: FloatArray) -> FloatArray:
        """Sum a value of the leaves over every node: float64 (2n - 1,)."""
        running = np.concatenate([[0.0], np.cumsum(np.asarray(leaf_values, np.float64)[self._order])])
        return np.asarray(running[self._starts + self.sizes] - running[self._starts])

    def leaves(self, node: int) -> IntArray:
        """Return the leaves under a node, ascending."""
        start = int(self._starts[node])
        return np.sort(self._order[start : start + int(self.sizes[node])])


def grow_tree(points: FloatMatrix, *, n_neighbors: int = 15) -> ClusterTree:
    """Join points to a tree by Ward's criterion, along their nearest-neighbour graph.

    Parameters
    ----------
    points
        float32 (n, d), n >= 2.
    n_neighbors
        Of the graph that says who may join; parts that aren't connected are joined last.

    Returns
    -------
    ClusterTree

    Notes
    -----
    **Source:** J. H. Ward 1963; the same tree as scikit-learn's structured `ward_tree`. O(n log n) joins.
    """
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    kernels = load_kernels("_tree_kernels")
    places = np.ascontiguousarray(points, dtype=np.float64)
    graph = kneighbors_graph(points, min(n_neighbors, len(points) - 1), include_self=False)
    graph = (graph + graph.T).tocsr()
    count, pieces = connected_components(graph, directed=False)
    if count > 1:
        here, there = kernels.bridges(places, pieces.astype(np.int64), count)
        graph = graph + _symmetric(here, there, len(points))
    starts, ends = (each.astype(np.int64) for each in (graph.indptr, graph.indices))
    return ClusterTree(kernels.join_along(places, starts, ends))


def _symmetric(here: IntArray, there: IntArray, n: int) -> Any:
    """Return the graph of n points with these edges, in both directions."""
    from scipy.sparse import coo_array

    rows, columns = np.concatenate([here, there]), np.concatenate([there, here])
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()


def likelihood_ratio(size: FloatArray, failed: FloatArray, base_rate: float) -> FloatArray:
    """Score nodes by the log likelihood ratio of their failure rate against the base rate.

    Parameters
    ----------
    size, failed
        float64 (m,): number of units and (graded) failures of each node.
    base_rate
        Failure rate of the population, in (0, 1).

    Returns
    -------
    float64 (m,): n KL(q || base) where q is above the base rate, else 0.

    Notes
    -----
    **Source:** the Bernoulli scan statistic, M. Kulldorff 1997, with a known base rate.
    """
    rate = np.divide(failed, size, out=np.zeros_like(failed), where=size > 0)
    rate = np.clip(rate, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(rate > 0, rate * np.log(rate / base_rate), 0.0)
        down = np.where(rate < 1, (1 - rate) * np.log((1 - rate) / (1 - base_rate)), 0.0)
    return np.asarray(np.where(rate > base_rate, size * (up + down), 0.0))


def earned(inside: Mask, failures: FloatArray, weights: FloatArray | None = None, *, penalty: float = PENALTY) -> float:
    """Return what a group earns: its likelihood ratio less the penalty of a node.

    Parameters
    ----------
    inside
        bool (n,): members.
    failures, weights, penalty
        As `scan_tree`.
    """
    weights = np.ones(len(failures)) if weights is None else weights
    n, size = float(weights.sum()), float(weights[inside].sum())
    base_rate = float((failures * weights).sum() / max(n, 1.0))
    if not size or not 0 < base_rate < 1:
        return -np.inf
    failed = float((failures * weights)[inside].sum())
    return float(likelihood_ratio(np.array([size]), np.array([failed]), base_rate)[0] - penalty * np.log(n))


def conductance(tree: ClusterTree, neighbours: IntArray) -> FloatArray:
    """Say how well the two halves of every node hang together.

    Parameters
    ----------
    tree
        Over n units.
    neighbours
        int64 (n, k): nearest neighbours of every unit, in the space of the vectors (without itself).

    Returns
    -------
    float64 (n - 1,), for node n + i: the edges of the symmetric neighbour graph between its two children, over
    twice the edges inside the smaller child plus those between. Near 0: two clusters with a gap; 1: no edge inside.

    Notes
    -----
    **Source:** the conductance of a cut, Kannan, Vempala and Vetta 2004, here within the node alone.
    """
    n, k = neighbours.shape
    low, high = np.sort(np.stack([np.repeat(np.arange(n), k), neighbours.ravel()]), axis=0)
    edges = np.unique(low[low != high] * n + high[low != high])
    pairs = np.stack([edges // n, edges % n], axis=1)
    between = np.bincount(_common_nodes(tree, pairs), minlength=2 * n - 1).astype(np.float64)
    within = between.copy()
    for i, (left, right) in enumerate(tree.children.tolist()):
        within[n + i] += within[left] + within[right]
    smaller = np.minimum(within[tree.children[:, 0]], within[tree.children[:, 1]])
    volume = 2 * smaller + between[n:]
    return np.divide(between[n:], volume, out=np.zeros(n - 1), where=volume > 0)


def _common_nodes(tree: ClusterTree, pairs: IntArray) -> IntArray:
    """Return the lowest node above both leaves of every pair: a node's number is larger than those below it."""
    low, high = pairs[:, 0].copy(), pairs[:, 1].copy()
    active = np.arange(len(pairs))
    while len(active):
        a, b = low[active], high[active]
        low[active], high[active] = tree.parents[np.minimum(a, b)], np.maximum(a, b)
        active = active[low[active] != high[active]]
    return high


def scan_tree(
    tree: ClusterTree,
    failures: FloatArray,
    *,
    weights: FloatArray | None = None,
    counts: FloatArray | None = None,
    gaps: FloatArray | None = None,
    penalty: float = PENALTY,
    min_size: int = MIN_SIZE,
    max_share: float = MAX_SHARE,
) -> dict[int, float]:
    """Find the best set of disjoint nodes: the most likelihood ratio less a penalty per node.

    Parameters
    ----------
    tree
        Made without the failures.
    failures
        float64 (n,) in [0, 1].
    weights
        float64 (n,), how often each unit counts (0 for units not to look at); None: all once.
    counts
        float64 (n,), how many units each leaf stands for, whatever their weights; None: one.
    gaps
        `conductance` of the tree: a node whose children both stand out and are apart (below `GAP`) is never taken
        whole. None: no such rule.
    penalty
        A node must earn `penalty * ln(n)`.
    min_size, max_share
        Nodes with fewer units, or more than this share of all, are no candidates.

    Returns
    -------
    What each chosen node earns, by node number, best first; empty where nothing stands out.
    """
    weights = np.ones(len(failures)) if weights is None else weights
    size, failed = tree.totals(weights), tree.totals(failures * weights)
    n = size[-1]
    base_rate = failed[-1] / max(n, 1.0)
    if not 0 < base_rate < 1:
        return {}
    gain = likelihood_ratio(size, failed, base_rate) - penalty * np.log(n)
    units = tree.sizes if counts is None else tree.totals(counts)
    gain[(units < min_size) | (size < 1) | (size > max_share * n)] = -np.inf
    apart = np.zeros(len(tree.children), bool) if gaps is None else gaps < GAP
    best, whole = load_kernels("_tree_kernels").best_below(tree.children, gain, apart)
    chosen, stack = [], [2 * tree.n_leaves - 2]
    while stack:
        node = stack.pop()
        if best[node] <= 0:
            continue
        if whole[node]:
            chosen.append(node)
        elif node >= tree.n_leaves:
            stack.extend(tree.children[node - tree.n_leaves].tolist())
    return {node: float(gain[node]) for node in sorted(chosen, key=lambda node: (-gain[node], node))}
