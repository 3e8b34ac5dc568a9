"""Cleanlab's underperforming group: the cluster whose labels the model trusts least.

Source: the documentation of cleanlab's Datalab, "Underperforming Group Issue" (Cleanlab Inc., 2023). Units are
clustered; with r the mean self-confidence (probability of the given label) over all units and q that of a cluster, the
cluster with the smallest q / r is the group, reported if the ratio is below 0.1. Clusters are DBSCAN's on the graph of
10 nearest neighbours (cosine distance above 3 dimensions), or any that are handed over: here those of k-means too, with
k given or chosen by the silhouette. The product reports one group; here all clusters are ranked, and those below the
threshold are the ones it would claim.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.cluster import DBSCAN, KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from tests.benchmarks.discovery.peers._common import Doubles, Ints, propose_clusters
from tests.benchmarks.discovery.setting import Floats, Proposed, Setting

GRID: list[dict[str, Any]] = [
    *({"clustering": "kmeans", "k": k} for k in (None, 10, 25, 50)),
    *({"clustering": "dbscan", "eps": eps} for eps in (0.02, 0.05, 0.1, 0.25, 0.5)),
]

THRESHOLD = 0.1
N_NEIGHBORS = 10
SMALLEST = 5
COUNTS = (5, 10, 15, 20, 25, 30)
"""Numbers of clusters that the silhouette chooses among."""
SILHOUETTE_SAMPLE = 2000


def propose(setting: Setting, *, clustering: str = "kmeans", k: int | None = None, eps: float = 0.5) -> Proposed:
    """Propose clusters by their self-confidence, lowest first.

    Parameters
    ----------
    setting
        Where to search.
    clustering
        "dbscan", as the product does by itself, or "kmeans", as clusters that are handed over.
    k
        Number of k-means' clusters; None: the one with the best silhouette.
    eps
        DBSCAN's; 0.5 is its default.

    Returns
    -------
    Proposed
        Scores are minus the distance to the cluster's mean; `confirmed` says which ratios are below 0.1.
    """
    points = setting.embeddings
    assigned = _kmeans(points, k, setting.seed) if clustering == "kmeans" else _dbscan(points, eps)
    sizes = np.bincount(assigned[assigned >= 0], minlength=1)
    large = np.flatnonzero(sizes >= SMALLEST)
    confidence = setting.label_probabilities.astype(np.float64)
    ratios = np.array([confidence[assigned == cluster].mean() for cluster in large]) / confidence.mean()
    order = np.argsort(ratios, kind="stable")
    centres = np.array([_mean(points, assigned, cluster) for cluster in range(len(sizes))])
    new = setting.new
    proposed = propose_clusters(
        assigned,
        large[order].tolist(),
        -_distances(points, centres),
        None if new is None else -_distances(new.embeddings, centres),
    )
    claimed = tuple(bool(ratio < THRESHOLD) for ratio in ratios[order][: len(proposed.members)])
    return replace(proposed, confirmed=claimed)


def _kmeans(points: Floats, k: int | None, seed: int) -> Ints:
    counts = [count for count in COUNTS if count < len(points)] if k is None else [min(k, len(points))]
    clusterings = [KMeans(count, n_init=1, random_state=seed).fit_predict(points) for count in counts]
    if len(clusterings) == 1:
        return clusterings[0].astype(np.int64)
    sample = min(SILHOUETTE_SAMPLE, len(points))
    best = max(clusterings, key=lambda labels: silhouette_score(points, labels, sample_size=sample, random_state=seed))
    return best.astype(np.int64)


def _dbscan(points: Floats, eps: float) -> Ints:
    metric = "cosine" if points.shape[1] > 3 else "euclidean"
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(points) - 1), metric=metric).fit(points)
    graph = search.kneighbors_graph(mode="distance")
    return DBSCAN(eps=eps, metric="precomputed").fit_predict(graph).astype(np.int64)


def _mean(points: Floats, assigned: Ints, cluster: int) -> Doubles:
    inside = assigned == cluster
    return points[inside].mean(axis=0) if inside.any() else np.zeros(points.shape[1])


def _distances(points: Floats, centres: Doubles) -> Doubles:
    squares = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0))
