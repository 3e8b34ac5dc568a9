"""Maps of a setting in few dimensions, made once and kept on disk: they are most of what map-based peers cost."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.manifold import TSNE

from slicelab.discovery._kept_code import kept_code
from slicelab.discovery._project import nearest
from tests.benchmarks.discovery import cache
from tests.benchmarks.discovery.peers._common import Doubles
from tests.benchmarks.discovery.setting import Floats, Mask, Setting

MAX_FEATURES = 50
"""Vectors that are longer are reduced to this many principal components before UMAP and t-SNE."""
PERPLEXITY = 30.0
PLACING_NEIGHBORS = 5


def layout(
    setting: Setting, method: str, n_components: int = 2, n_neighbors: int = 15, rows: Mask | None = None
) -> Floats:
    """Lay embeddings out in few dimensions.

    Parameters
    ----------
    setting
        Whose embeddings, and whose seed.
    method
        "umap" (min_dist 0, as is advised for clustering), "tsne" or "pca".
    n_components
        Dimensions of the map.
    n_neighbors
        UMAP's; the others don't read it.
    rows
        Map only these units (GEORGE maps every class by itself); None: all.

    Returns
    -------
    float32 (n, n_components), one row per mapped unit.
    """
    points = _chosen(setting, rows)
    path = _path(setting, points, f"{method} {n_components} {n_neighbors if method == 'umap' else 0}")
    if path.exists():
        return np.load(path)
    made = _make(points, method, n_components, n_neighbors, setting.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.npy")
    np.save(part, made)
    part.replace(path)
    return made


def place(
    setting: Setting,
    new: Setting,
    method: str,
    n_components: int = 2,
    n_neighbors: int = 15,
    rows: Mask | None = None,
    new_rows: Mask | None = None,
) -> Floats:
    """Put unseen units on a setting's map.

    Principal components are applied; on the other maps a unit lies at the mean of its 5 nearest mapped units, weighted
    by inverse distance. Parameters as for `layout`; `new_rows` chooses among the units of `new`.

    Returns
    -------
    float32 (n_new, n_components)
    """
    points, queries = _chosen(setting, rows), _chosen(new, new_rows)
    if method == "pca":
        mean, axes = principal_axes(points, n_components)
        return np.asarray((queries - mean) @ axes, np.float32)
    mapped = layout(setting, method, n_components, n_neighbors, rows)
    mean, axes = principal_axes(points, MAX_FEATURES)
    indices, distances = nearest(
        np.asarray((points - mean) @ axes, np.float32),
        PLACING_NEIGHBORS,
        queries=np.asarray((queries - mean) @ axes, np.float32),
    )
    weights = 1 / (distances + 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("nk,nkd->nd", weights, mapped[indices]).astype(np.float32)


def principal_axes(points: Floats, k: int) -> tuple[Doubles, Doubles]:
    """Find the mean (d,) and the first principal axes (d, at most k), each with its largest entry positive."""
    mean = points.mean(axis=0, dtype=np.float64)
    centred = points - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :k]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return mean, axes * signs


def _chosen(setting: Setting, rows: Mask | None) -> Floats:
    return setting.embeddings if rows is None else setting.embeddings[rows]


def _path(setting: Setting, points: Floats, parameters: str) -> Path:
    content = hashlib.sha256(np.ascontiguousarray(points).tobytes() + f"{points.shape} {parameters}".encode())
    return cache.folder() / "layouts" / f"{setting.name}-{setting.seed}-{content.hexdigest()[:16]}.npy"


def _make(points: Floats, method: str, n_components: int, n_neighbors: int, seed: int) -> Floats:
    mean, axes = principal_axes(points, n_components if method == "pca" else MAX_FEATURES)
    features = np.asarray((points - mean) @ axes, np.float32)
    if method == "pca":
        return features
    if method == "tsne":
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        tsne = TSNE(n_components, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(tsne.fit_transform(features), np.float32)
    return _umap(features, n_components, n_neighbors, seed)


def _umap(features: Floats, n_components: int, n_neighbors: int, seed: int) -> Floats:
    """Run umap-learn; the neighbours are handed to it, as its own search costs a minute of compilation."""
    n_neighbors = max(2, min(n_neighbors, len(features) - 1))
    indices, distances = nearest(features, n_neighbors)
    graph = csr_array((np.ones(indices.size), indices.ravel(), np.arange(0, indices.size + 1, n_neighbors)))
    # It lays out the pieces of a graph with an eigensolver that restarts without a seed: not the same twice.
    spectral = len(features) > 4 * n_components and connected_components(graph, directed=False)[0] == 1
    pca = "pca" if min(features.shape) >= n_components else "random"
    with kept_code(), warnings.catch_warnings():
        import umap

        warnings.simplefilter("ignore")  # one thread because of the seed, no transform with given neighbours
        model = umap.UMAP(
            n_components=n_components,
            n_neighbors=n_neighbors,
            min_dist=0.0,
            random_state=seed,
            n_jobs=1,
            init="spectral" if spectral else pca,
            precomputed_knn=(indices, distances, None),
        )
        return np.ascontiguousarray(model.fit_transform(features), dtype=np.float32)
