"""Two models on units that come in groups: who fails where, drawn at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def group_sizes(kind: str, n_groups: int, mean: int) -> Ints:
    """Return units per group: all equal, or lognormal with the standard deviation 1 of the logarithm."""
    if kind == "equal":
        return np.full(n_groups, mean)
    factor = np.random.default_rng(7).lognormal(-0.5, 1.0, n_groups)
    return np.maximum(1, np.round(mean * factor)).astype(np.int64)


def flips(
    sizes: Ints, only_a: float, only_b: float, correlation: float, random: np.random.Generator, *, times: int
) -> tuple[Ints, Ints]:
    """Return per draw and group on how many units only the one and only the other model fails.

    Each unit is one of "only a", "only b" and "neither"; a group's shares of these are drawn from a Dirichlet
    distribution whose within-group correlation (of any of the three) is `correlation`.
    """
    shares = np.array([only_a, only_b, 1 - only_a - only_b])
    chance = np.broadcast_to(shares, (times, len(sizes), 3)).copy()
    if correlation:
        weights = random.gamma(np.maximum(shares * (1 - correlation) / correlation, 1e-12), size=chance.shape)
        total = weights.sum(axis=2)
        chance = weights / np.where(total > 0, total, 1.0)[..., None]
        chance[total <= 0] = np.eye(3)[random.choice(3, size=int((total <= 0).sum()), p=shares)]
    first = random.binomial(sizes, chance[..., 0])
    rest = np.clip(chance[..., 1] / np.maximum(1 - chance[..., 0], 1e-300), 0, 1)
    return first, random.binomial(sizes - first, rest)


def as_units(sizes: Ints, only_a: Ints, only_b: Ints) -> tuple[Bools, Bools, Ints]:
    """Return failures of either model and the group, per unit, as the public functions take them."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    a = place < only_a[group]
    return a, (place >= only_a[group]) & (place < (only_a + only_b)[group]), group


def failures(sizes: Ints, rate: float, correlation: float, random: np.random.Generator) -> tuple[Bools, Bools, Ints]:
    """Return failures of two equal models, and the group, per unit: each model has its own failure rate per group.

    The rates are drawn from one beta distribution; so the models are exchangeable, and their flips cluster.
    """
    group = np.repeat(np.arange(len(sizes)), sizes)
    concentration = (1 - correlation) / correlation
    chance = random.beta(rate * concentration, (1 - rate) * concentration, size=(2, len(sizes)))
    fails = random.random((2, len(group))) < chance[:, group]
    return fails[0], fails[1], group
