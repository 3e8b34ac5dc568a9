"""Labels that are probably wrong come first, whatever way they went wrong."""

from __future__ import annotations

import numpy as np
import pytest

from slicelab.core import InvalidInputError
from slicelab.evaluation import label_errors
from slicelab.evaluation._label_noise import calibrated, noise_rates, pooled

CLASSES = tuple("abcde")


def world(rng, n=4000, k=5, overlap=1.4):
    """Classes that overlap, with the exact probabilities, and vectors."""
    centres = np.eye(k) * 3
    truth = rng.integers(k, size=n)
    vectors = centres[truth] + rng.normal(scale=overlap, size=(n, k))
    distance = ((vectors[:, None] - centres) ** 2).sum(2) / (2 * overlap**2)
    p = np.exp(distance.min(1, keepdims=True) - distance)
    return truth, p / p.sum(1, keepdims=True), vectors


def two_views(rng, n=4000, k=5, overlaps=(2.0, 2.5)):
    """Classes that are equally frequent, seen by two models whose errors are independent given the class."""
    truth, said = rng.integers(k, size=n), []
    for overlap in overlaps:
        seen = np.eye(k)[truth] * 3 + rng.normal(scale=overlap, size=(n, k))
        odds = np.exp(3 * seen / overlap**2 - (3 * seen / overlap**2).max(1, keepdims=True))
        said.append(odds / odds.sum(1, keepdims=True))
    return truth, said


def average_precision(bad, score):
    hits = bad[np.argsort(-score, kind="stable")]
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()


def self_confidence(p, wrong):
    """cleanlab's ranking, as written in its documentation."""
    return 1 - p[np.arange(len(wrong)), wrong]


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_recovered(seed) -> None:
    """Where 6 % of one class are labelled as one other, that rate is found and no other is above 1 %."""
    rng = np.random.default_rng(seed)
    truth, p, _ = world(rng)
    wrong = truth.copy()
    rows = np.flatnonzero(truth == 1)
    wrong[rng.choice(rows, int(0.06 * len(rows)), replace=False)] = 3
    rates = noise_rates(calibrated(p, None, wrong), wrong)
    assert rates.sum(axis=1) == pytest.approx(1)
    assert 0.03 < rates[1, 3] < 0.09
    rates[1, 3] = 0
    np.fill_diagonal(rates, 0)
    assert rates.max() < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_clean_labels_have_no_noise(seed) -> None:
    """Probabilities that are right about clean labels leave next to nothing to errors."""
    truth, p, _ = world(np.random.default_rng(seed))
    rates = noise_rates(calibrated(p, None, truth), truth)
    assert np.diag(rates).min() > 0.98


@pytest.mark.parametrize("seed", range(5))
def test_one_direction_is_found_before_it_is_doubted(seed) -> None:
    """Errors that all go one way come clearly sooner than by the model's doubt alone; errors anywhere no later."""
    rng = np.random.default_rng(seed)
    truth, p, vectors = world(rng)
    for way in ("one", "any"):
        wrong = truth.copy()
        rows = rng.choice(np.flatnonzero(truth == 1) if way == "one" else len(truth), 60, replace=False)
        wrong[rows] = 3 if way == "one" else (truth[rows] + rng.integers(1, 5, 60)) % 5
        bad = wrong != truth
        found = label_errors([CLASSES[c] for c in wrong], p, CLASSES, vectors)
        ours, doubt = (average_precision(bad, s) for s in (found["score"].to_numpy(), self_confidence(p, wrong)))
        assert ours > doubt + 0.1 if way == "one" else ours > doubt - 0.02
        if way == "one":
            first = np.argsort(-found["score"].to_numpy())[:20]
            assert (found["suggestion"].to_numpy()[first] == np.array(CLASSES)[truth[first]]).mean() >= 0.9


def test_the_odds_are_not_overstated() -> None:
    """Among labels scored as wrong with probability 1/2 or more, at least so many are."""
    rng = np.random.default_rng(0)
    truth, p, vectors = world(rng, n=20_000)
    wrong = truth.copy()
    rows = rng.choice(len(truth), 1000, replace=False)
    wrong[rows] = (truth[rows] + rng.integers(1, 5, 1000)) % 5
    score = label_errors([CLASSES[c] for c in wrong], p, CLASSES, vectors)["score"].to_numpy()
    likely = 1 / (1 + np.exp(-score[score > 0]))
    assert len(likely) > 300
    assert (wrong != truth)[score > 0].mean() > likely.mean() - 0.03


