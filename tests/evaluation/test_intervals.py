"""Intervals, held against SciPy and against what an interval must do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from slicelab.core import InvalidInputError
from slicelab.evaluation import bootstrap_interval, metric_value, proportion_interval, wilson_interval
from slicelab.evaluation._intervals import group_interval, rate_interval, share_interval


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


def beta_binomial(random, n_groups, size, share, correlation):
    scale = 1 / correlation - 1
    return random.binomial(size, random.beta(share * scale, (1 - share) * scale, n_groups))


def test_groups_of_one_unit_are_independent_units():
    ones = np.ones(50)
    hits = np.arange(50) < 43
    assert proportion_interval(hits, ones) == wilson_interval(43, 50, corrected=True)
    assert proportion_interval([], []) == (0.0, 1.0)


def test_an_interval_of_many_groups_is_that_of_a_cluster_robust_regression():
    """400 groups of 10: within 7 % of the width that statsmodels gives a mean with errors clustered by group."""
    import statsmodels.api as sm

    random = np.random.default_rng(0)
    hits = beta_binomial(random, 400, 10, 0.7, 0.3)
    units = (np.arange(10) < hits[:, None]).ravel().astype(float)
    fit = sm.OLS(units, np.ones(4000)).fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(400), 10)})
    low, high = proportion_interval(hits, np.full(400, 10))
    expected = fit.conf_int()[0]
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.07)
    assert (low + high) / 2 == pytest.approx(expected.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("n_groups", "size", "correlation"), [(30, 10, 0.1), (30, 10, 0.3), (25, 40, 0.2), (100, 20, 0.1)]
)
def test_intervals_cover_where_objects_share_an_image(n_groups, size, correlation):
    """1,500 sets each: at least 93 % covered, and a strict bar at the true share passes in 3.5 %, less three errors."""
    random = np.random.default_rng(5)
    n, share = 1500, 0.9
    sizes = np.full(n_groups, size)
    ends = np.array(
        [proportion_interval(beta_binomial(random, n_groups, size, share, correlation), sizes) for _ in range(n)]
    )
    covers = ((ends[:, 0] <= share) & (share <= ends[:, 1])).mean()
    assert covers >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / n)
    assert covers <= 0.985 + 3 * np.sqrt(0.985 * 0.015 / n)
    assert (ends[:, 0] >= share).mean() <= 0.035 + 3 * np.sqrt(0.035 * 0.965 / n)


def test_a_flawless_result_of_few_images_is_not_certain():
    """A thousand objects found on twenty images say less than a thousand on a thousand."""
    crowded = proportion_interval(np.full(20, 50), np.full(20, 50))
    assert crowded[1] == 1.0
    assert 0.85 < crowded[0] < 0.95 < wilson_interval(1000, 1000, corrected=True)[0]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=30),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_a_grouped_interval_holds_the_share_and_mirrors(pairs, confidence):
    """It lies in [0, 1], holds the share, doesn't depend on the groups' order, and failures give its mirror image."""
    k, extra = np.array(pairs).T
    m = k + extra
    low, high = proportion_interval(k, m, confidence=confidence)
    assert 0 <= low <= high <= 1
    if m.sum():
        assert low <= k.sum() / m.sum() <= high
    assert proportion_interval(k[::-1], m[::-1], confidence=confidence) == pytest.approx((low, high), abs=1e-9)
    if 2 * k.sum() != m.sum():
        mirrored = proportion_interval(extra, m, confidence=confidence)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("metric", ["f1", "macro_recall", "macro_f1"])
def test_resampled_metrics_cover_where_objects_share_an_image(metric):
    """60 images x 8 objects, within-image correlation 0.3, 150 sets: at least 93 % of intervals hold the true value."""
    random = np.random.default_rng(11)
    truth = metric_value(metric, _units(random, 4000)).value
    found = [metric_value(metric, _units(random, 60)) for _ in range(150)]
    covers = np.mean([each.low <= truth <= each.high for each in found])
    assert covers >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / 150)
    assert all(each.n_groups == 60 for each in found)


def _units(random, n_images):
    """Detection units of eight objects on each image, some of which are found, and all found right."""
    found = random.random((n_images, 8)) < random.beta(0.8 * 7 / 3, 0.2 * 7 / 3, (n_images, 1))
    found = found.ravel()
    key = np.repeat([f"{i}" for i in range(n_images)], 8)
    label = np.tile(["cat", "dog"], n_images * 4)
    nothing = np.where(found, "box", None)
    return pd.DataFrame(
        {
            "key": key,
            "label": label,
            "prediction": np.where(found, label, None),
            "confidence": np.where(found, 0.7, np.nan),
            "outcome": np.where(found, "tp", "missed"),
            "failure": ~found,
            "loss": 1.0 - found,
            "group_id": key,
            "label_id": np.tile([str(i) for i in range(8)], n_images),
            "box_id": nothing,
        },
        index=pd.Index([f"{k}#{i % 8}" for i, k in enumerate(key)], name="unit"),
    )


def test_a_resampled_interval_of_few_groups_does_not_end_at_its_value():
    """Of two groups every draw lies on one side of some statistics; the interval reaches as far to the other."""
    draws = np.repeat([0.75, 0.76, 0.77], [250, 500, 250])
    low, high = group_interval(0.75, draws, n=2)
    assert 0.75 - low == pytest.approx(high - 0.75)
    assert low < 0.6
