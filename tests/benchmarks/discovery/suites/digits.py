"""Failures planted in scikit-learn's 8x8 digits: a small network is trained on bad data and judged on unseen images.

A setting's units are the validation set; `new` is the test set. Source images are split 900 / 450 / 447, then drawn
with replacement and augmented (shift up to 1 pixel, rotation up to 12 degrees, noise .03) to 4,000 / 2,000 / 2,000.
The target is whether the digit is in a random set of five. The network is an MLP(64, 32).

Kinds
    - rare: one positive digit makes up only .01, .02, .05 or .1 of the positives in training, .1 when judged. The
      slice is the units of that digit.
    - noisy: the labels of one or two digits are flipped with probability .1, .2, .3 or .5, in training and when
      judged. A slice is all units of such a digit, flipped or not: the subclass whose labels are noisy, as dcbench
      has it. `details["flipped"]` marks those that were flipped, for who wants the mislabelled units alone.
    - correlation: the last row of pixels is bright in half of the images, agreeing with the target with probability
      1/2 + a/2 in training, a in {.6, .8, .95}, and .8 when judged (correlation .6; dcbench has .2-.8). Slices are
      the two conflicting cells: bright negatives, dark positives.

The strength (share, probability or a) goes through its values with the seed, so that every run of seeds has them all.

Validity
    A slice counts if its error rate exceeds that of the units outside all slices by at least .1 and Fisher's exact
    test (one-sided) has p < .01, both on validation and on test. Others are dropped (`details["dropped"]`); a seed
    without a valid slice is rejected.

Embeddings
    - penultimate: the second hidden layer.
    - encoder: 32 principal components of the pixels (fitted in training) and a histogram of gradients, both scaled to
      the same variance. It has seen no labels.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates
from scipy.stats import fisher_exact
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tests.benchmarks.discovery.cache import cached
from tests.benchmarks.discovery.setting import Floats, Mask, Setting

Kind = Literal["rare", "noisy", "correlation"]
Embedding = Literal["penultimate", "encoder"]
Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KINDS: tuple[Kind, ...] = get_args(Kind)
EMBEDDINGS: tuple[Embedding, ...] = get_args(Embedding)
NAMES = tuple(f"digits-{kind}-{embedding}" for kind in KINDS for embedding in EMBEDDINGS)
SOURCES = (900, 450, 447)
UNITS = (4000, 2000, 2000)
EPOCHS = 40
STRENGTHS: dict[Kind, tuple[float, ...]] = {
    "rare": (0.01, 0.02, 0.05, 0.1),
    "noisy": (0.1, 0.2, 0.3, 0.5),
    "correlation": (0.6, 0.8, 0.95),
}
JUDGED_RARE = 0.1
JUDGED_AGREEMENT = 0.8


@dataclass(frozen=True)
class Plan:
    """What a seed decides: the target, the failing digits and how strongly they are planted."""

    kind: Kind
    seed: int
    positive: Ints
    digits: Ints
    strength: float


@dataclass(frozen=True)
class Part:
    """Images of one split, with what is known of them."""

    images: Reals
    digits: Ints
    clean: Ints
    labels: Ints
    bright: Mask

    @property
    def pixels(self) -> Reals:
        return self.images.reshape(len(self.images), -1)


@dataclass(frozen=True)
class Experiment:
    """A trained network with its three parts."""

    plan: Plan
    model: MLPClassifier
    parts: tuple[Part, Part, Part]


def make(kind: Kind, seed: int, embedding: Embedding = "penultimate") -> Setting | None:
    """Make the setting of one kind, seed and embedding; None if it has no valid slice."""
    experiment = _experiment(kind, seed)
    _, validation, test = experiment.parts
    embed = partial(_hidden, experiment.model) if embedding == "penultimate" else _Encoder(experiment.parts[0])
    name = f"digits-{kind}-{embedding}"
    new = _setting(name, experiment, test, embed(test))
    fit = _setting(name, experiment, validation, embed(validation), new)
    keep = [i for i in range(len(fit.slices)) if _is_valid(fit, i) and _is_valid(new, i)]
    if not keep:
        return None
    return _only(fit, keep, _only(new, keep, None))


def settings(kind: Kind, seeds: Iterable[int], embedding: Embedding = "penultimate") -> Iterator[Setting]:
    """Yield the valid settings of these seeds, kept between runs."""
    for seed in seeds:
        made = cached(lambda number: make(kind, number, embedding), f"digits-{kind}-{embedding}", seed)
        if made is not None:
            yield made


@lru_cache(maxsize=1)
def _experiment(kind: Kind, seed: int) -> Experiment:
    """Draw data and train; both embeddings of a seed share it."""
    rng = np.random.default_rng([7303, KINDS.index(kind), seed])
    plan = _plan(rng, kind, seed)
    images, digits = load_digits(return_X_y=True)
    sources = np.split(rng.permutation(len(digits)), np.cumsum(SOURCES)[:-1])
    parts = [
        _part(rng, plan, images[own] / 16, digits[own], n, training=turn == 0)
        for turn, (own, n) in enumerate(zip(sources, UNITS, strict=True))
    ]
    model = MLPClassifier((64, 32), batch_size=128, learning_rate_init=2e-3, max_iter=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(parts[0].pixels, parts[0].labels)
    return Experiment(plan, model, (parts[0], parts[1], parts[2]))


def _plan(rng: np.random.Generator, kind: Kind, seed: int) -> Plan:
    positive = np.sort(rng.permutation(10)[:5])
    strength = STRENGTHS[kind][seed % len(STRENGTHS[kind])]
    if kind == "rare":
        chosen = rng.choice(positive, 1)
    elif kind == "noisy":
        chosen = rng.choice(10, rng.integers(1, 3), replace=False)
    else:
        chosen = np.array([], np.int64)
    return Plan(kind, seed, positive, chosen, strength)


def _part(rng: np.random.Generator, plan: Plan, images: Reals, digits: Ints, n: int, training: bool) -> Part:
    share = np.full(10, 0.1)
    if plan.kind == "rare":
        rare = plan.strength if training else JUDGED_RARE
        share[plan.positive] = 0.5 * (1 - rare) / 4
        share[plan.digits] = 0.5 * rare
    drawn = np.repeat(np.arange(10), np.round(share * n).astype(int))
    picked = rng.permutation([rng.choice(np.flatnonzero(digits == digit)) for digit in drawn])
    clean = np.isin(digits[picked], plan.positive).astype(np.int64)
    flipped = np.isin(digits[picked], plan.digits) & (rng.random(len(picked)) < plan.strength)
    labels = np.where(flipped, 1 - clean, clean) if plan.kind == "noisy" else clean
    moved = _augment(rng, images[picked].reshape(-1, 8, 8))
    bright = np.zeros(len(picked), bool)
    if plan.kind == "correlation":
        agreement = 0.5 + plan.strength / 2 if training else JUDGED_AGREEMENT
        bright = np.where(rng.random(len(picked)) < agreement, clean, 1 - clean).astype(bool)
        moved[bright, -1] += 0.75
    return Part(moved, digits[picked], clean, labels, bright)


def _augment(rng: np.random.Generator, images: Reals) -> Reals:
    """Rotate, shift and add noise, each image its own."""
    n = len(images)
    angles = np.deg2rad(rng.uniform(-12, 12, n))[:, None, None]
    shifts = rng.uniform(-1, 1, (2, n))[:, :, None, None]
    rows, columns = np.mgrid[:8, :8] - 3.5
    where = np.stack(
        [
            np.broadcast_to(np.arange(n)[:, None, None], (n, 8, 8)),
            np.cos(angles) * rows - np.sin(angles) * columns + 3.5 + shifts[0],
            np.sin(angles) * rows + np.cos(angles) * columns + 3.5 + shifts[1],
        ]
    )
    return map_coordinates(images, where, order=1) + rng.normal(0, 0.03, images.shape)


def _hidden(model: MLPClassifier, part: Part) -> Floats:
    hidden = part.pixels
    for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weights + bias, 0)
    return hidden.astype(np.float32)


class _Encoder:
    """Principal components of the pixels next to gradient histograms, fitted without labels."""

    def __init__(self, train: Part) -> None:
        self.components = PCA(32, svd_solver="full").fit(train.pixels)
        self.scales = [np.sqrt(block.var(axis=0).sum()) for block in self._blocks(train)]

    def __call__(self, part: Part) -> Floats:
        blocks = zip(self._blocks(part), self.scales, strict=True)
        return np.hstack([block / scale for block, scale in blocks]).astype(np.float32)

    def _blocks(self, part: Part) -> tuple[Reals, Reals]:
        return self.components.transform(part.pixels), _gradient_histograms(part.images)


def _gradient_histograms(images: Reals, directions: int = 8) -> Reals:
    """Return gradient strength per direction in the 2 x 2 quarters of each image, of norm 1: (n, 4 * directions)."""
    down, right = np.gradient(images, axis=(1, 2))
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) / (2 * np.pi) * directions) % directions
    lower = np.floor(turn).astype(int) % directions
    upper_part = turn - np.floor(turn)
    weights = np.zeros((*images.shape, directions))
    at = np.indices(images.shape)
    weights[(*at, lower)] = strength * (1 - upper_part)
    weights[(*at, (lower + 1) % directions)] += strength * upper_part
    quarters = weights.reshape(len(images), 2, 4, 2, 4, directions).sum(axis=(2, 4)).reshape(len(images), -1)
    return quarters / np.maximum(np.linalg.norm(quarters, axis=1, keepdims=True), 1e-9)


def _setting(name: str, experiment: Experiment, part: Part, embeddings: Floats, new: Setting | None = None) -> Setting:
    plan = experiment.plan
    probabilities = experiment.model.predict_proba(part.pixels).astype(np.float32)
    predictions = probabilities.argmax(axis=1).astype(np.int64)
    if plan.kind == "correlation":
        slices = tuple((part.clean == side) & (part.bright != bool(side)) for side in (0, 1))
    else:
        slices = tuple(part.digits == digit for digit in plan.digits)
    details: dict[str, Any] = {
        "kind": plan.kind,
        "strength": plan.strength,
        "positive": plan.positive.tolist(),
        "planted": plan.digits.tolist(),
        "digit": part.digits,
        "bright": part.bright,
        "flipped": part.labels != part.clean,
    }
    return Setting(
        name=name,
        seed=plan.seed,
        embeddings=embeddings,
        failures=predictions != part.labels,
        labels=part.labels,
        predictions=predictions,
        probabilities=probabilities,
        slices=slices,
        new=new,
        details=details,
    )


def _is_valid(setting: Setting, which: int) -> bool:
    inside, failures = setting.slices[which], setting.failures
    outside = ~np.any(setting.slices, axis=0)
    table = [[int((failures & units).sum()), int((~failures & units).sum())] for units in (inside, outside)]
    worse = failures[inside].mean() - failures[outside].mean() >= 0.1
    return bool(worse and fisher_exact(np.array(table), alternative="greater").pvalue < 0.01)


def _only(setting: Setting, keep: list[int], new: Setting | None) -> Setting:
    """Return the setting with the slices of these numbers."""
    dropped = len(setting.slices) - len(keep)
    slices = tuple(setting.slices[i] for i in keep)
    return replace(setting, slices=slices, new=new, details=setting.details | {"dropped": dropped})


def _fill(first: int, last: int) -> None:
    """Keep all settings of the seeds from first to last and print a line for each."""
    for kind in KINDS:
        for seed in range(first, last + 1):
            start = time.process_time()
            made = [made for embedding in EMBEDDINGS for made in settings(kind, [seed], embedding)]
            rates = [round(float(made[0].failures[mask].mean()), 2) for mask in made[0].slices] if made else "rejected"
            print(f"digits-{kind} {seed}: {time.process_time() - start:.1f} s; slice error rates {rates}", flush=True)


if __name__ == "__main__":
    _fill(int(sys.argv[1]), int(sys.argv[2]))
