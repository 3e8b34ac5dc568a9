"""How well a map keeps what is near: the measures and the data sets that both sides are judged on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

K = 15
QUERIES = 1000

Matrix = npt.NDArray[np.float32]


def digits() -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Return the 1,797 digits of scikit-learn as 64 grey values, and their classes."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), found.target.astype(np.int64)


def cifar10() -> tuple[Matrix, npt.NDArray[np.int64]] | None:
    """Return a network's embeddings of CIFAR-10 pictures and their classes; None where they aren't on this machine.

    SLICELAB_BENCH_CIFAR10 names a folder with `embeddings_cnn.npy` and `labels.csv`, rows in the same order.
    """
    import pandas as pd

    folder = os.environ.get("SLICELAB_BENCH_CIFAR10")
    if not folder:
        return None
    labels = pd.read_csv(Path(folder) / "labels.csv")["label"]
    return np.load(Path(folder) / "embeddings_cnn.npy").astype(np.float32), pd.factorize(labels)[0].astype(np.int64)


def hard(n: int = 5000, d: int = 512, classes: int = 60, seed: int = 0) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Return classes that overlap, unequal in size and shape: 24 dimensions, spread over d with noise, cut at 0."""
    rng = np.random.default_rng(seed)
    sizes = rng.pareto(2, classes) + 0.3
    classes_of = rng.choice(classes, n, p=sizes / sizes.sum())
    centres, shapes = rng.normal(size=(classes, 24)) * 2, rng.normal(size=(classes, 12, 24)) * 0.8
    spread = rng.normal(size=(24, d)).astype(np.float32)
    places = centres[classes_of].astype(np.float32)
    for one in range(classes):
        rows = np.flatnonzero(classes_of == one)
        places[rows] += rng.normal(size=(len(rows), 12)) @ shapes[one]
    embeddings = places @ spread
    for first in range(0, n, 10_000):  # noise of all rows at once would take as much memory again
        rows = embeddings[first : first + 10_000]
        rows += rng.normal(size=rows.shape) * 1.5
        np.maximum(rows, 0, out=rows)
    return embeddings, classes_of.astype(np.int64)


def judge(embeddings: Matrix, points: Matrix, classes: npt.NDArray[np.int64]) -> dict[str, float]:
    """Measure a map.

    Returns
    -------
    trust: trustworthiness at 15 neighbours (Venna and Kaski 2001); kept: share of the 15 nearest neighbours that are
    among the 15 on the map, both over the same 1,000 rows at most; ari_hdbscan, ari_kmeans: adjusted Rand index of
    clusters on the map with the classes.
    """
    from sklearn.cluster import HDBSCAN, KMeans
    from sklearn.metrics import adjusted_rand_score

    trust, kept = neighbourhoods(embeddings, points)
    dense = HDBSCAN(min_cluster_size=max(10, len(points) // 200), min_samples=10, copy=True).fit_predict(points)
    means = KMeans(len(np.unique(classes)), n_init=4, random_state=0).fit_predict(points)
    return {
        "trust": trust,
        "kept": kept,
        "ari_hdbscan": float(adjusted_rand_score(classes, dense)),
        "ari_kmeans": float(adjusted_rand_score(classes, means)),
    }


def neighbourhoods(embeddings: Matrix, points: Matrix, k: int = K) -> tuple[float, float]:
    """Return trustworthiness and the share of neighbours kept, over at most 1,000 rows."""
    n = len(embeddings)
    rows = np.random.default_rng(0).choice(n, min(n, QUERIES), replace=False)
    far, kept = 0.0, 0.0
    for some in np.array_split(rows, max(1, len(rows) // 100)):
        ranks = np.argsort(np.argsort(_distances(embeddings, some), axis=1, kind="stable"), axis=1)
        near = np.argsort(_distances(points, some), axis=1, kind="stable")[:, 1 : k + 1]
        ranks_of_near = np.take_along_axis(ranks, near, axis=1)
        far += float(np.maximum(ranks_of_near - k, 0).sum())
        kept += float((ranks_of_near <= k).sum())
    return 1 - 2 * far / (len(rows) * k * (2 * n - 3 * k - 1)), kept / (len(rows) * k)


def _distances(rows: Matrix, some: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return squared distances (len(some), n); a row is its own first."""
    exact = rows.astype(np.float64)
    found = (exact**2).sum(axis=1) - 2 * exact[some] @ exact.T + (exact[some] ** 2).sum(axis=1)[:, None]
    found[np.arange(len(some)), some] = -1.0
    return found
