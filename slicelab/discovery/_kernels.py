"""The inner loops of the neighbour search and of UMAP's layout, compiled by numba.

`load_kernels` imports this: the import compiles all of it, or reads it from disk where that was done before. No kernel
holds Python's lock, so a notebook answers while they run.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import float32, float64, int32, int64, uint64
from numba.cpython.unsafe.tuple import tuple_setitem

FIRST_OCTAVE, OCTAVES = -24, 48
"""Forces are tabled for squared distances from 2^-24 to 2^24, at 32 places in each octave."""
PLACES = OCTAVES * 32 + 1

_FIRST = (127 + FIRST_OCTAVE) << 5  # the upper bits of the float 2^-24: its exponent and five bits of its mantissa
_LIMIT = float32(4.0)  # of a step in one direction
_TWO = float32(2)  # a plain 2 would make it float64
_STRIDE = 64
_QUICK = {"reassoc", "contract", "nsz", "nnan"}  # there are infinities: where nothing was found yet

compiled: Any = numba.njit
put: Any = tuple_setitem
types: Any = numba.types
given = {n: types.Array(float32, n, "C", readonly=True) for n in (1, 2)}
rows = {n: types.Array(int64, n, "C", readonly=True) for n in (1, 2)}
ints = types.Array(int32, 1, "C")


@compiled(nogil=True, inline="always")
def _force(squared, table):  # type: ignore[no-untyped-def]
    """Read a table of forces: a float's upper bits are the place, the lower ones how far it is to the next."""
    bits = np.float32(squared).view(np.int32)
    place = (bits >> int32(18)) - int32(_FIRST)
    if place < 0:
        return table[0]
    if place >= PLACES - 1:
        return table[PLACES - 1]
    part = float32(bits & int32((1 << 18) - 1)) * float32(1.0 / (1 << 18))
    return table[place] + part * (table[place + 1] - table[place])


@compiled(nogil=True, inline="always")
def _clipped(step):  # type: ignore[no-untyped-def]
    return min(max(step, -_LIMIT), _LIMIT)


@compiled(nogil=True, inline="always")
def _apart(x, points, row):  # type: ignore[no-untyped-def]
    """Return the differences of a place from a point, and its squared distance."""
    apart, squared = x, float32(0)
    for d in range(len(x)):
        apart = put(apart, d, x[d] - points[row, d])
        squared += apart[d] * apart[d]
    return apart, squared


@compiled(nogil=True, inline="always")
def _moved(x, apart, force, rate):  # type: ignore[no-untyped-def]
    for d in range(len(x)):
        x = put(x, d, x[d] + _clipped(force * apart[d]) * rate)
    return x


@compiled(
    [
        types.void(
            float32[:, ::1], types.UniTuple(float32, d), ints, ints, float32[::1], float32[::1],
            float32[::1], float32[::1], float32[::1], uint64[::1], float32[::1], int64, int64,
        )
        for d in (2, 5)
    ],
    nogil=True,
    fastmath=True,
)  # fmt: skip
def pull_and_push(  # type: ignore[no-untyped-def]
    points, blank, heads, tails, every, next_pull, next_push, attraction, repulsion, random, rates, first, last
):
    """Run the epochs `first` to `last` (not included) of UMAP's stochastic gradient descent.

    Parameters
    ----------
    points
        float32 (n, 2) or (n, 5), moved in place.
    blank
        A float32 for each dimension, whatever its value: a tuple, as their number must be known when this is compiled.
    heads, tails, every
        (m,) Edges, and after how many epochs each is pulled together again; five random points are pushed away then.
    next_pull, next_push
        (m,) When that is next; changed in place.
    attraction, repulsion
        float32 (PLACES,) Coefficients of the differences, by squared distance.
    random
        uint64 (1,) State of the xorshift generator, not 0; changed in place.
    rates
        float32 (n_epochs,) Learning rates of all epochs.
    """
    n = uint64(points.shape[0])
    state = random[0]
    x = blank  # registers, which an array of this size is not
    for epoch in range(first, last):
        rate = rates[epoch]
        for i in range(heads.shape[0]):
            if next_pull[i] > epoch:
                continue
            head, tail = heads[i], tails[i]
            for d in range(len(blank)):
                x = put(x, d, points[head, d])
            apart, squared = _apart(x, points, tail)
            force = _force(squared, attraction)
            x = _moved(x, apart, force, rate)
            for d in range(len(blank)):
                points[tail, d] -= _clipped(force * apart[d]) * rate
            next_pull[i] += every[i]
            pushes = int((epoch - next_push[i]) * 5 / every[i])
            for _ in range(pushes):
                state ^= state << uint64(13)
                state ^= state >> uint64(7)
                state ^= state << uint64(17)
                other = int64(((state >> uint64(32)) * n) >> uint64(32))
                apart, squared = _apart(x, points, other)
                x = _moved(x, apart, _force(squared, repulsion), rate)
            next_push[i] += pushes * every[i] / 5
            for d in range(len(blank)):
                points[head, d] = x[d]
    random[0] = state


