"""Comparing two models on the same units."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm, permutation_test

from slicelab.core import InvalidInputError
from slicelab.evaluation import holm, mcnemar, paired_bootstrap, paired_shares, swap_test


def test_mcnemar_equals_the_binomial_tail():
    """12 units fail under one model only, 3 under the other only: twice P(X <= 3), X of 15 fair coins."""
    a = np.array([True] * 12 + [False] * 3 + [True] * 5 + [False] * 80)
    b = np.array([False] * 12 + [True] * 3 + [True] * 5 + [False] * 80)
    assert mcnemar(a, b) == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_equal_models_is_one():
    """No difference, no evidence; nothing at all, no evidence either."""
    assert mcnemar(np.array([True, False]), np.array([True, False])) == 1.0
    assert mcnemar(np.zeros(0, bool), np.zeros(0, bool)) == 1.0


@pytest.mark.parametrize("other", [np.zeros(3, bool), np.zeros(2, int)])
def test_mcnemar_refuses_units_that_are_not_the_same(other):
    """Another number of units, or numbers for truth values."""
    with pytest.raises(InvalidInputError):
        mcnemar(np.zeros(2, bool), other)


def test_paired_bootstrap_sees_what_unpaired_intervals_hide():
    """A model that is better by a little on every image is better, however much images differ."""
    base = np.random.default_rng(0).uniform(0, 100, (60, 1))
    better = base + np.random.default_rng(1).uniform(0.5, 1.5, (60, 1))
    found = paired_bootstrap(better, base, lambda sums: sums[:, 0] / 60)
    assert found.difference == pytest.approx((better - base).mean())
    assert 0.5 < found.low < found.difference < found.high < 1.5
    assert 0 < found.p_value < 1e-6  # all 60 images point one way: one swap in 2**59 does as much


def test_paired_bootstrap_of_equal_models_shows_nothing():
    """Difference 0, p 1; no resample differs, which is no proof: as wide as ten units without a flip."""
    base = np.arange(10.0)[:, None]
    found = paired_bootstrap(base, base, lambda sums: sums[:, 0])
    assert (found.difference, found.p_value) == (0, 1)
    shares = paired_shares(np.zeros(10, bool), np.zeros(10, bool))
    assert (found.low, found.high) == pytest.approx((shares.low, shares.high))


def clustered(n_groups, size, *, seed, drop=0.0):
    """Failures of two models, each with failure rates of its own per group, and the group."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), size)
    chance = random.beta(1, 4, (2, n_groups))[:, group] + np.array([[drop], [0.0]])
    a, b = random.random((2, len(group))) < chance
    return a, b, group


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_with_groups_p_is_that_of_all_swaps_of_whole_groups(counts):
    """scipy swaps the models in every set of groups; counts are units on which only the one or the other fails."""
    only_a, only_b = np.array(counts).T
    group = np.repeat(np.arange(len(counts)), only_a + only_b)
    a = np.concatenate([np.repeat([True, False], pair) for pair in counts])
    found = mcnemar(a, ~a, group)
    wanted = permutation_test(
        (only_a, only_b),
        lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert found == pytest.approx(wanted.pvalue)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 5))
def test_groups_that_hold_one_flip_leave_mcnemars_exact_test(only_a, only_b, others):
    """Units on which the models agree don't matter, whatever group they are in; nor do groups' names."""
    a = np.repeat([True, False, True], [only_a, only_b, others])
    b = np.repeat([False, True, True], [only_a, only_b, others])
    group = np.append(np.arange(only_a + only_b)[::-1] + 3, np.full(others, 3))
    wanted = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b, group) == pytest.approx(wanted)
    assert mcnemar(a, b) == mcnemar(a, b, np.arange(len(a))) == pytest.approx(wanted)


def test_many_groups_agree_with_a_cluster_robust_regression():
    """300 groups: p and interval of the mean difference, as statsmodels' cluster-robust regression gives them."""
    for seed in range(5):
        a, b, group = clustered(300, 5, seed=seed, drop=0.03)
        fitted = sm.OLS(a.astype(float) - b, np.ones(len(a))).fit(cov_type="cluster", cov_kwds={"groups": group})
        found = paired_shares(a, b, group)
        assert found.p_value == pytest.approx(fitted.pvalues[0], abs=0.02)
        wanted = fitted.conf_int()[0]
        assert (found.low, found.high) == pytest.approx(wanted, abs=0.1 * (wanted[1] - wanted[0]))


