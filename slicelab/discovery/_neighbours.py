"""Every row's nearest neighbours: among all rows, or among the cells around it where there are many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slicelab.discovery._kept_code import load_kernels

FloatMatrix = npt.NDArray[np.float32]
Neighbours = tuple[npt.NDArray[np.int64], FloatMatrix]

EXACT_ROWS = 20_000
"""Up to so many rows all pairs are compared; the time for that grows with their square."""
SEARCHED_DIMENSIONS = 64
PROBED = 24
"""Cells whose rows are compared with a row: with 24 one or two neighbours in a hundred are missed, with 16 five."""

CELL = 200
"""Rows of a cell, on average. As they stay the same, the time grows as the rows do."""

_BLOCK = 1024
_SAMPLE = 20_000
_ROUNDS = 4


def nearest_all(features: FloatMatrix, k: int) -> Neighbours:
    """Find every row's nearest neighbours.

    Parameters
    ----------
    features
        float32 (n, d), finite.
    k
        How many, the row itself included; at most n.

    Returns
    -------
    indices int64 (n, k) and Euclidean distances float32 (n, k), nearest first; every row is its own first neighbour.

    Notes
    -----
    Exact up to 20,000 rows. Beyond that an inverted file (Sivic and Zisserman 2003): rows are put into cells around
    centres by k-means on 64 principal components, each row is compared there with those in the 24 cells nearest to it,
    and the best 2 k of them are measured in all dimensions. The same input gives the same result on every run.
    """
    n = len(features)
    k = min(k, n)
    features = np.ascontiguousarray(features, dtype=np.float32)
    if k < 2:
        return np.arange(n)[:, None].repeat(k, axis=1), np.zeros((n, k), np.float32)
    found = _among_all(features, min(k + 4, n - 1)) if n <= EXACT_ROWS else _in_cells(features, 2 * k)
    nearest, distances = found
    load_kernels().measure_again(features, nearest, distances)
    own = np.arange(n, dtype=np.int64)[:, None]
    return (
        np.ascontiguousarray(np.hstack([own, nearest[:, : k - 1]])),
        np.ascontiguousarray(np.hstack([np.zeros((n, 1), np.float32), distances[:, : k - 1]])),
    )


def principal_axes(rows: FloatMatrix, k: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Find the directions in which rows vary most, by iterating on a random subspace (Halko et al. 2011).

    Parameters
    ----------
    rows
        float32 (n, d). At most about 20,000 of them are read, evenly spread.
    k
        Number of directions.

    Returns
    -------
    The rows' mean float32 (d,), and orthonormal directions float32 (d, min(k, d)), the strongest first; each points
    to where its largest part is positive. The same on every run, for they are computed in double precision.
    """
    sample = rows[:: max(1, len(rows) // _SAMPLE)].astype(np.float64)
    d = sample.shape[1]
    mean = sample.mean(axis=0)
    sample -= mean
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(d, min(d, k + 16))))[0]
    for _ in range(_ROUNDS):
        axes = np.linalg.qr(sample.T @ (sample @ axes))[0]
    scores = sample @ axes
    _, turn = np.linalg.eigh(scores.T @ scores)
    axes = axes @ turn[:, ::-1][:, :k]
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    return mean.astype(np.float32), np.ascontiguousarray(axes * np.where(signs == 0, 1, signs), dtype=np.float32)


def principal_points(features: FloatMatrix, k: int = 2) -> FloatMatrix:
    """Return the first principal components, float32 (n, k); those that aren't there are 0."""
    points = np.zeros((len(features), k), np.float32)
    if not features.size:
        return points
    mean, axes = (part.astype(np.float64) for part in principal_axes(features, k))
    for start in range(0, len(features), _BLOCK):
        stop = start + _BLOCK
        points[start:stop, : axes.shape[1]] = (features[start:stop] - mean) @ axes
    return points


