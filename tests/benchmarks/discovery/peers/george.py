"""GEORGE: subclasses of every class from a mixture on its own map, ranked by loss.

Source: Sohoni, Dunnmon, Angus, Gu and Ré, "No subclass left behind: fine-grained robustness in coarse-grained
classification problems", NeurIPS 2020. Every class is mapped by UMAP (2-D, 10 neighbours, min_dist 0); a Gaussian
mixture's number of components is chosen by the mean silhouette; a second mixture has several times as many, and one of
its components becomes a subclass of its own if it is large enough and both its silhouette and its loss are higher than
what it had in the coarse clustering. The paper goes on to train on the subclasses; here they are ranked by mean loss,
as Eyuboglu et al. (2022) do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.discovery.peers._common import Doubles, Ints, propose_clusters, rank_clusters
from tests.benchmarks.discovery.peers._gaussians import Gaussians, fit_gaussians
from tests.benchmarks.discovery.peers.layout import layout, place
from tests.benchmarks.discovery.setting import Floats, Mask, Proposed, Setting

GRID: list[dict[str, Any]] = [{"factor": factor, "by": by} for factor in (3, 5, 10) for by in ("rate", "mass")]

N_NEIGHBORS = 10
MOST_COMPONENTS = 10
SMALLEST_SHARE, SMALLEST = 0.005, 25
REFERENCES = 4000
"""Silhouettes of larger classes are measured against this many of their units."""


@dataclass(frozen=True, eq=False)
class _Subclasses:
    """A coarse mixture, a fine one, and which fine components became subclasses of their own (ascending)."""

    coarse: Gaussians
    fine: Gaussians
    own: list[int]

    def shares(self, points: Floats) -> Doubles:
        """(n, coarse components + own components): soft subclasses, rows sum to 1."""
        fine = self.fine.shares(points)[:, self.own]
        coarse = self.coarse.shares(points) * (1 - fine.sum(axis=1, keepdims=True))
        return np.column_stack([coarse, fine])


def propose(setting: Setting, *, factor: int = 5, by: str = "rate") -> Proposed:
    """Propose the subclasses with the highest loss, over all classes.

    Parameters
    ----------
    setting
        Where to search.
    factor
        How many times more components the fine mixture has.
    by
        What ranks subclasses, as in `rank_clusters`.
    """
    losses = -np.log(np.maximum(setting.label_probabilities.astype(np.float64), 1e-6))
    assigned = np.full(len(setting), -1, np.int64)
    scores: list[Doubles] = []
    new_scores: list[Doubles] = []
    for label in np.unique(setting.labels):
        rows = setting.labels == label
        if rows.sum() < SMALLEST:
            continue
        points = layout(setting, "umap", n_neighbors=N_NEIGHBORS, rows=rows)
        subclasses = _fit(points, losses[rows], factor, setting.seed)
        shares = subclasses.shares(points)
        assigned[rows] = sum(part.shape[1] for part in scores) + shares.argmax(axis=1)
        scores.append(_spread(shares, rows))
        if setting.new is not None:
            new_rows = setting.new.labels == label
            new_scores.append(_spread(_place(setting, setting.new, rows, new_rows, subclasses), new_rows))
    return propose_clusters(
        assigned,
        rank_clusters(assigned, losses, by),
        np.column_stack([np.zeros((len(setting), 0)), *scores]),
        None if setting.new is None else np.column_stack([np.zeros((len(setting.new), 0)), *new_scores]),
    )


def _spread(shares: Doubles, rows: Mask) -> Doubles:
    """Rows of one class among all units; the others have 0."""
    spread = np.zeros((len(rows), shares.shape[1]))
    spread[rows] = shares
    return spread


def _place(setting: Setting, new: Setting, rows: Mask, new_rows: Mask, subclasses: _Subclasses) -> Doubles:
    width = subclasses.coarse.n_components + len(subclasses.own)
    if not new_rows.any():
        return np.zeros((0, width))
    return subclasses.shares(place(setting, new, "umap", n_neighbors=N_NEIGHBORS, rows=rows, new_rows=new_rows))


def _fit(points: Floats, losses: Doubles, factor: int, seed: int) -> _Subclasses:
    """Find the subclasses of one class."""
    n = len(points)
    fits = [_cluster(points, k, seed) for k in range(2, min(MOST_COMPONENTS, n // 5) + 1)]
    coarse, labels, inner = max(fits, key=lambda fit: float(fit[2].mean()))
    fine, fine_labels, fine_inner = _cluster(points, min(factor * coarse.n_components, n // 5), seed)
    own = []
    for component in range(fine.n_components):
        inside = fine_labels == component
        if inside.sum() < max(SMALLEST_SHARE * n, SMALLEST):
            continue
        parent = labels == np.bincount(labels[inside]).argmax()
        if losses[inside].mean() > losses[parent].mean() and fine_inner[inside].mean() > inner[inside].mean():
            own.append(component)
    return _Subclasses(coarse, fine, own)


def _cluster(points: Floats, k: int, seed: int) -> tuple[Gaussians, Ints, Doubles]:
    """Fit a mixture; return it with its hard labels and the silhouette of every unit."""
    model = fit_gaussians(points, k, seed)
    labels = model.shares(points).argmax(axis=1)
    return model, labels, silhouettes(points, labels, k, seed)


def silhouettes(points: Floats, labels: Ints, k: int, seed: int) -> Doubles:
    """Silhouette of every unit, against at most 4,000 of them; 0 in clusters of one and where there is one cluster."""
    n = len(points)
    references = np.arange(n)
    if n > REFERENCES:
        references = np.sort(np.random.default_rng(seed).choice(n, REFERENCES, replace=False))
    chosen = np.eye(k, dtype=np.float32)[labels[references]]
    sizes = chosen.sum(axis=0)
    distances = np.sqrt(np.maximum(_squares(points, points[references]), 0)) @ chosen
    own = np.arange(n), labels
    others = sizes[labels] - np.isin(np.arange(n), references)
    within = distances[own] / np.maximum(others, 1)
    means = np.where(sizes > 0, distances / np.maximum(sizes, 1), np.inf)
    means[own] = np.inf
    beside = means.min(axis=1)
    valid = (others > 0) & np.isfinite(beside)
    widths = np.zeros(n)
    widths[valid] = (beside - within)[valid] / np.maximum(np.maximum(beside, within)[valid], 1e-12)
    return widths


def _squares(points: Floats, references: Floats) -> Floats:
    centre = points.mean(axis=0)
    a, b = points - centre, references - centre
    return (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
