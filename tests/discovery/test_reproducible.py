"""The same units give the same slices, however they come."""

import numpy as np
import pytest

from slicelab.discovery import discover


def _summary(slices, order=None):
    """What a slice is, members as rows of the data in its first order."""
    rows = np.arange(len(slices.embeddings)) if order is None else order
    return [
        (c.name, sorted(rows[c.members].tolist()), c.q_value, c.p_value, c.stability, c.coherence, c.kind)
        for c in slices
    ]


def test_the_same_seed_gives_the_same_slices(found, planted):
    """A second run equals the first in everything, the order of members included."""
    again = discover(planted.embeddings, planted.failures, planted.labels, planted.predictions, ids=planted.ids)
    assert _summary(again) == _summary(found)
    assert [c.members.tolist() for c in again] == [c.members.tolist() for c in found]
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.membership, two.membership)
    np.testing.assert_array_equal(found.projection, again.projection)


def test_the_order_of_rows_does_not_matter(found, planted):
    """Shuffled rows give the same members, figures and names."""
    order = np.random.default_rng(3).permutation(len(planted.labels))
    shuffled = discover(
        planted.embeddings[order],
        planted.failures[order],
        planted.labels[order],
        planted.predictions[order],
        ids=[planted.ids[i] for i in order],
    )
    assert _summary(shuffled, order) == _summary(found)
    for one, two in zip(found, shuffled, strict=True):
        assert one.unit_ids == two.unit_ids
        assert set(one.held_out.rows.tolist()) == set(order[two.held_out.rows].tolist())
        np.testing.assert_array_equal(one.membership[order], two.membership)
        assert one.border.tolist() == order[two.border].tolist()
        assert one.counterexamples.tolist() == order[two.counterexamples].tolist()
    assert [c.unit_ids for c in shuffled.leads] == [c.unit_ids for c in found.leads]


def test_two_workers_find_what_one_does(found, planted):
    """The number of processes is no part of the result."""
    two = discover(
        planted.embeddings, planted.failures, planted.labels, planted.predictions, ids=planted.ids, workers=2
    )
    assert _summary(two) == _summary(found)
    assert [c.members.tolist() for c in two.leads] == [c.members.tolist() for c in found.leads]


def test_another_seed_keeps_what_was_planted(found, planted):
    """A different map and different halves lead to the same clusters."""
    other = discover(planted.embeddings, planted.failures, planted.labels, random_state=7)
    assert len(other) == len(found)
    for one in found:
        overlap = [
            len(np.intersect1d(one.members, two.members)) / len(np.union1d(one.members, two.members)) for two in other
        ]
        assert max(overlap) > 0.9
    assert all(c.status == "confirmed" for c in other)


@pytest.mark.parametrize("cut", [1, 250])
def test_rows_are_placed_one_by_one(found, planted, cut):
    """New rows in two chunks are placed as they are in one."""
    new = planted.embeddings[::2] + 0.05
    whole = found.assign(new)
    np.testing.assert_array_equal(np.concatenate([found.assign(new[:cut]), found.assign(new[cut:])]), whole)
    assert whole.dtype == np.float32
    assert 0 <= whole.min() <= whole.max() <= 1
