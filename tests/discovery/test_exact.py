"""Exact tests against scipy, against every arrangement tried one by one, and against drawn ones."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from slicelab.discovery._exact import exceedance, smallest_exceedance

ONE = [0.0, 1.0]
GRADED = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]


def _units(draw_from, *, max_size=12):
    """Units of a few strata: what failed, what is inside, and the stratum."""
    unit = st.tuples(st.sampled_from(draw_from), st.booleans(), st.integers(0, 2))
    return st.lists(unit, min_size=1, max_size=max_size).map(
        lambda units: tuple(np.array(column) for column in zip(*units, strict=True))
    )


def _arrangements(failures, inside, strata):
    """Failures inside under every way to deal the failures of each stratum to its units."""
    per_stratum = []
    for stratum in np.unique(strata):
        values, m = failures[strata == stratum], int(inside[strata == stratum].sum())
        per_stratum.append([sum(chosen) for chosen in itertools.combinations(values.tolist(), m)])
    return np.array([sum(parts) for parts in itertools.product(*per_stratum)])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_one_stratum_is_fishers_test(a, b, c, d):
    """In one stratum the p-value is that of Fisher's exact test, one-sided."""
    if not a + b + c + d:
        return
    failures = np.repeat([1.0, 0.0, 1.0, 0.0], [a, b, c, d])
    inside = np.repeat([True, True, False, False], [a, b, c, d])
    expected = fisher_exact([[a, b], [c, d]], alternative="greater").pvalue
    assert exceedance(failures, inside, np.zeros(len(failures), int)) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(_units(ONE, max_size=10))
def test_few_strata_are_all_arrangements_counted(units):
    """In up to three strata the p-value is the share of all arrangements with as many failures inside or more."""
    failures, inside, strata = units
    counted = (_arrangements(*units) >= failures[inside].sum()).mean()
    assert exceedance(failures, inside, strata) == pytest.approx(counted)


@settings(max_examples=60, deadline=None)
@given(_units(ONE, max_size=10))
def test_the_smallest_p_value_is_that_of_the_worst_arrangement(units):
    """The smallest p-value is the share of arrangements with the most failures inside that there can be."""
    arrangements = _arrangements(*units)
    assert smallest_exceedance(*units) == pytest.approx((arrangements == arrangements.max()).mean())


@pytest.mark.parametrize("seed", range(5))
def test_graded_failures_come_close_to_drawn_permutations(seed):
    """The p-value of graded failures is that of 10,000 permutations within strata, to 0.015."""
    rng = np.random.default_rng(seed)
    strata = np.repeat([0, 1, 2], [60, 40, 30])
    inside = rng.random(130) < 0.2
    failures = np.clip(rng.beta(0.5, 2.0, 130) + 0.12 * inside, 0, 1)
    drawn = np.zeros(10_000)
    for stratum in range(3):
        of = strata == stratum
        values = rng.permuted(np.tile(failures[of], (10_000, 1)), axis=1)
        drawn += values[:, inside[of]].sum(axis=1)
    expected = (drawn >= failures[inside].sum()).mean()
    assert exceedance(failures, inside, strata) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("levels", [ONE, GRADED])
def test_a_stratum_on_one_side_gives_no_evidence(levels):
    """Where every stratum lies inside or outside as a whole, the p-value is 1."""
    failures = np.array([levels[-1], levels[-1], levels[1], levels[0], levels[0], levels[0]])
    inside = np.array([True, True, True, False, False, False])
    assert exceedance(failures, inside, inside.astype(int)) == 1.0
    assert smallest_exceedance(failures, inside, inside.astype(int)) == 1.0


def test_a_stratum_on_one_side_changes_nothing():
    """Units without others to compare with leave the p-value of the rest as it is."""
    failures = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    inside = np.array([True, True, False, False, False])
    alone = exceedance(failures, inside, np.zeros(5, int))
    more = exceedance(np.append(failures, [1.0] * 9), np.append(inside, [True] * 9), np.repeat([0, 1], [5, 9]))
    assert alone == more == pytest.approx(0.1)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_the_smallest_p_value_is_reached_when_all_inside_fail(scale):
    """Where nothing worse could have happened the p-value is the smallest one, graded failures (all low) too."""
    rng = np.random.default_rng(1)
    inside = np.arange(80) < 12
    failures = np.where(inside, 1.0, 0.0) if scale == 1 else np.where(inside, 0.3, 0.1) + 0.1 * rng.random(80)
    strata = np.zeros(80, int)
    smallest = smallest_exceedance(failures, inside, strata)
    assert smallest == pytest.approx(exceedance(failures, inside, strata))
    assert smallest < 1e-6
    assert smallest_exceedance(rng.permutation(failures), inside, strata) == pytest.approx(smallest)


def test_a_p_value_too_small_for_a_float_is_not_zero():
    """A thousand of ten thousand, exactly those that fail: impossibly rare, and still above 0."""
    inside = np.arange(10_000) < 1_000
    assert 1 / math.comb(10_000, 1_000) == 0
    assert 0 < exceedance(inside.astype(float), inside, np.zeros(10_000, int)) < 1e-200
    assert 0 < smallest_exceedance(inside.astype(float), inside, np.zeros(10_000, int)) < 1e-200


@settings(max_examples=80, deadline=None)
@given(st.one_of(_units(ONE, max_size=40), _units(GRADED, max_size=40)), st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(units, seed):
    """A p-value is above 0, at most 1, and the same for the same rows in another order."""
    order = np.random.default_rng(seed).permutation(len(units[0]))
    for test in (exceedance, smallest_exceedance):
        p_value = test(*units)
        assert 0 < p_value <= 1
        assert test(*(column[order] for column in units)) == pytest.approx(p_value, rel=1e-6)
