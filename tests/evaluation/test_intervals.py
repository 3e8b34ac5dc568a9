"""Intervals, held against SciPy and against what an interval must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from slicelab.core import InvalidInputError
from slicelab.evaluation import bootstrap_interval, wilson_interval
from slicelab.evaluation._intervals import rate_interval, share_interval


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 5000), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999), corrected=st.booleans())
def test_wilson_equals_scipy(n, share, confidence, corrected):
    """Score intervals are those of scipy.stats.binomtest; corrected ones are exact where all or none succeed."""
    k = round(n * share)
    method = "exact" if corrected and k in (0, n) else "wilsoncc" if corrected else "wilson"
    theirs = binomtest(k, n).proportion_ci(confidence_level=confidence, method=method)
    low, high = wilson_interval(k, n, confidence=confidence, corrected=corrected)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1


def test_wilson_knows_nothing_without_trials():
    """Zero of zero can be any share."""
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("bad", [{"k": 5, "n": 4}, {"k": -1, "n": 4}, {"k": 1, "n": 4, "confidence": 1.0}])
def test_wilson_refuses_what_is_no_share(bad):
    """More successes than trials, or a certainty of 100 %."""
    with pytest.raises(InvalidInputError):
        wilson_interval(**bad)


def test_garwood_equals_the_tabled_interval():
    """95 % for 10 events: 4.795 to 18.390 (Garwood 1936); for none: 0 to 3.689."""
    assert rate_interval(10, 1) == pytest.approx((4.795, 18.390), abs=5e-4)
    assert rate_interval(0, 2) == pytest.approx((0, 3.689 / 2), abs=5e-4)


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    """For 400 independent images the percentile interval is close to mean +- 1.96 standard errors."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values[:, None], lambda sums: sums[:, 0] / 400, n_resamples=4000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_bootstrap_draws_whole_images():
    """Boxes that fail together on one image make the interval of the same share wider."""

    def share(sums):
        return sums[:, 0] / sums[:, 1]

    spread = np.column_stack([np.tile([1, 0], 50), np.ones(100)])
    together = np.column_stack([np.tile([10, 0], 5), np.full(10, 10)])
    one, other = bootstrap_interval(spread, share), bootstrap_interval(together, share)
    assert other[1] - other[0] > 2 * (one[1] - one[0])


def test_bootstrap_gives_the_same_interval_each_time():
    """The seed decides, and nothing else."""
    values = np.arange(30.0)[:, None]

    def mean(sums):
        return sums[:, 0] / 30

    assert bootstrap_interval(values, mean) == bootstrap_interval(values, mean)
    assert bootstrap_interval(values, mean) != bootstrap_interval(values, mean, seed=1)


def test_bootstrap_without_images_has_no_interval():
    """NaN, not an error and not 0."""
    assert np.isnan(bootstrap_interval(np.zeros((0, 1)), lambda sums: sums[:, 0])).all()


def test_equal_draws_give_no_false_certainty():
    """Three perfect images don't show that a model is perfect."""
    low, high = share_interval(1.0, np.ones(100), n=3)
    assert (low, high) == wilson_interval(3, 3, corrected=True)
    assert low < 0.5