def _among_all(features: FloatMatrix, k: int) -> Neighbours:
    """Compare all pairs once, block by block."""
    keep = load_kernels().keep_nearest_both
    n = len(features)
    rows = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)  # short vectors: less is cancelled
    norms = np.einsum("ij,ij->i", rows, rows)
    nearest, distances = _nothing(n, k)
    worst = np.full(n, np.inf, dtype=np.float32)
    for first in range(0, n, _BLOCK):
        for second in range(first, n, _BLOCK):
            products = rows[first : first + _BLOCK] @ rows[second : second + _BLOCK].T
            keep(products, first, second, norms, nearest, distances, worst)
    return nearest, distances


def _in_cells(features: FloatMatrix, k: int) -> Neighbours:
    """Compare each row with those of the cells around it, by their principal components."""
    keep = load_kernels().keep_nearest
    mean, axes = principal_axes(features, SEARCHED_DIMENSIONS)
    rows = features @ axes - mean @ axes
    norms = np.einsum("ij,ij->i", rows, rows)
    centres = _centres(rows, max(1, len(rows) // CELL))
    probed = _nearest_centres(rows, centres, PROBED)
    members = _by_cell(probed[:, :1], len(centres))
    nearest, distances = _nothing(len(rows), k)
    for asked in (members, _by_cell(probed[:, 1:], len(centres))):  # a row's own cell first: little is put in twice
        for who, held in zip(asked, members, strict=True):
            for first in range(0, len(who), 4 * _BLOCK):
                some = who[first : first + 4 * _BLOCK]
                keep(rows[some] @ rows[held].T, some, held, norms[some], norms[held], nearest, distances)
    _fill(nearest, distances)
    return nearest, distances


def _nothing(n: int, k: int) -> Neighbours:
    return np.full((n, k), -1, dtype=np.int64), np.full((n, k), np.inf, dtype=np.float32)


def _fill(nearest: npt.NDArray[np.int64], distances: FloatMatrix) -> None:
    """Where fewer than k were met, take the rows that follow: they are measured like the others."""
    for row in np.flatnonzero(nearest[:, -1] < 0):
        here = nearest[row] >= 0
        taken = {int(row), *nearest[row, here].tolist()}
        others = (int(other) % len(nearest) for other in range(row + 1, row + 1 + len(nearest)))
        fresh = (other for other in others if other not in taken)
        nearest[row, ~here] = [next(fresh) for _ in range(int((~here).sum()))]
        distances[row, ~here] = np.inf


def _centres(rows: FloatMatrix, count: int) -> FloatMatrix:
    """Lloyd's k-means on a sample, from rows chosen at random; a centre without rows stays where it is."""
    sample = rows[:: max(1, len(rows) // max(_SAMPLE, 16 * count))]
    centres = sample[np.random.default_rng(0).choice(len(sample), min(count, len(sample)), replace=False)]
    for _ in range(_ROUNDS):
        cell = _nearest_centres(sample, centres, 1)[:, 0]
        order = np.argsort(cell, kind="stable")
        held, starts, sizes = np.unique(cell[order], return_index=True, return_counts=True)
        centres[held] = np.add.reduceat(sample[order], starts, axis=0) / sizes[:, None]
    return centres


def _nearest_centres(rows: FloatMatrix, centres: FloatMatrix, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of each row's nearest centres, int64 (n, count), the nearest first."""
    count = min(count, len(centres))
    lengths = np.einsum("ij,ij->i", centres, centres)
    found = np.empty((len(rows), count), dtype=np.int64)
    for first in range(0, len(rows), 8 * _BLOCK):
        distances = lengths - 2 * (rows[first : first + 8 * _BLOCK] @ centres.T)
        if count == 1:
            found[first : first + 8 * _BLOCK, 0] = distances.argmin(axis=1)
            continue
        near = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
        found[first : first + 8 * _BLOCK] = np.take_along_axis(near, order, axis=1)
    return found


def _by_cell(cells: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.int64]]:
    """Return for each cell the rows that name it, ascending."""
    order = np.argsort(cells.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(cells.ravel(), minlength=count))[:-1]
    return [np.ascontiguousarray(rows) for rows in np.split(order // cells.shape[1], ends)]
