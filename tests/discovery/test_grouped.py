"""Units that come in groups: what the tests and intervals of discovery say where the units of an image fail alike."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import InvalidInputError
from slicelab.discovery import discover, discover_rules, drift
from slicelab.discovery._exact import exceedance, smallest_exceedance
from slicelab.discovery._grouped import (
    difference_interval,
    exceedance_by_group,
    share_interval,
    smallest_exceedance_by_group,
)
from slicelab.discovery._populations import group_ranks
from slicelab.evaluation import proportion_interval, wilson_interval
from tests.benchmarks.discovery_null import Cell, draw


def _units(seed, n, groups, strata=2):
    rng = np.random.default_rng(seed)
    failures = (rng.random(n) < 0.4).astype(float)
    return failures, rng.random(n) < 0.3, rng.integers(0, strata, n), rng.integers(0, groups, n)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000), st.booleans())
def test_groups_of_one_unit_are_independent_units(n, seed, graded):
    """Where every unit is a group of its own the p-values and intervals are those without groups, to the last bit."""
    failures, inside, strata, _ = _units(seed, n, 1)
    if graded:
        failures = failures * np.random.default_rng(seed).random(n)
    names = np.random.default_rng(seed).permutation(n)
    assert exceedance_by_group(failures, inside, strata, names) == exceedance(failures, inside, strata)
    assert smallest_exceedance_by_group(failures, inside, strata, names) == smallest_exceedance(
        failures, inside, strata
    )
    assert share_interval(failures, names) == wilson_interval(float(failures.sum()), n)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 10_000))
def test_groups_never_make_surer(n, groups, seed):
    """With groups a p-value is a probability, no less than without them and no less than the smallest there can be."""
    failures, inside, strata, of = _units(seed, n, groups)
    p = exceedance_by_group(failures, inside, strata, of)
    assert exceedance(failures, inside, strata) <= p <= 1
    assert smallest_exceedance_by_group(failures, inside, strata, of) <= p * (1 + 1e-9)


def test_whole_groups_are_exchanged():
    """Of equal groups that are inside or outside whole, the moments are those over all ways to choose them.

    The oracle goes through all choices of 4 of 12 groups, whose units all fail or none.
    """
    failing = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0], float)
    chosen = np.arange(12) < 4
    failures, inside, group = (np.repeat(of, 6) for of in (failing, chosen, np.arange(12)))
    ways = [failing[list(which)].sum() for which in itertools.combinations(range(12), 4)]
    exact = np.mean(np.array(ways) >= failing[chosen].sum())
    p = exceedance_by_group(failures, inside, np.zeros(72, int), group)
    assert exceedance(failures, inside, np.zeros(72, int)) < 1e-6
    assert exact == pytest.approx(0.0667, abs=1e-4)
    assert 0.3 * exact < p < 3 * exact


def test_one_group_inside_is_little_evidence():
    """One group that fails as a whole, beside 30 that don't: no less than one of the 31 groups that it could be."""
    group = np.repeat(np.arange(31), 10)
    p = exceedance_by_group((group == 3).astype(float), group == 3, np.zeros(310, int), group)
    assert p >= 1 / 31 * (1 - 1e-9)


def test_two_groups_can_not_be_compared():
    """With two groups nothing can be exchanged: 1."""
    group = np.repeat([0, 1], 20)
    assert exceedance_by_group((group == 0).astype(float), group == 0, np.zeros(40, int), group) == 1.0


@pytest.mark.parametrize(("correlation", "whole", "bands"), [(0.2, True, 1), (0.5, True, 1), (0.3, False, 8)])
def test_the_test_holds_its_level(correlation, whole, bands):
    """Where groups have failure rates of their own, p <= .05 in 5 % and p <= .01 in 1 % of 800 draws.

    Sizes from 2 to 40; the standard errors are .0077 and .0035, and three of them are allowed.
    """
    rng = np.random.default_rng(int(10 * correlation))
    p_values, without = [], []
    for _ in range(800):
        size = rng.integers(2, 41, 40)
        group = np.repeat(np.arange(40), size)
        strength = 1 / correlation - 1
        rates = rng.beta(0.15 * strength, 0.85 * strength, 40)
        failures = (rng.random(len(group)) < rates[group]).astype(float)
        inside = (group < 5) & (whole | (rng.random(len(group)) < 0.5))
        strata = rng.integers(0, bands, len(group))
        p_values.append(exceedance_by_group(failures, inside, strata, group))
        if len(without) < 200:
            without.append(exceedance(failures, inside, strata))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * 0.0077
    assert np.mean(np.array(p_values) <= 0.01) <= 0.01 + 3 * 0.0035
    assert np.mean(np.array(p_values) <= 0.05) >= 0.02
    assert np.mean(np.array(without) <= 0.01) >= 0.05


def test_intervals_count_groups():
    """Rates and differences have the intervals of their groups' counts, and Newcombe's of the two."""
    values, others = np.repeat([1.0, 0.0, 1.0], 4), np.repeat([0.0, 0.0, 0.0, 1.0], 5)
    group, other = np.repeat([7, 5, 9], 4), np.repeat(np.arange(4), 5)
    inside, outside = proportion_interval([0, 4, 4], [4, 4, 4]), proportion_interval([0, 0, 0, 5], [5] * 4)
    assert share_interval(values, group) == pytest.approx(inside)
    low, high = difference_interval(values, others, group, other)
    rate, base = 2 / 3, 1 / 4
    assert rate - base - low == pytest.approx(np.hypot(rate - inside[0], outside[1] - base))
    assert high - rate + base == pytest.approx(np.hypot(inside[1] - rate, base - outside[0]))


