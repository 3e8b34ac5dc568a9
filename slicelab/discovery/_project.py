"""The 2-D map that people see, and the few dimensions that are clustered: the only file that imports umap-learn."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import numpy.typing as npt

from slicelab.core import check_matrix
from slicelab.discovery._kept_code import kept_code
from slicelab.discovery._layout import OnEpoch, lay_out
from slicelab.discovery._neighbours import nearest_all, principal_points

FloatMatrix = npt.NDArray[np.float32]
log = logging.getLogger("slicelab")

MAX_FEATURES = 50
MANY_ROWS = 30_000
EXTENT = 10.0
SMALLEST = 6
"""Fewer rows than this have no neighbourhood to speak of: their principal components are the map."""


def reduce_features(embeddings: FloatMatrix) -> FloatMatrix:
    """Reduce vectors to at most 50 principal components, half-whitened.

    Every component is divided by the square root of its standard deviation (relative to the largest), so that
    weak directions count more than in the raw space and less than under full whitening.

    Parameters
    ----------
    embeddings
        float32 (n, d), finite.

    Returns
    -------
    float32 (n, min(50, n, d)), centred; constant directions are dropped (one zero column remains if all are).
    """
    from sklearn.decomposition import PCA

    if not min(embeddings.shape):
        return np.zeros((len(embeddings), 1), np.float32)
    k = min(MAX_FEATURES, *embeddings.shape)
    solver = "randomized" if min(embeddings.shape) > 4 * MAX_FEATURES else "full"
    if len(embeddings) > MANY_ROWS:
        solver = "covariance_eigh"  # one pass over the rows
    pca = PCA(k, svd_solver=solver, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # constant input: no variance to explain
        scores = pca.fit_transform(embeddings)
    spread = np.sqrt(pca.explained_variance_)
    keep = spread > 1e-6 * max(float(spread.max(initial=0.0)), 1e-12)
    if not keep.any():
        return np.zeros((len(embeddings), 1), np.float32)
    scale = np.sqrt(spread[keep] * spread[keep][0])
    return np.ascontiguousarray(scores[:, keep] / scale, dtype=np.float32)


def nearest(
    features: FloatMatrix, k: int, *, queries: FloatMatrix | None = None
) -> tuple[npt.NDArray[np.int64], FloatMatrix]:
    """Find exact nearest neighbours.

    Parameters
    ----------
    features
        float32 (n, d), the rows among which is searched.
    k
        Number of neighbours, at most n.
    queries
        float32 (m, d); None: `features` themselves, where every row is its own first neighbour.

    Returns
    -------
    indices int64 (m, k) and Euclidean distances float32 (m, k), nearest first.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(k, len(features)), algorithm="auto").fit(features)
    distances, indices = search.kneighbors(features if queries is None else queries)
    if queries is None:
        _put_self_first(indices, distances)
    return indices.astype(np.int64), distances.astype(np.float32)


def _put_self_first(indices: npt.NDArray[np.int64], distances: npt.NDArray[np.float64]) -> None:
    """Among duplicates a row may find its twin first, or only twins: make every row its own first neighbour."""
    own = np.arange(len(indices))
    wrong = np.flatnonzero(indices[:, 0] != own)
    for row in wrong:
        at = np.flatnonzero(indices[row] == row)
        place = int(at[0]) if len(at) else indices.shape[1] - 1
        indices[row, 1 : place + 1] = indices[row, :place]
        distances[row, 1 : place + 1] = distances[row, :place]
        indices[row, 0], distances[row, 0] = row, 0.0


