"""Comparing two models on the same units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from slicelab.core import InvalidInputError
from slicelab.evaluation import holm, mcnemar, paired_bootstrap


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
    """Difference 0, p 1."""
    base = np.arange(10.0)[:, None]
    found = paired_bootstrap(base, base, lambda sums: sums[:, 0])
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


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
