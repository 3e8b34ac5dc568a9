"""How sure a number is: intervals of shares, and the bootstrap by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError

RESAMPLES = 1000
ASSUMED_CORRELATION = 0.5
"""Within a group, as long as too few groups hold failures to see one."""
FEW_GROUPS = 10
"""With fewer an interval is wide, and its ends are not told apart."""
_NUMBERS_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricValue:
    """A metric on some units, with its interval.

    Parameters
    ----------
    value, low, high
        NaN where there is nothing to judge.
    n_units, n_failures
        What was judged, and failures among them.
    n_groups
        How many groups stand behind `n_units`; units of one group are not independent.
    """

    value: float
    low: float
    high: float
    n_units: int
    n_failures: int
    n_groups: int = 0


def wilson_interval(k: float, n: float, *, confidence: float = 0.95, corrected: bool = False) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Parameters
    ----------
    k, n
        Successes and trials, 0 <= k <= n. With n = 0 nothing is known: (0, 1).
    confidence
        In (0, 1).
    corrected
        With the correction for continuity, and the exact limit where all or none succeed: up to 1 / n wider, and it
        covers the true share at least as often as it says. Without it that holds on average over shares: of n = 50
        with a true share of 0.99, 91 % at 95 %.

    Returns
    -------
    (low, high), in [0, 1].

    Raises
    ------
    InvalidInputError
        k isn't in [0, n] or the confidence isn't in (0, 1).

    Notes
    -----
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; corrected:
    Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 1998, method 4; at its
    ends: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 1934. All take the trials as independent.
    """
    z = NormalDist().inv_cdf(0.5 + _checked(confidence) / 2)
    if not 0 <= k <= n:
        raise InvalidInputError(f"A share needs 0 <= k <= n; got k={k}, n={n}.")
    if n == 0:
        return 0.0, 1.0
    if corrected and k in (0, n):
        # With a true share of `exact` all n succeed with a probability of (1 - confidence) / 2.
        exact = ((1 - confidence) / 2) ** (1 / n)
        return (exact, 1.0) if k else (0.0, 1 - exact)
    # The ends are the shares that lie z standard errors from k, or from half a unit beyond it.
    step = 0.5 if corrected else 0.0
    low = 0.0 if k == 0 else _score_end(max(k - step, 0.0), n, -z)
    high = 1.0 if k == n else _score_end(min(k + step, n), n, z)
    return low, high


def _score_end(k: float, n: float, z: float) -> float:
    half = z * math.sqrt(k * (n - k) / n + z * z / 4)
    return min(max((k + z * z / 2 + half) / (n + z * z), 0.0), 1.0)


