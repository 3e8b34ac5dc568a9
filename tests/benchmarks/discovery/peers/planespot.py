"""PlaneSpot: a Gaussian mixture on a 2-D map beside the model's confidence.

Source: Plumb, Johnson, Cabrera and Talwalkar, "Towards a more rigorous science of blindspot discovery in image
classification models", TMLR 2023. The map is scaled to the unit square, the probability of the true class is appended
with a small weight, a mixture with full covariances is fitted with its number of components chosen by BIC, and
components are ranked by their number of errors times their error rate. The paper's map is scvis, which needs
TensorFlow 1; UMAP, t-SNE and PCA stand in for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.discovery.peers._common import Doubles, propose_clusters, rank_clusters
from tests.benchmarks.discovery.peers._gaussians import Gaussians, fit_gaussians
from tests.benchmarks.discovery.peers.layout import layout, place
from tests.benchmarks.discovery.setting import Floats, Proposed, Setting

GRID: list[dict[str, Any]] = [
    {"weight": weight, "method": method}
    for method in ("umap", "tsne", "pca")
    for weight in (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
]

FEWEST, MOST = 10, 32
"""Numbers of components that BIC chooses among."""


def propose(setting: Setting, *, weight: float = 0.025, method: str = "umap") -> Proposed:
    """Propose the components that fail most.

    Parameters
    ----------
    setting
        Where to search.
    weight
        Of the confidence beside the two map axes, which run from 0 to 1.
    method
        The map's.
    """
    points = layout(setting, method)
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)

    def features(of: Setting, at: Floats) -> Doubles:
        return np.column_stack([(at - low) / span, weight * of.label_probabilities]).astype(np.float64)

    known = features(setting, points)
    model = _best_mixture(known, setting.seed)
    scores = model.shares(known)
    assigned = scores.argmax(axis=1)
    new = setting.new
    return propose_clusters(
        assigned,
        rank_clusters(assigned, 1 - setting.label_probabilities, "mass"),
        scores,
        None if new is None else model.shares(features(new, place(setting, new, method))),
    )


def _best_mixture(features: Doubles, seed: int) -> Gaussians:
    most = min(MOST, len(features) // 2)
    models = [fit_gaussians(features, k, seed) for k in range(min(FEWEST, most), most + 1)]
    return min(models, key=lambda model: model.bic(features))
