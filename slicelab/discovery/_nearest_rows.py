"""Exact nearest neighbours of new rows, the same however the rows are cut and however many threads compute."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FloatMatrix = npt.NDArray[np.float32]

_AT_ONCE = 1 << 24  # inner products held, 8 bytes each
_BLOCK = 1 << 12
_GROUPS = 64


def nearest_rows(features: FloatMatrix, k: int, queries: FloatMatrix) -> tuple[Ints, Floats]:
    """Find the rows nearest to each query; equally near ones in their order.

    Parameters
    ----------
    features
        float32 (n, d), finite, n >= 1.
    k
        How many; at most n are found.
    queries
        float32 (m, d), finite.

    Returns
    -------
    indices int64 (m, min(k, n)) and Euclidean distances float64, nearest first.

    Notes
    -----
    Inner products in float64 choose, with room for their rounding; the rows chosen are measured by their differences.
    So the result of a query depends neither on the other queries nor on the order in which a sum was made.
    """
    k = min(k, len(features))
    indices, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    norms = np.concatenate([_squares(block) for _, block in _blocks(features)])
    step = max(16, min(1024, _AT_ONCE // len(features)))
    for start in range(0, len(queries), step):
        some = queries[start : start + step].astype(np.float64)
        who, which = _candidates(features, norms, k, some)
        exact = _measured(features, which, some, who)
        order = np.lexsort((which, exact, who))
        first = np.searchsorted(who, np.arange(len(some)))  # nonzero() gives them by query
        chosen = order[first[:, None] + np.arange(k)]
        indices[start : start + step], distances[start : start + step] = which[chosen], np.sqrt(exact[chosen])
    return indices, distances


def _candidates(features: FloatMatrix, norms: Floats, k: int, queries: Floats) -> tuple[Ints, Ints]:
    """Return pairs (query, row), by query, among which the k nearest of each query are for certain."""
    groups = min(_GROUPS, max(1, len(features) // (8 * k)))
    width = -(-len(features) // groups)
    near = np.empty((len(queries), groups * width))  # squared distances, without the query's own part
    near[:, len(features) :] = np.inf
    scaled = -2 * queries
    for start, block in _blocks(features):
        here = near[:, start : start + len(block)]
        np.matmul(scaled, block.T, out=here)
        here += norms[start : start + len(block)]
    # k groups of rows have one each that is no further than the k-th nearest of the groups' nearest.
    limit = np.partition(near.reshape(len(queries), groups, width).min(axis=1), k - 1, axis=1)[:, k - 1]
    # Twice the bound on such a sum's rounding (Higham 2002, section 3.1): of the limit, and of what it is held to.
    room = 8 * (features.shape[1] + 8) * np.finfo(np.float64).eps * (_squares(queries) + norms.max())
    who, which = np.nonzero(near <= (limit + room)[:, None])
    return who.astype(np.int64), which.astype(np.int64)


def _measured(features: FloatMatrix, which: Ints, queries: Floats, who: Ints) -> Floats:
    """Return the squared distances of pairs, each summed by itself."""
    squared = np.empty(len(which))
    step = max(1, _AT_ONCE // 8 // features.shape[1])
    for start in range(0, len(which), step):
        part = slice(start, start + step)
        squared[part] = _squares(features[which[part]].astype(np.float64) - queries[who[part]])
    return squared


def _squares(rows: Floats) -> Floats:
    total: Floats = np.square(rows).sum(axis=1)
    return total


def _blocks(features: FloatMatrix) -> Iterator[tuple[int, Floats]]:
    """Yield pieces of the rows as float64, each with the position of its first."""
    for start in range(0, len(features), _BLOCK):
        yield start, features[start : start + _BLOCK].astype(np.float64)
