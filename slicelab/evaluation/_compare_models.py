"""Whether one model is better than another on the same units, and by how much."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError
from slicelab.evaluation._intervals import RESAMPLES, percentile_interval, resampled_weights


@dataclass(frozen=True)
class PairedDifference:
    """How much a statistic differs between two models on the same images: value, interval, two-sided p."""

    difference: float
    low: float
    high: float
    p_value: float


def mcnemar(failure_a: npt.ArrayLike, failure_b: npt.ArrayLike) -> float:
    """Return the two-sided p-value of McNemar's exact test that two models fail equally often.

    Parameters
    ----------
    failure_a, failure_b
        bool (n,): does each model fail on each unit; the same units in the same order.

    Returns
    -------
    p in (0, 1]; 1.0 where the models never differ.

    Raises
    ------
    InvalidInputError
        The two differ in length or aren't truth values.

    Notes
    -----
    Source: McNemar, Psychometrika 1947, in its exact form: a binomial test on the units on which they differ.
    """
    from scipy.stats import binomtest

    a, b = _truths(failure_a), _truths(failure_b)
    if a.shape != b.shape:
        raise InvalidInputError(f"Both models must be judged on the same units; got {len(a)} and {len(b)}.")
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(~a & b))
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def paired_bootstrap(
    values_by_image: npt.ArrayLike,
    baseline_by_image: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    confidence: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Return how much a statistic differs from that of a baseline, drawing the same images for both.

    Parameters
    ----------
    values_by_image, baseline_by_image
        (n_images, c) of the two models, the same images in the same order.
    statistic
        Maps sums, float64 (r, c), to float64 (r,).
    confidence, n_resamples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    PairedDifference: statistic(values) - statistic(baseline), its percentile interval, and twice the smaller
    share of draws on either side of 0 (counting one draw more, so that it is never 0; at most 1).

    Raises
    ------
    InvalidInputError
        The two differ in shape.
    """
    mine, base = np.asarray(values_by_image, np.float64), np.asarray(baseline_by_image, np.float64)
    if mine.shape != base.shape or mine.ndim != 2:
        raise InvalidInputError(
            f"Both models need (images x numbers) of one shape, for the same images; got {mine.shape} and {base.shape}."
        )
    blocks = resampled_weights(len(mine), n_resamples=n_resamples, seed=seed)
    draws = np.concatenate([np.zeros(0), *(statistic(w @ mine) - statistic(w @ base) for w in blocks)])
    difference = statistic(mine.sum(axis=0)[None]) - statistic(base.sum(axis=0)[None])
    return difference_of_draws(float(difference[0]), draws, confidence=confidence)


def difference_of_draws(
    difference: float, draws: npt.NDArray[np.float64], *, confidence: float = 0.95
) -> PairedDifference:
    """Return a difference with interval and p-value from its resamples, as `paired_bootstrap` does."""
    draws = draws[~np.isnan(draws)]
    side = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    low, high = percentile_interval(draws, confidence=confidence)
    return PairedDifference(
        difference, min(low, difference), max(high, difference), min(1.0, 2 * (side + 1) / (len(draws) + 1))
    )


def paired_shares(failure: npt.ArrayLike, baseline: npt.ArrayLike, *, confidence: float = 0.95) -> PairedDifference:
    """Return by how much the share of failures differs between two models on the same units.

    Parameters
    ----------
    failure, baseline
        bool (n,): does each model fail on each unit; the same units in the same order.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    PairedDifference: share of failures less the baseline's; the adjusted Wald interval, which is in [-1, 1] and never
    empty; McNemar's exact p.

    Raises
    ------
    InvalidInputError
        The two differ in length, aren't truth values, or are empty.

    Notes
    -----
    Source of the interval: Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", J. Educational and Behavioral Statistics 2012.
    """
    a, b = _truths(failure), _truths(baseline)
    p = mcnemar(a, b)
    n = len(a)
    if not n:
        raise InvalidInputError("Two models can't be compared on no units at all.")
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(~a & b))
    difference = (only_a - only_b) / n
    more, less = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * math.sqrt((more + less - (more - less) ** 2) / (n + 2))
    low, high = max(more - less - half, -1.0), min(more - less + half, 1.0)
    return PairedDifference(difference, min(low, difference), max(high, difference), p)


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values so that comparing each to a level keeps the chance of any false finding below that level.

    Parameters
    ----------
    p_values
        (m,) in [0, 1].

    Returns
    -------
    float64 (m,), in the same order.

    Notes
    -----
    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError(f"p-values must be numbers from 0 to 1 in one row; got {p!r}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _truths(failure: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    values = np.asarray(failure)
    if values.ndim != 1 or values.dtype != np.bool_:
        raise InvalidInputError(f"Failures must be one bool per unit; got {values.dtype} of shape {values.shape}.")
    return values