def proportion_interval(
    successes: npt.ArrayLike, trials: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a share whose units come in groups that are not independent.

    Parameters
    ----------
    successes, trials
        (n_groups,): successes and units of each group, 0 <= successes <= trials; a group without units doesn't count.
        Groups of one unit each are independent units.
    confidence
        In (0, 1).

    Returns
    -------
    (low, high), in [0, 1]; (0, 1) without units.

    Raises
    ------
    InvalidInputError
        The two differ in length, there are more successes than trials, or the confidence isn't in (0, 1).

    Notes
    -----
    `wilson_interval(..., corrected=True)`, with the number of units replaced by the effective number, units divided by
    the design effect (Rao and Scott, "The analysis of categorical data from complex sample surveys", JASA 1981). The
    design effect is the geometric mean of the ratio estimator's and of 1 + (m - 1) rho with the intra-class
    correlation rho from the analysis of variance (Fleiss, "Statistical Methods for Rates and Proportions", chapter 15)
    and the mean size m of a unit's group; it is 1 at least, and what it exceeds 1 by is taken in full only where that
    is more than noise. The quantile moves from the normal's to that of t, with as many degrees of freedom as there are
    effective groups (Kish) less one, as the correlation's part of the variance grows.

    A correlation can only be seen in groups that hold failures (or successes, where those are rarer). With e of them
    (again Kish's number) the excess is enlarged by a part that falls like 1 / e, more so for the end that lies
    towards one half; and the correlation is taken for 0.5 to a part that is 0.4 to the power of their number less a
    half: all of it where no group holds a failure. So a flawless result on a few large groups isn't taken for certain.

    These constants are held by a simulation, `python -m tests.benchmarks.intervals`: groups of 1 to 50 units, equal and
    unequal, correlations up to 0.5, shares from 0.5 to 0.99. Where whole groups fail together, and fewer than about
    ten of those seen do, no interval can know how often that happens.

    Examples
    --------
    >>> low, high = proportion_interval([10, 9, 10, 4, 10], [10, 10, 10, 10, 10])
    >>> f"{low:.2f} to {high:.2f}"
    """
    k, m = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    if k.shape != m.shape or k.ndim != 1 or not ((k >= 0) & (k <= m)).all():
        raise InvalidInputError("Each group needs 0 <= successes <= trials, in two rows of one length.")
    k, m = k[m > 0], m[m > 0]
    if not len(m) or m.max() <= 1:
        return wilson_interval(float(k.sum()), float(m.sum()), confidence=confidence, corrected=True)
    inner, outer = (_grouped_wilson(k, m, each, _checked(confidence)) for each in _design_excess(k, m))
    return (inner[0], outer[1]) if 2 * k.sum() >= m.sum() else (outer[0], inner[1])


def _design_excess(k: Floats, m: Floats) -> tuple[float, float]:
    """Return by how much the design effect exceeds 1: for the end that lies towards one half, and for the other."""
    groups, n = len(m), float(m.sum())
    share, size = float(k.sum()) / n, float((m**2).sum()) / n
    rare = k if share < 0.5 else m - k
    holding = int(np.count_nonzero(rare))
    if groups == 1:
        return size - 1, size - 1
    assumed = ASSUMED_CORRELATION * (size - 1)
    if not holding:
        return assumed, assumed
    effective = float(rare.sum() ** 2 / (rare**2).sum())
    seen = max(_design_effect(k, m) - 1, 0.0)
    # Its variance where nothing is correlated is 2 size / n: what is no more than that noise counts for little.
    trust = seen**2 / (seen**2 + 0.8 * size / n)
    unsure = 0.4 ** ((effective + holding) / 2 - 0.5)
    skew = abs(2 * share - 1)
    enlarged = [seen * trust * (1 + trust * (0.5 + each * skew) / effective) for each in (6, 2)]
    inner, outer = (each + max(assumed - each, 0.0) * unsure for each in enlarged)
    return inner, outer


def _design_effect(k: Floats, m: Floats) -> float:
    groups, n = len(m), float(m.sum())
    share, size = float(k.sum()) / n, float((m**2).sum()) / n
    unit_variance = share * (1 - share)
    ratio = float(((k - m * share) ** 2).sum()) * groups / (groups - 1) / (n * unit_variance)
    between = float(((k - m * share) ** 2 / m).sum()) / (groups - 1)
    within = float((k * (m - k) / m).sum()) / max(n - groups, 1.0)
    typical = (n - size) / (groups - 1)
    correlation = (between - within) / (between + (typical - 1) * within)
    return math.sqrt(max(ratio, 0.1) * max(float(1 + (size - 1) * correlation), 0.1))


def _grouped_wilson(k: Floats, m: Floats, excess: float, confidence: float) -> tuple[float, float]:
    n, effect = float(m.sum()), 1 + excess
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    if len(m) > 1 and 0 < k.sum() < n:  # else no correlation was estimated
        groups = n**2 / float((m**2).sum())  # Kish's effective number
        wide = _t_quantile(0.5 + confidence / 2, max(round(groups) - 1, 1))
        z += (wide - z) * (1 - 1 / effect) ** min(groups / 5, 2.0)
    effective = n / effect
    hits = effective if k.sum() == n else float(k.sum()) / effect
    level = 2 * NormalDist().cdf(z) - 1
    return wilson_interval(hits, effective, confidence=min(level, 1 - 1e-12), corrected=True)


@cache
def _t_quantile(p: float, df: int) -> float:
    from scipy.special import stdtrit

    return float(np.float64(stdtrit(df, p)))


def rate_interval(k: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Garwood's exact interval of a Poisson rate: k events in n images."""
    from scipy.stats import chi2

    tail = (1 - _checked(confidence)) / 2
    low = float(chi2.ppf(tail, 2 * k)) / 2 / n if k else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * k + 2)) / 2 / n