SMALL = Cell(50, 12, 0.4)


def test_images_with_failure_rates_of_their_own_are_no_slices():
    """Objects of an image look alike and fail alike, nothing else: confirmed in at most 2 of 8 sets.

    Were it 10 % of sets, more than 2 of 8 would have a probability of .038. Without groups it is most of them.
    """
    confirmed = {True: 0, False: 0}
    for seed in range(8):
        made = draw(SMALL, seed)
        for groups in (True, False) if seed < 4 else (True,):
            found = discover(made.vectors, made.failures, groups=made.image if groups else None)
            confirmed[groups] += any(c.status == "confirmed" for c in found)
    assert confirmed[True] <= 2
    assert confirmed[False] >= 2


def test_metadata_of_images_with_failure_rates_of_their_own_make_no_rules():
    """The same by rules over metadata of the images: confirmed in at most 4 of 20 sets, without groups in most."""
    confirmed = {True: 0, False: 0}
    for seed in range(20):
        made = draw(SMALL, seed)
        for groups in confirmed:
            found = discover_rules(made.attributes, made.failures, groups=made.image if groups else None)
            confirmed[groups] += any(c.status == "confirmed" for c in found)
    assert confirmed[True] <= 4
    assert confirmed[False] >= 10


def test_a_slice_of_many_images_is_confirmed_with_groups():
    """A kind of object that fails more, in most images, beside images with failure rates of their own: confirmed."""
    rng = np.random.default_rng(0)
    image, kind = np.arange(600) // 6, rng.integers(0, 6, 600)
    vectors = 4 * rng.normal(size=(6, 8))[kind] + rng.normal(size=(600, 8))
    failures = rng.random(600) < np.where(kind == 2, 0.6, rng.choice([0.0, 0.15], 100)[image])
    (sure,) = [c for c in discover(vectors, failures, groups=image) if c.status == "confirmed"]
    assert (kind[sure.members] == 2).mean() > 0.9
    assert 1 < sure.held_out.n_groups < sure.held_out.n
    assert sure.interval[0] < sure.failure_rate < sure.interval[1]


def test_rules_with_groups_do_not_depend_on_the_order_of_rows():
    """The same rows in another order give the same rules, q-values and held-out figures."""
    made = draw(SMALL, 3)
    shuffled = np.random.default_rng(0).permutation(len(made.image))
    one = discover_rules(made.attributes, made.failures, groups=made.image)
    two = discover_rules(
        made.attributes.iloc[shuffled].reset_index(drop=True), made.failures[shuffled], groups=made.image[shuffled]
    )
    assert [(c.name, c.q_value, c.size) for c in one] == [(c.name, c.q_value, c.size) for c in two]
    ranks = group_ranks(made.image.astype(object))
    assert group_ranks(made.image[shuffled].astype(object)).tolist() == ranks[shuffled].tolist()


def test_a_missing_group_is_one_of_its_own():
    """None and NaN belong to no group and not to each other; 1 and "1" are different names."""
    ranks = group_ranks(np.array(["b", None, "a", float("nan"), "b", 1, "1"], object))
    assert ranks[0] == ranks[4]
    assert sorted(set(ranks.tolist())) == list(range(6))
    assert min(ranks[1], ranks[3]) == 4


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 12]), st.booleans())
def test_a_q_value_is_never_less_than_its_p_value(seed, per_group, sure):
    """For any failures, groups and confidences, of slices and of rules."""
    rng = np.random.default_rng(seed)
    n = 240
    group = np.arange(n) // per_group
    cluster = rng.integers(0, 4, n)
    vectors = 3 * rng.normal(size=(4, 6))[cluster] + rng.normal(size=(n, 6))
    failures = rng.random(n) < rng.choice([0.05, 0.2, 0.6], 4)[cluster]
    confidences = rng.random(n) if sure else None
    slices = discover(vectors, failures, confidences=confidences, groups=group)
    frame = pd.DataFrame({"a": vectors[:, 0], "cluster": cluster.astype(str)})
    for candidate in (*slices, *discover_rules(frame, failures, confidences=confidences, groups=group)):
        assert candidate.q_value >= candidate.p_value
        if candidate.held_out is not None:
            tests = (candidate.held_out.p_value, candidate.held_out.p_given_confidence)
            assert candidate.p_value == max(tests)
    assert (slices.frame()["q_value"] >= slices.frame()["p_value"]).all()


def test_drift_counts_groups(found, planted):
    """New units of a few images widen the interval of a change; another number of groups is refused."""
    new = planted.embeddings[:200]
    alone, grouped = drift(found, new), drift(found, new, groups=np.arange(200) // 20)
    assert alone["change"].tolist() == grouped["change"].tolist()
    now = found.assign(new) >= 0.5
    low, high = proportion_interval(now[:, 0].reshape(10, 20).sum(axis=1), np.full(10, 20))
    before, share = alone["share_before"][0], alone["share_now"][0]
    old = wilson_interval(before * 600, 600)
    expected = share - before - np.hypot(share - low, old[1] - before)
    assert grouped["low"][0] == pytest.approx(expected)
    assert grouped["high"][0] == pytest.approx(share - before + np.hypot(high - share, before - old[0]))
    with pytest.raises(InvalidInputError, match="groups must be 200 values"):
        drift(found, new, groups=np.arange(5))
