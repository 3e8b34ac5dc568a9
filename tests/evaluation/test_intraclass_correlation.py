"""The intra-class correlation: worked by hand, against a library's, and its interval by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.evaluation import intraclass_correlation


def test_shrout_and_fleiss_worked_example():
    """Six targets by four judges (Shrout and Fleiss 1979, table 2): ICC(1,1) is .17, its 95 % interval -.13 to .72."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    icc, low, high = intraclass_correlation(ratings.ravel(), np.repeat(np.arange(6), 4))
    assert icc == pytest.approx(0.1657, abs=1e-4)
    assert low <= -0.13
    assert high >= 0.72


def test_unequal_groups_are_those_of_a_mixed_model():
    """Close to what statsmodels' restricted maximum likelihood says of many groups of unequal size."""
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 30, 300)
    groups = np.repeat(np.arange(300), sizes)
    values = rng.normal(0, 1, 300)[groups] + rng.normal(0, 1.5, len(groups))
    fit = smf.mixedlm("v ~ 1", pd.DataFrame({"v": values}), groups=groups).fit()
    expected = float(fit.cov_re.iloc[0, 0]) / (float(fit.cov_re.iloc[0, 0]) + fit.scale)
    icc, low, high = intraclass_correlation(values, groups)
    assert icc == pytest.approx(expected, abs=0.02)
    assert low < icc < high


@pytest.mark.parametrize(("share", "correlation"), [(0.5, 0.0), (0.5, 0.2), (0.2, 0.1), (0.1, 0.2)])
def test_the_interval_holds_for_failures(share, correlation):
    """Coverage of the 95 % interval for 40 groups of very unequal size, 400 draws: standard error .011 at .95.

    A share of a tenth is where it is known to hold less: its least is .86.
    """
    rng = np.random.default_rng(int(100 * share + 10 * correlation))
    covered, draws = 0, 400
    for _ in range(draws):
        sizes = np.clip(np.round(rng.lognormal(1.8, 0.9, 40)), 1, 60).astype(int)
        odds = (1 - correlation) / max(correlation, 1e-9)
        rates = rng.beta(share * odds, (1 - share) * odds, 40) if correlation else np.full(40, share)
        groups = np.repeat(np.arange(40), sizes)
        low, high = intraclass_correlation(rng.random(len(groups)) < rates[groups], groups)[1:]
        covered += low <= correlation <= high
    assert covered / draws >= (0.93 if share > 0.1 else 0.86) - 3 * 0.011


def test_groups_that_are_all_alike_have_one():
    """Nothing varies inside groups."""
    assert intraclass_correlation([1, 1, 0, 0, 1, 1], list("aabbcc")) == (1.0, 1.0, 1.0)


def test_it_does_not_move_with_the_scale():
    """Adding a constant and multiplying change nothing, even far from zero."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 6)
    values = rng.normal(0, 1, 20)[groups] + rng.normal(0, 1, 120)
    expected = intraclass_correlation(values, groups)
    assert intraclass_correlation(1e6 + 3 * values, groups) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "groups"),
    [([], []), ([1, 0, 1], ["a", "b", "c"]), ([1, 0, 1, 1], list("aabb")), ([1, 1, 1, 1, 1, 1], list("aabbcc"))],
)
def test_what_cannot_be_told_is_nan(values, groups):
    """Nothing, groups of one, two groups, values that are all equal."""
    assert np.isnan(intraclass_correlation(values, groups)).all()


def test_missing_groups_are_groups_of_their_own():
    """As if each were named by itself."""
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 30)
    named = [*np.repeat(list("abcd"), 5), *(f"own{i}" for i in range(10))]
    missing = [*np.repeat(list("abcd"), 5), *[None] * 10]
    assert intraclass_correlation(values, missing) == intraclass_correlation(values, named)


def test_other_input_is_refused():
    """Lengths that differ, and values that are no numbers."""
    with pytest.raises(InvalidInputError, match="one finite value and one group"):
        intraclass_correlation([1, 0], ["a"])
    with pytest.raises(InvalidInputError, match="one finite value"):
        intraclass_correlation([1, np.nan], ["a", "a"])