def bootstrap_interval(
    values_by_image: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    confidence: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic when whole images are drawn again, with replacement.

    Parameters
    ----------
    values_by_image
        (n_images, c), numbers that are summed over images, like hits and labels.
    statistic
        Maps sums, float64 (r, c), to float64 (r,); NaN where it is undefined (such draws are left out).
    confidence, n_resamples, seed
        Of the interval, how many draws, and the start of the random numbers: the same seed, the same interval.

    Returns
    -------
    (low, high); NaN without images, or where no draw defines the statistic.

    Notes
    -----
    Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Images are drawn, not boxes,
    as boxes on one image aren't independent.
    """
    draws = resampled_statistic(values_by_image, statistic, n_resamples=n_resamples, seed=seed)
    return percentile_interval(draws, confidence=confidence)


def resampled_statistic(
    values_by_image: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return the statistic of each resample; parameters as in `bootstrap_interval`."""
    values = np.asarray(values_by_image, dtype=np.float64)
    if values.ndim != 2:
        raise InvalidInputError(f"The values must be (images x numbers); got shape {values.shape}.")
    blocks = resampled_weights(len(values), n_resamples=n_resamples, seed=seed)
    return np.concatenate([np.zeros(0), *(statistic(w @ values) for w in blocks)])


def share_interval(value: float, draws: Floats, *, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a value in [0, 1] from resamples of n groups (`group_interval`).

    Where all draws are equal the bootstrap knows nothing (a perfect slice of three images would look certain), so
    Wilson's corrected interval of that share of n is given.
    """
    low, high = group_interval(value, draws, n=n, confidence=confidence)
    if not high - low > 1e-12:  # the last bits of equal sums may differ
        value = min(1.0, value)
        low, high = wilson_interval(value * n, n, confidence=confidence, corrected=True)
    return max(min(low, value), 0.0), min(max(high, value), 1.0)


def group_interval(value: float, draws: Floats, *, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resamples of n groups, stretched for few groups; it holds the value.

    Notes
    -----
    A percentile interval of few groups is too short (Hesterberg, "What teachers should know about the bootstrap", The
    American Statistician 2015). Its ends are moved away from the value as t with n - 1 degrees of freedom, times
    sqrt(n / (n - 1)), lies further out than the normal distribution. Of fewer than ten groups the draws' skewness is
    chance: both ends are as far away as the further one.
    """
    low, high = percentile_interval(draws, confidence=confidence)
    if n < FEW_GROUPS:
        reach = max(value - low, high - value)
        low, high = value - reach, value + reach
    n = max(n, 2)  # of one group that holds something beside others that don't, draws may differ
    tail = 0.5 + _checked(confidence) / 2
    stretch = math.sqrt(n / (n - 1)) * _t_quantile(tail, n - 1) / NormalDist().inv_cdf(tail)
    low, high = value - stretch * (value - low), value + stretch * (high - value)
    return min(low, value), max(high, value)


def percentile_interval(draws: npt.NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the middle part of the draws, leaving NaN out."""
    tail = (1 - _checked(confidence)) / 2
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def sums_by_group(values: npt.ArrayLike, codes: npt.NDArray[np.int64]) -> Floats:
    """Add up rows, float64 (n, c), by the number of their group; float64 (n_groups, c)."""
    rows = np.asarray(values, dtype=np.float64)
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups == len(rows):
        found = np.empty_like(rows)
        found[codes] = rows
        return found
    return np.stack([np.bincount(codes, weights=column, minlength=n_groups) for column in rows.T], axis=1)


def resampled_weights(n: int, *, n_resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield blocks (r, n): how often each of n images is drawn in each of r resamples, `n_resamples` in all."""
    random = np.random.default_rng(seed)
    block = max(1, _NUMBERS_AT_ONCE // max(n, 1))
    for start in range(0, n_resamples if n else 0, block):
        r = min(block, n_resamples - start)
        drawn = random.integers(0, n, size=(r, n)) + np.arange(r)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InvalidInputError(f"The confidence must lie between 0 and 1; got {confidence}.")
    return confidence