@compiled(float32[:, ::1](given[2], float64), nogil=True)
def smooth_knn(distances, mean):  # type: ignore[no-untyped-def]
    """Turn distances to neighbours into the strengths of a fuzzy set (McInnes et al. 2018, algorithm 3).

    Parameters
    ----------
    distances
        float32 (n, k), ascending, each row's first being the row itself.
    mean
        Of all of them; no scale is smaller than a thousandth of it.

    Returns
    -------
    float32 (n, k) in [0, 1], 0 for the row itself: exp(-(d - nearest) / scale), where the scale is such that a row's
    strengths add up to log2(k).
    """
    n, k = distances.shape
    strengths = np.zeros((n, k), dtype=np.float32)
    wanted = np.log2(k)
    for i in range(n):
        nearest, own_mean = 0.0, 0.0
        for j in range(k):
            own_mean += distances[i, j] / k
            if nearest == 0.0:
                nearest = float64(distances[i, j])
        low, high, scale = 0.0, np.inf, 1.0
        for _ in range(64):
            total = 0.0
            for j in range(1, k):
                more = distances[i, j] - nearest
                total += np.exp(-more / scale) if more > 0 else 1.0
            if abs(total - wanted) < 1e-5:
                break
            if total > wanted:
                high = scale
            else:
                low = scale
            scale = scale * 2 if high == np.inf else (low + high) / 2
        scale = max(scale, 1e-3 * (own_mean if nearest > 0 else mean))
        for j in range(1, k):
            more = distances[i, j] - nearest
            strengths[i, j] = np.exp(-more / scale) if more > 0 and scale > 0 else 1.0
    return strengths


@compiled(nogil=True, inline="always")
def _offer(row, candidate, distance, nearest, distances):  # type: ignore[no-untyped-def]
    """Put a candidate in its place among a row's nearest, the last of which falls out."""
    k = nearest.shape[1]
    place = k - 1
    while place > 0 and distances[row, place - 1] > distance:
        distances[row, place] = distances[row, place - 1]
        nearest[row, place] = nearest[row, place - 1]
        place -= 1
    distances[row, place] = distance
    nearest[row, place] = candidate


@compiled(nogil=True, fastmath=_QUICK)
def _any_closer(products, norm, norms, limit):  # type: ignore[no-untyped-def]
    """Tell whether a squared distance is below a limit: no branches, so that several are computed at once."""
    closer = int32(0)
    for j in range(len(products)):
        closer += int32(norm + norms[j] - _TWO * products[j] < limit)
    return closer > 0


@compiled(nogil=True, fastmath=_QUICK)
def _any_closer_both(products, norm, norms, limit, limits):  # type: ignore[no-untyped-def]
    """Tell the same with a limit for the row and one for each column."""
    closer = int32(0)
    for j in range(len(products)):
        closer += int32(norm + norms[j] - _TWO * products[j] < max(limit, limits[j]))
    return closer > 0


