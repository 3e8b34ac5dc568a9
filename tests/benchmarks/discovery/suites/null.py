"""Null settings: clusters in z, failures, and no failing group. Whatever is confirmed here is a false discovery.

Kinds
    - independent: every unit fails with one probability in [.05, .2].
    - class: the probability depends on the class, each in [.03, .25].
    - margin: units near the decision boundary fail more often, and that is all there is.

Why the margin kind is drawn as it is
    The null to have: GIVEN the label and the confidence, failing is independent of z. Drawing the label from the
    softmax of a linear classifier on z doesn't give it: its prediction is a function of z, so z and the label decide
    whether a unit fails. All units of class 1 on the side of class 0 fail, at any confidence, and form a region of z
    with an error rate of 1 within their label. Hence the roles are exchanged here. A linear margin m(z) has its
    median at zero; the label is the side of the boundary (two balanced classes that are regions of z); the confidence
    is sigmoid(|m|), so the model is unsure near the boundary; and a coin that knows nothing but the confidence
    decides whether the model predicts the label (probability = confidence) or the other class. So P(fail | z, label,
    confidence) = 1 - confidence exactly, the model is perfectly calibrated, and the prediction carries nothing about
    z beyond that. The scale of m is set so that the expected accuracy is in [.8, .95]. A region of low margin has
    more failures than its class on average: a method that compares with the class alone reports it, a method that
    heeds confidence doesn't.

In all kinds n is in [1000, 2000], d in [32, 64] and K in [10, 40]. Clusters are those of the synthetic suite; classes
are groups of clusters (margin: the two sides).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tests.benchmarks.discovery.setting import Floats, Setting
from tests.benchmarks.discovery.suites.synthetic import (
    Clusters,
    draw_centres,
    draw_clusters,
    draw_predictions,
    draw_probabilities,
)

Kind = Literal["independent", "class", "margin"]
Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KINDS: tuple[Kind, ...] = get_args(Kind)
NAMES = tuple(f"null-{kind}" for kind in KINDS)


def make(kind: Kind, seed: int) -> Setting:
    """Draw the null setting of one kind and seed."""
    rng = np.random.default_rng([7302, KINDS.index(kind), seed])
    n, dims, n_clusters = (int(rng.integers(low, high + 1)) for low, high in ((1000, 2000), (32, 64), (10, 40)))
    n_classes = 2 if kind == "margin" else int(rng.choice([2, 5]))
    class_of = np.arange(n_clusters) % n_classes
    sizes = 5 + rng.multinomial(n - 5 * n_clusters, rng.dirichlet(np.full(n_clusters, 3.0)))
    clusters = draw_clusters(rng, draw_centres(rng, class_of), sizes, dims)
    details: dict[str, Any] = {
        "kind": kind,
        "n_classes": n_classes,
        "n_clusters": n_clusters,
        "clusters": clusters.of_unit,
    }
    if kind == "margin":
        return _margin(rng, seed, clusters, details)
    return _by_class(rng, kind, seed, clusters, class_of[clusters.of_unit], details)


def settings(kind: Kind, seeds: Iterable[int]) -> Iterator[Setting]:
    """Yield the null settings of one kind (cheap, so they aren't kept)."""
    for seed in seeds:
        yield make(kind, seed)


def _by_class(
    rng: np.random.Generator, kind: Kind, seed: int, clusters: Clusters, labels: Ints, details: dict[str, Any]
) -> Setting:
    n, n_classes = len(labels), int(labels.max()) + 1
    rates = rng.uniform(0.03, 0.25, n_classes) if kind == "class" else np.full(n_classes, rng.uniform(0.05, 0.2))
    failures = rng.random(n) < rates[labels]
    predictions = draw_predictions(rng, failures, labels, clusters.of_unit, n_classes)
    strength = np.where(failures, rng.beta(4, 4, n), rng.beta(8, 2, n))
    return Setting(
        name=f"null-{kind}",
        seed=seed,
        embeddings=clusters.embeddings,
        failures=failures,
        labels=labels,
        predictions=predictions,
        probabilities=draw_probabilities(rng, predictions, labels, strength, n_classes),
        fail_probability=rates[labels],
        details=details | {"class_errors": rates.tolist()},
    )


def _margin(rng: np.random.Generator, seed: int, clusters: Clusters, details: dict[str, Any]) -> Setting:
    accuracy = rng.uniform(0.8, 0.95)
    margins, scale = _margins(rng, clusters.embeddings, accuracy)
    labels = (margins > 0).astype(np.int64)
    confidence = _confidence(margins)
    failures = rng.random(len(labels)) < 1 - confidence
    predictions = np.where(failures, 1 - labels, labels)
    predicted = predictions[:, None] == np.arange(2)
    return Setting(
        name="null-margin",
        seed=seed,
        embeddings=clusters.embeddings,
        failures=failures,
        labels=labels,
        predictions=predictions,
        probabilities=np.where(predicted, confidence[:, None], 1 - confidence[:, None]).astype(np.float32),
        fail_probability=1 - confidence,
        details=details | {"expected_accuracy": accuracy, "scale": scale},
    )


def _confidence(margins: Reals) -> Reals:
    return 1 / (1 + np.exp(-np.abs(margins)))


def _margins(rng: np.random.Generator, embeddings: Floats, accuracy: float) -> tuple[Reals, float]:
    """Return a random linear margin with median 0, scaled so that the mean confidence is `accuracy`."""
    centred = embeddings.astype(np.float64)
    centred -= centred.mean(axis=0)
    # Directions are weighted by their variance: a classifier reads what varies, not the noise.
    raw = centred @ (centred.T @ rng.standard_normal(len(centred)))
    # Between the two middle units, so that none lies on the boundary.
    raw -= np.sort(raw)[len(raw) // 2 - 1 : len(raw) // 2 + 1].mean()
    raw /= raw.std()
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if _confidence(raw * middle).mean() < accuracy else (low, middle)
    return raw * low, float(low)
