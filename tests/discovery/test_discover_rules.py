"""Rules from metadata, on data whose failing rule is known."""

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.curation import evaluate_rule
from slicelab.discovery import discover_rules


def planted(n=800, seed=0, *, rate=0.6):
    """Knives in the dark fail; nothing else does more than 5 %."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "label": rng.choice(["fork", "knife"], n),
            "brightness": rng.random(n),
            "camera": rng.choice(["a", 'the "big" one', "c\\d"], n),
            "blurred": rng.random(n) < 0.3,
        }
    )
    bad = ((frame["label"] == "knife") & (frame["brightness"] < 0.3)).to_numpy()
    return frame, rng.random(n) < np.where(bad, rate, 0.05), bad


@pytest.fixture(scope="module")
def found():
    frame, failures, bad = planted()
    return (
        discover_rules(frame, failures, frame["label"], ids=[f"u{i}" for i in range(len(frame))]),
        frame,
        failures,
        bad,
    )


def test_confirms_the_planted_rule_and_no_other(found):
    """The failing rule comes first, confirmed, nearly exact; nothing else is."""
    slices, _, _, bad = found
    best = slices[0]
    members = np.isin(np.arange(len(bad)), best.members)
    assert (members & bad).sum() / (members | bad).sum() > 0.9
    assert [c.status for c in slices].count("confirmed") == 1
    assert best.status == "confirmed"
    assert best.q_value <= 0.1
    assert best.held_out.p_value <= best.p_value
    assert best.details["classes"] == ["knife"]


def test_members_are_what_the_engine_selects(found):
    """The expression names the class and selects exactly the members, of the whole frame."""
    slices, frame, _, _ = found
    for candidate in slices:
        rule = candidate.details["rule"]
        assert rule is candidate.rule
        assert candidate.description == rule.expression
        assert rule.expression.startswith("label == ")
        selected = evaluate_rule(rule.expression, frame)
        assert np.flatnonzero(selected).tolist() == candidate.members.tolist()
        assert candidate.membership.tolist() == selected.astype(float).tolist()
        assert candidate.unit_ids == tuple(f"u{i}" for i in candidate.members)


def test_figures_are_a_hand_count(found):
    """Of the members, and of the held-out units of the class."""
    slices, frame, failures, _ = found
    for candidate in slices:
        of_class = (frame["label"] == candidate.details["classes"][0]).to_numpy()
        assert candidate.size == len(candidate.members)
        assert candidate.failures == failures[candidate.members].sum()
        assert candidate.failure_rate == pytest.approx(candidate.failures / candidate.size)
        assert candidate.base_rate == pytest.approx(failures[of_class].mean())
        assert candidate.failure_rate > candidate.base_rate
        held = candidate.held_out
        fresh = failures[held.rows].sum()
        assert candidate.rule.support == len(held.rows)
        assert candidate.rule.precision == pytest.approx(fresh / len(held.rows))
        assert candidate.rule.recall == pytest.approx(fresh / (fresh + failures[held.outside_rows].sum()))
        assert of_class[held.rows].all()
        assert of_class[held.outside_rows].all()


def test_a_rule_that_both_halves_find_counts_once():
    """One text decides: both halves find it, all units are held out once, the smaller p-value is doubled."""
    weather = np.repeat(["fog", "sun"], [100, 300])
    rng = np.random.default_rng(0)
    failures = rng.random(400) < np.where(weather == "fog", 0.5, 0.05)
    (only,) = discover_rules(pd.DataFrame({"weather": weather}), failures)
    assert only.description == 'weather == "fog"'
    assert only.rule.support == only.size == 100
    assert only.rule.precision == pytest.approx(failures[:100].mean())
    assert only.rule.recall == pytest.approx(failures[:100].sum() / failures.sum())
    assert only.status == "confirmed"
    assert "classes" not in only.details


def test_confirms_nothing_where_nothing_is_there():
    """Failures at random: at most 16 of 100 data sets have any confirmed rule."""
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"a": rng.random(160), "b": rng.random(160), "c": rng.choice(list("xyz"), 160)})
        slices = discover_rules(frame, rng.random(160) < 0.3, rng.choice(["k", "l"], 160), random_state=seed)
        false += any(c.status == "confirmed" for c in slices)
    assert false <= 16


def test_rows_in_another_order_give_the_same_rules(found):
    """The same units are members, with the same figures."""
    slices, frame, failures, _ = found
    order = np.random.default_rng(3).permutation(len(frame))
    shuffled = discover_rules(frame.iloc[order], failures[order], frame["label"].to_numpy()[order])
    assert [c.rule for c in shuffled] == [c.rule for c in slices]
    assert [sorted(order[c.members].tolist()) for c in shuffled] == [c.members.tolist() for c in slices]
    assert [c.q_value for c in shuffled] == [c.q_value for c in slices]


def test_is_the_same_twice(found):
    """Same seed, same rules."""
    slices, frame, failures, _ = found
    again = discover_rules(frame, failures, frame["label"])
    assert [(c.rule, c.q_value) for c in again] == [(c.rule, c.q_value) for c in slices]


def test_graded_failures_and_numbered_classes():
    """Losses in [0, 1] and classes that are numbers; the frame is asked for class 1."""
    frame, failures, bad = planted()
    frame["label"] = (frame["label"] == "knife").astype(int)
    rng = np.random.default_rng(1)
    graded = np.clip(0.8 * failures + rng.random(len(frame)) * 0.2, 0, 1)
    best = discover_rules(frame, graded, frame["label"])[0]
    assert best.status == "confirmed"
    assert best.description.startswith("label == 1 and ")
    selected = evaluate_rule(best.rule.expression, frame)
    assert np.flatnonzero(selected).tolist() == best.members.tolist()
    assert (selected & bad).sum() / (selected | bad).sum() > 0.85


def test_without_a_column_of_classes_the_rule_holds_within_the_class():
    """The frame doesn't say the class: the rule is about the units of `details["classes"]`."""
    frame, failures, _ = planted()
    best = discover_rules(frame.drop(columns="label"), failures, frame["label"])[0]
    assert best.details["classes"] == ["knife"]
    selected = evaluate_rule(best.rule.expression, frame) & (frame["label"] == "knife").to_numpy()
    assert np.flatnonzero(selected).tolist() == best.members.tolist()


