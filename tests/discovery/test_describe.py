"""Rules that describe groups, counted by hand and by the engine that reads them."""

import ast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from slicelab.core import Rule
from slicelab.curation import evaluate_rule
from slicelab.discovery._describe import (
    describe,
    f1_score,
    grow_paths,
    read_columns,
    satisfied,
    short_number_between,
    write_name,
    write_number,
    write_rule,
    write_text,
)

NASTY = [
    '5" knife',
    "it's",
    "both \" and '",
    "back\\slash\\n",
    "line\nbreak",
    "größe ü 日本",
    "\u202eevil",
    "",
]


def halves_of(n, seed=0):
    return np.random.default_rng(seed).permutation(n) % 2


def dark_nights(n=400, seed=0):
    """Members are the dark units at night, 9 of 10 of them, and no other."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"brightness": rng.random(n), "time": rng.choice(["day", "night"], n), "noise": rng.random(n)})
    inside = ((frame["brightness"] < 0.4) & (frame["time"] == "night") & (rng.random(n) < 0.9)).to_numpy()
    return frame, inside


def test_finds_a_planted_rule():
    """Both conditions come back, in the language of rules, and select what was planted."""
    frame, inside = dark_nights()
    rule = describe(inside, frame, halves_of(400))
    planted = ((frame["brightness"] < 0.4) & (frame["time"] == "night")).to_numpy()
    selected = evaluate_rule(rule.expression, frame)
    assert (selected == planted).mean() > 0.98
    assert "noise" not in rule.expression
    assert rule.precision == pytest.approx(0.9, abs=0.06)
    assert rule.recall > 0.9


def test_held_out_figures_are_a_hand_count():
    """A text decides alone, so both halves find the same rule: the figures are those of all rows."""
    weather = np.repeat(["fog", "sun"], [40, 160])
    inside = np.zeros(200, bool)
    inside[:30] = True  # 30 of the 40 in fog
    inside[40:46] = True  # 6 in the sun
    half = np.tile([0, 1], 100)
    rule = describe(inside, pd.DataFrame({"weather": weather}), half)
    assert rule == Rule('weather == "fog"', precision=30 / 40, recall=30 / 36, support=40)


def test_held_out_figures_come_from_the_other_half():
    """Where the halves disagree, each half's rule is counted on the other."""
    value = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    half = np.tile([0, 1], 100)
    inside = ((half == 0) & (value >= 2)) | ((half == 1) & (value >= 1))
    rule = describe(inside, pd.DataFrame({"value": value}), half)
    # Half 0 says value > 1.5: 50 units of half 1, all members. Half 1 says value > 0.5: 75 of half 0, 50 are members.
    assert rule.support == 50 + 75
    assert rule.precision == pytest.approx(100 / 125)
    assert rule.recall == pytest.approx(100 / (50 + 75))


def test_says_nothing_where_nothing_describes():
    """Noise, constant columns, no columns, everything or nothing inside: None."""
    rng = np.random.default_rng(1)
    inside, half = rng.random(200) < 0.15, halves_of(200)
    noise = pd.DataFrame({"a": rng.random(200), "b": rng.choice(["x", "y", "z"], 200)})
    assert describe(inside, noise, half) is None
    assert describe(inside, pd.DataFrame({"a": np.ones(200), "b": ["x"] * 200}), half) is None
    assert describe(inside, pd.DataFrame(index=range(200)), half) is None
    assert describe(np.ones(200, bool), noise, half) is None
    assert describe(np.zeros(200, bool), noise, half) is None
    assert describe(np.zeros(0, bool), noise.iloc[:0], half[:0]) is None


@pytest.mark.parametrize("text", NASTY)
def test_texts_are_quoted_safely(text):
    """Quotes, backslashes, line breaks, unicode: the engine reads the text that was meant, as value and as name."""
    inside = np.repeat([True, False], [40, 160])
    frame = pd.DataFrame({text or "blank": np.where(inside, text, "other")}, dtype=object)
    rule = describe(inside, frame, np.tile([0, 1], 100))
    assert evaluate_rule(rule.expression, frame).tolist() == inside.tolist()
    assert (rule.precision, rule.recall, rule.support) == (1.0, 1.0, 40)
    assert all(c.isprintable() for c in rule.expression)


@pytest.mark.parametrize("name", ["class", "True", "time of day", "a.b", "ﬁ", "größe", "isna", "column", "unit", "2d"])
def test_any_column_can_be_named(name):
    """Names that are no plain words, keywords and names of functions."""
    inside = np.repeat([True, False], [40, 160])
    frame = pd.DataFrame({name: np.where(inside, 0.25, 4.0)})
    rule = describe(inside, frame, np.tile([0, 1], 100))
    assert evaluate_rule(rule.expression, frame).tolist() == inside.tolist()


