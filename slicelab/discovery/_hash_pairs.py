"""All pairs of 64-bit hashes that differ in few bits, without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_BANDS = 4
_BITS = 64 // _BANDS
_AT_ONCE = 1 << 22


def hash_pairs(hashes: npt.ArrayLike, distance: int) -> tuple[Ints, Ints, Ints]:
    """Find all pairs of rows whose hashes differ in at most so many bits.

    Parameters
    ----------
    hashes
        uint64 (n,).
    distance
        0 to 15.

    Returns
    -------
    left and right int64 (m,), left < right, and the number of bits that differ; sorted by left, then right.

    Raises
    ------
    InvalidInputError
        A distance out of range.

    Notes
    -----
    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): of four parts of 16 bits one differs in at most
    distance // 4, so only rows of equal parts, up to so many flipped bits, are compared. Every pair is found.

    Examples
    --------
    >>> [rows.tolist() for rows in hash_pairs(np.array([0, 1, 255, 256], np.uint64), 1)]
    [[0, 0], [1, 3], [1, 1]]
    """
    if not 0 <= distance < _BITS:
        raise InvalidInputError(f"The distance of hashes must be 0 to {_BITS - 1} bits; got {distance}.")
    different, which = np.unique(np.asarray(hashes, np.uint64), return_inverse=True)
    found = [part for band in range(_BANDS) for part in _in_band(different, band, distance)]
    empty = np.zeros(0, np.int64)
    a, b = (np.concatenate([empty, *(part[i] for part in found)]) for i in (0, 1))
    order = np.argsort(which, kind="stable")
    counts = np.bincount(which, minlength=len(different)).astype(np.int64)
    starts = np.cumsum(counts) - counts
    left, right = _expanded(order, starts, counts, a, b)
    same = np.flatnonzero(counts > 1)
    own_left, own_right = _expanded(order, starts, counts, same, same)
    inside = own_left < own_right
    left, right = np.concatenate([left, own_left[inside]]), np.concatenate([right, own_right[inside]])
    left, right = np.minimum(left, right), np.maximum(left, right)
    rows = np.lexsort((right, left))
    left, right = left[rows], right[rows]
    values = np.asarray(hashes, np.uint64)
    return left, right, np.bitwise_count(values[left] ^ values[right]).astype(np.int64)


def _in_band(hashes: Hashes, band: int, distance: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the pairs whose first part with few flipped bits is this one; each once, the lower row first."""
    most = distance // _BANDS
    parts = _part(hashes, band)
    order = np.argsort(parts, kind="stable")
    ends = np.cumsum(np.bincount(parts, minlength=1 << _BITS))
    starts = ends - np.bincount(parts, minlength=1 << _BITS)
    for mask in _masks(most):
        others = parts ^ mask
        for rows in _cut(ends[others] - starts[others]):
            a, b = _ranges(rows, order, starts[others[rows]], ends[others[rows]])
            keep = a < b
            a, b = a[keep], b[keep]
            differ = hashes[a] ^ hashes[b]
            keep = np.bitwise_count(differ) <= distance
            for earlier in range(band):
                keep &= np.bitwise_count(_part(differ, earlier)) > most
            yield a[keep], b[keep]


def _part(hashes: Hashes, band: int) -> Ints:
    return ((hashes >> np.uint64(_BITS * band)) & np.uint64((1 << _BITS) - 1)).astype(np.int64)


def _masks(most: int) -> Iterator[int]:
    for bits in range(most + 1):
        for places in combinations(range(_BITS), bits):
            yield sum(1 << place for place in places)


def _cut(counts: Ints) -> Iterator[Ints]:
    """Yield runs of rows with about so many partners together."""
    rows = np.flatnonzero(counts)
    if len(rows):
        run = np.cumsum(counts[rows]) // _AT_ONCE
        yield from np.split(rows, np.flatnonzero(np.diff(run)) + 1)


def _ranges(rows: Ints, order: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Pair each row with what stands in `order` from its start to its end."""
    counts = ends - starts
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    return np.repeat(rows, counts), order[places]


def _expanded(order: Ints, starts: Ints, counts: Ints, a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Turn pairs of different hashes into those of the rows that have them."""
    pair, left = _ranges(np.arange(len(a)), order, starts[a], starts[a] + counts[a])
    of_pair, right = _ranges(np.arange(len(pair)), order, starts[b[pair]], starts[b[pair]] + counts[b[pair]])
    return left[of_pair], right
