"""The peers find one failing cluster that stands apart, as far as each of them can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples
from sklearn.mixture import GaussianMixture

from tests.benchmarks.discovery import cache
from tests.benchmarks.discovery.metrics import best_f1
from tests.benchmarks.discovery.peers import PEERS, george, oracle, spotlight
from tests.benchmarks.discovery.peers._common import MAX_SLICES
from tests.benchmarks.discovery.peers._gaussians import fit_gaussians
from tests.benchmarks.discovery.peers.layout import layout, place
from tests.benchmarks.discovery.setting import Floats, Proposed, Setting

N, N_BAD, N_CLUSTERS, DIMS = 900, 120, 8, 12

CHOSEN: dict[str, tuple[dict[str, Any], float]] = {
    "domino": ({"gamma": 10, "n_components": 25}, 0.6),  # splits a cluster over components
    "planespot": ({"weight": 0.025, "method": "pca"}, 0.9),
    "spotlight": ({"size": 0.05, "learning_rate": 0.01}, 0.8),  # balls are smaller than the cluster
    "barlow": ({"depth": 3, "by": "all"}, 0.9),  # boxes along the axes
    "george": ({"factor": 5, "by": "rate"}, 0.9),
    "kmeans": ({"k": 10, "by": "rate"}, 0.9),
    "hdbscan": ({"min_cluster_size": 25, "by": "rate"}, 0.9),
    "cleanlab": ({"clustering": "kmeans", "k": None}, 0.9),
    "confusion": ({}, 0.9),  # the failures, wherever they lie
}
"""Parameters of the grid, and the F1 score that the method reaches with them at least."""


def easy(seed: int, n: int = N, n_bad: int = N_BAD) -> Setting:
    """Eight clusters of both labels; another one of label 1, 9 in 10 of which fail."""
    rng = np.random.default_rng([seed, n])
    centres = np.random.default_rng(7).normal(0, 3, (N_CLUSTERS + 1, DIMS))
    bad = np.arange(n) < n_bad
    cluster = np.where(bad, N_CLUSTERS, rng.integers(0, N_CLUSTERS, n))
    embeddings = centres[cluster] + rng.normal(0, 1, (n, DIMS))
    labels = np.where(bad, 1, cluster % 2).astype(np.int64)
    failures = rng.random(n) < np.where(bad, 0.9, 0.02)
    predictions = np.where(failures, 1 - labels, labels)
    confidences = rng.uniform(0.6, 1, n)
    probabilities = np.column_stack([np.where(predictions == label, confidences, 1 - confidences) for label in (0, 1)])
    return Setting(
        name="easy",
        seed=seed,
        embeddings=embeddings.astype(np.float32),
        failures=failures,
        labels=labels,
        predictions=predictions,
        probabilities=probabilities.astype(np.float32),
        slices=(bad,),
    )


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLICELAB_BENCH", str(tmp_path_factory.mktemp("bench")))
        yield


@pytest.fixture(scope="module")
def setting() -> Setting:
    return replace(easy(0), new=easy(1, 450, 60))


def check(proposed: Proposed, setting: Setting) -> None:
    k = len(proposed.members)
    assert 1 <= k <= MAX_SLICES
    assert all(mask.shape == (len(setting),) and mask.dtype == bool and mask.any() for mask in proposed.members)
    for scores, n in ((proposed.scores, len(setting)), (proposed.new_scores, 450)):
        assert scores is None or (scores.shape == (n, k) and scores.dtype == np.float32 and np.isfinite(scores).all())
    assert proposed.confirmed is None or len(proposed.confirmed) == k


def leads(scores: Floats | None, setting: Setting) -> bool:
    """Whether the first 10 unseen units of one slice are nearly all of the true one."""
    assert scores is not None
    assert setting.new is not None
    first = np.argsort(-scores, axis=0, kind="stable")[:10]
    return bool(setting.new.slices[0][first].mean(axis=0).max() >= 0.9)


@pytest.mark.parametrize("name", PEERS)
def test_peer_finds_the_cluster_and_repeats_itself(name: str, setting: Setting) -> None:
    propose, grid = PEERS[name]
    parameters, least = CHOSEN[name]
    assert parameters in grid
    fewer = {"n_slices": 3} if name == "spotlight" else {}
    proposed, again = (propose(setting, **parameters, **fewer) for _ in range(2))
    check(proposed, setting)
    assert best_f1(proposed.members, setting.slices[0]) >= least
    if name not in ("barlow", "confusion"):  # they score the failures, or all of a leaf alike
        assert leads(proposed.new_scores, setting)
    np.testing.assert_array_equal(np.array(proposed.members), np.array(again.members))
    np.testing.assert_array_equal(proposed.scores, again.scores)
    np.testing.assert_array_equal(proposed.new_scores, again.new_scores)


@pytest.mark.parametrize("name", sorted(set(PEERS) - {"spotlight"}))
def test_grid_runs_where_one_class_was_judged(name: str) -> None:
    whole = easy(2, 300, 60)
    positive = whole.labels == 1
    columns = ("embeddings", "failures", "labels", "predictions", "probabilities")
    setting = replace(whole, slices=(), **{key: getattr(whole, key)[positive] for key in columns})
    propose, grid = PEERS[name]
    for parameters in grid[:: 6 if name == "planespot" else 1]:  # every map once
        assert len(propose(setting, **parameters).members) <= MAX_SLICES


def test_names_of_peers() -> None:
    assert CHOSEN.keys() == PEERS.keys()
    assert all(grid for _, grid in PEERS.values())


def test_confusion_is_the_cell_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 2])
    predictions = np.array([0, 1, 0, 0, 1, 2])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.2, 0.3], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]],
        np.float32,
    )
    setting = Setting(
        "hand", 0, np.zeros((6, 2), np.float32), labels != predictions, labels, predictions, probabilities
    )
    proposed = PEERS["confusion"][0](setting)
    assert [mask.nonzero()[0].tolist() for mask in proposed.members] == [[2, 3], [1]]
    np.testing.assert_allclose(
        proposed.scores, np.array([[0, 0, 0.5, 0.7, 0.1, 0], [0.1, 0.6, 0, 0, 0, 0]]).T, atol=1e-7
    )


def test_oracle_knows_the_cluster(setting: Setting) -> None:
    proposed = oracle.propose(setting)
    check(proposed, setting)
    assert best_f1(proposed.members, setting.slices[0]) >= 0.95
    assert not (proposed.members[0] & (setting.labels == 0)).any()
    assert proposed.new_scores is not None
    assert setting.new is not None
    assert best_f1(tuple((proposed.new_scores > 0.5).T), setting.new.slices[0]) >= 0.95


def test_oracle_of_a_slice_of_one_unit_finds_nothing(setting: Setting) -> None:
    proposed = oracle.propose(replace(setting, slices=(np.arange(N) == 5,), new=None))
    assert not proposed.members[0].any()


def test_map_is_kept(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    first = layout(setting, "umap")
    assert first.shape == (N, 2)
    monkeypatch.setattr("tests.benchmarks.discovery.peers.layout._make", None)
    np.testing.assert_array_equal(layout(setting, "umap"), first)
    assert list((cache.folder() / "layouts").glob("easy-0-*.npy"))
    with pytest.raises(TypeError):
        layout(setting, "umap", n_neighbors=20)


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_units_are_placed_on_themselves(method: str, setting: Setting) -> None:
    np.testing.assert_allclose(place(setting, setting, method), layout(setting, method), atol=0.05)


def test_gaussians_are_those_of_sklearn() -> None:
    points = np.random.default_rng(0).normal(size=(300, 3)) + np.repeat(np.eye(3) * 4, 100, axis=0)
    ours, theirs = fit_gaussians(points, 5, 0), GaussianMixture(5, random_state=0).fit(points)
    np.testing.assert_allclose(ours.shares(points), theirs.predict_proba(points), atol=1e-6)
    assert ours.bic(points) == pytest.approx(theirs.bic(points))


def test_silhouettes_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(60, 2)).astype(np.float32), rng.integers(0, 4, 60)
    labels[0] = 4  # a cluster of one
    np.testing.assert_allclose(george.silhouettes(points, labels, 5, 0), silhouette_samples(points, labels), atol=1e-4)


def test_spotlight_climbs_the_slope_it_computes() -> None:
    rng = np.random.default_rng(0)
    points, losses = rng.normal(size=(200, 4)), rng.random(200)
    squares = (points**2).sum(axis=1)
    ball = np.append(rng.normal(0, 0.1, 4), np.log(0.1))

    def objective(at: np.ndarray) -> float:
        weights = np.maximum(1 - np.exp(at[-1]) * ((points - at[:-1]) ** 2).sum(axis=1), 0)
        lack = max(150 + 20 - weights.sum(), 0)
        return float(spotlight.BARRIER_SCALE * lack**2 / 20**2 - weights @ losses / weights.sum())

    steps = np.eye(5) * 1e-5
    slope = [(objective(ball + step) - objective(ball - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(spotlight._gradient(points, squares, losses, ball, 150, 20), slope, rtol=1e-4)
