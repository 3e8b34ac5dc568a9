"""What is said of a slice on units that did not choose it, by hand and against statsmodels."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from slicelab.core import HeldOut
from slicelab.discovery._confirm import confidence_bands, hardest, hold_out, kind_of, pool, q_values
from slicelab.discovery._grouped import difference_interval


@pytest.mark.parametrize("confidences", [None, np.array([]), np.array([0.5, np.nan, 0.7]), np.array([0.8, 0.8, 0.8])])
def test_bands_need_every_confidence_and_different_ones(confidences):
    """Without confidences, with one missing, or with all the same there are no bands."""
    n = 3 if confidences is None else len(confidences)
    assert confidence_bands(confidences, np.zeros(n, np.int64)) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 400), st.integers(1, 4), st.integers(0, 10_000))
def test_bands_hold_units_of_one_class_and_like_confidence(n, classes, seed):
    """A band is of one class, an interval of its confidences, and of 20 units or a little more where there are 20."""
    rng = np.random.default_rng(seed)
    codes, confidences = rng.integers(0, classes, n), rng.random(n)
    bands = confidence_bands(confidences, codes)
    for code in np.unique(codes):
        of = codes == code
        assert not np.isin(bands[~of], bands[of]).any()
        by_band = sorted((confidences[bands == band] for band in np.unique(bands[of])), key=lambda band: band.min())
        assert all(low.max() <= high.min() for low, high in itertools.pairwise(by_band))
        assert sum(map(len, by_band)) == of.sum()
        if of.sum() >= 20:
            assert all(20 <= len(band) < 40 for band in by_band)
        else:
            assert len(by_band) == 1


def test_large_classes_have_at_most_200_bands():
    """A class of many units is cut into 200 bands of the same size, and they stay apart from the next class's."""
    bands = confidence_bands(np.random.default_rng(0).random(20_000), np.repeat([0, 1], 10_000))
    assert np.unique(bands[:10_000], return_counts=True)[1].tolist() == [50] * 200
    assert not np.isin(bands[:10_000], bands[10_000:]).any()


def _case():
    """Twelve rows from 100 on; the last eight are held out: 3 of 4 inside fail, 1 of 4 outside."""
    inside = np.array([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], bool)
    failures = np.array([0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0], float)
    return inside, failures, np.arange(12) >= 4, np.arange(100, 112)


def test_only_the_other_half_is_counted():
    """Rows, rates, effect, intervals and p-value are those of the eight units held out."""
    inside, failures, other, rows = _case()
    held_out = hold_out(inside, failures, other, rows, np.zeros(12, np.int64), None, np.arange(12))
    assert held_out.rows.tolist() == [104, 105, 106, 107]
    assert held_out.outside_rows.tolist() == [108, 109, 110, 111]
    assert (held_out.n, held_out.rate, held_out.outside_rate, held_out.effect) == (4, 0.75, 0.25, 0.5)
    assert held_out.interval == pytest.approx(proportion_confint(3, 4, method="wilson"))
    expected = confint_proportions_2indep(3, 4, 1, 4, method="newcomb", compare="diff")
    assert held_out.effect_interval == pytest.approx(expected)
    assert held_out.p_value == pytest.approx(fisher_exact([[3, 1], [1, 3]], alternative="greater").pvalue)
    assert held_out.p_given_confidence == held_out.p_value
    assert held_out.smallest_p_value == pytest.approx(1 / 70)
    turned = np.where(other, failures, 1 - failures)
    flipped = hold_out(inside, turned, other, rows, np.zeros(12, np.int64), None, np.arange(12))
    assert flipped.p_value == held_out.p_value


def test_classes_are_compared_with_themselves():
    """A slice that is all of one class, and fails as that class does, is no evidence."""
    inside, failures, other, rows = _case()
    assert hold_out(inside, failures, other, rows, inside.astype(np.int64), None, np.arange(12)).p_value == 1.0


def test_given_the_confidence_units_are_compared_with_equally_sure_ones():
    """Where doubt accounts for all failures the p-value is small among the class and not within its bands."""
    rng = np.random.default_rng(0)
    n = 4_000
    unsure = rng.random(n) < 0.3
    confidences = np.where(unsure, rng.uniform(0.4, 0.6, n), rng.uniform(0.95, 1.0, n))
    failures = (rng.random(n) < 1 - confidences).astype(float)
    inside = np.where(unsure, rng.random(n) < 0.5, rng.random(n) < 0.02)
    rows = np.arange(n)
    held_out = hold_out(inside, failures, np.ones(n, bool), rows, np.zeros(n, np.int64), confidences, rows)
    assert held_out.p_value < 1e-20
    assert held_out.p_given_confidence > 0.05