def test_missing_values_satisfy_nothing():
    """A missing number, text or truth value is never inside, and a column with few values isn't used."""
    rng = np.random.default_rng(2)
    n = 300
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
            "rare": np.where(rng.random(n) < 0.6, np.nan, 1.0 * (np.arange(n) < 100)),
        }
    )
    inside = (frame["number"] > 0.7).to_numpy()
    rule = describe(inside, frame, halves_of(n))
    assert "rare" not in rule.expression
    selected = evaluate_rule(rule.expression, frame)
    assert not selected[frame["number"].isna()].any()
    assert f1_score(selected, inside) > 0.95
    for values in (pd.array([True, None, False], "boolean"), np.array(["a", None, "b"], object), [0.0, None, 1.0]):
        column = pd.DataFrame({"c": pd.Series(values).repeat(60).reset_index(drop=True)})
        missing = column["c"].isna().to_numpy()
        assert describe(missing, column, np.tile([0, 1], 90)) is None


def test_the_order_of_missing_values_changes_nothing():
    """Rows in another order: the same rule."""
    frame, inside = dark_nights()
    frame.loc[np.random.default_rng(0).random(400) < 0.1, "brightness"] = np.nan
    half = halves_of(400)
    order = np.random.default_rng(5).permutation(400)
    assert describe(inside[order], frame.iloc[order], half[order]) == describe(inside, frame, half)


def test_bounds_on_one_column_become_one():
    """A band of a number is a chain of comparisons."""
    value = np.tile(np.linspace(0, 1, 200), 2)
    inside = (value > 0.4) & (value < 0.6)
    rule = describe(inside, pd.DataFrame({"value": value}), np.repeat([0, 1], 200))
    assert rule.expression == "0.4 < value <= 0.6"
    assert evaluate_rule(rule.expression, pd.DataFrame({"value": value})).tolist() == inside.tolist()


def test_values_left_out_become_a_list():
    """All but two texts: `not in`."""
    weather = np.repeat(["fog", "rain", "sun", "wind"], 50)
    inside = np.isin(weather, ["sun", "wind"])
    frame = pd.DataFrame({"weather": weather})
    rule = describe(inside, frame, np.tile([0, 1], 100))
    assert rule.expression == 'weather not in ["fog", "rain"]'
    assert evaluate_rule(rule.expression, frame).tolist() == inside.tolist()


def test_columns_that_rules_cannot_compare_are_left_out():
    """Dates, mixtures, lists, infinite numbers, names that are no text or come twice."""
    n = 20
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=n),
            "mixed": ["a", 1] * (n // 2),
            "list": [[1]] * n,
            "infinite": [np.inf, 0.0] * (n // 2),
            3: np.arange(n),
            "complex": np.arange(n) * 1j,
            "good": np.arange(n),
        }
    )
    frame = pd.concat([frame, pd.DataFrame({"twice": np.arange(n)}), pd.DataFrame({"twice": np.arange(n)})], axis=1)
    assert [column.name for column in read_columns(frame)] == ["good"]


KINDS = {
    "float": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.1, 0.2, 0.3])),
    "int": st.integers(-(2**62), 2**62),
    "small": st.integers(-3, 3),
    "text": st.one_of(st.none(), st.sampled_from(NASTY)),
    "truth": st.one_of(st.none(), st.booleans()),
}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 1000))
def test_the_engine_selects_the_same_rows(data, seed):
    """Every path of a tree over any columns, written and evaluated, selects the rows that were counted."""
    rng = np.random.default_rng(seed)
    pools = {name: data.draw(st.lists(values, min_size=2, max_size=6), label=name) for name, values in KINDS.items()}
    frame = pd.DataFrame({name: [pool[i] for i in rng.integers(0, len(pool), 80)] for name, pool in pools.items()})
    frame["single"] = rng.random(80).astype(np.float32)
    frame["nullable"] = pd.array(rng.choice([1, 2, None], 80), "Int64")
    frame["category"] = pd.Categorical(rng.choice(["a", "b", "c"], 80))
    columns = read_columns(frame)
    tree = DecisionTreeRegressor(max_depth=4, min_samples_leaf=5, random_state=0)
    paths = grow_paths(columns, rng.random(80), np.flatnonzero(rng.random(80) < 0.6), tree)
    assert paths
    for conditions in paths:
        expression = write_rule(columns, conditions)
        assert evaluate_rule(expression, frame).tolist() == satisfied(columns, conditions).tolist()


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_short_numbers_lie_between(a, b):
    """Between means: at least the lower, below the upper."""
    if a != b:
        assert min(a, b) <= short_number_between(min(a, b), max(a, b)) < max(a, b)


def test_writes_what_people_would_write():
    """Plain names and whole numbers stay plain."""
    assert write_name("brightness") == "brightness"
    assert write_name("time of day") == 'column("time of day")'
    assert write_number(3.0) == "3"
    assert write_number(0.25) == "0.25"
    assert write_text("knife") == '"knife"'
    assert ast.literal_eval(write_text("\ud800")) == "\ud800"
    assert short_number_between(0.1234, 0.3456) == 0.2