@compiled(
    types.void(given[2], int64, int64, given[1], int64[:, ::1], float32[:, ::1], float32[::1]),
    nogil=True,
    fastmath=_QUICK,
)
def keep_nearest_both(products, row0, column0, norms, nearest, distances, worst):  # type: ignore[no-untyped-def]
    """Keep the nearest among the pairs of a block of a symmetric matrix, for its rows and for its columns.

    Parameters
    ----------
    products
        float32 (a, b), inner products of the rows from `row0` with those from `column0`. Pairs on or below the matrix's
        diagonal are left out.
    norms
        float32 (n,) Squared lengths of all rows.
    nearest, distances
        (n, k) What was kept so far: rows' positions and squared distances, ascending; changed in place.
    worst
        float32 (n,) The last column of `distances`.
    """
    last = nearest.shape[1] - 1
    for i in range(products.shape[0]):
        row = row0 + i
        mine = worst[row]
        for start in range(max(0, row + 1 - column0), products.shape[1], _STRIDE):
            stop = min(start + _STRIDE, products.shape[1])
            if not _any_closer_both(
                products[i, start:stop],
                norms[row],
                norms[column0 + start : column0 + stop],
                mine,
                worst[column0 + start : column0 + stop],
            ):
                continue
            for j in range(start, stop):
                column = column0 + j
                distance = norms[row] + norms[column] - _TWO * products[i, j]
                if distance < mine:
                    _offer(row, column, distance, nearest, distances)
                    mine = worst[row] = distances[row, last]
                if distance < worst[column]:
                    _offer(column, row, distance, nearest, distances)
                    worst[column] = distances[column, last]


@compiled(
    types.void(given[2], rows[1], rows[1], given[1], given[1], int64[:, ::1], float32[:, ::1]),
    nogil=True,
    fastmath=_QUICK,
)
def keep_nearest(products, queries, candidates, query_norms, norms, nearest, distances):  # type: ignore[no-untyped-def]
    """Keep the nearest of some candidates for some rows.

    Parameters
    ----------
    products
        float32 (a, b), inner products of the rows `queries` with the rows `candidates`.
    queries, candidates
        int64 (a,) and (b,), positions of rows. No row is its own candidate.
    query_norms, norms
        float32 (a,) and (b,), their squared lengths.
    nearest, distances
        (n, k) What was kept so far, as in `keep_nearest_both`; changed in place.
    """
    last = nearest.shape[1] - 1
    for i in range(products.shape[0]):
        row = queries[i]
        mine = distances[row, last]
        for start in range(0, products.shape[1], _STRIDE):
            stop = min(start + _STRIDE, products.shape[1])
            if not _any_closer(products[i, start:stop], query_norms[i], norms[start:stop], mine):
                continue
            for j in range(start, stop):
                distance = query_norms[i] + norms[j] - _TWO * products[i, j]
                if distance < mine and candidates[j] != row:
                    _offer(row, candidates[j], distance, nearest, distances)
                    mine = distances[row, last]


@compiled(types.void(given[2], int64[:, ::1], float32[:, ::1]), nogil=True, fastmath=True)
def measure_again(features, nearest, distances):  # type: ignore[no-untyped-def]
    """Measure rows' distances to the neighbours found, by the differences of the features, and sort by them.

    Parameters
    ----------
    features
        float32 (n, d).
    nearest, distances
        (n, k) Neighbours and, from now on, their Euclidean distances, ascending; changed in place.
    """
    n, k = nearest.shape
    for i in range(n):
        for j in range(k):
            other, total = nearest[i, j], float32(0)
            for d in range(features.shape[1]):
                difference = features[i, d] - features[other, d]
                total += difference * difference
            distance = np.sqrt(total)
            place = j
            while place > 0 and distances[i, place - 1] > distance:
                distances[i, place] = distances[i, place - 1]
                nearest[i, place] = nearest[i, place - 1]
                place -= 1
            distances[i, place] = distance
            nearest[i, place] = other
