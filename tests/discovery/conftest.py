"""Data whose failing groups are known, and what discovery finds in it: searched once for all tests."""

from types import SimpleNamespace

import numpy as np
import pytest

from slicelab.discovery import discover

WEAK = (2, 7)


@pytest.fixture(scope="session")
def planted():
    """Two classes of five clusters each; one cluster of each class fails at 60 %, the rest at 4 %."""
    rng = np.random.default_rng(0)
    per_class, groups, dims = 300, 5, 16
    centres = rng.normal(size=(2 * groups, dims)) * 4
    labels = np.repeat(["cat", "dog"], per_class)
    cluster = np.concatenate([rng.integers(0, groups, per_class), groups + rng.integers(0, groups, per_class)])
    embeddings = centres[cluster] + rng.normal(size=(2 * per_class, dims))
    failures = rng.random(2 * per_class) < np.where(np.isin(cluster, WEAK), 0.6, 0.04)
    return SimpleNamespace(
        embeddings=embeddings,
        failures=failures,
        labels=labels,
        predictions=np.where(failures, np.where(labels == "cat", "dog", "cat"), labels),
        cluster=cluster,
        centres=centres,
        weak=WEAK,
        ids=[f"u{i}" for i in range(len(labels))],
    )


@pytest.fixture(scope="session")
def found(planted):
    """What discovery finds in the planted data."""
    return discover(planted.embeddings, planted.failures, planted.labels, planted.predictions, ids=planted.ids)