@pytest.mark.parametrize("seed", range(3))
def test_independent_models_are_multiplied(seed) -> None:
    """Where two models are independent given the class, the pool is Bayes' rule, also with 3 % wrong labels."""
    rng = np.random.default_rng(seed)
    truth, (first, second) = two_views(rng)
    wrong = truth.copy()
    rows = rng.choice(len(truth), 120, replace=False)
    wrong[rows] = (truth[rows] + rng.integers(1, 5, 120)) % 5
    exact = first * second / (first * second).sum(1, keepdims=True)
    assert np.abs(pooled([first, second], wrong) - exact).mean() < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_two_models_find_errors_sooner_than_one(seed) -> None:
    """Errors come sooner by two models that see different things than by the better one, whatever their order."""
    rng = np.random.default_rng(seed)
    truth, said = two_views(rng)
    wrong = truth.copy()
    rows = rng.choice(len(truth), 120, replace=False)
    wrong[rows] = (truth[rows] + rng.integers(1, 5, 120)) % 5
    labels, bad = [CLASSES[c] for c in wrong], wrong != truth
    both, turned, *alone = (
        label_errors(labels, p, CLASSES)["score"].to_numpy() for p in (said, np.stack(said[::-1]), *said)
    )
    best = max(average_precision(bad, score) for score in alone)
    assert average_precision(bad, both) > best + 0.1
    np.testing.assert_allclose(turned, both, rtol=1e-3, atol=1e-3)


def test_a_model_that_knows_nothing_does_no_harm() -> None:
    """Beside a model that says the same of every picture the other one's order stays as good as alone."""
    rng = np.random.default_rng(0)
    truth, (first, _) = two_views(rng)
    wrong = np.where(rng.random(len(truth)) < 0.03, (truth + rng.integers(1, 5, len(truth))) % 5, truth)
    labels, bad = [CLASSES[c] for c in wrong], wrong != truth
    same = np.tile([0.5, 0.2, 0.1, 0.1, 0.1], (len(truth), 1))
    alone, both = (label_errors(labels, p, CLASSES)["score"].to_numpy() for p in (first, [first, same]))
    assert average_precision(bad, both) == pytest.approx(average_precision(bad, alone), abs=0.01)


def test_a_list_of_one_model_is_that_model() -> None:
    """One model in a list gives the same scores as without the list."""
    rng = np.random.default_rng(1)
    truth, p, _ = world(rng, n=300)
    labels = [CLASSES[c] for c in truth]
    assert label_errors(labels, [p], CLASSES).equals(label_errors(labels, p, CLASSES))


def test_order_changes_nothing() -> None:
    """A row's score doesn't depend on where it stands."""
    rng = np.random.default_rng(3)
    truth, p, vectors = world(rng, n=600)
    labels = np.array(CLASSES)[truth]
    order = rng.permutation(len(labels))
    whole = label_errors(labels, p, CLASSES, vectors)
    turned = label_errors(labels[order], p[order], CLASSES, vectors[order])
    np.testing.assert_allclose(turned["score"], whole["score"].to_numpy()[order], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("near", [False, True])
def test_few_rows(n, near) -> None:
    """A handful of labels, some classes without any: finite scores."""
    rng = np.random.default_rng(n)
    p = rng.dirichlet(np.ones(5), n)
    found = label_errors(["b"] * n, p, CLASSES, rng.normal(size=(n, 3)) if near else None)
    assert np.isfinite(found["score"]).all()
    assert not (found["suggestion"] == "b").any()


def test_sure_and_wrong_probabilities() -> None:
    """Zeros and ones, as some models write them, are no reason for an infinite score."""
    found = label_errors(["a", "b", "b", "c"], np.eye(5)[[0, 1, 2, 2]], CLASSES)
    assert np.isfinite(found["score"]).all()
    assert found["score"].idxmax() == 2
    assert found["suggestion"][2] == "c"


@pytest.mark.parametrize(
    ("labels", "p", "embeddings", "words"),
    [
        (["a"], np.ones((2, 5)), None, "a row per label"),
        (["z"], np.ones((1, 5)), None, "aren't among the classes"),
        (["a"], np.ones((2, 1, 4)), None, "or several such"),
        (["a"], np.ones((0, 1, 5)), None, "or several such"),
        (["a"], [np.ones((1, 5)), np.ones((2, 5))], None, "different shapes"),
        (["a"], [np.ones((1, 5)), np.zeros((1, 5))], None, "not all 0"),
        (["a"], np.full((1, 5), np.nan), None, "finite"),
        (["a"], np.zeros((1, 5)), None, "not all 0"),
        (["a"], -np.ones((1, 5)), None, "not negative"),
        (["a", "b"], np.ones((2, 5)), np.ones((3, 2)), "a row per label"),
        (["a", "b"], np.ones((2, 5)), np.full((2, 2), np.inf), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(labels, p, embeddings, words) -> None:
    """Each wrong input is told from the others."""
    with pytest.raises(InvalidInputError, match=words):
        label_errors(labels, p, CLASSES, embeddings)
