"""Synthetic and null settings are what their descriptions say."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from tests.benchmarks.discovery.suites import null, synthetic

SEEDS = range(8)


@lru_cache
def made(shape):
    return tuple(synthetic.settings(shape, SEEDS))


@lru_cache
def nulls(kind):
    return tuple(null.settings(kind, SEEDS))


def same(one, other):
    arrays = ("embeddings", "failures", "labels", "predictions", "probabilities", "fail_probability", "slices")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def consistent(setting):
    n = len(setting)
    assert setting.embeddings.dtype == setting.probabilities.dtype == np.float32
    assert setting.labels.dtype == setting.predictions.dtype == np.int64
    assert setting.fail_probability.shape == (n,)
    assert np.array_equal(setting.failures, setting.predictions != setting.labels)
    assert np.array_equal(setting.predictions, setting.probabilities.argmax(axis=1))
    assert np.allclose(setting.probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.isfinite(setting.embeddings).all()


def plausible(failures, probability):
    """Whether the number of failures fits independent draws (|z| < 4)."""
    spread = np.sqrt((probability * (1 - probability)).sum())
    return abs(failures.sum() - probability.sum()) < 4 * spread


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_synthetic_settings_are_deterministic(shape):
    assert same(synthetic.make(shape, 3), synthetic.make(shape, 3))
    assert not np.array_equal(synthetic.make(shape, 3).embeddings, synthetic.make(shape, 4).embeddings)


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_synthetic_settings_are_consistent(shape):
    for setting in made(shape):
        consistent(setting)
        assert setting.embeddings.shape == (2000, 64)
        assert set(np.unique(setting.labels)) == set(range(setting.details["n_classes"]))


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_slices_are_disjoint_groups_of_one_class_and_the_right_size(shape):
    for setting in made(shape):
        assert 1 <= len(setting.slices) <= 5
        assert np.sum(setting.slices, axis=0).max() == 1
        for mask in setting.slices:
            assert 15 <= mask.sum() <= 0.05 * len(setting) + 1
            assert len(np.unique(setting.labels[mask])) == 1


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_failures_come_at_the_stated_rates(shape):
    for setting in made(shape):
        outside = ~np.any(setting.slices, axis=0)
        assert plausible(setting.failures[outside], setting.fail_probability[outside])
        assert setting.fail_probability[outside].max() < 0.08
        for mask, error in zip(setting.slices, setting.details["slice_errors"], strict=True):
            assert 0.3 <= error <= 0.8
            assert (setting.fail_probability[mask] == error).all()
            assert plausible(setting.failures[mask], setting.fail_probability[mask])


def test_label_noise_is_outside_slices_and_fails():
    for setting in made("a"):
        noisy = setting.labels != setting.details["classes"]
        assert setting.failures[noisy].all()
        assert not (noisy & np.any(setting.slices, axis=0)).any()
        assert binomtest(int(noisy.sum()), len(setting), synthetic.LABEL_NOISE).pvalue > 1e-4


def test_clusters_touch_but_are_distinguishable():
    for setting in made("a"):
        clusters = setting.details["clusters"]
        centres = np.stack([setting.embeddings[clusters == k].mean(axis=0) for k in range(clusters.max() + 1)])
        gaps = (centres**2).sum(axis=1) - 2 * setting.embeddings @ centres.T
        assert 0.85 < (gaps.argmin(axis=1) == clusters).mean() < 0.99


def members_and_clusters(shape):
    for setting in made(shape):
        clusters = setting.details["clusters"]
        for mask in setting.slices:
            yield setting, mask, clusters, np.unique(clusters[mask])


def test_shape_a_is_a_whole_cluster():
    for _, mask, clusters, (cluster,) in members_and_clusters("a"):
        assert np.array_equal(mask, clusters == cluster)


def test_shape_b_is_the_linearly_cut_half_of_a_cluster():
    for _, mask, clusters, (cluster,) in members_and_clusters("b"):
        assert abs(2 * mask.sum() - (clusters == cluster).sum()) <= 1


def test_shape_c_is_two_whole_clusters():
    for _, mask, clusters, both in members_and_clusters("c"):
        assert len(both) == 2
        assert np.array_equal(mask, np.isin(clusters, both))


def test_shape_d_runs_across_clusters_without_filling_them():
    for _, mask, clusters, touched in members_and_clusters("d"):
        assert len(touched) >= 2
        assert mask.sum() < np.isin(clusters, touched).sum()


def test_shape_e_is_one_of_two_classes_of_a_cluster():
    for setting, mask, clusters, (cluster,) in members_and_clusters("e"):
        classes = setting.details["classes"][clusters == cluster]
        assert len(np.unique(classes)) == 2
        assert abs(2 * mask.sum() - len(classes)) <= 1


def test_larger_settings_keep_the_shares():
    setting = synthetic.make("b", 1, n=20_000, dims=32)
    assert setting.embeddings.shape == (20_000, 32)
    assert all(40 <= mask.sum() <= 1001 for mask in setting.slices)


@pytest.mark.parametrize("kind", null.KINDS)
def test_null_settings(kind):
    assert same(null.make(kind, 3), null.make(kind, 3))
    for setting in nulls(kind):
        consistent(setting)
        assert setting.slices == ()
        assert 1000 <= len(setting) <= 2000
        assert 32 <= setting.embeddings.shape[1] <= 64
        assert plausible(setting.failures, setting.fail_probability)


def test_independent_nulls_have_one_probability_and_class_nulls_one_per_class():
    assert all(len(np.unique(setting.fail_probability)) == 1 for setting in nulls("independent"))
    for setting in nulls("class"):
        classes = range(setting.labels.max() + 1)
        assert all(len(np.unique(setting.fail_probability[setting.labels == c])) == 1 for c in classes)


def test_margin_nulls_are_balanced_calibrated_and_accurate_enough():
    for setting in nulls("margin"):
        assert abs(setting.labels.mean() - 0.5) < 0.01
        assert setting.confidences == pytest.approx(1 - setting.fail_probability, abs=1e-6)
        assert 0.8 <= 1 - setting.fail_probability.mean() <= 0.95


def test_margin_nulls_fail_independently_of_the_cluster_given_label_and_confidence():
    """Failures per label, cluster and confidence bin against calibrated draws: chi-squared over all cells."""
    statistic = cells = 0
    for setting in nulls("margin"):
        bins = np.digitize(setting.confidences, [0.6, 0.7, 0.8, 0.9, 0.95])
        groups = np.unique([setting.labels, setting.details["clusters"], bins], axis=1, return_inverse=True)[1]
        for group in range(groups.max() + 1):
            mine = groups == group
            p = setting.fail_probability[mine]
            if p.sum() >= 2:
                statistic += (setting.failures[mine].sum() - p.sum()) ** 2 / (p * (1 - p)).sum()
                cells += 1
    assert cells > 100
    assert chi2.sf(statistic, cells) > 0.001


def test_margin_nulls_make_clusters_that_fail_more_often_than_their_class():
    """Without the confidence there is something to be fooled by."""
    for setting in nulls("margin"):
        clusters = setting.details["clusters"]
        rates = [setting.fail_probability[clusters == cluster].mean() for cluster in np.unique(clusters)]
        assert max(rates) > 1.5 * setting.fail_probability.mean()
