"""Exact tests of a slice on units that had no part in choosing it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SMALLEST = 1e-300
"""Stands for p-values that a float can't hold: none is 0."""


def exceedance(failures: FloatArray, inside: Mask, strata: IntArray) -> float:
    """Probability of at least so many failures inside, were they spread at random within every stratum.

    Parameters
    ----------
    failures
        float64 (n,): 0 or 1, or graded in [0, 1].
    inside
        bool (n,): the slice.
    strata
        int64 (n,): units of one stratum are alike but for the slice: same class, similar confidence.

    Returns
    -------
    One-sided p-value in (0, 1]. 1 where no stratum has units on both sides: there is nothing to compare.

    Notes
    -----
    0 and 1: the exact conditional test, a convolution of hypergeometric distributions (the one-sided exact
    Cochran-Mantel-Haenszel test: Birch 1964); with one stratum Fisher's. Graded: the distribution over all
    permutations within strata by its first three moments (Pearson type III: Mielke and Berry 1976).
    """
    if not np.isin(failures, (0.0, 1.0)).all():
        return _graded_exceedance(failures, inside, strata)
    distribution, lowest = _distribution(failures, inside, strata)
    observed = int(failures[inside].sum()) - lowest
    return float(np.clip(distribution[observed:].sum(), SMALLEST, 1.0))


def smallest_exceedance(failures: FloatArray, inside: Mask, strata: IntArray) -> float:
    """Return the p-value if as many units inside had failed as could have: what the slice's size allows at best."""
    worst = np.empty(len(failures))
    worst[np.lexsort((inside, strata))] = failures[np.lexsort((failures, strata))]
    return exceedance(worst, inside, strata)


def _distribution(failures: FloatArray, inside: Mask, strata: IntArray) -> tuple[FloatArray, int]:
    """Probabilities of the number of failures inside, from the lowest possible number on, and that number."""
    from scipy.stats import hypergeom

    _, codes = np.unique(strata, return_inverse=True)
    units = np.bincount(codes)
    failed = np.bincount(codes, weights=failures).astype(np.int64)
    within = np.bincount(codes, weights=inside).astype(np.int64)
    distribution, lowest = np.ones(1), 0
    for n, k, m in zip(units.tolist(), failed.tolist(), within.tolist(), strict=True):
        low, high = max(0, m + k - n), min(m, k)
        lowest += low
        if high > low:
            distribution = np.convolve(distribution, hypergeom.pmf(np.arange(low, high + 1), n, k, m))
    return distribution, lowest


def _graded_exceedance(failures: FloatArray, inside: Mask, strata: IntArray) -> float:
    _, codes = np.unique(strata, return_inverse=True)
    mean = variance = third = 0.0
    for code in range(codes.max(initial=-1) + 1):
        of = codes == code
        moments = _moments(failures[of], int(inside[of].sum()))
        mean, variance, third = mean + moments[0], variance + moments[1], third + moments[2]
    return upper_tail(float(failures[inside].sum()) - mean, variance, third)


def upper_tail(excess: float, variance: float, third: float) -> float:
    """Return the probability of at least this excess over the mean, by variance and third central moment.

    Pearson type III; the normal distribution where it isn't skewed; 1 where nothing varies.
    """
    from scipy.stats import norm, pearson3

    if variance <= 1e-18:
        return 1.0
    z, skewness = excess / variance**0.5, third / variance**1.5
    tail = norm.sf(z) if abs(skewness) < 1e-6 else pearson3.sf(z, skewness)
    return float(np.clip(tail, SMALLEST, 1.0))


def _moments(values: FloatArray, m: int) -> tuple[float, float, float]:
    """Mean, variance and third central moment of the sum of m of these values, drawn without replacement."""
    n = len(values)
    centred = values - values.mean()
    mean = m * float(values.mean())
    if n < 2 or m in (0, n):
        return mean, 0.0, 0.0
    variance = m * (n - m) / (n * (n - 1)) * float((centred**2).sum())
    if n < 3:
        return mean, variance, 0.0
    third = m * (n - m) * (n - 2 * m) / (n * (n - 1) * (n - 2)) * float((centred**3).sum())
    return mean, variance, third