def test_a_slice_without_held_out_units_says_nothing():
    """No unit inside: rates unknown, the widest intervals, p-values of 1."""
    rows = np.arange(5)
    held_out = hold_out(np.zeros(5, bool), np.ones(5), np.ones(5, bool), rows, np.zeros(5, np.int64), None, rows)
    assert held_out.n == 0
    assert np.isnan(held_out.rate)
    assert held_out.effect_interval == (-1.0, 1.0)
    assert (held_out.p_value, held_out.p_given_confidence, held_out.smallest_p_value) == (1.0, 1.0, 1.0)


def test_two_halves_are_put_together():
    """Rates are those of all rows held out; p-values are those of the half whose harder test has the smaller one."""
    inside, failures, other, rows = _case()
    one = hold_out(inside, failures, other, rows, np.zeros(12, np.int64), None, np.arange(12))
    two = hold_out(inside, failures, ~other, rows, np.zeros(12, np.int64), None, np.arange(12))
    everything = np.zeros(112)
    everything[100:] = failures
    both = pool([two, one], everything, np.arange(112))
    assert sorted(both.rows.tolist()) == [100, 101, 104, 105, 106, 107]
    assert sorted(both.outside_rows.tolist()) == [102, 103, 108, 109, 110, 111]
    assert (both.rate, both.outside_rate) == (0.5, 0.5)
    expected = confint_proportions_2indep(3, 6, 3, 6, method="newcomb", compare="diff")
    assert both.effect_interval == pytest.approx(expected)
    assert two.p_value == pytest.approx(1.0)
    assert both.p_value == one.p_value
    assert both.smallest_p_value == min(one.smallest_p_value, two.smallest_p_value)
    sure = replace(two, p_value=one.p_value / 2, p_given_confidence=0.9)
    both = pool([sure, one], everything, np.arange(112))
    assert (both.p_value, both.p_given_confidence) == (one.p_value, one.p_given_confidence)
    thrice = pool([two, one], everything, np.arange(112), times=3)
    assert hardest(thrice) == pytest.approx(min(1.0, 3 * one.p_value))
    alone = pool([one], everything, np.arange(112))
    assert (alone.p_value, alone.rate, alone.interval) == (one.p_value, one.rate, one.interval)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_of_a_difference_is_newcombes(n, n0, share, share0):
    """The interval is statsmodels' one of Newcombe, and holds the difference."""
    k, k0 = round(share * n), round(share0 * n0)
    values, others = np.arange(n) < k, np.arange(n0) < k0
    interval = difference_interval(values.astype(float), others.astype(float), np.arange(n), np.arange(n0))
    assert interval == pytest.approx(
        confint_proportions_2indep(k, n, k0, n0, method="newcomb", compare="diff"), abs=1e-9
    )
    assert interval[0] <= k / n - k0 / n0 <= interval[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_q_values_are_benjamini_and_hochbergs(p_values):
    """The q-values are those of statsmodels."""
    np.testing.assert_allclose(q_values(p_values), multipletests(p_values, method="fdr_bh")[1], atol=1e-12)


def test_nothing_tried_has_no_q_values():
    """No p-values, no q-values."""
    assert q_values([]).tolist() == []


def _held_out(smallest):
    inside, failures, other, rows = _case()
    made = hold_out(inside, failures, other, rows, np.zeros(12, np.int64), None, np.arange(12))
    assert isinstance(made, HeldOut)
    return replace(made, smallest_p_value=smallest)


@pytest.mark.parametrize(
    ("smallest", "q_class", "q_both", "tried", "kind"),
    [
        (1e-9, 0.01, 0.01, 5, "slice"),
        (1e-9, 0.01, 0.5, 5, "boundary"),
        (1e-9, 0.5, 0.5, 5, "slice"),
        (0.03, 0.5, 0.5, 5, "small"),
        (0.03, 0.5, 0.5, 3, "slice"),
        (0.03, 0.05, 0.05, 5, "slice"),
    ],
)
def test_kinds(smallest, q_class, q_both, tried, kind):
    """Explained by confidence: boundary; too few to ever confirm and not confirmed: small; else a slice."""
    assert kind_of(_held_out(smallest), q_class, q_both, tried) == kind


def test_a_slice_that_no_half_found_alone_is_a_slice():
    """Where nothing was held out nothing else can be said of it."""
    assert kind_of(None, 1.0, 1.0, 5) == "slice"
