"""Of very many units a part stands for all: what is found there is what is found on the whole."""

from __future__ import annotations

import numpy as np
import pytest

from slicelab.discovery import _populations, discover
from slicelab.discovery._landscape import Landscape
from slicelab.discovery._populations import landmark_limits


def planted(n: int, seed: int = 0):
    """Two classes of 12 clusters each; two clusters of either class fail often."""
    rng = np.random.default_rng(seed)
    labels, cluster = rng.integers(0, 2, n), rng.integers(0, 12, n)
    centres = rng.normal(size=(2, 12, 8)) * 4
    vectors = (centres[labels, cluster] + rng.normal(size=(n, 8))).astype(np.float32)
    failures = rng.random(n) < np.where(cluster < 2, 0.6, 0.05)
    return vectors, failures, labels, cluster


@pytest.fixture
def few_landmarks(monkeypatch):
    monkeypatch.setattr(_populations, "LANDMARKS", 1_000)
    monkeypatch.setattr(_populations, "FEWEST_LANDMARKS", 300)


def test_the_same_slices_as_on_the_whole(few_landmarks, monkeypatch) -> None:
    """A sixth of the units as landmarks: the four planted groups are found and confirmed, as they are on the whole."""
    vectors, failures, labels, cluster = planted(6_000)
    sampled = discover(vectors, failures, labels=labels)
    monkeypatch.setattr(_populations, "LANDMARKS", 6_000)
    whole = discover(vectors, failures, labels=labels)
    for found in (sampled, whole):
        assert [c.status for c in found] == ["confirmed"] * 4
        for label in (0, 1):
            for group in (0, 1):
                true = np.flatnonzero((labels == label) & (cluster == group))
                best = max(len(np.intersect1d(c.members, true)) / len(np.union1d(c.members, true)) for c in found)
                assert best > 0.9
    for candidate in sampled:
        assert candidate.failures == failures[candidate.members].sum()
        assert candidate.size == len(candidate.members) == (candidate.membership >= 0.5).sum()


def test_every_failure_counts_and_none_chooses_a_landmark(few_landmarks) -> None:
    """Landmarks are chosen without the failures, and stand for all units with all their failures."""
    vectors, failures, *_ = planted(3_000)
    landscape = Landscape(vectors, 0, 500)
    assert landscape.points.shape == (500, 8)
    np.testing.assert_array_equal(landscape.cells[landscape.landmarks], np.arange(500))
    distance = np.linalg.norm(vectors[:200, None] - landscape.points[None], axis=2)
    np.testing.assert_allclose(distance[np.arange(200), landscape.cells[:200]], distance.min(axis=1), rtol=1e-5)
    mean, weight = landscape.gather(failures.astype(float))
    assert weight.sum() == 3_000
    assert (mean * weight).sum() == pytest.approx(failures.sum())
    half = (np.arange(3_000) % 2).astype(float)
    mean, weight = landscape.gather(failures.astype(float), half)
    assert weight.sum() == 1_500
    assert (mean * weight).sum() == pytest.approx(failures[1::2].sum())


def test_rows_in_another_order_and_more_workers_give_the_same(few_landmarks) -> None:
    """The choice of landmarks hangs on the units, not on their order."""
    vectors, failures, labels, _ = planted(3_000, seed=1)
    order = np.random.default_rng(1).permutation(3_000)
    one = discover(vectors, failures, labels=labels)
    other = discover(vectors[order], failures[order], labels=labels[order], workers=2)
    assert [sorted(c.members) for c in one] == [sorted(order[c.members]) for c in other]


def test_the_tree_has_all_units(few_landmarks) -> None:
    """The parts of a slice are made of the units that their landmarks stand for, and lie above and below each other."""
    vectors, failures, labels, _ = planted(6_000)
    candidate = discover(vectors, failures, labels=labels)[0]
    parent = candidate.parent
    parts = parent.children
    assert sum(len(part.members) for part in parts) == len(parent.members)
    assert set(np.concatenate([part.members for part in parts])) == set(parent.members)
    assert len(np.intersect1d(candidate.members, parent.members)) > 0.8 * len(candidate.members)


def test_chance_confirms_nothing(few_landmarks) -> None:
    """Independent failures, with landmarks: ten sets, of which at most one has a confirmed slice."""
    confirmed = 0
    for seed in range(10):
        vectors, _, labels, _ = planted(2_400, seed=seed)
        failures = np.random.default_rng(100 + seed).random(2_400) < 0.1
        confirmed += any(c.status == "confirmed" for c in discover(vectors, failures, labels=labels))
    assert confirmed <= 1


def test_landmarks_are_shared_out_by_size() -> None:
    """All units while they are few; then in proportion, with at least a thousand each."""
    assert landmark_limits([10_000, 20_000]) == [10_000, 20_000]
    assert landmark_limits([40_000, 20_000]) == [20_000, 10_000]
    assert landmark_limits([900_000, 10_000]) == [29_670, 1_000]
