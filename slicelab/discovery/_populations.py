"""Which units are compared with which, in which order, and which half they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT
from slicelab.discovery._project import FloatMatrix

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]

LANDMARKS = 30_000
"""Of more units than this in all, a random part stands for all of them."""
FEWEST_LANDMARKS = 1_000
MIN_UNITS = 60
MIN_FAILURES = 5


def class_codes(classes: Objects | None, n: int) -> IntArray:
    """Return the number of every row's class, by name from 0 (int64 (n,)); all 0 where there are no classes."""
    if classes is None:
        return np.zeros(n, np.int64)
    names = pd.Series(classes, dtype=object).fillna("").astype(TEXT)
    return pd.factorize(names, sort=True)[0].astype(np.int64)


def group_codes(groups: Objects) -> IntArray:
    """Return the number of every row's group, int64 (n,); a missing value is a group of its own."""
    codes = pd.factorize(pd.Series(groups, dtype=object), sort=False)[0].astype(np.int64)
    missing = np.flatnonzero(codes < 0)
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(len(missing))
    return codes


def group_ranks(groups: Objects) -> IntArray:
    """Return the place of every row's group among all by name, int64 (n,): the same in whatever order rows come.

    A missing value is a group of its own, after the others.
    """
    codes = group_codes(groups)
    _, first = np.unique(codes, return_index=True)
    names = [("~", "") if pd.isna(groups[i]) else (type(groups[i]).__name__, str(groups[i])) for i in first]
    ranks = np.empty(len(first), np.int64)
    ranks[sorted(range(len(first)), key=lambda i: names[i])] = np.arange(len(first))
    return ranks[codes]


def canonical_order(vectors: FloatMatrix, failures: FloatArray, codes: IntArray) -> tuple[IntArray, IntArray]:
    """Order rows by their content, so that the same rows in another order give the same slices.

    Returns
    -------
    order, int64 (n,); and fingerprints int64 (n,) of the vectors, rows as given: duplicates share one.
    """
    prints = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little", signed=True)
            for row in vectors
        ),
        np.int64,
        len(vectors),
    )
    return np.lexsort((codes, failures, prints)), prints


def tied(groups: IntArray, prints: IntArray) -> IntArray:
    """Join groups that share a vector, int64 (n,): rows that are of one group, or alike, have one number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(groups):
        return groups
    of = np.unique(groups, return_inverse=True)[1]
    alike = np.unique(prints, return_inverse=True)[1] + int(of.max()) + 1
    count = int(alike.max()) + 1
    graph = coo_array((np.ones(len(of)), (of, alike)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][of], np.int64)


def halves(groups: IntArray, random_state: int) -> IntArray:
    """Deal units to two halves, int64 (n,) of 0 and 1; units of one group stay together."""
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max(initial=-1)) + 1
    side = np.random.default_rng(random_state).permutation(count) % 2
    return np.asarray(side[codes], np.int64)


def populations(codes: IntArray, failures: FloatArray) -> list[IntArray]:
    """Return the rows of each class that is large enough, and of all the small ones together.

    Large enough are 60 units, of which 5 and not all fail.
    """
    groups = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    large = [rows for rows in groups if searchable(failures[rows])]
    small = [rows for rows in groups if not searchable(failures[rows])]
    if len(small) > 1 and searchable(failures[pooled := np.sort(np.concatenate(small))]):
        large.append(pooled)
    return large


def landmark_limits(sizes: Sequence[int]) -> list[int]:
    """Share the landmarks out among populations of these sizes, in proportion; none gets fewer than 1,000."""
    total = sum(sizes)
    if total <= LANDMARKS:
        return list(sizes)
    return [max(FEWEST_LANDMARKS, size * LANDMARKS // total) for size in sizes]


def searchable(failures: FloatArray) -> bool:
    """Tell whether a population has enough units and failures to look for slices."""
    return len(failures) >= MIN_UNITS and MIN_FAILURES <= failures.sum() < len(failures)
