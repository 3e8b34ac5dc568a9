"""Domino: an error-aware mixture over embeddings, labels and predictions.

Source: Eyuboglu, Varma, Saab et al., "Domino: discovering systematic errors with cross-modal embeddings", ICLR 2022,
in the paper's version. After a reduction to 128 principal components, expectation maximisation fits

    sum_k pi_k * N(z; mu_k, diag v_k) * Cat(y; a_k)^gamma * Cat(yhat; b_k)^gamma,

started from the confusion matrix: a unit belongs to a component as its label and its predicted probabilities belong to
the component's cell, plus a little noise. Components are ranked by how far predictions leave the labels,
max_c (b_kc - a_kc). With more cells than components the heaviest cells start them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from tests.benchmarks.discovery.peers._common import Doubles, one_hot, propose_clusters
from tests.benchmarks.discovery.peers.layout import principal_axes
from tests.benchmarks.discovery.setting import Proposed, Setting

GRID: list[dict[str, Any]] = [{"gamma": gamma, "n_components": k} for k in (25, 60) for gamma in (1, 5, 10, 20, 40)]

MAX_FEATURES = 128
MAX_ITERATIONS = 100
TOLERANCE = 1e-3
NOISE = 1e-3
FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class _Units:
    """Reduced embeddings (n, d), labels in one-hot code and predicted probabilities, both (n, classes)."""

    embeddings: Doubles
    labels: Doubles
    probabilities: Doubles


@dataclass(frozen=True, eq=False)
class _Mixture:
    """Log weights (k,), means and variances (k, d), label and prediction shares (k, classes)."""

    log_weights: Doubles
    means: Doubles
    variances: Doubles
    labels: Doubles
    predictions: Doubles


def propose(setting: Setting, *, gamma: float = 10, n_components: int = 25) -> Proposed:
    """Propose the components whose predictions leave their labels most; every unit joins its likeliest component.

    Parameters
    ----------
    setting
        Where to search.
    gamma
        Weight of labels and predictions against the embedding.
    n_components
        Of the mixture.
    """
    mean, axes = principal_axes(setting.embeddings, MAX_FEATURES)

    def units(of: Setting) -> _Units:
        n_classes = of.probabilities.shape[1]
        return _Units((of.embeddings - mean) @ axes, one_hot(of.labels, n_classes), of.probabilities.astype(np.float64))

    known = units(setting)
    mixture = _fit(known, gamma, _start(known, n_components, np.random.default_rng(setting.seed)))
    shares, _ = _expect(known, mixture, gamma)
    order = np.argsort(-(mixture.predictions - mixture.labels).max(axis=1), kind="stable")
    new_shares = None if setting.new is None else _expect(units(setting.new), mixture, gamma)[0]
    return propose_clusters(shares.argmax(axis=1), order.tolist(), shares, new_shares)


def _start(units: _Units, k: int, rng: np.random.Generator) -> Doubles:
    """Shares (n, k) from the confusion matrix; its cells are dealt out to the components in turn."""
    cells = (units.labels[:, :, None] * units.probabilities[:, None, :]).reshape(len(units.labels), -1)
    if cells.shape[1] > k:
        cells = cells[:, np.argsort(-cells.sum(axis=0), kind="stable")]
    shares = cells[:, np.arange(k) % cells.shape[1]] + NOISE * rng.random((len(cells), k))
    return shares / shares.sum(axis=1, keepdims=True)


def _fit(units: _Units, gamma: float, shares: Doubles) -> _Mixture:
    mixture, bound = _maximise(units, shares), -np.inf
    for _ in range(MAX_ITERATIONS):
        shares, reached = _expect(units, mixture, gamma)
        mixture = _maximise(units, shares)
        if abs(reached - bound) < TOLERANCE:
            break
        bound = reached
    return mixture


def _maximise(units: _Units, shares: Doubles) -> _Mixture:
    mass = shares.sum(axis=0) + 1e-12
    means = shares.T @ units.embeddings / mass[:, None]
    variances = shares.T @ units.embeddings**2 / mass[:, None] - means**2
    return _Mixture(
        log_weights=np.log(mass / len(shares)),
        means=means,
        variances=np.maximum(variances, 0) + FLOOR,
        labels=shares.T @ units.labels / mass[:, None],
        predictions=shares.T @ units.probabilities / mass[:, None],
    )


def _expect(units: _Units, mixture: _Mixture, gamma: float) -> tuple[Doubles, float]:
    """Shares (n, k) of the components in every unit, and the mean log-likelihood."""
    z, precision = units.embeddings, 1 / mixture.variances
    squares = z**2 @ precision.T - 2 * z @ (mixture.means * precision).T + (mixture.means**2 * precision).sum(axis=1)
    logs = mixture.log_weights - 0.5 * (squares + np.log(2 * np.pi * mixture.variances).sum(axis=1))
    logs += gamma * np.log(units.labels @ mixture.labels.T + 1e-12)
    logs += gamma * np.log(units.probabilities @ mixture.predictions.T + 1e-12)
    totals = logsumexp(logs, axis=1, keepdims=True)
    return np.exp(logs - totals), float(totals.mean())
