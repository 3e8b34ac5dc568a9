"""Spotlight: soft balls of high loss, one after another.

Source: d'Eon, d'Eon, Wright and Leyton-Brown, "The Spotlight: a general method for discovering systematic errors in
deep learning models", FAccT 2022. A ball with centre mu and precision tau gives unit i the weight
w_i = max(0, 1 - tau * |x_i - mu|^2). Adam maximises the weighted mean loss over (mu, log tau) from a ball that holds
all units, while a barrier keeps the total weight above a smallest size; the barrier's width shrinks geometrically from
all units to 5 % of that size. Then losses are scaled by 1 - w / max w, and the next ball is sought.

What the paper's defaults lack on embeddings of unit scale: losses are clipped, or balls collapse on single points, and
the barrier is 10 times as strong. Gradients are written out, which is several times faster than recording them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.discovery.peers._common import MAX_SLICES
from tests.benchmarks.discovery.setting import Floats, Proposed, Setting

GRID: list[dict[str, Any]] = [
    {"size": size, "learning_rate": rate} for size in (0.01, 0.02, 0.05) for rate in (0.01, 0.03, 0.1)
]

FIRST_LOG_PRECISION = float(np.log(1e-4))
BARRIER_SCALE = 10.0
LARGEST_LOSS = 3.0
MEMBER_WEIGHT = 0.5


def propose(
    setting: Setting, *, size: float = 0.02, learning_rate: float = 0.03, steps: int = 3000, n_slices: int = MAX_SLICES
) -> Proposed:
    """Propose balls in the order in which they are found.

    Parameters
    ----------
    setting
        Where to search.
    size
        Smallest total weight of a ball, as a share of the units.
    learning_rate, steps
        Of Adam, for every ball.
    n_slices
        Number of balls.

    Returns
    -------
    Proposed
        Scores are weights; members have at least half of the ball's largest weight.
    """
    mean = setting.embeddings.mean(axis=0)
    scale = np.sqrt(((setting.embeddings - mean) ** 2).mean()) + 1e-12
    points = (setting.embeddings - mean) / scale
    losses = np.minimum(-np.log(np.maximum(setting.label_probabilities, 1e-12)), LARGEST_LOSS)
    balls, weights = [], []
    for _ in range(n_slices):
        ball = _fit_ball(points, losses, size * len(points), learning_rate, steps)
        weight = _weights(points, ball)
        if weight.max() <= 0:
            break
        losses = losses * (1 - weight / weight.max())
        balls.append(ball)
        weights.append(weight)
    new = setting.new
    new_points = None if new is None else (new.embeddings - mean) / scale
    return Proposed(
        members=tuple(weight >= MEMBER_WEIGHT * weight.max() for weight in weights),
        scores=_matrix(weights, len(points)),
        new_scores=None if new_points is None else _matrix([_weights(new_points, b) for b in balls], len(new_points)),
    )


def _matrix(weights: list[Floats], n: int) -> Floats:
    return np.array(weights, np.float32).reshape(len(weights), n).T


def _distances(points: Floats, centre: Floats, squares: Floats) -> Floats:
    return np.maximum(squares - 2 * (points @ centre) + centre @ centre, 0)


def _weights(points: Floats, ball: Floats) -> Floats:
    distances = _distances(points, ball[:-1], (points**2).sum(axis=1))
    return np.maximum(1 - np.exp(ball[-1]) * distances, 0)


def _fit_ball(points: Floats, losses: Floats, smallest: float, learning_rate: float, steps: int) -> Floats:
    """Fit one ball; return its centre, then its log precision."""
    n, d = points.shape
    squares = (points**2).sum(axis=1)
    ball = np.append(np.zeros(d), FIRST_LOG_PRECISION).astype(np.float32)
    momentum, spread = np.zeros_like(ball), np.zeros_like(ball)
    for step, width in enumerate(np.geomspace(max(n - smallest, 1), 0.05 * smallest, steps), start=1):
        gradient = _gradient(points, squares, losses, ball, smallest, float(width))
        momentum += 0.1 * (gradient - momentum)
        spread += 0.001 * (gradient**2 - spread)
        ball -= learning_rate * (momentum / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.999**step)) + 1e-8)
    return ball


def _gradient(points: Floats, squares: Floats, losses: Floats, ball: Floats, smallest: float, width: float) -> Floats:
    """Gradient of barrier minus weighted mean loss in the centre and the log precision."""
    centre, precision = ball[:-1], np.exp(ball[-1])
    reach = precision * _distances(points, centre, squares)
    weights = np.maximum(1 - reach, 0)
    total = weights.sum() + 1e-8
    lack = max(smallest + width - float(total), 0.0)
    by_weight = (weights @ losses / total - losses) / total - 2 * BARRIER_SCALE * lack / width**2
    by_weight[weights == 0] = 0
    by_centre = 2 * precision * (by_weight @ points - by_weight.sum() * centre)
    return np.append(by_centre, -(by_weight @ reach)).astype(np.float32)
