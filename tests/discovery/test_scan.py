"""The tree and its scan against slow versions of the same."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import ward_tree
from sklearn.neighbors import kneighbors_graph

from slicelab.discovery._scan import ClusterTree, conductance, grow_tree, likelihood_ratio, scan_tree


def _random_tree(n, rng):
    """Merge two nodes drawn at random until one is left."""
    open_nodes, children = list(range(n)), []
    while len(open_nodes) > 1:
        pair = [open_nodes.pop(rng.integers(len(open_nodes))) for _ in range(2)]
        children.append(pair)
        open_nodes.append(n + len(children) - 1)
    return ClusterTree(np.array(children, np.int64).reshape(-1, 2))


def _leaves(tree, node):
    if node < tree.n_leaves:
        return {node}
    left, right = tree.children[node - tree.n_leaves].tolist()
    return _leaves(tree, left) | _leaves(tree, right)


def _antichains(tree, node):
    """Every set of nodes at or below `node` of which none lies below another."""
    below = [()]
    if node >= tree.n_leaves:
        left, right = tree.children[node - tree.n_leaves].tolist()
        below = [a + b for a, b in itertools.product(_antichains(tree, left), _antichains(tree, right))]
    return [*below, (node,)]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_nodes_hold_the_leaves_below_them(n, seed):
    """Leaves, sizes, totals and parents of every node are those of a plain recursion."""
    rng = np.random.default_rng(seed)
    tree, values = _random_tree(n, rng), rng.random(n)
    totals = tree.totals(values)
    assert tree.n_leaves == n
    for node in range(2 * n - 1):
        leaves = _leaves(tree, node)
        assert sorted(tree.leaves(node).tolist()) == sorted(leaves)
        assert tree.sizes[node] == len(leaves)
        assert totals[node] == pytest.approx(values[list(leaves)].sum())
        above = [n + i for i, pair in enumerate(tree.children.tolist()) if node in pair]
        assert tree.parents[node] == (above[0] if above else -1)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 10_000))
def test_the_tree_holds_every_leaf_once(n, d, seed):
    """Whatever the points (duplicates too), the tree is binary and its root has all of them."""
    points = np.random.default_rng(seed).integers(0, 3, size=(n, d)).astype(np.float32)
    tree = grow_tree(points)
    assert tree.children.shape == (n - 1, 2)
    assert sorted(tree.leaves(2 * n - 2).tolist()) == list(range(n))


@pytest.mark.filterwarnings("ignore:the number of connected components")
@settings(max_examples=40, deadline=None)
@given(st.integers(3, 300), st.integers(1, 6), st.integers(1, 8), st.integers(0, 10_000))
def test_the_tree_is_that_of_scikit_learn(n, d, groups, seed):
    """Node by node, in one piece or in several."""
    rng = np.random.default_rng(seed)
    points = (20 * rng.normal(size=(groups, d))[rng.integers(0, groups, n)] + rng.normal(size=(n, d))).astype("f4")
    graph = kneighbors_graph(points, min(15, n - 1), include_self=False)
    expected = ward_tree(points.astype(np.float64), connectivity=0.5 * (graph + graph.T))[0]
    np.testing.assert_array_equal(grow_tree(points).children, expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 14), st.integers(1, 3), st.integers(0, 10_000))
def test_conductance_counts_the_edges_between_and_within(n, k, seed):
    """Conductance is edges between the children, over those and twice the edges within the child with fewer."""
    rng = np.random.default_rng(seed)
    tree = _random_tree(n, rng)
    k = min(k, n - 1)
    neighbours = np.array([rng.choice([j for j in range(n) if j != i], k, replace=False) for i in range(n)])
    edges = {frozenset((i, int(j))) for i in range(n) for j in neighbours[i]}
    expected = []
    for left, right in tree.children.tolist():
        a, b = _leaves(tree, left), _leaves(tree, right)
        between = sum(len(edge & a) == 1 and len(edge & b) == 1 for edge in edges)
        volume = 2 * min(sum(edge <= a for edge in edges), sum(edge <= b for edge in edges)) + between
        expected.append(between / volume if volume else 0.0)
    np.testing.assert_allclose(conductance(tree, neighbours), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 9), st.booleans(), st.integers(0, 10_000))
def test_the_scan_finds_the_best_disjoint_nodes(n, weighted, seed):
    """On a tiny tree the choice earns as much as the best of all sets of disjoint nodes, tried one by one."""
    rng = np.random.default_rng(seed)
    tree = _random_tree(n, rng)
    failures = (rng.random(n) < 0.4).astype(float)
    weights = rng.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    total, rate = weights.sum(), (weights * failures).sum() / max(weights.sum(), 1)
    chosen = list(scan_tree(tree, failures, weights=weights, penalty=0.3, min_size=2, max_share=0.6))
    if not 0 < rate < 1:
        assert chosen == []
        return

    def earned(node):
        leaves = list(_leaves(tree, node))
        size, failed = weights[leaves].sum(), (weights * failures)[leaves].sum()
        if len(leaves) < 2 or size < 1 or size > 0.6 * total:
            return -np.inf
        return likelihood_ratio(np.array([size]), np.array([failed]), rate)[0] - 0.3 * np.log(total)

    gains = {node: earned(node) for node in range(2 * n - 1)}
    best = max(sum(gains[node] for node in nodes) for nodes in _antichains(tree, 2 * n - 2))
    assert sum(gains[node] for node in chosen) == pytest.approx(best)
    assert all(gains[node] > 0 for node in chosen)
    assert [gains[node] for node in chosen] == sorted((gains[node] for node in chosen), reverse=True)
    assert all(not _leaves(tree, a) & _leaves(tree, b) for a, b in itertools.combinations(chosen, 2))


def test_the_likelihood_ratio_is_n_times_the_divergence():
    """Two of four fail where a quarter does: 4 KL(1/2 || 1/4) = 4 (ln 2 / 2 + ln (2/3) / 2); below it: 0."""
    scores = likelihood_ratio(np.array([4.0, 4.0, 4.0, 0.0]), np.array([2.0, 1.0, 0.0, 0.0]), 0.25)
    np.testing.assert_allclose(scores, [2 * np.log(2) + 2 * np.log(2 / 3), 0, 0, 0], atol=1e-12)


def _two_failing_parts():
    """A chain of the first 20 leaves (node a), one of the next 20 (b), both as one (node top), beside 160 others."""
    n, children = 200, []

    def chain(first, more):
        node = first
        for leaf in more:
            children.append([node, leaf])
            node = n + len(children) - 1
        return node

    a, b = chain(0, range(1, 20)), chain(20, range(21, 40))
    top = chain(a, [b])
    chain(top, [chain(40, range(41, n))])
    return ClusterTree(np.array(children, np.int64)), a, b, top


def test_two_failing_parts_with_a_gap_are_never_one():
    """Without gaps both failing parts are taken as one node; with a gap between them, one by one."""
    tree, a, b, top = _two_failing_parts()
    failures = (np.arange(200) < 40).astype(float)
    assert list(scan_tree(tree, failures)) == [top]
    gaps = np.ones(199)
    assert list(scan_tree(tree, failures, gaps=gaps)) == [top]
    gaps[top - 200] = 0.0
    assert sorted(scan_tree(tree, failures, gaps=gaps)) == sorted([a, b])


def test_a_gap_beside_a_part_that_does_not_fail_separates_nothing():
    """Where only one of the two parts stands out the gap changes nothing."""
    tree, a, _, top = _two_failing_parts()
    gaps = np.ones(199)
    gaps[top - 200] = 0.0
    failures = (np.arange(200) < 20).astype(float)
    assert list(scan_tree(tree, failures, gaps=gaps)) == list(scan_tree(tree, failures)) == [a]
