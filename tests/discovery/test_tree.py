"""Looking around a candidate: its parts, what it is a part of, its edge and its opposite."""

import numpy as np
import pytest

from slicelab.core import InvalidInputError
from slicelab.discovery._project import reduce_features


def _node_rows(candidate):
    """Rows of the node that a candidate was cut from."""
    return set(candidate.tree.rows[candidate.tree.clusters.leaves(candidate.node)].tolist())


def test_children_share_out_their_parent(found, planted):
    """The two children hold the node's rows, each once, worst first, with rates of their own."""
    for candidate in found:
        first, second = candidate.children
        assert set(first.members.tolist()) | set(second.members.tolist()) == _node_rows(candidate)
        assert not np.isin(first.members, second.members).any()
        assert first.failure_rate >= second.failure_rate
        for child in (first, second):
            assert child.size == len(child.members)
            assert child.failure_rate == pytest.approx(planted.failures[child.members].mean())
            assert child.unit_ids == tuple(planted.ids[i] for i in child.members)
            assert np.flatnonzero(child.membership).tolist() == sorted(child.members.tolist())
            assert set(child.parent.members.tolist()) == _node_rows(candidate)
            assert child.status == "candidate"


def test_parents_lead_to_the_whole_class(found, planted):
    """Each parent holds the one below it; the last is the class, and has none."""
    for candidate in found:
        below, node = _node_rows(candidate), candidate
        while node.parent is not None:
            node = node.parent
            above = set(node.members.tolist())
            assert below < above
            below = above
        label = planted.labels[candidate.members[0]]
        assert sorted(below) == np.flatnonzero(planted.labels == label).tolist()
        assert node.failure_rate == pytest.approx(candidate.base_rate)


def test_a_single_unit_has_no_parts(found):
    """At the bottom of the tree there are no children."""
    node = found[0]
    while node.children:
        node = node.children[0]
    assert node.size == 1


def test_members_are_those_of_the_node_but_for_the_edge(found):
    """A candidate is the node it was cut from, smoothed."""
    for candidate in found:
        node = _node_rows(candidate)
        members = set(candidate.members.tolist())
        assert len(node & members) / len(node | members) > 0.9


def test_counterexamples_are_handled_correctly_and_lie_nearest(found, planted):
    """They are units of the class outside the slice, correct, and none of those left out lies nearer."""
    features = reduce_features(found.embeddings)
    for candidate in found:
        examples = candidate.counterexamples
        assert 0 < len(examples) <= 6
        outside = np.setdiff1d(candidate.tree.rows, candidate.members)
        right = outside[~planted.failures[outside]]
        assert np.isin(examples, right).all()
        centre = np.median(features[candidate.members], axis=0)
        distance = np.linalg.norm(features - centre, axis=1)
        assert distance[examples].max() <= distance[np.setdiff1d(right, examples)].min() + 1e-5


def test_the_border_are_the_members_that_belong_least(found):
    """Border units are members, and no other member has a lower membership."""
    for candidate in found:
        assert np.isin(candidate.border, candidate.members).all()
        others = np.setdiff1d(candidate.members, candidate.border)
        assert candidate.membership[candidate.border].max() <= candidate.membership[others].min()


def test_words_point_to_their_slice(found, planted):
    """Of one text for every cluster each slice gets that of its own, whatever the length of the text's vector."""
    texts = [f"cluster {k}" for k in range(len(planted.centres))]
    vectors = planted.centres - planted.embeddings.mean(axis=0)
    clusters = [np.bincount(planted.cluster[c.members]).argmax() for c in found]
    assert found.describe_with(texts, vectors) == [f"cluster {k}" for k in clusters]
    longer = vectors * np.linspace(0.1, 100, len(vectors))[:, None]
    assert found.describe_with(texts, longer) == [f"cluster {k}" for k in clusters]


@pytest.mark.parametrize(
    ("texts", "vectors", "message"),
    [
        (["a"], np.zeros((1, 3)), "16 dimensions; got 3"),
        (["a", "b"], np.zeros((1, 16)), "2 rows"),
        (["a"], np.full((1, 16), np.nan), "must be finite"),
    ],
)
def test_texts_and_vectors_must_fit(found, texts, vectors, message):
    """Other dimensions, another number of texts, or missing numbers are refused."""
    with pytest.raises(InvalidInputError, match=message):
        found.describe_with(texts, vectors)
