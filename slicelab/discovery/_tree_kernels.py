"""The inner loops of growing a tree over a graph and of searching it; compiled as `_kernels` are."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import float64, int64

compiled: Any = numba.njit
types: Any = numba.types
_points = types.Array(float64, 2, "C", readonly=True)
_numbers = types.Array(int64, 1, "C", readonly=True)
_pairs = types.Array(int64, 2, "C", readonly=True)
_values = types.Array(float64, 1, "C", readonly=True)
_flags = types.Array(types.boolean, 1, "C", readonly=True)


@compiled(nogil=True)
def _is_before(a, b, costs, pairs):  # type: ignore[no-untyped-def]
    """Tell whether one join is to be made before another: there are no ties, so that the order is the only one."""
    if costs[a] != costs[b]:
        return costs[a] < costs[b]
    if pairs[a, 0] != pairs[b, 0]:
        return pairs[a, 0] < pairs[b, 0]
    return pairs[a, 1] < pairs[b, 1]


@compiled(nogil=True)
def _put(heap, held, join, costs, pairs):  # type: ignore[no-untyped-def]
    """Put a join into a binary heap that holds so many."""
    place = held
    while place > 0:
        above = (place - 1) // 2
        if not _is_before(join, heap[above], costs, pairs):
            break
        heap[place] = heap[above]
        place = above
    heap[place] = join


@compiled(nogil=True)
def _take(heap, held, costs, pairs):  # type: ignore[no-untyped-def]
    """Take the first join out of a binary heap that holds so many."""
    first, last = heap[0], heap[held - 1]
    place, below = 0, 1
    while below < held - 1:
        if below + 1 < held - 1 and _is_before(heap[below + 1], heap[below], costs, pairs):
            below += 1
        if not _is_before(heap[below], last, costs, pairs):
            break
        heap[place] = heap[below]
        place, below = below, 2 * below + 1
    heap[place] = last
    return first


@compiled(nogil=True)
def _longer(array, length):  # type: ignore[no-untyped-def]
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


@compiled(nogil=True)
def _now(node, above):  # type: ignore[no-untyped-def]
    """Return what a node is part of by now."""
    while above[node] != node:
        above[node] = above[above[node]]
        node = above[node]
    return node


@compiled(nogil=True)
def _cost(a, b, sizes, centres):  # type: ignore[no-untyped-def]
    """Return by how much the squared distances to the centres grow where two nodes are joined."""
    squared = 0.0
    for d in range(centres.shape[1]):
        squared += (centres[a, d] - centres[b, d]) ** 2
    return squared * (sizes[a] * sizes[b] / (sizes[a] + sizes[b]))


@compiled(nogil=True)
def _edges_as_joins(centres, sizes, starts, ends):  # type: ignore[no-untyped-def]
    """Return what joining the points of an edge costs, the points (larger first), a heap of the edges, their number."""
    costs, pairs, heap = np.empty(len(ends)), np.empty((len(ends), 2), np.int64), np.empty(len(ends), np.int64)
    known = 0
    for node in range(len(starts) - 1):
        for other in ends[starts[node] : starts[node + 1]]:
            if other < node:
                costs[known], pairs[known, 0], pairs[known, 1] = _cost(node, other, sizes, centres), node, other
                _put(heap, known, known, costs, pairs)
                known += 1
    return costs, pairs, heap, known


@compiled(int64[:, ::1](_points, _numbers, _numbers), nogil=True)
def join_along(points, starts, ends):  # type: ignore[no-untyped-def]
    """Join points to a tree along the edges of a graph, the smallest growth of squared distances first (Ward 1963).

    Parameters
    ----------
    points
        float64 (n, d).
    starts, ends
        int64 (n + 1,) and (m,): the graph's rows in compressed form; symmetric, in one piece.

    Returns
    -------
    int64 (n - 1, 2), the two nodes of which node n + i is made, the smaller number first.
    """
    n, d = points.shape
    sizes, sums, centres = np.ones(2 * n - 1), np.zeros((2 * n - 1, d)), np.zeros((2 * n - 1, d))
    sums[:n] = points
    centres[:n] = points
    costs, pairs, heap, known = _edges_as_joins(centres, sizes, starts, ends)
    held = known
    first = np.zeros(n, np.int64)  # the joins of node n + i with others stand together, from here on
    above, seen = np.arange(2 * n - 1), np.full(2 * n - 1, -1)
    children = np.empty((n - 1, 2), np.int64)
    for i in range(n - 1):
        node, high, low = n + i, 0, 0
        while above[high] != high or above[low] != low or high == low:
            high, low = pairs[_take(heap, held, costs, pairs)]
            held -= 1
        children[i, 0], children[i, 1] = low, high
        above[high] = above[low] = seen[node] = node
        sizes[node] = sizes[high] + sizes[low]
        sums[node] = sums[high] + sums[low]
        centres[node] = sums[node] / sizes[node]
        first[i] = known
        for child in (high, low):
            begin, end = (starts[child], starts[child + 1]) if child < n else (first[child - n], first[child - n + 1])
            for place in range(begin, end):
                other = _now(ends[place] if child < n else pairs[place, 1], above)
                if seen[other] == node:
                    continue
                seen[other] = node
                if known == len(costs):
                    costs, pairs, heap = _longer(costs, 2 * known), _longer(pairs, 2 * known), _longer(heap, 2 * known)
                costs[known], pairs[known, 0], pairs[known, 1] = _cost(node, other, sizes, centres), node, other
                _put(heap, held, known, costs, pairs)
                known, held = known + 1, held + 1
    return children


@compiled(types.Tuple((float64[::1], types.boolean[::1]))(_pairs, _values, _flags), nogil=True)
def best_below(children, gain, apart):  # type: ignore[no-untyped-def]
    """Find the most that disjoint nodes can earn below every node of a tree.

    Parameters
    ----------
    children
        int64 (n - 1, 2), as `join_along` returns them.
    gain
        float64 (2n - 1,), what a node earns if it is taken whole; not more than 0: never.
    apart
        bool (n - 1,): node n + i is never taken whole if something is earned below both of its children.

    Returns
    -------
    float64 (2n - 1,) the most, and bool (2n - 1,) whether it is earned by the node as a whole.
    """
    n = len(children) + 1
    best, whole = np.maximum(gain, 0.0), gain > 0
    for i in range(n - 1):
        left, right = best[children[i, 0]], best[children[i, 1]]
        if left + right > best[n + i] or (apart[i] and left > 0 and right > 0):
            best[n + i], whole[n + i] = left + right, False
    return best, whole


@compiled(types.Tuple((int64[::1], int64[::1]))(_points, _numbers, int64), nogil=True)
def bridges(points, pieces, count):  # type: ignore[no-untyped-def]
    """Find the two points that are nearest to each other, for every two pieces of a graph.

    Parameters
    ----------
    points
        float64 (n, d).
    pieces
        int64 (n,), numbers from 0 to `count` (not included), each of at least one point.

    Returns
    -------
    int64 (count (count - 1) / 2,) each: the point in the piece with the larger number, and that in the other.
    """
    shortest = np.full(count * (count - 1) // 2, np.inf)
    here, there = np.zeros(len(shortest), np.int64), np.zeros(len(shortest), np.int64)
    for a in range(len(points)):
        for b in range(a):
            high, low = max(pieces[a], pieces[b]), min(pieces[a], pieces[b])
            if high == low:
                continue
            squared = 0.0
            for d in range(points.shape[1]):
                squared += (points[a, d] - points[b, d]) ** 2
            pair = high * (high - 1) // 2 + low
            if squared < shortest[pair]:
                shortest[pair] = squared
                here[pair], there[pair] = (a, b) if pieces[a] == high else (b, a)
    return here, there