def test_small_classes_are_searched_together():
    """Classes too small for a search of their own share one; the rule lists them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"label": np.repeat([f"c{i}" for i in range(10)], 40), "dark": rng.random(400) < 0.3})
    failures = rng.random(400) < np.where(frame["dark"], 0.5, 0.05)
    best = discover_rules(frame, failures, frame["label"])[0]
    assert best.status == "confirmed"
    assert len(best.details["classes"]) == 10
    assert best.description.startswith('label in ["c0", "c1", ')
    assert np.flatnonzero(evaluate_rule(best.description, frame)).tolist() == best.members.tolist()


def test_doubt_near_the_boundary_is_told_apart():
    """A rule that selects low confidence, with failures made by confidence alone, isn't confirmed once it is known."""
    rng = np.random.default_rng(0)
    n = 1200
    confidence = rng.random(n)
    frame = pd.DataFrame({"hard": rng.random(n) < np.where(confidence < 0.3, 0.8, 0.1)})
    failures = rng.random(n) < np.where(confidence < 0.3, 0.5, 0.05)
    assert discover_rules(frame, failures)[0].status == "confirmed"
    best = discover_rules(frame, failures, confidences=confidence)[0]
    assert (best.status, best.kind) == ("candidate", "boundary")


def test_missing_metadata_is_never_inside():
    """Units without the value are no members."""
    frame, failures, _ = planted()
    frame.loc[::5, "brightness"] = np.nan
    frame.loc[::7, "camera"] = None
    slices = discover_rules(frame, failures, frame["label"])
    assert slices[0].status == "confirmed"
    assert not frame["brightness"].isna().to_numpy()[slices[0].members].any()
    for candidate in slices:
        selected = evaluate_rule(candidate.rule.expression, frame)
        assert np.flatnonzero(selected).tolist() == candidate.members.tolist()


def test_at_most_so_many():
    """`max_slices` keeps the best."""
    frame, failures, _ = planted()
    failures |= ((frame["label"] == "fork") & (frame["camera"] == "a")).to_numpy() & (np.arange(len(frame)) % 3 == 0)
    slices = discover_rules(frame, failures, frame["label"])
    assert len(slices) > 1
    assert [c.rule for c in discover_rules(frame, failures, frame["label"], max_slices=1)] == [slices[0].rule]


def test_no_failures_no_rules():
    """Nothing fails, or too few units: an empty answer."""
    frame, failures, _ = planted()
    assert discover_rules(frame, np.zeros(len(frame))) == ()
    assert discover_rules(frame.iloc[:20], failures[:20]) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"failures": np.zeros(3)}, "failures must be 100 values"),
        ({"failures": np.full(100, np.nan)}, "finite"),
        ({"failures": np.full(100, 2.0)}, "from 0 to 1"),
        ({"labels": ["a"]}, "labels must be 100 values"),
        ({"confidences": [0.5]}, "confidences must be 100 values"),
        ({"ids": ["a"]}, "100 ids"),
        ({"ids": ["a"] * 100}, "id must be there once"),
        ({"max_slices": 0}, "max_slices"),
        ({"frame": np.zeros((100, 2))}, "must be a DataFrame"),
        ({"frame": pd.DataFrame({"same": np.ones(100)})}, "No column"),
        ({"frame": pd.DataFrame({"few": [1.0, 2.0] + [np.nan] * 98})}, "No column"),
        ({"frame": pd.DataFrame(index=range(100))}, "No column"),
    ],
)
def test_says_what_is_wrong(change, message):
    """Every wrong input is named."""
    given = {"frame": pd.DataFrame({"a": np.arange(100)}), "failures": np.zeros(100)} | change
    with pytest.raises(InvalidInputError, match=message):
        discover_rules(given.pop("frame"), given.pop("failures"), **given)
