"""Discovery on data whose failing groups are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import InvalidInputError
from slicelab.discovery import discover
from slicelab.discovery._scan import ClusterTree, grow_tree, likelihood_ratio, scan_tree


def planted(seed=0, *, per_class=300, groups=5, dims=16, weak=2):
    """Two classes of five clusters each; one cluster of each class fails at 60 %, the rest at 4 %."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2 * groups, dims)) * 4
    labels = np.repeat(["cat", "dog"], per_class)
    cluster = np.concatenate([rng.integers(0, groups, per_class), groups + rng.integers(0, groups, per_class)])
    embeddings = centres[cluster] + rng.normal(size=(2 * per_class, dims))
    bad = np.isin(cluster, [weak, groups + weak])
    failures = rng.random(2 * per_class) < np.where(bad, 0.6, 0.04)
    return embeddings, failures, labels, cluster


@pytest.fixture(scope="module")
def found():
    embeddings, failures, labels, cluster = planted()
    predictions = np.where(failures, np.where(labels == "cat", "dog", "cat"), labels)
    ids = [f"u{i}" for i in range(len(labels))]
    return discover(embeddings, failures, labels, predictions, ids=ids), failures, labels, cluster, embeddings


def test_finds_the_planted_slices_and_no_other(found):
    """Both failing clusters come back, nearly whole, confirmed on the half that didn't choose them."""
    slices, _, _, cluster, _ = found
    assert len(slices) == 2
    assert {int(np.bincount(cluster[c.members]).argmax()) for c in slices} == {2, 7}
    for candidate in slices:
        truth = np.flatnonzero(cluster == np.bincount(cluster[candidate.members]).argmax())
        jaccard = len(np.intersect1d(truth, candidate.members)) / len(np.union1d(truth, candidate.members))
        assert jaccard > 0.9
        assert candidate.status == "confirmed"
        assert candidate.details["held_out"]["low"] > candidate.base_rate


def test_figures_count_their_members(found):
    """Size, failures, rate, base rate and ids are those of the members."""
    slices, failures, labels, _, _ = found
    for candidate in slices:
        assert candidate.size == len(candidate.members) == len(set(candidate.members.tolist()))
        assert candidate.failures == failures[candidate.members].sum()
        assert candidate.failure_rate == pytest.approx(candidate.failures / candidate.size)
        assert candidate.interval[0] < candidate.failure_rate < candidate.interval[1]
        label = labels[candidate.members[0]]
        assert (labels[candidate.members] == label).all()
        assert candidate.base_rate == pytest.approx(failures[labels == label].mean())
        assert candidate.unit_ids == tuple(f"u{i}" for i in candidate.members)
        assert np.flatnonzero(candidate.membership >= 0.5).tolist() == sorted(candidate.members.tolist())


def test_describes_by_the_dominant_confusion(found):
    """The name says which class is taken for which."""
    slices, *_ = found
    assert sorted(c.name for c in slices) == ["cat taken for dog", "dog taken for cat"]


def test_is_the_same_twice_and_survives_a_permutation(found):
    """Same seed, same slices; shuffled rows give nearly the same groups."""
    slices, failures, labels, cluster, embeddings = found
    again = discover(embeddings, failures, labels)
    assert [c.members.tolist() for c in again] == [c.members.tolist() for c in slices]
    order = np.random.default_rng(3).permutation(len(labels))
    shuffled = discover(embeddings[order], failures[order], labels[order])
    assert {int(np.bincount(cluster[order[c.members]]).argmax()) for c in shuffled} == {2, 7}


def test_places_unseen_rows(found):
    """New rows of a failing cluster belong to its slice, others don't."""
    slices, _, _, cluster, embeddings = found
    new = embeddings + 0.01
    membership = slices.assign(new)
    assert membership.shape == (len(new), 2)
    for j, candidate in enumerate(slices):
        weak = cluster == np.bincount(cluster[candidate.members]).argmax()
        assert membership[weak, j].mean() > 0.8
        assert membership[~weak, j].mean() < 0.05
    with pytest.raises(InvalidInputError, match="16 dimensions; got 3"):
        slices.assign(np.zeros((2, 3)))


