"""Mixtures of Gaussians with full covariances in few dimensions, several times faster there than scikit-learn's.

The same steps as scikit-learn's GaussianMixture with its defaults: k-means start, 1e-6 on the covariances' diagonals,
at most 100 iterations, stop when the mean log-likelihood moves less than 1e-3. In 2 or 3 dimensions a log-density is
linear in (x x', x, 1), so both steps are one matrix product over all units and components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from tests.benchmarks.discovery.peers._common import Doubles

FLOOR = 1e-6
MAX_ITERATIONS = 100
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A fitted mixture: where it was centred, and its log-densities' coefficients (terms, components)."""

    centre: Doubles
    coefficients: Doubles

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.coefficients.shape[1]

    def shares(self, points: npt.ArrayLike) -> Doubles:
        """(n, components): how much of every unit is each component's; rows sum to 1."""
        return _normalise(_terms(np.asarray(points, np.float64) - self.centre) @ self.coefficients)[0]

    def bic(self, points: npt.ArrayLike) -> float:
        """Bayesian information criterion; the lower the better."""
        n, d = np.shape(points)
        likelihood = _normalise(_terms(np.asarray(points, np.float64) - self.centre) @ self.coefficients)[1]
        parameters = self.n_components * (1 + d + d * (d + 1) / 2) - 1
        return -2 * n * likelihood + parameters * float(np.log(n))


def fit_gaussians(points: npt.ArrayLike, k: int, seed: int) -> Gaussians:
    """Fit k Gaussians to (n, d) points by expectation maximisation."""
    points = np.asarray(points, np.float64)
    centre = points.mean(axis=0)
    terms = _terms(points - centre)
    shares = np.eye(k)[KMeans(k, n_init=1, random_state=seed).fit(points).labels_]
    coefficients, reached = _maximise(terms, shares), -np.inf
    for _ in range(MAX_ITERATIONS):
        shares, likelihood = _normalise(terms @ coefficients)
        coefficients = _maximise(terms, shares)
        if abs(likelihood - reached) < TOLERANCE:
            break
        reached = likelihood
    return Gaussians(centre, coefficients)


def _terms(points: Doubles) -> Doubles:
    n, d = points.shape
    squares = (points[:, :, None] * points[:, None, :]).reshape(n, d * d)
    return np.column_stack([squares, points, np.ones(n)])


def _normalise(logs: Doubles) -> tuple[Doubles, float]:
    """Turn joint log-densities into shares (in place), and return the mean log-likelihood too."""
    highest = logs.max(axis=1, keepdims=True)
    logs -= highest
    np.exp(logs, out=logs)
    totals = logs.sum(axis=1, keepdims=True)
    logs /= totals
    return logs, float((highest + np.log(totals)).mean())


def _maximise(terms: Doubles, shares: Doubles) -> Doubles:
    """Coefficients of the Gaussians that fit the shares best."""
    k, d = shares.shape[1], int(np.sqrt(terms.shape[1]))
    sums = shares.T @ terms
    mass = sums[:, -1] + 1e-15
    means = sums[:, d * d : -1] / mass[:, None]
    covariances = (sums[:, : d * d] / mass[:, None]).reshape(k, d, d) - means[:, :, None] * means[:, None, :]
    covariances += FLOOR * np.eye(d)
    precisions = np.linalg.inv(covariances)
    linear = np.einsum("kij,kj->ki", precisions, means)
    spread = np.linalg.slogdet(covariances)[1] + d * np.log(2 * np.pi)
    constant = np.log(mass / len(terms)) - 0.5 * ((linear * means).sum(axis=1) + spread)
    return np.column_stack([-0.5 * precisions.reshape(k, d * d), linear, constant]).T
