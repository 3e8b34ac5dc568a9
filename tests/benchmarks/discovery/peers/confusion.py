"""Confusion cells: the baseline that needs no embedding.

Source: the ConfusionSDM baseline of Eyuboglu et al., "Domino: discovering systematic errors with cross-modal
embeddings", ICLR 2022. One slice per cell of the confusion matrix, with the score 1[y = i] * p_j. Only cells off the
diagonal are proposed, the fullest first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.discovery.peers._common import MAX_SLICES, one_hot
from tests.benchmarks.discovery.setting import Floats, Proposed, Setting

GRID: list[dict[str, Any]] = [{}]


def propose(setting: Setting) -> Proposed:
    """Propose the cells of wrong predictions."""
    n_classes = setting.probabilities.shape[1]
    counts = one_hot(setting.labels, n_classes).T @ one_hot(setting.predictions, n_classes)
    np.fill_diagonal(counts, 0)
    fullest = np.argsort(-counts, axis=None, kind="stable")[:MAX_SLICES]
    cells = [(int(i), int(j)) for i, j in zip(*np.unravel_index(fullest, counts.shape), strict=True) if counts[i, j]]
    return Proposed(
        members=tuple((setting.labels == i) & (setting.predictions == j) for i, j in cells),
        scores=_scores(setting, cells),
        new_scores=None if setting.new is None else _scores(setting.new, cells),
    )


def _scores(setting: Setting, cells: list[tuple[int, int]]) -> Floats:
    scores = np.zeros((len(setting), len(cells)), np.float32)
    for column, (i, j) in enumerate(cells):
        scores[:, column] = (setting.labels == i) * setting.probabilities[:, j]
    return scores
