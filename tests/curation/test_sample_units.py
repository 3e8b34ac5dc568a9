"""Spending a budget: worst, random, stratified and diverse."""

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.curation import sample_units


def units(n=100):
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(n) < 0.9 * n, "common", np.where(np.arange(n) < 0.98 * n, "rare", "single"))
    index = pd.Index([f"u{i:03d}" for i in range(n)], name="unit")
    return pd.DataFrame({"priority": rng.permutation(n) / n, "label": labels}, index=index)


def test_worst_and_all():
    """The highest priorities, in order; no budget takes all."""
    frame = units()
    wanted = frame.sort_values("priority", ascending=False).index
    assert sample_units(frame, 7).tolist() == wanted[:7].tolist()
    assert sample_units(frame, None, sampling="all").tolist() == wanted.tolist()
    assert len(sample_units(frame, 1000, sampling="stratified")) == 100
    with pytest.raises(InvalidInputError, match="leave the limit of 5 out"):
        sample_units(frame, 5, sampling="all")


def test_stratified_shares_and_no_stratum_is_left_out():
    """20 of 100: 18, 2 and none by share, so the smallest takes one of the largest; the worst of each are taken."""
    frame = units()
    chosen = frame.loc[sample_units(frame, 20, sampling="stratified")]
    assert chosen["label"].value_counts().to_dict() == {"common": 17, "rare": 2, "single": 1}
    for label, mine in chosen.groupby("label"):
        assert mine["priority"].min() >= frame.loc[frame["label"] == label, "priority"].nlargest(len(mine)).min()
    assert chosen["priority"].is_monotonic_decreasing
    assert len(sample_units(frame.assign(label=[None] * 50 + ["a"] * 50), 3, sampling="stratified")) == 3
    with pytest.raises(InvalidInputError, match="no column 'line'"):
        sample_units(frame, 3, sampling="stratified", by="line")


def test_diverse_reaches_every_cluster():
    """Ten tight clusters, the most urgent units all in one of them: a budget of ten has one of nearly each."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(10), 30)
    vectors = (rng.normal(0, 100, (10, 8))[cluster] + rng.normal(0, 0.1, (300, 8))).astype(np.float32)
    index = pd.Index([f"u{i}" for i in range(300)], name="unit")
    frame = pd.DataFrame({"priority": np.where(cluster == 0, 1.0, 0.5), "label": "x"}, index=index)
    at = index.get_indexer(sample_units(frame, 10, sampling="diverse", vectors=vectors))
    assert len(set(cluster[at])) >= 9
    assert set(cluster[index.get_indexer(sample_units(frame, 10))]) == {0}
    same = np.zeros((300, 8), np.float32)
    assert len(set(sample_units(frame, 10, sampling="diverse", vectors=same))) == 10
    with pytest.raises(InvalidInputError, match="needs a vector"):
        sample_units(frame, 10, sampling="diverse")


def test_random_is_seeded():
    """The same seed gives the same units, another seed others."""
    frame = units()
    first = sample_units(frame, 10, sampling="random", seed=1).tolist()
    assert first == sample_units(frame, 10, sampling="random", seed=1).tolist()
    assert first != sample_units(frame, 10, sampling="random", seed=2).tolist()
