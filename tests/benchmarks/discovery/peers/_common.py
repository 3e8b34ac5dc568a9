"""What the peers share: ranking clusters and turning them into proposed slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tests.benchmarks.discovery.setting import Floats, Mask, Proposed

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

MAX_SLICES = 10


def one_hot(values: Ints, n_classes: int) -> Doubles:
    """Float64 (n, n_classes) with a one in the column of every value."""
    return np.eye(n_classes)[values]


def rank_clusters(assigned: Ints, badness: npt.ArrayLike, by: str = "rate") -> list[int]:
    """Order clusters worst first.

    Parameters
    ----------
    assigned
        Cluster of every unit; negative: in none.
    badness
        (n,), the higher the worse: failures, or 1 - probability of the label.
    by
        "rate": mean badness; "mass": sum of badness times its mean, which asks for size too.

    Returns
    -------
    Cluster numbers. Ties go to the larger cluster, then to the lower number.
    """
    inside = assigned >= 0
    sizes = np.bincount(assigned[inside])
    totals = np.bincount(assigned[inside], weights=np.asarray(badness, np.float64)[inside])
    rates = totals / np.maximum(sizes, 1)
    order = np.lexsort((-sizes, -(rates * totals if by == "mass" else rates)))
    return [int(cluster) for cluster in order if sizes[cluster]]


def propose_clusters(
    assigned: Ints, order: Sequence[int], scores: npt.ArrayLike, new_scores: npt.ArrayLike | None
) -> Proposed:
    """Propose the first clusters of an order.

    Parameters
    ----------
    assigned
        Cluster of every unit: the hard slices.
    order
        Cluster numbers, best slice first; clusters without units are left out.
    scores, new_scores
        (n, clusters) and (n_new, clusters), a column per cluster number.
    """
    kept = [cluster for cluster in order if (assigned == cluster).any()][:MAX_SLICES]
    return Proposed(
        members=tuple(assigned == cluster for cluster in kept),
        scores=columns(scores, kept),
        new_scores=None if new_scores is None else columns(new_scores, kept),
    )


def columns(scores: npt.ArrayLike, kept: Sequence[int]) -> Floats:
    """Take columns as float32."""
    return np.asarray(scores, np.float32)[:, list(kept)]


def stack(masks: Sequence[Mask], n: int) -> Floats:
    """Float32 (n, k) of k masks over n units; k may be 0."""
    return np.array(masks, np.float32).reshape(len(masks), n).T
