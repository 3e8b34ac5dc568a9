"""k-means on the embeddings, clusters ranked by their failures: the plainest baseline.

Source: the baseline of most slice-discovery papers, among them Eyuboglu et al. (Domino, ICLR 2022) and Wang et al.
(InfEmbed, NeurIPS 2023, on influence embeddings).
"""

from __future__ import annotations

from typing import Any

from sklearn.cluster import KMeans

from tests.benchmarks.discovery.peers._common import propose_clusters, rank_clusters
from tests.benchmarks.discovery.setting import Proposed, Setting

GRID: list[dict[str, Any]] = [{"k": k, "by": by} for k in (10, 25, 50) for by in ("rate", "mass")]


def propose(setting: Setting, *, k: int = 25, by: str = "rate") -> Proposed:
    """Propose the clusters that fail most; a unit's score is minus its distance to the centre.

    Parameters
    ----------
    setting
        Where to search.
    k
        Number of clusters.
    by
        What ranks them, as in `rank_clusters`.
    """
    model = KMeans(min(k, len(setting)), n_init=3, random_state=setting.seed).fit(setting.embeddings)
    assigned = model.labels_.astype("int64")
    new = setting.new
    return propose_clusters(
        assigned,
        rank_clusters(assigned, setting.failures, by),
        -model.transform(setting.embeddings),
        None if new is None else -model.transform(new.embeddings),
    )
