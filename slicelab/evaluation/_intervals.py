"""How sure a number is: intervals of shares, and the bootstrap by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError

RESAMPLES = 1000
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class MetricValue:
    """A metric on some units, with its interval.

    Parameters
    ----------
    value, low, high
        NaN where there is nothing to judge.
    n_units, n_failures
        What was judged, and failures among them.
    """

    value: float
    low: float
    high: float
    n_units: int
    n_failures: int


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
        (n_groups,): successes and units of each group, 0 <= successes <= trials. Groups of one unit are independent
        units.
    confidence
        In (0, 1).

    Returns
    -------
    (low, high), in [0, 1]; (0, 1) without units.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    return wilson_interval(float(k.sum()), float(n.sum()), confidence=confidence, corrected=True)


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


def share_interval(
    value: float, draws: npt.NDArray[np.float64], *, n: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of a value in [0, 1] from n resampled things, widened to hold the value.

    Where all draws are equal the bootstrap knows nothing (a perfect slice of three images would look certain), so
    Wilson's corrected interval of that share of n is given.
    """
    low, high = percentile_interval(draws, confidence=confidence)
    if not low < high:
        value = min(1.0, value)
        low, high = wilson_interval(value * n, n, confidence=confidence, corrected=True)
    return min(low, value), max(high, value)


def percentile_interval(draws: npt.NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the middle part of the draws, leaving NaN out."""
    tail = (1 - _checked(confidence)) / 2
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


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
