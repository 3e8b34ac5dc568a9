"""A group beside the rest, against counts made by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from slicelab.evaluation import Background, who_fails


@pytest.fixture
def units():
    n = 40
    failure = np.arange(n) % 4 == 0
    label = np.where(np.arange(n) < 20, "cat", "dog")
    return pd.DataFrame(
        {
            "key": [f"{i}" for i in range(n)],
            "label": label,
            "prediction": np.where(failure, np.where(label == "cat", "dog", "cat"), label),
            "confidence": 0.5,
            "outcome": np.where(failure, "wrong", "correct"),
            "failure": failure,
            "loss": 0.5,
            "site": [None if i == 7 else "north" if i % 2 else "south" for i in range(n)],
            "brightness": np.where(np.arange(n) < 10, 0.1, 0.9),
            "constant": 1.0,
            "note": [f"text {i}" for i in range(n)],
        },
        index=pd.Index([f"u{i}" for i in range(n)], name="unit"),
    )


def test_who_fails_in_words():
    """Two models: none, both, or the one; three: a list."""
    two = pd.DataFrame({"v3": [False, True, True, False], "v4": [False, True, False, True]})
    assert who_fails(two).tolist() == ["none", "both", "only v3", "only v4"]
    three = two.assign(v5=[False, True, True, False])
    assert who_fails(three).tolist() == ["none", "all", "v3, v5", "only v4"]


def test_counts_shares_and_effects(units):
    """Failures, confusions, models and columns are what counting gives; constants and free text are left out."""
    failures = pd.DataFrame({"v3": units["failure"], "v4": np.arange(40) % 8 == 0}, index=units.index)
    found = Background(units, failures).compare(np.arange(10))
    assert (found.size, found.failures) == (10, 3)
    assert found.rest_rate == pytest.approx(7 / 30)
    assert found.interval[0] < 0.3 < found.interval[1]
    (confusion,) = found.confusions
    assert (confusion.words, confusion.count, confusion.inside) == ("cat → dog", 3, 0.3)
    assert confusion.outside == pytest.approx(2 / 30)
    assert {s.words: s.count for s in found.agreement} == {"none": 7, "both": 2, "only v3": 1}
    contrast = {c.column: c for c in found.contrasts}
    assert set(contrast) == {"brightness", "label"}  # site differs by one missing value only
    deviation = units["brightness"].std(ddof=0)
    assert contrast["brightness"].effect == pytest.approx(-0.8 / deviation)
    label = contrast["label"]
    assert (label.value, label.inside, label.outside) == ("cat", 1.0, pytest.approx(1 / 3))
    assert label.effect == pytest.approx(2 * np.arcsin(1) - 2 * np.arcsin(np.sqrt(1 / 3)))


def test_nothing_and_everything(units):
    """No group and no rest are said as such, without a warning."""
    background = Background(units)
    nothing = background.compare([])
    assert (nothing.size, nothing.confusions, nothing.contrasts, nothing.agreement) == (0, (), (), ())
    assert np.isnan(nothing.interval).all()
    everything = background.compare(np.arange(40))
    assert np.isnan(everything.rest_rate)
    assert everything.contrasts == ()


@pytest.mark.parametrize(("n_images", "shown"), [(1, False), (2, False), (10, True)])
def test_what_a_few_images_have_in_common_is_no_contrast(n_images, shown):
    """Twenty dark objects among bright ones: from ten images that sets them apart, from one or two it may be chance."""
    n = 400
    image = np.append(np.arange(20) % n_images, 100 + np.arange(20, n) // 4)
    units = pd.DataFrame(
        {
            "key": image.astype(str),
            "group_id": image.astype(str),
            "label": "cat",
            "prediction": "cat",
            "failure": np.arange(n) % 3 == 0,
            "brightness": np.where(np.arange(n) < 20, 0.1, np.random.default_rng(0).normal(0.9, 0.2, n)),
            "night": np.arange(n) < 20,
        },
        index=pd.Index([f"u{i}" for i in range(n)], name="unit"),
    )
    found = Background(units).compare(np.arange(20))
    assert found.n_groups == n_images
    assert {c.column for c in found.contrasts} == ({"brightness", "night"} if shown else set())


def test_contrasts_of_independent_units_are_those_of_a_score_test():
    """Columns that differ by 1.8 and by 2.2 standard errors, made of statsmodels' residuals: the second is shown."""
    n, m = 600, 60
    inside = np.arange(n) < m
    rng = np.random.default_rng(3)
    noise = rng.permutation(np.repeat([-1.0, 1.0], n // 2))
    columns = {}
    for name, errors in (("less", 1.8), ("more", 2.2)):
        low, high = 0.0, 3.0
        for _ in range(60):
            shift = (low + high) / 2
            z = score_errors(noise + shift * inside, inside)
            low, high = (shift, high) if z < errors else (low, shift)
        columns[name] = noise + shift * inside
    keys = [f"{i}" for i in range(n)]
    units = pd.DataFrame({"key": keys, "label": "a", "prediction": "a", "failure": rng.random(n) < 0.2, **columns})
    assert [c.column for c in Background(units).compare(np.flatnonzero(inside)).contrasts] == ["more"]


def score_errors(values, inside):
    """Score statistic that the mean doesn't differ, with independent errors of unlike size (White)."""
    null = sm.OLS(values, np.ones(len(values))).fit()
    centred = inside - inside.mean()
    scores = centred * null.resid
    return scores.sum() / np.sqrt((scores**2).sum())