def test_p_values_get_as_small_as_many_cases_need():
    """60 groups that all point one way, in sums of 1 to 3 flips: far below 5 % of a thousand."""
    sizes = np.arange(60) % 3 + 1
    a = np.ones(sizes.sum(), bool)
    assert 0 < mcnemar(a, ~a, np.repeat(np.arange(60), sizes)) < 1e-8


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(0, 0, 20), (3, 0, 100), (5, 9, 60), (40, 20, 200), (0, 7, 30)])
def test_the_interval_is_the_wider_of_two_published_ones(only_a, only_b, n):
    """Bonett and Price's by its formula; Tango's ends by maximising the likelihood under each difference."""
    z = norm.ppf(0.975)
    more, less = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z * np.sqrt((more + less - (more - less) ** 2) / (n + 2))

    def score(d):
        """Standard errors from what was seen to the difference d, under the likeliest shares that differ by d."""

        def against(share):
            p = np.array([share + d, share, 1 - 2 * share - d])
            return -np.sum(np.array([only_a, only_b, n - only_a - only_b]) * np.log(np.maximum(p, 1e-300)))

        share = minimize_scalar(
            against, bounds=(max(0.0, -d), (1 - d) / 2), method="bounded", options={"xatol": 1e-10}
        ).x
        return ((only_a - only_b) / n - d) / np.sqrt((2 * share + d - d * d) / n)

    found = paired_shares(
        np.repeat([True, False, False], [only_a, only_b, n - only_a - only_b]),
        np.repeat([False, True, False], [only_a, only_b, n - only_a - only_b]),
    )
    wald = more - less - half, more - less + half
    assert found.low <= wald[0] + 1e-12
    assert found.high >= wald[1] - 1e-12
    for end, limit, sign in ((found.low, wald[0], 1), (found.high, wald[1], -1)):
        # Either it is the one method's end, or the other's: just z standard errors away.
        assert end == pytest.approx(limit) or sign * score(end) == pytest.approx(z, abs=1e-3)
        assert sign * score(end) >= z - 1e-3


def test_groups_widen_the_interval_and_single_units_do_not():
    """The same failures: each unit alone as without groups, ten to a group never narrower."""
    a, b, group = clustered(40, 10, seed=2)
    alone, grouped = paired_shares(a, b, np.arange(len(a))), paired_shares(a, b, group)
    assert alone == paired_shares(a, b)
    assert grouped.difference == alone.difference
    assert grouped.low < alone.low
    assert grouped.high > alone.high


def test_models_that_never_differ_are_not_proven_equal_by_one_group():
    """A hundred units of two groups tell about as much as two units."""
    none = np.zeros(100, bool)
    two = paired_shares(none, none, np.arange(100) % 2)
    assert two.high > 0.5
    assert paired_shares(none, none).high < 0.05


@pytest.mark.parametrize("groups", [np.zeros(3, int), np.zeros(2), np.array([-1, 0])])
def test_groups_that_are_not_one_number_per_unit_are_refused(groups):
    """Another number of them, no whole numbers, or negative ones."""
    with pytest.raises(InvalidInputError, match="Groups must be"):
        paired_shares(np.zeros(2, bool), np.zeros(2, bool), groups)


def precision(sums):
    return sums[:, 1] / sums[:, 0]


def test_a_resampled_metric_is_tested_by_all_swaps_of_groups():
    """Precision of 16 images in 8 groups: scipy swaps the groups' rows between the models."""
    random = np.random.default_rng(8)
    boxes = random.integers(1, 9, (2, 16, 1))
    values = np.concatenate([boxes, random.binomial(boxes, [[[0.9]], [[0.6]]])], axis=2).astype(float)
    groups = np.arange(16) % 8
    found = paired_bootstrap(values[0], values[1], precision, groups)
    mine, base = (v.reshape(2, 8, 2).sum(axis=0) for v in values)

    def difference(x, y):
        return precision(mine_or(x).sum(axis=0)[None])[0] - precision(mine_or(y).sum(axis=0)[None])[0]

    def mine_or(codes):
        return np.concatenate([mine, base])[codes.astype(int)]

    wanted = permutation_test(
        (np.arange(8), np.arange(8, 16)), difference, permutation_type="samples", vectorized=False, n_resamples=np.inf
    )
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.difference == pytest.approx(
        precision(mine.sum(axis=0)[None])[0] - precision(base.sum(axis=0)[None])[0]
    )


def test_random_swaps_find_the_p_of_all_swaps():
    """Sums of 30 groups, whose p is known exactly; where no swap is as extreme it is bounded from above."""
    random = np.random.default_rng(4)
    for shift in (0.5, 1.0, 2.0, 4.0, 8.0):
        net = np.round(random.normal(shift, 4, 30)).astype(int)
        a = np.concatenate([np.full(abs(v), v > 0) for v in net])
        exact = mcnemar(a, ~a, np.repeat(np.arange(30), np.abs(net)))
        weights = net[net != 0].astype(float)
        found = swap_test(float(net.sum()), lambda s, w=weights: s @ w, len(weights), n_resamples=20000)
        error = np.sqrt(exact / 1000)
        assert exact - 3 * error - 1e-12 <= found <= max(exact + 3 * error, 1000 * exact)
        assert found > 0


def test_the_interval_of_one_group_is_not_known():
    """Five images of one group say nothing of how groups differ."""
    values = np.arange(10.0).reshape(5, 2) + 1
    found = paired_bootstrap(values, values[::-1], precision, np.zeros(5, int))
    assert np.isnan([found.low, found.high]).all()
    assert found.p_value == 1.0


def test_holm_equals_the_worked_example():
    """Sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04, then never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p_values):
    """Comparing adjusted values to a level is Holm's procedure at that level."""
    level, m = 0.05, len(p_values)
    rejected = set()
    for step, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        if p_values[i] * (m - step) > level:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_holm_refuses_what_is_no_p_value():
    """NaN and numbers above 1."""
    with pytest.raises(InvalidInputError):
        holm([0.5, np.nan])
