"""The 2-D map that people see, and the few dimensions that are clustered: the only file that imports umap-learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError, check_choice, check_matrix
from slicelab.discovery._kept_code import kept_code
from slicelab.discovery._layout import Layout, OnEpoch
from slicelab.discovery._neighbours import Neighbours, nearest_all, principal_axes, principal_points

FloatMatrix = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]

ENGINES = ("slicelab", "umap-learn")
MAX_FEATURES = 50
GRID = 2.0**-14
BLOCK = 8192
"""Rows that are held in double precision at a time."""
EXACT_DIMENSIONS = 4096
"""Above this the components are those that an iteration finds."""
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

    Notes
    -----
    The last bits of a matrix product depend on the processor and its number of threads, and no layout by UMAP forgives
    them: the components are computed in double precision and put on a grid of 2^-14 (the first has the standard
    deviation 1), on which squared distances are exact whatever the order of their sums.
    """
    n, d = embeddings.shape
    if not min(n, d):
        return np.zeros((n, 1), np.float32)
    mean = embeddings.mean(axis=0, dtype=np.float64)
    axes = _leading_axes(embeddings, mean, min(MAX_FEATURES, n, d))
    squares = sum((((rows - mean) @ axes) ** 2).sum(axis=0) for rows in _blocks(embeddings))
    spread = np.sqrt(squares / max(n - 1, 1))
    keep = spread > 1e-6 * max(float(spread.max(initial=0.0)), 1e-12)
    if not keep.any():
        return np.zeros((n, 1), np.float32)
    scale = np.sqrt(spread[keep] * spread[keep][0])
    features = np.empty((n, len(scale)), np.float32)
    for rows, target in zip(_blocks(embeddings), _blocks(features), strict=True):
        target[:] = np.round(((rows - mean) @ axes)[:, keep] / scale / GRID) * GRID
    return features


def _leading_axes(embeddings: FloatMatrix, mean: Reals, k: int) -> Reals:
    """Return the directions of the k largest variances, or of those that aren't 0, float64 (d, up to k)."""
    n, d = embeddings.shape
    if n < d and n <= EXACT_DIMENSIONS:
        centred = embeddings - mean
        values, turned = _strongest(centred @ centred.T, k)
        some = values > 1e-14 * values[0]
        return np.asarray(centred.T @ (turned[:, some] / np.sqrt(values[some])))
    if d > EXACT_DIMENSIONS:
        return principal_axes(embeddings, k)[1].astype(np.float64)
    scatter = np.zeros((d, d))
    for rows in _blocks(embeddings):
        centred = rows - mean
        scatter += centred.T @ centred
    return _strongest(scatter, k)[1]


def _strongest(symmetric: Reals, k: int) -> tuple[Reals, Reals]:
    """Return the k largest eigenvalues, largest first, and their vectors, each positive where it is largest."""
    from scipy.linalg import eigh

    m = len(symmetric)
    values, vectors = eigh(symmetric, subset_by_index=(m - k, m - 1))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return values, vectors * np.where(largest < 0, -1.0, 1.0)


def _blocks(rows: FloatMatrix) -> Iterator[FloatMatrix]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


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
    neighbours: Neighbours,
    seeds: Iterable[int],
    *,
    n_components: int,
    n_neighbors: int,
    min_dist: float,
    n_epochs: int | None = None,
) -> Iterator[FloatMatrix]:
    """Lay features out in few dimensions by UMAP (McInnes et al. 2018), once with every seed.

    Parameters
    ----------
    features
        float32 (n, d), finite.
    neighbours
        `nearest` of the features, with at least `n_neighbors` of each if there are so many.
    seeds
        With one, the result is the same on every run.
    n_components
        2 or 5.
    n_neighbors, min_dist, n_epochs
        As umap-learn's.

    Yields
    ------
    float32 (n, n_components). With fewer than 6 rows, or rows that are all the same: the first principal components.
    """
    if _is_trivial(features):
        yield from (principal_points(features, n_components) for _ in seeds)
        return
    indices, distances = neighbours
    nearer = np.ascontiguousarray(indices[:, :n_neighbors]), np.ascontiguousarray(distances[:, :n_neighbors])
    layout = Layout(features, nearer, n_components, min_dist, n_epochs, lag=1)
    for seed in seeds:
        yield layout.make(seed)


def _is_trivial(features: FloatMatrix) -> bool:
    """Tell whether rows are too few for neighbourhoods, or all the same."""
    return len(features) < SMALLEST or float(np.ptp(features, axis=0).max(initial=0)) == 0


def project(
    embeddings: npt.ArrayLike,
    *,
    random_state: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    engine: str = "slicelab",
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
    engine
        "slicelab": kernels of our own, four times as fast. "umap-learn": the reference that they are held to, with its
        own search for neighbours; it compiles for a minute in every new process.
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
        `embeddings` isn't a finite 2-D array, there is no such engine, or `on_epoch` is given to umap-learn, which
        tells nothing on its way.

    Notes
    -----
    The neighbours are those in the full space: exactly up to 20,000 rows, above that nearly all of them. Time is linear
    in the rows above that. Slices are not searched on this map: two dimensions tear neighbours apart.
    """
    features = check_matrix(embeddings, "embeddings")
    check_choice(engine, ENGINES, "engine")
    if engine == "umap-learn" and on_epoch is not None:
        raise InvalidInputError('umap-learn can\'t be watched: leave `on_epoch` out, or take engine="slicelab".')
    if _is_trivial(features):
        return first_map(features)
    if engine == "umap-learn":
        return _by_umap_learn(features, random_state, n_neighbors, min_dist, progress=progress)
    neighbours = nearest_all(features, max(2, min(n_neighbors, len(features) - 1)))
    layout = Layout(features, neighbours, min_dist=min_dist)
    return layout.make(random_state, on_epoch=on_epoch, progress=progress)


def _by_umap_learn(
    features: FloatMatrix, random_state: int, n_neighbors: int, min_dist: float, *, progress: bool
) -> FloatMatrix:
    with kept_code(), warnings.catch_warnings():
        import umap

        warnings.simplefilter("ignore")  # that a seed means one thread
        model = umap.UMAP(
            n_neighbors=max(2, min(n_neighbors, len(features) - 1)),
            min_dist=min_dist,
            random_state=random_state,
            n_jobs=1,
            verbose=progress,
        )
        return np.ascontiguousarray(model.fit_transform(features), dtype=np.float32)


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
