"""Where a group ends: along the vectors, where units stop failing like it."""

from __future__ import annotations

import numpy as np
import pytest

from slicelab.discovery._edges import LARGEST, SMALLEST, with_edges
from slicelab.discovery._landscape import Landscape
from slicelab.discovery._scan import earned
from slicelab.discovery._search import find


@pytest.fixture(scope="module")
def plane():
    """2,000 units spread over a square; those left of x = .25 fail at 80 %, the others at 5 %."""
    rng = np.random.default_rng(0)
    points = rng.random((2_000, 2)).astype(np.float32)
    true = points[:, 0] < 0.25
    failures = (rng.random(2_000) < np.where(true, 0.8, 0.05)).astype(float)
    return Landscape(points, 0, 30_000), points, true, failures


def cut(landscape, mask, failures, weights=None):
    return with_edges(landscape, [mask], failures, weights)[0][0]


def wrong(one, other):
    """The share of a group's units, on top of another's, on which they differ."""
    return (one ^ other).sum() / other.sum()


@pytest.mark.parametrize("end", [0.18, 0.33])
def test_a_group_that_ends_too_soon_or_too_late(plane, end):
    """The cut goes back to where the failures end, whichever side the tree was wrong on."""
    landscape, points, true, failures = plane
    mask = points[:, 0] < end
    assert wrong(mask, true) > 0.25
    assert wrong(cut(landscape, mask, failures), true) < 0.1


def test_no_further_than_allowed(plane):
    """A sliver grows by half, and a group far too large shrinks by a third: there its tree was asked in vain."""
    landscape, points, _, failures = plane
    for end in (0.1, 0.6):
        mask = points[:, 0] < end
        size = cut(landscape, mask, failures).sum() / mask.sum()
        assert SMALLEST <= size <= LARGEST
        assert size == pytest.approx(LARGEST if end == 0.1 else SMALLEST, abs=0.05)


def test_failures_without_weight_have_no_say(plane):
    """What the other half does changes nothing: that is what the held-out test stands on."""
    landscape, points, _, failures = plane
    half = (np.arange(2_000) % 2).astype(float)
    other = np.where(half > 0, failures, 1 - failures)
    mask = points[:, 0] < 0.3
    np.testing.assert_array_equal(cut(landscape, mask, failures, half), cut(landscape, mask, other, half))
    assert not np.array_equal(cut(landscape, mask, failures), cut(landscape, mask, other))


def test_a_units_own_failure_does_not_bring_it_in(plane):
    """Who comes in before whom is for the vectors to say: equal ones come in together, whether they fail or not."""
    _, points, _, failures = plane
    twice = np.concatenate([points, points[:600]])
    failed = np.concatenate([failures, 1 - failures[:600]])
    landscape = Landscape(twice, 0, 30_000)
    inside, vote = with_edges(landscape, [twice[:, 0] < 0.3], failed)[0]
    low = vote[inside].min()
    assert vote[~inside].max() < low
    np.testing.assert_array_equal(inside[vote >= low], True)


def test_the_first_of_two_groups_keeps_the_units_of_both(plane):
    """Groups don't overlap after they have grown either."""
    landscape, points, _, failures = plane
    lower = (points[:, 0] < 0.2) & (points[:, 1] < 0.55)
    upper = (points[:, 0] < 0.2) & (points[:, 1] > 0.5)
    (one, _), (other, _) = with_edges(landscape, [lower, upper], failures)
    assert not (one & other).any()
    np.testing.assert_array_equal(one, cut(landscape, lower, failures))


def test_a_scattered_group_stays_as_it_is(plane):
    """Units all over the place have no neighbourhood to cut along."""
    landscape, *_, failures = plane
    mask = np.random.default_rng(1).random(2_000) < 0.03
    np.testing.assert_array_equal(cut(landscape, mask, failures), mask)


def test_landmarks_count_for_what_they_stand_for(plane):
    """Of a fifth of the units as landmarks the same end comes out."""
    _, points, true, failures = plane
    landscape = Landscape(points, 0, 400)
    inside = cut(landscape, landscape.points[:, 0] < 0.33, failures)
    assert inside.shape == (2_000,)
    assert wrong(inside, true) < 0.2


def test_what_is_found_stands_out_by_itself(plane):
    """Each group earns more than its penalty with the units that it was left, and none without failures."""
    landscape, *_, failures = plane
    found = find(landscape, failures)
    assert found
    for group in found:
        assert failures[group.inside].mean() > 2 * failures.mean()
        assert earned(group.inside, failures) > 0
    assert find(landscape, np.zeros(2_000)) == []
