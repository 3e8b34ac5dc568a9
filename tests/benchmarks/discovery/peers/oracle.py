"""The supervised ceiling: what a linear boundary in the embedding reaches when the true slices are its labels.

Searching can pass it where slices are curved, lie in parts, or hold few units for the number of dimensions: a linear
boundary, fitted out of fold, is then not the ceiling. Not a peer, so not among PEERS.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.discovery.setting import Floats, Mask, Proposed, Setting

FOLDS = 5
CLASS_SHARE = 0.05
"""A slice lives in the classes that hold at least this share of it."""


def propose(setting: Setting) -> Proposed:
    """Propose, for every true slice, the units that logistic regression puts into it out of fold."""
    scores = np.zeros((len(setting), len(setting.slices)), np.float32)
    new_scores = None if setting.new is None else np.zeros((len(setting.new), len(setting.slices)), np.float32)
    for column, truth in enumerate(setting.slices):
        home = _home(setting, truth)
        rows = np.isin(setting.labels, home)
        scores[rows, column] = _out_of_fold(setting.embeddings[rows], truth[rows], setting.seed)
        if setting.new is not None and new_scores is not None:
            new_rows = np.isin(setting.new.labels, home)
            new_scores[new_rows, column] = _unseen(
                setting.embeddings[rows], truth[rows], setting.new.embeddings[new_rows]
            )
    return Proposed(members=tuple((scores > 0.5).T), scores=scores, new_scores=new_scores)


def _home(setting: Setting, truth: Mask) -> list[int]:
    """Classes in which a slice lives."""
    inside = np.bincount(setting.labels[truth], minlength=setting.probabilities.shape[1])
    return np.flatnonzero(inside >= max(1, CLASS_SHARE * truth.sum())).tolist()


def _model() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def _out_of_fold(embeddings: Floats, truth: Mask, seed: int) -> Floats:
    rarest = min(truth.sum(), (~truth).sum())
    if rarest < 2:
        return truth.astype(np.float32) if truth.all() else np.zeros(len(truth), np.float32)
    folds = StratifiedKFold(min(FOLDS, int(rarest)), shuffle=True, random_state=seed)
    return cross_val_predict(_model(), embeddings, truth, cv=folds, method="predict_proba")[:, 1].astype(np.float32)


def _unseen(embeddings: Floats, truth: Mask, new: Floats) -> Floats:
    if truth.all() or not truth.any() or not len(new):
        return np.full(len(new), truth.all(), np.float32)
    return _model().fit(embeddings, truth).predict_proba(new)[:, 1].astype(np.float32)
