"""UMAP with kernels of our own: umap-learn's maths, without its minute of imports and compilation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.discovery._kept_code import load_kernels
from slicelab.discovery._neighbours import FloatMatrix, Neighbours, principal_points

OnEpoch = Callable[[FloatMatrix, int, int], None]

MANY_ROWS = 10_000
"""Up to so many rows get 500 epochs, more get 200, as in umap-learn."""
SPECTRAL_ROWS = {2: 20_000, 5: 30_000}
"""Up to so many rows, by dimensions, maps start from the eigenvectors of the graph: in 5, several share their cost."""
_EXTENT = 10.0

_REPORT = 20
_PIECE = 5  # epochs between two looks at what else there is to do, such as an interruption


@dataclass(frozen=True, eq=False)
class Layout:
    """UMAP of some rows (McInnes et al. 2018): all that its maps of different seeds share.

    Parameters
    ----------
    features
        float32 (n, d), finite; read only for the start.
    neighbours
        Of each row, itself first, nearest first; as many as UMAP's `n_neighbors`.
    n_components
        Dimensions of the maps: 2 or 5.
    min_dist
        As umap-learn's.
    n_epochs
        None: 500 for up to 10,000 rows, 200 for more.
    lag
        By how many epochs the fall of the learning rate from 1 to 0 is late. In umap-learn it is 1: of 100 epochs, the
        last then moves points twice as far.

    Notes
    -----
    **Source:** L. McInnes, J. Healy and J. Melville 2018; umap-learn 0.5, `simplicial_set_embedding` and
    `optimize_layout_euclidean`.

    Differs from umap-learn in that the powers in the two forces are read from a table with a relative error below
    0.001, and in the random numbers. It starts from the eigenvectors of the normalised Laplacian where the graph is in
    one piece and has at most 20,000 rows (30,000 in five dimensions), else from the principal components.
    """

    features: FloatMatrix
    neighbours: Neighbours
    n_components: int = 2
    min_dist: float = 0.1
    n_epochs: int | None = None
    lag: int = 0

    @cached_property
    def epochs(self) -> int:
        """How many there are."""
        return self.n_epochs or (500 if len(self.features) <= MANY_ROWS else 200)

    @cached_property
    def graph(self) -> Any:
        """Edges that are strong enough to be pulled at least once: scipy csr_array (n, n), float32."""
        graph = fuzzy_graph(self.neighbours)
        graph.data[graph.data < graph.data.max() / self.epochs] = 0
        graph.eliminate_zeros()
        return graph

    @cached_property
    def start(self) -> npt.NDArray[np.floating[Any]]:
        """Where the points are at first, (n, n_components), before each map shakes them a little.

        The eigenvectors of a graph in several pieces only tell the pieces apart.
        """
        from scipy.sparse.csgraph import connected_components

        small = 4 * self.n_components < len(self.features) <= SPECTRAL_ROWS[self.n_components]
        if small and connected_components(self.graph, directed=False)[0] == 1:
            return _eigenvectors(self.graph, self.n_components)
        return principal_points(self.features, self.n_components)

    @cached_property
    def _forces(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return _forces(*_curve(self.min_dist))

    def make(self, random_state: int = 0, *, on_epoch: OnEpoch | None = None, progress: bool = False) -> FloatMatrix:
        """Make a map.

        Parameters
        ----------
        random_state
            Seed. The same seed gives the same map on every run.
        on_epoch
            Called about every 20 epochs with the points then (float32 (n, n_components), a copy), the number of epochs
            that were run, and that of all.
        progress
            Show a progress bar.

        Returns
        -------
        float32 (n, n_components).
        """
        kernels = load_kernels()
        points = _shaken(self.start, np.random.default_rng(random_state))
        edges = self.graph.tocoo()
        every = (edges.data.max() / edges.data).astype(np.float32)
        heads, tails = edges.row.astype(np.int32), edges.col.astype(np.int32)
        next_pull, next_push = every.copy(), every / 5
        rates = (1.0 - np.maximum(np.arange(self.epochs) - self.lag, 0) / self.epochs).astype(np.float32)
        blank = (np.float32(0),) * self.n_components
        random = np.array([np.random.default_rng(random_state).integers(1, 2**63)], dtype=np.uint64)
        for first in _pieces(self.epochs, progress):
            last = min(first + _PIECE, self.epochs)
            kernels.pull_and_push(
                points, blank, heads, tails, every, next_pull, next_push, *self._forces, random, rates, first, last
            )
            if on_epoch is not None and (last % _REPORT == 0 or last == self.epochs):
                on_epoch(points.copy(), last, self.epochs)
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


def _shaken(points: npt.NDArray[np.floating[Any]], random: np.random.Generator) -> FloatMatrix:
    """Scale points to [0, 10] in every direction, with a little noise."""
    points = points * (_EXTENT / max(float(np.abs(points).max()), 1e-12)) + random.normal(scale=1e-4, size=points.shape)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.ascontiguousarray(_EXTENT * (points - low) / np.maximum(high - low, 1e-12), dtype=np.float32)


def _eigenvectors(graph: Any, count: int) -> npt.NDArray[np.float64]:
    """Return the eigenvectors of the normalised Laplacian with the smallest eigenvalues but the first, (n, count)."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    n, k = graph.shape[0], count + 1
    root = diags_array(1 / np.sqrt(graph.sum(axis=0)))
    similar = (root @ graph @ root).astype(np.float64)
    ncv = max(2 * k + 1, min(n - 1, int(np.sqrt(n))))
    _, vectors = eigsh(similar, k=k, which="LA", v0=np.ones(n), tol=1e-4, ncv=ncv)
    vectors = vectors[:, count - 1 :: -1]
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
