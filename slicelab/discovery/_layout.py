"""UMAP in two dimensions with kernels of our own: umap-learn's maths, without its minute of imports and compilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.discovery._kept_code import load_kernels
from slicelab.discovery._neighbours import FloatMatrix, Neighbours, principal_points

OnEpoch = Callable[[FloatMatrix, int, int], None]

MANY_ROWS = 10_000
"""Up to so many rows get 500 epochs, more get 200, as in umap-learn."""
SPECTRAL_ROWS = 20_000
"""Up to so many rows the layout starts from the graph's eigenvectors: beyond that they cost more than the layout."""
_EXTENT = 10.0

_REPORT = 20
_PIECE = 5  # epochs between two looks at what else there is to do, such as an interruption


def lay_out(
    features: FloatMatrix,
    neighbours: Neighbours,
    *,
    random_state: int = 0,
    min_dist: float = 0.1,
    n_epochs: int | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
) -> FloatMatrix:
    """Lay rows out in two dimensions by UMAP (McInnes et al. 2018).

    Parameters
    ----------
    features
        float32 (n, d), finite; read only for the start.
    neighbours
        `nearest_all` of the features; as many of each as UMAP's `n_neighbors`.
    random_state, min_dist
        As umap-learn's. With a seed the result is the same on every run.
    n_epochs
        None: 500 for up to 10,000 rows, 200 for more.
    on_epoch
        Called about every 20 epochs with the points then (float32 (n, 2), a copy), the number of epochs that were
        run, and that of all.
    progress
        Show a progress bar.

    Returns
    -------
    float32 (n, 2).

    Notes
    -----
    Differs from umap-learn 0.5 in that the powers in the two forces are read from a table with a relative error below
    0.001, and in the random numbers. It starts from the eigenvectors of the normalised Laplacian where the graph is in
    one piece and has at most 20,000 rows, else from the principal components.
    """
    kernels = load_kernels()
    n_epochs = n_epochs or (500 if len(features) <= MANY_ROWS else 200)
    graph = fuzzy_graph(neighbours)
    graph.data[graph.data < graph.data.max() / n_epochs] = 0
    graph.eliminate_zeros()
    points = _start(features, graph, np.random.default_rng(random_state))
    edges = graph.tocoo()
    every = (edges.data.max() / edges.data).astype(np.float32)
    heads, tails = edges.row.astype(np.int32), edges.col.astype(np.int32)
    next_pull, next_push = every.copy(), every / 5
    attraction, repulsion = _forces(*_curve(min_dist))
    random = np.array([np.random.default_rng(random_state).integers(1, 2**63)], dtype=np.uint64)
    for first in _pieces(n_epochs, progress):
        last = min(first + _PIECE, n_epochs)
        kernels.pull_and_push(
            points, heads, tails, every, next_pull, next_push, attraction, repulsion, random, first, last, n_epochs
        )
        if on_epoch is not None and (last % _REPORT == 0 or last == n_epochs):
            on_epoch(points.copy(), last, n_epochs)
    return points


def fuzzy_graph(neighbours: Neighbours) -> Any:
    """Join the rows' fuzzy neighbourhoods to one symmetric graph: a + b - a b of the strengths in both directions.

    Returns
    -------
    scipy csr_array (n, n), float32, strengths in (0, 1].
    """
    from scipy.sparse import csr_array

    indices, distances = neighbours
    n, k = indices.shape
    strengths = load_kernels().smooth_knn(distances, float(distances.mean()))
    starts = np.arange(0, n * (k - 1) + 1, k - 1)
    own = csr_array((strengths[:, 1:].ravel(), indices[:, 1:].ravel(), starts), shape=(n, n))
    other = own.T.tocsr()
    return (own + other - own * other).tocsr()


def _pieces(n_epochs: int, progress: bool) -> Any:
    pieces = range(0, n_epochs, _PIECE)
    if not progress:
        return pieces
    from tqdm.auto import tqdm

    return tqdm(pieces, desc="Laying out the map", leave=False)


def _start(features: FloatMatrix, graph: Any, random: np.random.Generator) -> FloatMatrix:
    """Choose where the points are at first; each of these is the same on every run.

    The eigenvectors of a graph in several pieces only tell the pieces apart.
    """
    from scipy.sparse.csgraph import connected_components

    n = len(features)
    spectral = 8 < n <= SPECTRAL_ROWS and connected_components(graph, directed=False)[0] == 1
    points = _eigenvectors(graph) if spectral else principal_points(features)
    points = points * (_EXTENT / max(float(np.abs(points).max()), 1e-12)) + random.normal(scale=1e-4, size=points.shape)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.ascontiguousarray(_EXTENT * (points - low) / np.maximum(high - low, 1e-12), dtype=np.float32)


def _eigenvectors(graph: Any) -> npt.NDArray[np.float64]:
    """Return the eigenvectors of the normalised Laplacian with the second and third smallest eigenvalues."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    n = graph.shape[0]
    root = diags_array(1 / np.sqrt(graph.sum(axis=0)))
    similar = (root @ graph @ root).astype(np.float64)
    _, vectors = eigsh(similar, k=3, which="LA", v0=np.ones(n), tol=1e-4, ncv=max(7, min(n - 1, int(np.sqrt(n)))))
    vectors = vectors[:, [1, 0]]
    signs = np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0))
    return np.asarray(vectors * np.where(signs == 0, 1, signs))


def _curve(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """Return a and b: 1 / (1 + a d^2b) is nearly 1 up to `min_dist`, and exp(-(d - min_dist) / spread) after it."""
    from scipy.optimize import curve_fit

    distance = np.linspace(0, 3 * spread, 300)
    wanted = np.where(distance < min_dist, 1.0, np.exp(-(distance - min_dist) / spread))
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), distance, wanted)
    return float(a), float(b)


def _forces(a: float, b: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Tabulate the coefficients of attraction and repulsion at the squared distances that the kernel reads."""
    kernels = load_kernels()
    places = np.arange(kernels.PLACES)
    squared = 2.0 ** (kernels.FIRST_OCTAVE + places // 32) * (1 + places % 32 / 32)
    attraction = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b)
    repulsion = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
    return attraction.astype(np.float32), repulsion.astype(np.float32)