def embed_features(
    features: FloatMatrix,
    *,
    n_components: int,
    n_neighbors: int,
    min_dist: float,
    random_state: int,
    n_epochs: int | None = None,
    neighbours: tuple[npt.NDArray[np.int64], FloatMatrix] | None = None,
) -> FloatMatrix:
    """Lay features out in few dimensions by UMAP (McInnes et al. 2018; umap-learn).

    The neighbours are searched here, exactly, and handed to UMAP: its own search costs a minute of compilation.

    Parameters
    ----------
    features
        float32 (n, d), finite.
    n_components, n_neighbors, min_dist, random_state, n_epochs
        As umap-learn's. With a seed the result is the same on every run.
    neighbours
        `nearest` of the features, with at least `n_neighbors` of each if there are so many; None: searched here.

    Returns
    -------
    float32 (n, n_components). With fewer than 6 rows: the first principal components.
    """
    n = len(features)
    if n < SMALLEST or np.ptp(features, axis=0).max(initial=0) == 0:
        flat = np.zeros((n, n_components), np.float32)
        flat[:, : min(n_components, features.shape[1])] = features[:, :n_components]
        return flat
    k = max(2, min(n_neighbors, n - 1))
    indices, distances = nearest(features, k) if neighbours is None else neighbours
    indices, distances = indices[:, :k], distances[:, :k]
    with kept_code(), warnings.catch_warnings():
        import umap

        warnings.simplefilter("ignore")  # one thread because of the seed, no transform with given neighbours
        model = umap.UMAP(
            n_components=n_components,
            n_neighbors=k,
            min_dist=min_dist,
            n_epochs=n_epochs,
            random_state=random_state,
            n_jobs=1,
            init=_start(features, indices, n_components),
            precomputed_knn=(indices, distances, None),
        )
        return np.ascontiguousarray(model.fit_transform(features), dtype=np.float32)


def _start(features: FloatMatrix, indices: npt.NDArray[np.int64], n_components: int) -> str:
    """Choose where UMAP starts from; each of these is the same on every run."""
    if len(features) > 4 * n_components and _connected(indices):
        return "spectral"
    return "pca" if min(features.shape) >= n_components else "random"


def _connected(indices: npt.NDArray[np.int64]) -> bool:
    """Tell whether the neighbour graph is in one piece.

    UMAP lays out the pieces of another one with an eigensolver that restarts without a seed: not the same twice.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, k = indices.shape
    edges = coo_array((np.ones(n * k), (np.repeat(np.arange(n), k), indices.ravel())), shape=(n, n))
    pieces, _ = connected_components(edges, directed=False)
    return bool(pieces == 1)


def project(
    embeddings: npt.ArrayLike,
    *,
    random_state: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
) -> FloatMatrix:
    """Make the 2-D map of embeddings that people look at, by UMAP (McInnes et al. 2018).

    Parameters
    ----------
    embeddings
        (n, d) finite numbers, one row per unit.
    random_state, n_neighbors, min_dist
        As umap-learn's. The same seed gives the same map.
    on_epoch
        Called about every 20 epochs with the map as it is then (float32 (n, 2)), the number of epochs that were run,
        and that of all. What it raises ends the work.
    progress
        Show a progress bar.

    Returns
    -------
    float32 (n, 2), rows in order. With fewer than 6 rows, or rows that are all the same: `first_map`.

    Raises
    ------
    InvalidInputError
        `embeddings` isn't a finite 2-D array.

    Notes
    -----
    The neighbours are those in the full space: exactly up to 20,000 rows, above that nearly all of them. Time is linear
    in the rows above that. Slices are not searched on this map: two dimensions tear neighbours apart.
    """
    features = check_matrix(embeddings, "embeddings")
    n = len(features)
    if n < SMALLEST or np.ptp(features, axis=0).max(initial=0) == 0:
        return first_map(features)
    return lay_out(
        features,
        nearest_all(features, max(2, min(n_neighbors, n - 1))),
        random_state=random_state,
        min_dist=min_dist,
        on_epoch=on_epoch,
        progress=progress,
    )


def first_map(embeddings: npt.ArrayLike) -> FloatMatrix:
    """Make a map that is there at once: the first two principal components.

    Parameters
    ----------
    embeddings
        (n, d) finite numbers, one row per unit.

    Returns
    -------
    float32 (n, 2), rows in order, from -10 to 10 in the wider direction; 0 where there is no direction left.

    Raises
    ------
    InvalidInputError
        `embeddings` isn't a finite 2-D array.
    """
    points = principal_points(check_matrix(embeddings, "embeddings"))
    extent = float(np.abs(points).max(initial=0))
    return points * np.float32(EXTENT / extent) if extent > 0 else points