def test_frame_has_a_row_per_slice(found):
    """The frame is the list."""
    slices, *_ = found
    frame = slices.frame()
    assert frame["size"].tolist() == [c.size for c in slices]
    assert "confirmed" in repr(slices)
    assert slices.projection.shape == (600, 2)


def test_is_silent_on_chance():
    """Failures that fall anywhere give no confirmed slice, and rarely a candidate."""
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(400, 8))
    proposed = 0
    for seed in range(10):
        failures = np.random.default_rng(seed).random(400) < 0.1
        slices = discover(embeddings, failures)
        assert all(c.status != "confirmed" for c in slices)
        proposed += len(slices)
    assert proposed <= 2


@pytest.mark.parametrize(
    ("failures", "n"),
    [(np.zeros(200), 200), (np.ones(200), 200), (np.ones(30), 30), (np.zeros(0), 0)],
)
def test_nothing_to_find_gives_nothing(failures, n):
    """No failures, only failures, few rows, no rows: an empty list and a sentence."""
    slices = discover(np.random.default_rng(0).normal(size=(n, 4)), failures)
    assert len(slices) == 0
    assert "No slice stands out" in slices._repr_html_()


def test_constant_and_duplicate_embeddings_are_taken():
    """Vectors without any structure don't break it."""
    failures = np.arange(200) % 4 == 0
    assert len(discover(np.ones((200, 5)), failures)) <= 20
    assert len(discover(np.repeat(np.random.default_rng(0).normal(size=(20, 5)), 10, axis=0), failures)) <= 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.zeros(5)}, r"2-D .* got shape \(5,\)"),
        ({"embeddings": np.full((100, 2), np.nan)}, "must be finite; 100 rows"),
        ({"failures": np.zeros(99)}, "100 values.*got shape"),
        ({"failures": np.full(100, 2.0)}, "from 0 to 1"),
        ({"failures": np.array(["a"] * 100)}, "booleans or numbers"),
        ({"labels": ["x"]}, "labels must be 100"),
        ({"ids": ["a"] * 100}, "Every id must be there once"),
        ({"max_slices": 0}, "at least 1"),
    ],
)
def test_wrong_input_is_named(change, message):
    """Every wrong argument says what it should be and what came."""
    arguments = {"embeddings": np.random.default_rng(0).normal(size=(100, 3)), "failures": np.zeros(100)} | change
    with pytest.raises(InvalidInputError, match=message):
        discover(**arguments)


def test_scan_finds_the_best_disjoint_nodes_of_a_small_tree():
    """On eight leaves the choice equals the best of all sets of disjoint nodes, tried one by one."""
    tree = ClusterTree(np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13]]))
    rng = np.random.default_rng(1)
    for _ in range(30):
        failures = (rng.random(8) < 0.4).astype(float)
        if failures.sum() in (0, 8):
            continue
        sizes, failed = tree.totals(np.ones(8)), tree.totals(failures)
        gains = likelihood_ratio(sizes, failed, failures.mean()) - 0.3 * np.log(8)
        allowed = [v for v in range(15) if sizes[v] <= 0.5 * 8]
        leaves = {v: set(tree.leaves(v).tolist()) for v in allowed}
        best = 0.0
        for mask in range(1 << len(allowed)):
            nodes = [allowed[b] for b in range(len(allowed)) if mask >> b & 1]
            if sum(len(leaves[v]) for v in nodes) == len(set().union(*[leaves[v] for v in nodes])):
                best = max(best, sum(gains[v] for v in nodes))
        chosen = scan_tree(tree, failures, penalty=0.3, min_size=1, max_share=0.5)
        assert sum(gains[v] for v in chosen) == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 10_000))
def test_the_tree_holds_every_leaf_once(n, d, seed):
    """Whatever the points (duplicates too), the tree is binary and its root has all of them."""
    points = np.random.default_rng(seed).integers(0, 3, size=(n, d)).astype(np.float32)
    tree = grow_tree(points)
    assert tree.children.shape == (n - 1, 2)
    assert tree.leaves(2 * n - 2).tolist() == list(range(n))
