"""Data at the edges: a sensible result, or an error that says what is wrong."""

import numpy as np
import pytest

from slicelab.core import InvalidInputError
from slicelab.discovery import CandidateSlices, discover, drift


def _vectors(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def _clusters(n, d=8, *, weak=0, groups=5, seed=0):
    """Five clusters far apart, and which units are of the weak one."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % groups
    return rng.normal(size=(groups, d))[cluster] * 6 + rng.normal(size=(n, d)), cluster == weak


def _is_sound(slices, failures):
    """Candidates that don't overlap, with members and rates of their own."""
    assert isinstance(slices, CandidateSlices)
    members = np.concatenate([c.members for c in slices]) if len(slices) else np.zeros(0, int)
    assert len(set(members.tolist())) == len(members)
    for candidate in slices:
        assert candidate.size == len(candidate.members) > 0
        assert candidate.failure_rate == pytest.approx(np.asarray(failures, float)[candidate.members].mean())
        assert 0 < candidate.p_value <= 1
        assert 0 < candidate.q_value <= 1


@pytest.mark.parametrize(
    ("failures", "labels"),
    [
        (np.zeros(200), None),
        (np.ones(200), None),
        (np.zeros(200), np.repeat(["a", "b"], 100)),
        (np.repeat([0.0, 1.0], 100), np.repeat(["a", "b"], 100)),
        (np.arange(30) < 10, None),
        (np.arange(59) < 20, None),
        (np.ones(1), None),
        (np.zeros(0), None),
    ],
    ids=["no failure", "only failures", "none in two classes", "all of one class", "30 rows", "59 rows", "1", "0"],
)
def test_nothing_to_find_gives_nothing(failures, labels):
    """Where nothing can stand out the list is empty, says so, and still places rows and compares data."""
    n = len(failures)
    slices = discover(_vectors(n), failures, labels)
    assert len(slices) == 0
    assert "No slice stands out" in slices._repr_html_()
    assert "0 candidate slices" in repr(slices)
    assert slices.frame().empty
    assert slices.assign(_vectors(3)).shape == (3, 0)
    assert slices.describe_with(["a"], np.ones((1, 4))) == []
    assert drift(slices, _vectors(3)).empty


def test_rows_without_dimensions_are_refused():
    """Vectors of no dimension are an error, not a crash."""
    with pytest.raises(InvalidInputError, match="at least one dimension"):
        discover(np.zeros((100, 0)), np.zeros(100))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_named(value):
    """A missing or infinite number in the embeddings is an error that says in which rows."""
    vectors = _vectors(100)
    vectors[[3, 8], 1] = value
    with pytest.raises(InvalidInputError, match=r"embeddings must be finite; 2 rows are not, they are 3, 8"):
        discover(vectors, np.zeros(100))


@pytest.mark.parametrize("failures", [np.arange(200) % 4 == 0, np.arange(200) < 40], ids=["spread", "in a row"])
def test_equal_vectors_hold_no_slice(failures):
    """Vectors that are all the same can't tell any unit from another: nothing is confirmed."""
    slices = discover(np.ones((200, 5)), failures)
    _is_sound(slices, failures)
    assert all(c.status == "candidate" and c.p_value == 1.0 for c in slices)


def test_many_duplicates_don_t_confirm_each_other():
    """Twenty pictures ten times each, one of which fails: its copies stay in one half and don't confirm it."""
    vectors = np.repeat(_vectors(20, 5), 10, axis=0)
    failures = np.arange(200) < 10
    slices = discover(vectors, failures)
    _is_sound(slices, failures)
    assert all(c.status == "candidate" for c in slices)


def test_a_slice_among_duplicates_is_found():
    """Where every unit is there twice the failing cluster, or a part of it, is still what comes first."""
    vectors, weak = _clusters(200)
    failures = np.tile(weak & (np.random.default_rng(1).random(200) < 0.7), 2)
    slices = discover(np.tile(vectors, (2, 1)), failures)
    _is_sound(slices, failures)
    assert slices[0].status == "confirmed"
    assert np.tile(weak, 2)[slices[0].members].mean() > 0.8


def test_embeddings_and_failures_alone_are_enough():
    """Without labels, predictions, ids: the failing cluster, compared with all units."""
    vectors, weak = _clusters(300)
    failures = weak & (np.random.default_rng(1).random(300) < 0.7)
    (only,) = discover(vectors, failures)
    assert sorted(only.members.tolist()) == np.flatnonzero(weak).tolist()
    assert (only.name, only.unit_ids, only.details) == ("units", (), {})
    assert only.base_rate == pytest.approx(failures.mean())


def test_one_class_is_as_no_labels():
    """One label for all: the same slice as without labels, and it carries the label's name."""
    vectors, weak = _clusters(300)
    failures = weak & (np.random.default_rng(1).random(300) < 0.7)
    (only,) = discover(vectors, failures, ["cat"] * 300)
    assert sorted(only.members.tolist()) == np.flatnonzero(weak).tolist()
    assert only.name == "cat"


def test_two_dimensions_are_enough():
    """Vectors of two dimensions give the failing cluster too."""
    centres = np.array([[0, 0], [30, 0], [0, 30], [30, 30], [60, 60]])
    cluster = np.arange(300) % 5
    vectors = centres[cluster] + _vectors(300, 2)
    failures = (cluster == 3) & (np.random.default_rng(1).random(300) < 0.7)
    (only,) = discover(vectors, failures)
    assert sorted(only.members.tolist()) == np.flatnonzero(cluster == 3).tolist()
    assert only.status == "confirmed"


@pytest.mark.parametrize("scale", [1.0, 0.45])
def test_graded_failures_find_the_slice(scale):
    """Failures from 0 to 1 find the cluster with the higher ones, also where none reaches a half."""
    vectors, weak = _clusters(600)
    failures = scale * np.random.default_rng(1).beta(np.where(weak, 4.0, 1.0), np.where(weak, 2.0, 12.0))
    (only,) = discover(vectors, failures)
    assert sorted(only.members.tolist()) == np.flatnonzero(weak).tolist()
    assert (only.status, only.kind) == ("confirmed", "slice")
    assert only.failures == round(failures[weak].sum())
    assert only.failure_rate == pytest.approx(failures[weak].mean())


def test_missing_confidences_are_as_none():
    """With confidences that are all missing the result is that without: nothing is said given the confidence."""
    vectors, weak = _clusters(300)
    failures = weak & (np.random.default_rng(1).random(300) < 0.7)
    (only,) = discover(vectors, failures, confidences=np.full(300, np.nan))
    assert only.status == "confirmed"
    assert only.held_out.p_given_confidence == only.held_out.p_value


def test_tiny_classes_are_searched_together():
    """A thousand classes of three rows each: one search over all, each unit compared with its own class."""
    vectors, weak = _clusters(3000, groups=10)
    labels = np.random.default_rng(2).permutation(np.repeat(np.arange(1000), 3))
    failures = np.random.default_rng(1).random(3000) < np.where(weak, 0.7, 0.05)
    (only,) = discover(vectors, failures, labels)
    assert len(np.setxor1d(only.members, np.flatnonzero(weak))) < 10
    assert only.status == "confirmed"
    assert only.name.endswith("and others")


def test_at_most_so_many_are_returned():
    """max_slices keeps the best."""
    vectors, weak = _clusters(300)
    other = np.arange(300) % 5 == 1
    failures = np.random.default_rng(1).random(300) < np.where(weak, 0.9, np.where(other, 0.6, 0.02))
    (only,) = discover(vectors, failures, max_slices=1)
    assert sorted(only.members.tolist()) == np.flatnonzero(weak).tolist()
