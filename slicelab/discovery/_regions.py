"""Regions of any form in which failures are dense: what clusters, made without a look at them, can't cut out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LEVELS = 24
HIGHEST, LOWEST = 0.002, 0.35
"""The shares of all units that lie above the highest and the lowest level."""
JOINED = 10
"""Nearest neighbours along which units join to a region."""
PRIOR = 2.0
"""A neighbourhood's failure rate is drawn towards the population's as if so many more units had that."""


def dense_regions(
    neighbours: IntArray, means: FloatArray, counts: FloatArray, *, least: float, most: float
) -> list[Mask]:
    """Find the connected regions whose units' neighbours fail more than a level, for a range of levels.

    Parameters
    ----------
    neighbours
        int64 (n, k): every unit's nearest, nearest first, without itself.
    means, counts
        float64 (n,): failure rate and number of the units that each stands for.
    least, most
        Regions of fewer or more units are left out.

    Returns
    -------
    bool (n,) each, those of the highest level first; within one level they don't overlap.

    Notes
    -----
    Components of the superlevel sets of a nearest-neighbour regression, as Hartigan (1975) defines the clusters of a
    density. The neighbours' failures make a region, so its own rate of failures is flattered.
    """
    failed = means * counts
    base, prior = failed.sum() / counts.sum(), PRIOR * counts.mean()
    around = (failed[neighbours].sum(axis=1) + prior * base) / (counts[neighbours].sum(axis=1) + prior)
    levels = np.unique(np.quantile(around, 1 - np.geomspace(HIGHEST, LOWEST, LEVELS)))[::-1]
    regions: list[Mask] = []
    for level in levels[levels > base]:
        regions += connected(neighbours, around >= level, counts, least=least, most=most)
    return regions


def connected(neighbours: IntArray, inside: Mask, counts: FloatArray, *, least: float, most: float) -> list[Mask]:
    """Return the parts of a group that hang together along nearest neighbours.

    Parameters
    ----------
    neighbours, counts, least, most
        As `dense_regions`.
    inside
        bool (n,): the group.

    Returns
    -------
    bool (n,) each.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    near = neighbours[:, :JOINED]
    n, k = near.shape
    here, there = np.repeat(np.arange(n), k), near.ravel()
    kept = inside[here] & inside[there]
    graph: Any = coo_array((np.ones(int(kept.sum())), (here[kept], there[kept])), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    sizes = np.bincount(part, weights=counts * inside)
    return [inside & (part == each) for each in np.flatnonzero((sizes >= least) & (sizes <= most))]
