"""SpotCheck without images: attributes go through a random renderer to vectors, and an MLP learns from them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tests.benchmarks.discovery.setting import Setting
from tests.benchmarks.discovery.suites import configurations as ec

NAME = "spotcheck-vectors"
N_TRAIN = 12_000
N_TEST = 4_800
DIMS = 64
NOISE = 0.25
GAIN = 0.6  # of the renderer: at 1.0 a linear probe finds every blindspot, at 0.5 hardly any (tried on seeds 500-513)
EPOCHS = 30

Matrix = npt.NDArray[np.float32]


def make(seed: int) -> Setting | None:
    """Make the setting of that seed, or None if it breaks a rule of validity."""
    return ec.valid(attempt(seed))


def settings(seeds: Iterable[int], count: int | None = None) -> Iterator[Setting]:
    """Yield the valid settings of these seeds, at most `count`."""
    return ec.kept(make, NAME, seeds, count)


def attempt(seed: int) -> Setting:
    """Make the setting of that seed, valid or not."""
    configuration = ec.sample(seed)
    render = Renderer(len(configuration.names), ec.generator(seed, 1))
    train, test, new = (
        draw(configuration, n, ec.generator(seed, 2 + part)) for part, n in enumerate((N_TRAIN, N_TEST, N_TEST))
    )
    x = render(train, ec.generator(seed, 5))
    model = _fit(x, configuration.noisy_labels(train), seed)
    judged = [_judge(model, table, render(table, ec.generator(seed, 6 + i))) for i, table in enumerate((test, new))]
    made = ec.setting(NAME, seed, configuration, *judged)
    made.details.update(gain=GAIN, noise=NOISE)
    return made


def draw(configuration: ec.Configuration, n: int, rng: np.random.Generator) -> ec.Table:
    """Roll n items; the relative position of those with a square is rolled too, that of the others is -1."""
    table = ec.roll(configuration, n, rng)
    square = np.flatnonzero(configuration.column(table, ec.SQUARE) == 1)
    table[square, -1] = rng.choice(np.array([-1, 1], np.int8), len(square))
    return table


class Renderer:
    """Two random tanh layers and Gaussian noise, from attribute values to vectors.

    Parameters
    ----------
    n_attributes
        Columns of the tables it will read.
    rng
        Draws the weights.
    """

    def __init__(self, n_attributes: int, rng: np.random.Generator) -> None:
        self.first = rng.normal(0, GAIN / np.sqrt(n_attributes), (n_attributes, DIMS))
        self.shift = rng.normal(0, 0.5, DIMS)
        self.second = rng.normal(0, GAIN / np.sqrt(DIMS), (DIMS, DIMS))

    def __call__(self, table: ec.Table, rng: np.random.Generator) -> Matrix:
        """Render every row, with fresh noise."""
        clean = np.tanh(np.tanh(table @ self.first + self.shift) @ self.second)
        return (clean + rng.normal(0, NOISE, clean.shape)).astype(np.float32)


def _fit(x: Matrix, labels: npt.NDArray[np.int64], seed: int) -> MLPClassifier:
    model = MLPClassifier(
        (96, 48), batch_size=256, learning_rate_init=2e-3, max_iter=EPOCHS, n_iter_no_change=5, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, labels)


def _judge(model: MLPClassifier, table: ec.Table, x: Matrix) -> ec.Judged:
    hidden = x
    for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weights + bias, 0)
    logit = (hidden @ model.coefs_[-1] + model.intercepts_[-1])[:, 0]
    return ec.Judged(table, hidden, expit(logit))


if __name__ == "__main__":
    ec.fill(attempt, NAME, int(sys.argv[1]), int(sys.argv[2]))
