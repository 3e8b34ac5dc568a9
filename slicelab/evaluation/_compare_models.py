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
from slicelab.evaluation._swap_models import swap_sums, swap_test

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PairedDifference:
    """How much a statistic differs between two models on the same images: value, interval, two-sided p."""

    difference: float
    low: float
    high: float
    p_value: float


def mcnemar(failure_a: npt.ArrayLike, failure_b: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> float:
    """Return the two-sided p-value of a test that two models fail equally often.

    Parameters
    ----------
    failure_a, failure_b
        bool (n,): does each model fail on each unit; the same units in the same order.
    groups
        int (n,) from 0: to which group each unit belongs; units of one group aren't independent. None: all are.

    Returns
    -------
    p in (0, 1]; 1.0 where the models never differ. Where no group holds two units on which the models differ, it is
    McNemar's exact test; else the models are swapped in whole groups.

    Raises
    ------
    InvalidInputError
        The two differ in length or aren't truth values, or there isn't one group per unit.

    Notes
    -----
    Source: McNemar, Psychometrika 1947, in its exact form: a binomial test on the units on which they differ. With
    groups: see `slicelab.evaluation._swap_models.swap_sums`.
    """
    a, b = _both(failure_a, failure_b)
    codes = _codes(groups, len(a))
    return swap_sums(_net_flips(a, b, codes))


def paired_shares(
    failure: npt.ArrayLike,
    baseline: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> PairedDifference:
    """Return by how much the share of failures differs between two models on the same units.

    Parameters
    ----------
    failure, baseline
        bool (n,): does each model fail on each unit; the same units in the same order.
    groups
        int (n,) from 0: to which group each unit belongs; units of one group aren't independent. None: all are.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    PairedDifference: share of failures less the baseline's; an interval in [-1, 1] that is never empty; the p of
    `mcnemar`.

    Raises
    ------
    InvalidInputError
        The two differ in length, aren't truth values, or are empty; there isn't one group per unit.

    Notes
    -----
    The interval reaches as far on either side as the farther of two: the adjusted Wald interval (Bonett & Price,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", J. Educational
    and Behavioral Statistics 2012) and the score interval (Tango, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design", Statistics in Medicine 1998). Where one model's flips
    are rare the first ends too early on one side, the second on the other: either misses in up to 5 or 6 % there,
    instead of 2.5. Groups divide all counts by a design effect (Rao & Scott, "A simple method for the analysis of
    clustered binary data", Biometrics 1992), see `_design_effect`. `python -m tests.benchmarks.comparisons` prints how
    often it covers.
    """
    a, b = _both(failure, baseline)
    n = len(a)
    if not n:
        raise InvalidInputError("Two models can't be compared on no units at all.")
    codes = _codes(groups, n)
    net = _net_flips(a, b, codes)
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(~a & b))
    effect = _design_effect(net, np.bincount(codes)[np.unique(codes)], only_a + only_b, confidence=confidence)
    counts = only_a / effect, only_b / effect, n / effect
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    ends = [_adjusted_wald(*counts, z), _paired_score(*counts, z)]
    difference = (only_a - only_b) / n
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return PairedDifference(
        difference, max(min(low, difference), -1.0), min(max(high, difference), 1.0), swap_sums(net)
    )


def paired_bootstrap(
    values_by_image: npt.ArrayLike,
    baseline_by_image: npt.ArrayLike,
    statistic: Callable[[Floats], Floats],
    groups: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Return how much a statistic differs from that of a baseline, on the same images for both.

    Parameters
    ----------
    values_by_image, baseline_by_image
        (n_images, c) of the two models, the same images in the same order.
    statistic
        Maps sums, float64 (r, c), to float64 (r,).
    groups
        int (n_images,) from 0: to which group each image belongs; images of one group aren't independent. None: all
        are.
    confidence
        Of the interval, in (0, 1).
    n_resamples
        Swaps at most, for the p-value (see `swap_test`), and draws of the interval, 1000 of them at most.
    seed
        The same seed, the same figures.

    Returns
    -------
    PairedDifference: statistic(values) - statistic(baseline), its interval when whole groups are drawn again
    (`difference_of_draws`), and the p-value when the models are swapped in whole groups (`swap_test`).

    Raises
    ------
    InvalidInputError
        The two differ in shape, or there isn't one group per image.
    """
    mine, base = np.asarray(values_by_image, np.float64), np.asarray(baseline_by_image, np.float64)
    if mine.shape != base.shape or mine.ndim != 2:
        raise InvalidInputError(
            f"Both models need (images x numbers) of one shape, for the same images; got {mine.shape} and {base.shape}."
        )
    codes = _codes(groups, len(mine))
    mine, base = _summed(mine, codes), _summed(base, codes)
    blocks = resampled_weights(len(mine), n_resamples=min(n_resamples, RESAMPLES), seed=seed)
    draws = np.concatenate([np.zeros(0), *(statistic(w @ mine) - statistic(w @ base) for w in blocks)])
    differ = (mine != base).any(axis=1)
    # Swapped groups take their sums from the other model: half of both, and plus or minus half of the difference.
    middle, half = (mine + base).sum(axis=0) / 2, (mine - base)[differ] / 2

    def swapped(signs: Floats) -> Floats:
        moved = signs @ half
        return statistic(middle + moved) - statistic(middle - moved)

    difference = float((statistic(mine.sum(axis=0)[None]) - statistic(base.sum(axis=0)[None]))[0])
    p = swap_test(difference, swapped, len(half), n_resamples=n_resamples, seed=seed)
    return difference_of_draws(difference, draws, p, n_groups=len(mine), confidence=confidence)


def difference_of_draws(
    difference: float, draws: Floats, p_value: float, *, n_groups: int, confidence: float = 0.95
) -> PairedDifference:
    """Return a difference with its p-value and the interval of its resamples.

    Parameters
    ----------
    difference, p_value
        Of the two models.
    draws
        float64 (r,): the difference when n_groups groups are drawn again, with replacement; NaN is left out.
    n_groups
        Groups that are drawn. Of one nothing is known: the interval is NaN.
    confidence
        Of the interval, in (0, 1).

    Notes
    -----
    The percentiles are taken farther out, by Student's t and by sqrt(n / (n - 1)): with 20 groups the plain ones are
    12 % too near. Source: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 2015,
    section 5.3. Where all draws are the same the bootstrap knows nothing; the interval then reaches as far as that of
    shares (`paired_shares`) of as many units as groups, of which none flipped.
    """
    if n_groups < 2:
        return PairedDifference(difference, math.nan, math.nan, p_value)
    low, high = percentile_interval(draws, confidence=expanded(confidence, n_groups))
    if not high - low > 1e-12:
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        half = max(_adjusted_wald(0, 0, n_groups, z)[1], _paired_score(0, 0, n_groups, z)[1])
        low, high = difference - half, difference + half
    return PairedDifference(difference, min(low, difference), max(high, difference), p_value)


def expanded(confidence: float, n_groups: int) -> float:
    """Return the share of draws between the percentiles that n_groups groups need for a confidence."""
    from scipy.special import stdtrit

    far = float(stdtrit(n_groups - 1, 0.5 + confidence / 2)) * math.sqrt(n_groups / (n_groups - 1))
    return min(1 - 2 * NormalDist().cdf(-far), 1 - 1e-9)


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


def _net_flips(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], codes: Codes) -> npt.NDArray[np.int64]:
    """Return per group: units on which only a fails, less those on which only b does."""
    if not len(codes):
        return np.zeros(0, dtype=np.int64)
    net = np.bincount(codes[a & ~b], minlength=codes.max() + 1) - np.bincount(codes[b & ~a], minlength=codes.max() + 1)
    return net[np.unique(codes)]


def _design_effect(net: Codes, sizes: Codes, flips: int, *, confidence: float) -> float:
    """Return how many units weigh as much as one independent unit.

    Parameters
    ----------
    net, sizes
        int (n_groups,): net flips and units of each group.
    flips
        Units on which the models differ.
    confidence
        Of the interval that is made of it.

    Notes
    -----
    It is the variance of the groups' net flips over that of independent units. Few flipped groups tell little of it,
    and those that are told least of are the ones that look independent; so one more group is counted whose units all
    flip together, an average unit's group in size (Kish's mean). What is above 1 is enlarged by the squares of
    Student's t to the normal quantile (Korn & Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 1998), with Satterthwaite's degrees of
    freedom of that variance, and n_groups - 1 (Kish's number) at most. Groups of one unit have 1.0.
    """
    n = int(sizes.sum())
    kish = float((sizes.astype(np.float64) ** 2).sum()) / n
    if kish <= 1:
        return 1.0
    change = float(net.sum()) / n
    squares = (net - change * sizes) ** 2
    clustered, independent = float(squares.sum()), flips - n * change * change
    raw = max(clustered / independent, 1.0) if independent > 0 else 1.0
    seen = max(independent, 0.0) / raw
    effect = (max(independent, 0.0) + max(kish, raw)) / (seen + 1)
    most = max(n / kish - 1, 1.0)
    spread = float((squares**2).sum()) - clustered**2 / len(net)
    freedom = min(max(2 * clustered**2 / spread, 1.0), most) if spread > 0 else most
    return 1 + (effect - 1) * _student_to_normal(confidence, freedom) ** 2 * (1 + 1 / most)


def _student_to_normal(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + confidence / 2)) / NormalDist().inv_cdf(0.5 + confidence / 2)


def _adjusted_wald(only_a: float, only_b: float, n: float, z: float) -> tuple[float, float]:
    more, less = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z * math.sqrt((more + less - (more - less) ** 2) / (n + 2))
    return more - less - half, more - less + half


def _paired_score(only_a: float, only_b: float, n: float, z: float) -> tuple[float, float]:
    """Differences that lie z standard errors from what was seen, errors being those under that difference."""
    low = -_score_end(only_b, only_a, n, z)
    return low, _score_end(only_a, only_b, n, z)


def _score_end(only_a: float, only_b: float, n: float, z: float) -> float:
    def beyond(d: float) -> bool:
        # The likeliest share of `only_b` if the shares differ by d.
        half = (2 * n - only_a + only_b) * d - only_a - only_b
        share = (math.sqrt(max(half * half + 8 * n * only_b * d * (1 - d), 0.0)) - half) / (4 * n)
        error = math.sqrt(max(n * (2 * share + d * (1 - d)), 0.0))
        return n * d - (only_a - only_b) > z * error

    near, far = (only_a - only_b) / n, 1.0
    for _ in range(50):
        middle = (near + far) / 2
        near, far = (near, middle) if beyond(middle) else (middle, far)
    return far


def _summed(values: Floats, codes: Codes) -> Floats:
    """Sum rows by group, float64 (n_groups, c)."""
    places, codes = np.unique(codes, return_inverse=True)
    if len(places) == len(values):
        return values
    sums = np.zeros((len(places), values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def _both(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    first, second = _truths(a), _truths(b)
    if first.shape != second.shape:
        raise InvalidInputError(f"Both models must be judged on the same units; got {len(first)} and {len(second)}.")
    return first, second


def _codes(groups: npt.ArrayLike | None, n: int) -> Codes:
    if groups is None:
        return np.arange(n)
    codes = np.asarray(groups)
    if codes.shape != (n,) or not np.issubdtype(codes.dtype, np.integer) or (n and codes.min() < 0):
        raise InvalidInputError(
            f"Groups must be one whole number from 0 per unit ({n} units); got {codes.dtype} of shape {codes.shape}."
        )
    return codes.astype(np.int64)


def _truths(failure: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    values = np.asarray(failure)
    if values.ndim != 1 or values.dtype != np.bool_:
        raise InvalidInputError(f"Failures must be one bool per unit; got {values.dtype} of shape {values.shape}.")
    return values
