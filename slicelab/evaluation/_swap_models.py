"""How often two equal models differ as much: which of them said what is swapped, in whole groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FIRST_SWAPS = 1000
_FEW = 10
"""So many of the first swaps, or fewer, that differ as much as the models did call for more swaps."""
_LEAST = 1e-10
"""What rounding leaves of a probability that is computed by a Fourier transform."""
_NUMBERS_AT_ONCE = 4_000_000


def swap_sums(net: npt.NDArray[np.int64]) -> float:
    """Return the chance that sums of whole numbers with random signs differ as much from 0 as their own sum does.

    Parameters
    ----------
    net
        int64 (n_groups,): in each group, the units on which only one model fails less those on which only the other
        does.

    Returns
    -------
    Two-sided p in (0, 1], over all 2**n_groups signs; where no group holds more than one flip, McNemar's exact p. Not
    below 1e-10 otherwise.

    Notes
    -----
    Source: Fisher, "The Design of Experiments", 1935, section 21: each pair's difference could as well have had the
    other sign; here a group's, as its units aren't independent. The statistic is that of Durkalski et al., "Analysis
    of clustered matched-pair data", Statistics in Medicine 2003, which compares it with a normal deviate. All signs
    are counted at once: the sum is that of independent coins, so its characteristic function is a product of cosines.
    """
    sizes = np.abs(net[net != 0])
    if not len(sizes):
        return 1.0
    total = abs(int(net.sum()))
    if sizes.max() == sizes.min():
        from scipy.special import bdtr

        behind = (len(sizes) - total // int(sizes[0])) // 2
        return min(1.0, 2 * float(bdtr(behind, len(sizes), 0.5)))
    step = int(np.gcd.reduce(sizes))
    tail = 2 * _lower_tail(sizes // step, total // step)
    return min(1.0, max(tail, 2.0 ** (1 - len(sizes)), _LEAST)) if total else 1.0


def _lower_tail(sizes: npt.NDArray[np.int64], total: int) -> float:
    """Chance that sizes with random signs sum to -total or less."""
    from scipy.fft import irfft, next_fast_len

    values, times = np.unique(sizes, return_counts=True)
    reach = int(sizes.sum())
    # The sum is 2 t - reach, t from 0 to reach.
    n = next_fast_len(reach + 1, real=True)
    places = np.arange(n // 2 + 1)
    angles = np.pi / n * places
    waves = np.exp(-1j * np.pi / n * (places * reach % (2 * n)))
    for value, count in zip(values.tolist(), times.tolist(), strict=True):
        waves *= np.cos(value * angles) ** count
    return float(irfft(waves, n)[: (reach - total) // 2 + 1].sum())


def swap_test(
    difference: float, statistic: Callable[[Floats], Floats], n_groups: int, *, n_resamples: int, seed: int = 0
) -> float:
    """Return the chance that a statistic differs as much when the models are swapped in random groups.

    Parameters
    ----------
    difference
        The statistic's difference as it is.
    statistic
        Maps signs, float64 (r, n_groups) of 1 (as it is) and -1 (swapped), to differences, float64 (r,). NaN counts as
        a difference that is as large.
    n_groups
        Of the groups in which the models differ at all.
    n_resamples
        Swaps at most. More than the first 1000 are made where 10 of those at most differ as much.
    seed
        Of the random numbers.

    Returns
    -------
    Two-sided p in (0, 1]. With all 2**n_groups swaps, if those are 1000 at most apart from mirrored ones: exact. Else
    (1 + swaps that differ as much) / (1 + swaps), and where none does, what bounds the tail of a sum with random
    signs, at the swaps' standard deviation, if that is less.

    Notes
    -----
    Source: as `swap_sums`. That random swaps keep the level: Phipson & Smyth, "Permutation p-values should never be
    zero", Statistical Applications in Genetics and Molecular Biology 2010; stopping early: Besag & Clifford,
    "Sequential Monte Carlo p-values", Biometrika 1991. The bound: Bentkus & Dzindzalieta, "A tight Gaussian bound for
    weighted sums of Rademacher random variables", Bernoulli 2015; exact for sums, near for what is smooth in them.
    """
    if difference == 0 or not n_groups:
        return 1.0
    least = abs(difference) * (1 - 1e-9)
    if 2 ** min(n_groups - 1, 60) <= FIRST_SWAPS:
        found = statistic(_all_signs(n_groups))
        return float(np.count_nonzero(~(np.abs(found) < least)) / len(found))
    beyond, made, squares = 0, 0, 0.0
    for signs in _random_signs(n_groups, max(n_resamples, 1), seed):
        found = statistic(signs)
        beyond += int(np.count_nonzero(~(np.abs(found) < least)))
        squares += float(np.nansum(found**2))
        made += len(found)
        if made >= FIRST_SWAPS and beyond > _FEW:
            break
    p = (beyond + 1) / (made + 1)
    return p if beyond else min(p, _tail(abs(difference) / math.sqrt(squares / made), n_groups))


def _tail(deviations: float, n_groups: int) -> float:
    normal = NormalDist()
    factor = 1 / (4 * normal.cdf(-math.sqrt(2)))
    return max(2 * factor * normal.cdf(-deviations), 2.0 ** (1 - min(n_groups, 1000)), _LEAST)


def _all_signs(n: int) -> Floats:
    """All signs but for mirrored ones, as a two-sided test takes both alike; the first row is as it is."""
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
    signs: Floats = (1 - 2 * bits).astype(np.float64)
    return signs


def _random_signs(n: int, n_resamples: int, seed: int) -> Iterator[Floats]:
    random = np.random.default_rng(seed)
    made, block = 0, max(1, min(FIRST_SWAPS, _NUMBERS_AT_ONCE // n))
    while made < n_resamples:
        r = min(block, n_resamples - made)
        yield (1 - 2 * random.integers(0, 2, size=(r, n))).astype(np.float64)
        made += r
