"""HDBSCAN on a 2-D UMAP map, leaf clusters ranked by their failures.

Source: Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates", PAKDD 2013,
with the leaf selection of McInnes, Healy and Astels (hdbscan, JOSS 2017). The combination with UMAP and an error
ranking is common practice rather than one paper's method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import HDBSCAN

from slicelab.discovery._project import nearest
from tests.benchmarks.discovery.peers._common import Doubles, Ints, propose_clusters, rank_clusters
from tests.benchmarks.discovery.peers.layout import layout, place
from tests.benchmarks.discovery.setting import Proposed, Setting

GRID: list[dict[str, Any]] = [
    {"min_cluster_size": size, "by": by} for size in (5, 10, 15, 25) for by in ("rate", "mass")
]


def propose(setting: Setting, *, min_cluster_size: int = 15, by: str = "rate") -> Proposed:
    """Propose the leaf clusters that fail most; a unit's score is its strength in the cluster.

    A new unit takes cluster and strength of the mapped unit next to it.

    Parameters
    ----------
    setting
        Where to search.
    min_cluster_size
        HDBSCAN's.
    by
        What ranks the clusters, as in `rank_clusters`.
    """
    points = layout(setting, "umap")
    model = HDBSCAN(min_cluster_size=min_cluster_size, cluster_selection_method="leaf", copy=True).fit(points)
    assigned = model.labels_.astype(np.int64)
    scores = _strengths(assigned, model.probabilities_)
    new_scores = None
    if setting.new is not None:
        beside, _ = nearest(points, 1, queries=place(setting, setting.new, "umap"))
        new_scores = scores[beside[:, 0]]
    return propose_clusters(assigned, rank_clusters(assigned, setting.failures, by), scores, new_scores)


def _strengths(assigned: Ints, strengths: Doubles) -> Doubles:
    """(n, clusters): the strength in the unit's own cluster, else 0."""
    inside = np.flatnonzero(assigned >= 0)
    scores = np.zeros((len(assigned), assigned.max() + 1))
    scores[inside, assigned[inside]] = strengths[inside]
    return scores
