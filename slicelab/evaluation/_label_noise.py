"""A model of how labels go wrong, fitted to what a model says about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
_TEMPERATURES = tuple(np.geomspace(0.4, 2.5, 12))
_RATES = (0.005, 0.01, 0.02, 0.05)
_FLOOR = 1e-5
_MAY_BE_ANY = 0.02
_MOST = 5.0
_ROWS_TO_FIT = 20_000
_ROUNDS = 100
_CHANCE = 2.0
_LOOSEST, _TIGHTEST = 0.5, 500.0

Floats = npt.NDArray[np.float64]


def pooled(said: Sequence[Floats], given: npt.NDArray[np.intp]) -> Floats:
    """Return what several models say together.

    Parameters
    ----------
    said
        (n, K) probabilities of each model, rows sum to 1.
    given
        (n,) codes of the labels.

    Returns
    -------
    (n, K), rows sum to 1: a logarithmic pool, the weighted geometric mean (Genest and Zidek 1986). Each model has the
    weight, not negative, under which the labels are most likely where 2 % of them may be any class; found on at most
    20,000 rows. One model is returned as it is.
    """
    if len(said) == 1:
        return said[0]
    from scipy.optimize import minimize

    step = -(-len(given) // _ROWS_TO_FIT)
    logs = np.log(np.maximum(np.stack(said), _FLOOR))
    some, labels = logs[:, ::step], given[::step]
    rows, chance = np.arange(len(labels)), 1 / logs.shape[2]

    def surprise(weights: Floats) -> tuple[float, Floats]:
        found = _normalised(np.tensordot(weights, some, 1))
        right = found[rows, labels]
        mixed = (1 - _MAY_BE_ANY) * right + _MAY_BE_ANY * chance
        towards = some[:, rows, labels] - (found * some).sum(axis=2)
        slope = -((1 - _MAY_BE_ANY) * right / mixed * towards).mean(axis=1)
        return float(-np.log(mixed).mean()), slope

    start = np.full(len(said), 1 / len(said))
    weights = minimize(surprise, start, jac=True, method="L-BFGS-B", bounds=[(0, _MOST)] * len(said)).x
    if not weights.any():
        weights = start
    return _normalised(np.tensordot(weights, logs, 1))


def calibrated(own: Floats, around: Floats | None, given: npt.NDArray[np.intp]) -> Floats:
    """Return the probabilities under which the labels are most likely, where few of them are wrong.

    Parameters
    ----------
    own
        (n, K) probabilities of each sample.
    around
        (n, K) mean probabilities of its neighbours; None: there are no embeddings.
    given
        (n,) codes of the labels.

    Returns
    -------
    (n, K), rows sum to 1, nothing below 1e-5: own and neighbours' probabilities mixed, then sharpened or flattened by a
    temperature (Guo et al. 2017). Share and temperature come from a grid by likelihood, on at most 20,000 rows.
    """
    step = -(-len(given) // _ROWS_TO_FIT)
    some, labels = slice(None, None, step), given[::step]
    rows, chance = np.arange(len(labels)), 1 / own.shape[1]
    best = (-np.inf, 0.0, 1.0)
    for share in _SHARES if around is not None else (0.0,):
        mixed = _mixed(own[some], None if around is None else around[some], share)
        for temperature in _TEMPERATURES:
            right = _at_temperature(mixed, temperature)[rows, labels]
            likelihood = max(float(np.log((1 - e) * right + e * chance).sum()) for e in _RATES)
            best = max(best, (likelihood, share, temperature))
    _, share, temperature = best
    found = np.maximum(_at_temperature(_mixed(own, around, share), temperature), _FLOOR)
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)


def _mixed(own: Floats, around: Floats | None, share: float) -> Floats:
    return own if around is None or not share else (1 - share) * own + share * around


def _at_temperature(probabilities: Floats, temperature: float) -> Floats:
    return _normalised(np.log(np.maximum(probabilities, 1e-8)) / temperature)


def _normalised(logs: Floats) -> Floats:
    """Return the probabilities, rows sum to 1, whose logs are these up to a constant per row."""
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def noise_rates(probabilities: Floats, given: npt.NDArray[np.intp]) -> Floats:
    """Estimate how often each class is labelled as each other one.

    Parameters
    ----------
    probabilities
        (n, K) calibrated probabilities of the true class.
    given
        (n,) codes of the labels.

    Returns
    -------
    (K, K), rows sum to 1: row the true class, column the label.

    Notes
    -----
    Expectation-maximisation of sum_i log sum_c p_i(c) T(c, label_i) (Dawid and Skene 1979 with one annotator and the
    model's probabilities as the prior). Each rate is one overall rate times a factor with a gamma prior of mean 1:
    alike for all pairs unless the counts say otherwise. How far the factors may differ is estimated too, by moments:
    the variance of the counts that twice a Poisson variance doesn't explain.
    """
    n, k = probabilities.shape
    groups = [probabilities[given == c] for c in range(k)]
    others = ~np.eye(k, dtype=np.bool_)
    rates = np.full((k, k), 0.02 / (k - 1))
    np.fill_diagonal(rates, 0.98)
    for _ in range(_ROUNDS):
        before = rates
        counts = np.column_stack(
            [rates[:, c] * (group.T @ (1 / (group @ rates[:, c]))) for c, group in enumerate(groups)]
        )
        overall = max(float(counts[others].sum()) / n, 1e-4)
        expected = np.repeat(counts.sum(axis=1, keepdims=True) * overall / (k - 1), k, axis=1)
        spread = ((counts - expected)[others] ** 2).sum() - _CHANCE * expected[others].sum()
        shape = np.clip((expected[others] ** 2).sum() / max(float(spread), 1e-9), _LOOSEST, _TIGHTEST)
        rates = np.where(others, overall / (k - 1) * (counts + shape) / (expected + shape), 0)
        rates /= np.maximum(rates.sum(axis=1, keepdims=True) / 0.7, 1)  # most labels of a class are right
        np.fill_diagonal(rates, 1 - rates.sum(axis=1))
        if np.abs(rates - before).max() < 1e-6:
            break
    return np.asarray(rates, dtype=np.float64)


def _counts(probabilities: Floats, rates: Floats) -> Floats:
    """Return how many of one label's samples are expected to be of each class, shape (K,)."""
    return np.asarray(rates * (probabilities.T @ (1 / (probabilities @ rates))), dtype=np.float64)
