"""Where a group ends: a tree cuts raggedly, so the cut is made anew through the neighbourhood of the group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slicelab.discovery._landscape import Landscape, jaccard

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEPS = 4
SMALLEST, LARGEST = 2 / 3, 3 / 2
"""A group may become that much smaller or larger."""
SCATTERED = 0.5
"""A group that shares less with what is cut anew has no neighbourhood of its own, and stays as it is."""


def with_edges(
    landscape: Landscape, exact: Sequence[Mask], failures: FloatArray, weights: FloatArray | None = None
) -> list[tuple[Mask, FloatArray]]:
    """Cut groups anew where units stop failing like them.

    Units are ordered by their vote: the share of the group at the end of a random walk of four steps along the 15
    nearest neighbours. So the vectors alone say who may come in, or go, before whom; failures only choose where to cut:
    where most units lie on the right side of halfway between the group's failure rate and the population's.

    Parameters
    ----------
    landscape
        Of the population.
    exact
        bool (m,) each, of the landmarks, best first.
    failures, weights
        As `find`.

    Returns
    -------
    Members, bool (n,), and votes, float64 (n,) in [0, 1], of each: of all units. Of two groups the first keeps the
    units of both; a group may be left without members.
    """
    means, totals = landscape.gather(failures, weights)
    failed = means * totals
    base_rate = float(failed.sum() / totals.sum()) if totals.any() else 0.0
    taken = np.zeros(len(totals), bool)
    groups = []
    for mask in exact:
        vote = _walk(landscape, mask)
        inside = _cut(vote, mask, landscape.counts, totals, failed, base_rate)
        if jaccard(inside, mask) < SCATTERED:
            inside = mask
        inside = inside & ~taken
        taken |= inside
        groups.append((landscape.spread(inside), landscape.spread(vote)))
    return groups


def _walk(landscape: Landscape, mask: Mask) -> FloatArray:
    share = mask.astype(np.float64)
    for _ in range(STEPS):
        share = share[landscape.neighbours].mean(axis=1)
    return share


def _cut(
    vote: FloatArray, mask: Mask, counts: FloatArray, totals: FloatArray, failed: FloatArray, base_rate: float
) -> Mask:
    """Return the units above the vote at which the failures, less what halfway would give, are most."""
    size = float(totals[mask].sum())
    if not size:
        return mask
    halfway = (float(failed[mask].sum()) / size + base_rate) / 2
    order = np.argsort(-vote, kind="stable")
    level = vote[order]
    last = np.append(level[1:] < level[:-1], True)  # equal votes stay together
    units = np.cumsum(counts[order]) / counts[mask].sum()
    ends = np.flatnonzero(last & (level > 0) & (units >= SMALLEST) & (units <= LARGEST))
    if not len(ends):
        return mask
    excess = np.cumsum((failed - halfway * totals)[order])[ends]
    inside: Mask = vote >= level[ends[excess.argmax()]]
    return inside
