"""What the benchmark measures. Pure functions of masks and scores; slices come best first.

A found slice belongs to a true one if at least `LEAST_PRECISION` of its units are in it; a true slice is discovered if
the found slices that belong to it hold at least `LEAST_RECALL` of its units together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import beta
from sklearn.metrics import average_precision_score

from tests.benchmarks.discovery.setting import Mask, Proposed, Setting

Reals = npt.NDArray[np.float64]

LEAST_PRECISION = 0.8
LEAST_RECALL = 0.8
LEAST_SUCCESS = 0.8
TOP = 10


class Interval(NamedTuple):
    """A mean and its interval."""

    mean: float
    low: float
    high: float


def precisions(found: Sequence[Mask], true: Sequence[Mask]) -> Reals:
    """Return the share of every found slice that lies in every true one, (found, true); 0 for an empty slice."""
    shares = [[(mask & truth).sum() / max(1, mask.sum()) for truth in true] for mask in found]
    return np.array(shares, np.float64).reshape(len(found), len(true))


def recalls(found: Sequence[Mask], true: Sequence[Mask], least_precision: float = LEAST_PRECISION) -> Reals:
    """Return the share of every true slice that the found slices belonging to it cover together, (true,)."""
    belongs = precisions(found, true) >= least_precision
    shares = np.zeros(len(true))
    for number, truth in enumerate(true):
        pieces = [mask for mask, mine in zip(found, belongs[:, number], strict=True) if mine]
        covered = np.any(pieces, axis=0) if pieces else np.zeros_like(truth)
        shares[number] = (covered & truth).sum() / truth.sum()
    return shares


def discovery_rate(
    found: Sequence[Mask],
    true: Sequence[Mask],
    least_precision: float = LEAST_PRECISION,
    least_recall: float = LEAST_RECALL,
) -> float:
    """Return the share of true slices that are discovered.

    Parameters
    ----------
    found, true
        Masks of found and of true slices; at least one true slice.
    least_precision, least_recall
        Thresholds; what equals them counts.
    """
    return float((recalls(found, true, least_precision) >= least_recall).mean())


def false_discovery_rate(
    found: Sequence[Mask], true: Sequence[Mask], top: int | None = None, least_precision: float = LEAST_PRECISION
) -> float:
    """Return the share of found slices that belong to no true one.

    Parameters
    ----------
    found, true
        Masks of found (best first) and of true slices.
    top
        Judge only that many of the first ones (10 for FDR@10); None: all.
    least_precision
        A slice belongs to a true one from here on.

    Returns
    -------
    0 if nothing was found; 1 if something was found where there is no true slice.
    """
    judged = found[:top]
    if not judged:
        return 0.0
    return float((precisions(judged, true).max(axis=1, initial=0) < least_precision).mean())


def plateau(found: Sequence[Mask], true: Sequence[Mask], top: int = TOP) -> int:
    """Return u, the smallest number (at least 1) of first slices with the discovery rate of the first `top`."""
    reached = discovery_rate(found[:top], true)
    return next((u for u in range(1, top) if discovery_rate(found[:u], true) >= reached), top)


def false_discovery_rate_at_plateau(found: Sequence[Mask], true: Sequence[Mask], top: int = TOP) -> float:
    """Return the false discovery rate over the first u slices (FDR@u), u by `plateau`.

    A method that discovers nothing is judged by its first slice, one that returns nothing has 0.
    """
    return false_discovery_rate(found, true, plateau(found, true, top))


def precision_at_k(scores: npt.ArrayLike, true: Mask, k: int = 10) -> float:
    """Return the share of the k highest-scored units that are in a true slice.

    Parameters
    ----------
    scores
        (n,), higher is more in the slice. Of equal scores the earlier unit comes first (ordinal ranks).
    true
        Mask (n,).
    k
        How many units; fewer units than k count as misses.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    return float(true[order[:k]].sum() / k)


def best_precisions_at_k(scores: npt.ArrayLike, true: Sequence[Mask], k: int = 10, top: int = 5) -> Reals:
    """Return for every true slice the highest precision at k that one of the first `top` rankings reaches.

    Parameters
    ----------
    scores
        (n, found), a column per found slice, best slice first; without columns the precision is 0.
    true
        Masks (n,).
    k, top
        Units per ranking, rankings per setting.
    """
    columns = np.asarray(scores)[:, :top].T
    return np.array([max((precision_at_k(column, truth, k) for column in columns), default=0.0) for truth in true])


def success_rate(precisions_at_k: npt.ArrayLike, least: float = LEAST_SUCCESS) -> float:
    """Return the share of true slices whose precision at k is at least `least`."""
    return float((np.asarray(precisions_at_k) >= least).mean())


def f1(found: Mask, true: Mask) -> float:
    """Return the F1 score of one mask against another; 0 if both are empty."""
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def best_f1(found: Sequence[Mask], true: Mask) -> float:
    """Return the highest F1 score of a found slice for one true slice; 0 if nothing was found."""
    return max((f1(mask, true) for mask in found), default=0.0)


def mean_best_f1(found: Sequence[Mask], true: Sequence[Mask]) -> float:
    """Return the mean over true slices of their best F1 score."""
    return float(np.mean([best_f1(found, truth) for truth in true]))


def average_precision(scores: npt.ArrayLike, true: Mask) -> float:
    """Return the average precision of a ranking of units; equal scores are one step."""
    return float(average_precision_score(true, np.asarray(scores, np.float64)))


def paired_bootstrap(differences: npt.ArrayLike, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean difference of two methods and its percentile interval over configurations.

    Parameters
    ----------
    differences
        One number per configuration: a method's measure minus the other's.
    level
        Of the two-sided interval.
    draws, seed
        Bootstrap samples and the seed they are drawn with.
    """
    values = np.asarray(differences, np.float64)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def clopper_pearson_upper(successes: int, trials: int, level: float = 0.95) -> float:
    """Return the one-sided Clopper-Pearson upper limit of a probability: 95 % by default."""
    return 1.0 if successes == trials else float(beta.ppf(level, successes + 1, trials - successes))


def confirmed_slices(proposed: Proposed) -> tuple[Mask, ...]:
    """Return the slices that a method claims: those it confirmed, or all if it doesn't say."""
    if proposed.confirmed is None:
        return proposed.members
    return tuple(mask for mask, claimed in zip(proposed.members, proposed.confirmed, strict=True) if claimed)


def is_true_failure(mask: Mask, setting: Setting) -> bool:
    """Return whether a slice fails more often than its classes do elsewhere, by the probabilities that were drawn from.

    The mean of `fail_probability` in the slice must exceed (by more than 1e-12) that of the same classes, in the same
    proportions, outside every true slice. Classes are those before label noise where the setting tells. On null
    settings (no true slice) nothing is a true failure, also where the probability varies: it follows the confidence.
    """
    if setting.fail_probability is None:
        raise ValueError(f"{setting.name} has no fail_probability: its failures weren't drawn.")
    if not setting.slices or not mask.any():
        return False
    classes = setting.details.get("classes", setting.labels)
    outside = ~np.any(setting.slices, axis=0)
    base = {c: setting.fail_probability[outside & (classes == c)].mean() for c in np.unique(classes[mask])}
    expected = np.mean([base[c] for c in classes[mask]])
    return bool(setting.fail_probability[mask].mean() - expected > 1e-12)


def false_discovery_proportion(confirmed: Sequence[Mask], setting: Setting) -> float:
    """Return the share of confirmed slices that aren't true failures; 0 if nothing is confirmed."""
    false = [not is_true_failure(mask, setting) for mask in confirmed]
    return float(np.mean(false)) if false else 0.0
