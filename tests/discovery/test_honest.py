"""What must not make a slice, and what must not confirm one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.discovery import discover
from slicelab.discovery._populations import halves, tied


def _members(slices):
    return {frozenset(c.members.tolist()) for c in slices}


def test_what_the_model_said_makes_no_slice(found, planted):
    """Other predictions and confidences: the same members."""
    rng = np.random.default_rng(4)
    changed = discover(
        planted.embeddings,
        planted.failures,
        planted.labels,
        rng.permutation(planted.predictions),
        np.where(planted.failures, 0.5, 0.9) + 0.1 * rng.random(len(planted.labels)),
    )
    assert _members(changed) == _members(found)
    assert {c.base_rate for c in changed} == {c.base_rate for c in found}


def _margin(seed=0, n=600):
    """Errors are a coin with 1 - confidence, wherever a unit lies; one cluster holds many unsure ones."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % 6
    unsure = rng.random(n) < np.where(cluster == 0, 0.8, 0.15)
    confidences = np.where(unsure, rng.uniform(0.35, 0.65, n), rng.uniform(0.97, 1.0, n))
    embeddings = rng.normal(size=(6, 10))[cluster] * 5 + rng.normal(size=(n, 10))
    return embeddings, rng.random(n) < 1 - confidences, confidences, cluster


def test_doubt_near_the_boundary_is_no_slice():
    """Where confidence accounts for every failure a group is confirmed without confidences, and "boundary" with.

    At a false discovery rate of 0.1 one of five sets may be confirmed all the same.
    """
    kinds = []
    for seed in range(5):
        embeddings, failures, confidences, cluster = _margin(seed)
        for without in discover(embeddings, failures):
            assert (without.status, without.kind) == ("confirmed", "slice")
            assert (cluster[without.members] == 0).mean() > 0.9
            (given_them,) = discover(embeddings, failures, confidences=confidences)
            assert given_them.members.tolist() == without.members.tolist()
            assert given_them.held_out.p_value >= without.held_out.p_value  # maybe of the other half
            assert given_them.held_out.p_given_confidence > 10 * without.held_out.p_value
            kinds.append((given_them.status, given_them.kind))
    assert len(kinds) >= 3
    assert kinds.count(("candidate", "boundary")) >= len(kinds) - 1


def test_failing_with_confidence_is_a_slice():
    """A cluster that fails while the model is as sure as elsewhere stays confirmed given the confidence."""
    embeddings, _, confidences, cluster = _margin()
    rng = np.random.default_rng(1)
    failures = rng.random(600) < np.where(cluster == 2, 0.6, 1 - confidences)
    slices = discover(embeddings, failures, confidences=confidences)
    (sure,) = [c for c in slices if (cluster[c.members] == 2).mean() > 0.9]
    assert (sure.status, sure.kind) == ("confirmed", "slice")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 40), max_size=200), st.integers(0, 1000))
def test_a_group_stays_in_one_half(groups, seed):
    """Units of one group get one side; the groups are dealt evenly, and the same seed deals them the same way."""
    groups = np.array(groups, np.int64)
    side = halves(groups, seed)
    assert set(side.tolist()) <= {0, 1}
    by_group = [set(side[groups == group].tolist()) for group in np.unique(groups)]
    assert all(len(sides) == 1 for sides in by_group)
    assert abs(sum(1 if sides == {1} else -1 for sides in by_group)) <= 1
    np.testing.assert_array_equal(halves(groups, seed), side)


def test_groups_and_duplicates_are_tied_together():
    """A chain of shared groups and equal vectors is one group; others stay apart."""
    one = tied(np.array([0, 0, 1, 2, 3]), np.array([70, 71, 71, 72, 73]))
    assert one[0] == one[1] == one[2]
    assert len(set(one.tolist())) == 3


def test_one_video_does_not_confirm_its_own_slice():
    """A failing cluster of frames of one video is confirmed as if they were independent, and not with groups."""
    rng = np.random.default_rng(0)
    cluster = np.arange(400) % 8
    embeddings = rng.normal(size=(8, 10))[cluster] * 5 + rng.normal(size=(400, 10))
    failures = rng.random(400) < np.where(cluster == 3, 0.8, 0.03)
    videos = np.where(cluster == 3, "v3", [f"w{i}" for i in range(400)])
    assert discover(embeddings, failures)[0].status == "confirmed"
    grouped = discover(embeddings, failures, groups=videos)
    (video,) = [c for c in grouped if (cluster[c.members] == 3).mean() > 0.9]
    assert video.status == "candidate"
    assert video.q_value == pytest.approx(1.0)
