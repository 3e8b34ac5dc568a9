"""Barlow: a shallow decision tree on feature values that tells failures from successes.

Source: Singla, Nushi, Shah, Kamar and Horvitz, "Understanding failures of deep networks via robust feature
extraction", CVPR 2021. The 128 features with the most mutual information on failure are kept, an entropy tree is grown
on them with failures weighted by successes per failure, and leaves are ranked by error rate times error coverage. The
paper grows one tree per class label or predicted class (`by`); its features come from a robust model, here they are
the embedding's axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_selection import mutual_info_classif
from sklearn.tree import DecisionTreeClassifier

from tests.benchmarks.discovery.peers._common import MAX_SLICES, Ints, stack
from tests.benchmarks.discovery.setting import Floats, Mask, Proposed, Setting

GRID: list[dict[str, Any]] = [{"depth": depth, "by": by} for by in ("all", "label", "prediction") for depth in (3, 5)]

MAX_FEATURES = 128


def propose(setting: Setting, *, depth: int = 3, by: str = "all") -> Proposed:
    """Propose the leaves with failures.

    Parameters
    ----------
    setting
        Where to search.
    depth
        Of every tree.
    by
        One tree for "all" units, or one per "label" or "prediction".
    """
    found: list[tuple[float, Mask, Mask | None]] = []
    groups, new_groups = _groups(setting, by), None if setting.new is None else _groups(setting.new, by)
    for group in np.unique(groups):
        new_rows = None if new_groups is None else new_groups == group
        found += _leaves(setting, groups == group, new_rows, depth)
    found = sorted(found, key=lambda leaf: -leaf[0])[:MAX_SLICES]
    new_masks = [leaf[2] for leaf in found if leaf[2] is not None]
    return Proposed(
        members=tuple(leaf[1] for leaf in found),
        new_scores=None if setting.new is None else stack(new_masks, len(setting.new)),
    )


def _groups(setting: Setting, by: str) -> Ints:
    return {"all": np.zeros_like(setting.labels), "label": setting.labels, "prediction": setting.predictions}[by]


def _leaves(setting: Setting, rows: Mask, new_rows: Mask | None, depth: int) -> list[tuple[float, Mask, Mask | None]]:
    """Grow one tree; return importance, members and new members of every leaf with failures."""
    failed = setting.failures[rows]
    if not failed.any():
        return []
    features = _informative(setting.embeddings[rows], failed, setting.seed)
    tree = DecisionTreeClassifier(
        criterion="entropy",
        max_depth=depth,
        class_weight={False: 1.0, True: max(1, (~failed).sum()) / failed.sum()},
        random_state=setting.seed,
    ).fit(setting.embeddings[rows][:, features], failed)

    def fallen(of: Setting, inside: Mask) -> Ints:
        at = np.full(len(of), -1, np.int64)
        if inside.any():
            at[inside] = tree.apply(of.embeddings[inside][:, features])
        return at

    at = fallen(setting, rows)
    new_at = None if setting.new is None or new_rows is None else fallen(setting.new, new_rows)
    found: list[tuple[float, Mask, Mask | None]] = []
    for leaf in np.unique(at[rows & setting.failures]):
        mask = at == leaf
        rate = setting.failures[mask].mean()
        coverage = setting.failures[mask].sum() / setting.failures.sum()
        found.append((float(rate * coverage), mask, None if new_at is None else new_at == leaf))
    return found


def _informative(embeddings: Floats, failed: Mask, seed: int) -> Ints:
    """Columns with the most mutual information on failure."""
    if embeddings.shape[1] <= MAX_FEATURES:
        return np.arange(embeddings.shape[1])
    information = mutual_info_classif(embeddings, failed, random_state=seed)
    return np.argsort(-information, kind="stable")[:MAX_FEATURES]
