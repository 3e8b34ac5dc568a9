"""Scan a tree of clusters for the nodes that fail more than they should.

The tree is made from the vectors alone. Only the scan looks at failures: every node is scored by a likelihood ratio
against the failure rate of its population, less a penalty for having looked at many, and the best set of nodes that
don't overlap is found exactly. How many slices there are is an outcome, not a parameter.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slicelab.discovery._project import FloatMatrix

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MIN_SIZE = 10
MAX_SHARE = 0.35
PENALTY = 1.0


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

    def totals(self, leaf_values: FloatArray) -> FloatArray:
        """Sum a value of the leaves over every node: float64 (2n - 1,)."""
        n = self.n_leaves
        sums = np.zeros(2 * n - 1)
        sums[:n] = leaf_values
        for i, (left, right) in enumerate(self.children):
            sums[n + i] = sums[left] + sums[right]
        return sums

    def leaves(self, node: int) -> IntArray:
        """Return the leaves under a node, ascending."""
        found, stack = [], [node]
        while stack:
            at = stack.pop()
            if at < self.n_leaves:
                found.append(at)
            else:
                stack.extend(self.children[at - self.n_leaves].tolist())
        return np.array(sorted(found), np.int64)


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
    **Source:** scikit-learn's structured `ward_tree`. O(n log n) joins.
    """
    from sklearn.cluster import ward_tree
    from sklearn.neighbors import kneighbors_graph

    if len(points) == 2:
        return ClusterTree(np.array([[0, 1]], np.int64))
    graph = kneighbors_graph(points, min(n_neighbors, len(points) - 1), include_self=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # several connected parts: they are joined last
        children = ward_tree(points.astype(np.float64), connectivity=0.5 * (graph + graph.T))[0]
    return ClusterTree(np.asarray(children, np.int64))


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


def scan_tree(
    tree: ClusterTree,
    failures: FloatArray,
    *,
    weights: FloatArray | None = None,
    penalty: float = PENALTY,
    min_size: int = MIN_SIZE,
    max_share: float = MAX_SHARE,
) -> list[int]:
    """Find the best set of disjoint nodes: the most likelihood ratio less a penalty per node.

    Parameters
    ----------
    tree
        Made without the failures.
    failures
        float64 (n,) in [0, 1].
    weights
        float64 (n,), 1 for units to look at and 0 for the others; None: all.
    penalty
        A node must earn `penalty * ln(n)`.
    min_size, max_share
        Nodes with fewer units, or more than this share of all, are no candidates.

    Returns
    -------
    Node numbers, best first; empty where nothing stands out.
    """
    weights = np.ones(len(failures)) if weights is None else weights
    size, failed = tree.totals(weights), tree.totals(failures * weights)
    n = size[-1]
    base_rate = failed[-1] / max(n, 1.0)
    if not 0 < base_rate < 1:
        return []
    gain = likelihood_ratio(size, failed, base_rate) - penalty * np.log(n)
    counts = tree.totals(np.ones(len(failures)))
    gain[(counts < min_size) | (size < 1) | (size > max_share * n)] = -np.inf
    leaves = tree.n_leaves
    best = np.maximum(gain, 0.0)
    for i, (left, right) in enumerate(tree.children):
        best[leaves + i] = max(best[leaves + i], best[left] + best[right])
    chosen, stack = [], [2 * leaves - 2]
    while stack:
        node = stack.pop()
        if best[node] <= 0:
            continue
        if gain[node] >= best[node]:
            chosen.append(node)
        elif node >= leaves:
            stack.extend(tree.children[node - leaves].tolist())
    return sorted(chosen, key=lambda node: (-gain[node], node))
