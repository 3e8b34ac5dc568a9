"""How much alike the units of a group are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, check_fraction

Floats = npt.NDArray[np.float64]


def intraclass_correlation(
    values: npt.ArrayLike, groups: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Estimate the share of the variance of values that lies between groups.

    Parameters
    ----------
    values
        float or bool (n,): a loss, or failures (True).
    groups
        (n,): the group of each unit, texts or numbers; missing ones are groups of their own.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    (icc, low, high): 0 where units of a group are no more alike than any others, 1 where they are all equal. It may
    be a little below 0. All NaN with fewer than three groups, with no group of two units, or where all values are
    equal: then nothing can be told.

    Raises
    ------
    InvalidInputError
        Other lengths, values that aren't finite, or a confidence out of range.

    Notes
    -----
    The analysis-of-variance estimator for groups of unequal size [1]_, which is also the usual one for binary data
    [2]_. The interval is the wider, at each end, of two: of the F distribution, which is exact for normal values, and
    of the jackknife over groups (Student's t, one degree of freedom less than groups) of the logarithm of the ratio of
    mean squares. By simulation of binary values with 30 groups and more the 95 % interval covers 93 to 97 % at shares
    around a half, 86 to 97 % at shares of a tenth; with ten groups at a share of a tenth as little as 74 %, where the
    correlation is .5.

    References
    ----------
    .. [1] Donner, A review of inference procedures for the intraclass correlation coefficient in the one-way random
       effects model, International Statistical Review 54, 1986.
    .. [2] Ridout, Demétrio and Firth, Estimating intraclass correlation for binary data, Biometrics 55, 1999.

    Examples
    --------
    >>> intraclass_correlation([1, 1, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"])[0]
    1.0
    """
    check_fraction(confidence, "confidence")
    numbers = np.asarray(values, np.float64)
    codes = pd.factorize(np.asarray(groups, dtype=object), use_na_sentinel=True)[0].astype(np.int64)
    if numbers.ndim != 1 or numbers.shape != codes.shape or not np.isfinite(numbers).all():
        raise InvalidInputError(
            f"There must be one finite value and one group per unit; got {numbers.shape} and {codes.shape}."
        )
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    numbers = numbers - numbers.mean() if len(numbers) else numbers
    sizes = np.bincount(codes).astype(np.float64)
    if len(sizes) < 3 or sizes.max() < 2 or np.ptp(numbers) == 0:
        return float("nan"), float("nan"), float("nan")
    sums, squares = (np.bincount(codes, v).astype(np.float64) for v in (numbers, np.square(numbers)))
    return _estimated(sums, squares, sizes, confidence)


def _estimated(sums: Floats, squares: Floats, sizes: Floats, confidence: float) -> tuple[float, float, float]:
    """Estimate from each group's sum, sum of squares and number of units."""
    from scipy.stats import f, t

    k, n = len(sizes), float(sizes.sum())
    inside = float((np.square(sums) / sizes).sum())
    within = (float(squares.sum()) - inside) / (n - k)
    if within <= 1e-12 * squares.sum() / n:  # nothing varies inside groups
        return 1.0, 1.0, 1.0
    ratio = max(inside - float(sums.sum()) ** 2 / n, 0.0) / (k - 1) / within
    width = float(n - np.square(sizes).sum() / n) / (k - 1)
    tail = (1 - confidence) / 2
    low, high = ratio / f.ppf(1 - tail, k - 1, n - k), ratio / f.ppf(tail, k - 1, n - k)
    spread = _jackknifed(sums, squares, sizes)
    if ratio > 0 and np.isfinite(spread):
        reach = np.exp(np.minimum(t.ppf(1 - tail, k - 1) * spread, 50))
        low, high = min(low, ratio / reach), max(high, ratio * reach)
    icc, low, high = ((r - 1) / (r + width - 1) for r in (ratio, low, high))
    return float(icc), float(low), float(high)


def _jackknifed(sums: Floats, squares: Floats, sizes: Floats) -> float:
    """Return the standard error of the logarithm of the ratio of mean squares, leaving out each group once."""
    k, n = len(sizes), sizes.sum() - sizes
    of_groups = np.square(sums) / sizes
    inside = of_groups.sum() - of_groups
    between = (inside - np.square(sums.sum() - sums) / n) / (k - 2)
    within = (squares.sum() - squares - inside) / np.maximum(n - (k - 1), 1)
    if (between <= 0).any() or (within <= 0).any():
        return float("nan")
    logs = np.log(between / within)
    return float(np.sqrt((k - 1) / k * np.square(logs - logs.mean()).sum()))
