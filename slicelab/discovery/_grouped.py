"""Tests and intervals where units come in groups that are not independent, such as the objects of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slicelab.discovery._exact import SMALLEST, exceedance, smallest_exceedance, upper_tail
from slicelab.evaluation import proportion_interval, wilson_interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FEWEST_GROUPS = 3
"""Of fewer groups that can differ nothing can be exchanged."""


def numbered(groups: IntArray) -> IntArray:
    """Return the number of every row's group, int64 (n,), from 0 in the order in which groups first occur."""
    import pandas as pd

    return np.asarray(pd.factorize(groups)[0], np.int64)


def independent(groups: IntArray) -> bool:
    """Tell whether no two rows are of one group."""
    return len(np.unique(groups)) == len(groups)


def share_interval(values: FloatArray, groups: IntArray) -> tuple[float, float]:
    """Return the interval at 95 % of a mean of values in [0, 1].

    Parameters
    ----------
    values
        float64 (n,).
    groups
        int64 (n,).

    Returns
    -------
    Wilson's score interval of independent units (1927); else `slicelab.evaluation.proportion_interval` of the groups.
    """
    if independent(groups):
        return wilson_interval(float(values.sum()), len(values))
    codes = np.unique(groups, return_inverse=True)[1]
    return proportion_interval(np.bincount(codes, weights=values), np.bincount(codes))


def difference_interval(
    values: FloatArray, others: FloatArray, groups: IntArray, other_groups: IntArray
) -> tuple[float, float]:
    """Return the interval at 95 % of the difference of two means of values in [0, 1].

    Parameters
    ----------
    values, others
        float64 (n,) and (m,).
    groups, other_groups
        int64 (n,) and (m,).

    Returns
    -------
    (low, high) of mean(values) - mean(others); (-1, 1) where one of them is empty.

    Notes
    -----
    **Source:** Newcombe 1998, method 10, from the intervals of the two shares. It takes them as independent; where
    groups have units in both, their difference varies less, and the interval is wider than it has to be.
    """
    if not len(values) or not len(others):
        return -1.0, 1.0
    rate, base = float(values.sum()) / len(values), float(others.sum()) / len(others)
    (low, high), (base_low, base_high) = share_interval(values, groups), share_interval(others, other_groups)
    down, up = float(np.hypot(rate - low, base_high - base)), float(np.hypot(high - rate, base - base_low))
    return rate - base - down, rate - base + up


def exceedance_by_group(failures: FloatArray, inside: Mask, strata: IntArray, groups: IntArray) -> float:
    """Probability of at least so many failures inside, were groups exchanged, and units within every group.

    Parameters
    ----------
    failures, inside, strata
        As `exceedance`.
    groups
        int64 (n,): units of one group may fail alike.

    Returns
    -------
    One-sided p-value in (0, 1]: that of `exceedance` where no two units are of one group, else never less than that.
    1 where fewer than three groups can differ.

    Notes
    -----
    The statistic is that of `exceedance`: failures inside, less those that each stratum's rate would give. In two
    parts, each exchanged at random: what a group's units have too many together (its sum of residuals, divided by its
    standard deviation at the intra-class correlation that is seen) is exchanged between groups, whatever their size;
    what a unit has more than its group, between the units of the group. The distribution over all exchanges is taken
    by its first three moments, as that of graded failures (Pearson type III: Mielke and Berry 1976), those between
    groups by Hoeffding's 1951 formulas for a permutation of two lists of numbers. No p-value is less than one over the
    number of ways to place the slice.
    """
    alone = exceedance(failures, inside, strata)
    if independent(groups):
        return alone
    residuals = _residuals(failures, inside, strata, groups)
    correlation = residuals.correlation()
    if correlation > 0:
        alone = max(alone, _exchanged(residuals, correlation))
    return max(alone, _one_placement(inside, groups))


def smallest_exceedance_by_group(failures: FloatArray, inside: Mask, strata: IntArray, groups: IntArray) -> float:
    """Return what `exceedance_by_group` could be at best, had as many units inside failed as could have."""
    smallest = smallest_exceedance(failures, inside, strata)
    return smallest if independent(groups) else max(smallest, _one_placement(inside, groups))


class _Moments(NamedTuple):
    """Mean, variance and third central moment."""

    mean: float
    variance: float
    third: float


class _Residuals(NamedTuple):
    """What units have more than their stratum: of failures, of being inside; and what they are expected to vary by.

    Parameters
    ----------
    failed, within
        float64 (n,): failures and membership less their means in the stratum.
    deviation
        float64 (n,): standard deviation of the failures of the stratum.
    group
        int64 (n,), numbers from 0.
    size
        float64 (g,): units of each group.
    """

    failed: FloatArray
    within: FloatArray
    deviation: FloatArray
    group: IntArray
    size: FloatArray

    def total(self, values: FloatArray) -> FloatArray:
        """Sum a value over every group, float64 (g,)."""
        return np.bincount(self.group, weights=values, minlength=len(self.size)).astype(np.float64)

    def correlation(self) -> float:
        """Return the intra-class correlation: products of residuals of two units of one group, over their expectation.

        In [0, 1]. It is moment-based, as the analysis of variance's.
        """
        seen = float((self.total(self.failed) ** 2 - self.total(self.failed**2)).sum())
        most = float((self.total(self.deviation) ** 2 - self.total(self.deviation**2)).sum())
        return float(np.clip(seen / most, 0.0, 1.0)) if most > 0 else 0.0


def _residuals(failures: FloatArray, inside: Mask, strata: IntArray, groups: IntArray) -> _Residuals:
    codes = np.unique(strata, return_inverse=True)[1]
    count = np.bincount(codes).astype(np.float64)
    failed = failures - (np.bincount(codes, weights=failures) / count)[codes]
    within = inside - (np.bincount(codes, weights=inside) / count)[codes]
    deviation = np.sqrt(np.bincount(codes, weights=failed**2) / np.maximum(count - 1, 1))[codes]
    group = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return _Residuals(failed, within, deviation, group, np.bincount(group).astype(np.float64))


def _exchanged(residuals: _Residuals, correlation: float) -> float:
    """Return the p-value over all exchanges; 1 where too few groups can differ."""
    alone, together = residuals.total(residuals.deviation**2), residuals.total(residuals.deviation) ** 2
    spread = np.sqrt((1 - correlation) * alone + correlation * together)
    varied = spread > 0
    if varied.sum() < FEWEST_GROUPS:
        return 1.0
    excess = residuals.total(residuals.failed)[varied] / spread[varied]
    weight = (residuals.total(residuals.within) / residuals.size * spread)[varied]
    between, inner = _between(weight, excess), _inner(residuals)
    observed = float((residuals.within * residuals.failed).sum())
    return upper_tail(observed - between.mean, between.variance + inner.variance, between.third + inner.third)


def _between(weights: FloatArray, values: FloatArray) -> _Moments:
    """Moments of the sum of products where the values are permuted."""
    n = len(values)
    w, v = weights - weights.mean(), values - values.mean()
    variance = float((w**2).sum() * (v**2).sum()) / (n - 1)
    third = float((w**3).sum() * (v**3).sum()) * n / ((n - 1) * (n - 2))
    return _Moments(n * float(weights.mean() * values.mean()), variance, third)


def _inner(residuals: _Residuals) -> _Moments:
    """Moments of what remains of the sum where values are permuted within every group; its mean is 0."""
    n = residuals.size
    failed = residuals.failed - (residuals.total(residuals.failed) / n)[residuals.group]
    within = residuals.within - (residuals.total(residuals.within) / n)[residuals.group]
    second = residuals.total(failed**2) * residuals.total(within**2) / np.maximum(n - 1, 1)
    third = residuals.total(failed**3) * residuals.total(within**3) * n / np.maximum((n - 1) * (n - 2), 1)
    return _Moments(0.0, float(second.sum()), float(third[n > 2].sum()))


def _one_placement(inside: Mask, groups: IntArray) -> float:
    """Return one over the number of ways in which the groups, and the units within each, could have been inside."""
    from scipy.special import gammaln

    codes = np.unique(groups, return_inverse=True)[1]
    size, within = np.bincount(codes), np.bincount(codes, weights=inside)
    touched = float((within > 0).sum())

    def ways(n: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        n, k = np.asarray(n, np.float64), np.asarray(k, np.float64)
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    number = float(ways(len(size), touched)) + float(ways(size, within).sum())
    return float(np.clip(np.exp(-number), SMALLEST, 1.0))
