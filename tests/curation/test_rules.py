"""The rule language: what it says, what it refuses, and that nothing is ever run."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import TEXT, RuleError
from slicelab.curation import evaluate_rule, rule_columns


@pytest.fixture
def units():
    """Six units with a missing label, a missing number and a missing truth value."""
    return pd.DataFrame(
        {
            "label": pd.array(["knife", "fork", "knife", None, "spoon", "Knife block"], dtype=TEXT),
            "confidence": [0.9, 0.1, 0.5, 0.4, np.nan, 0.7],
            "failure": [False, True, False, True, True, False],
            "width": np.array([10, 20, 30, 40, 50, 60]),
            "night": pd.array([True, None, False, True, False, True], dtype="boolean"),
            "time of day": pd.Categorical(["day", "night", "day", "day", "night", "day"]),
            "class": ["a", "b", "c", "a", "b", "c"],
            "flag": [True, None, False, True, False, True],
            "empty": [None] * 6,
            "mixed": [1, "a", 2, "b", 3, "c"],
            "taken": pd.date_range("2026-01-01", periods=6),
        },
        index=pd.Index(list("uvwxyz"), name="unit"),
    )


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ('label == "knife"', "uw"),
        ('label != "knife"', "vyz"),
        ('not (label == "knife")', "vxyz"),
        ("label in ['fork', 'spoon']", "vy"),
        ("label not in ('fork', 'spoon')", "uwz"),
        ("label in []", ""),
        ("isna(label)", "x"),
        ("not isna(confidence) and failure", "vx"),
        ("confidence < 0.5", "vx"),
        ("0.4 <= confidence < 0.9", "wxz"),
        ("confidence != 0.5", "uvxz"),
        ("confidence > -1", "uvwxz"),
        ("failure", "vxy"),
        ("failure == True", "vxy"),
        ("failure != night", "uyz"),
        ("night", "uxz"),
        ("not night", "vwy"),
        ("flag and not failure", "uz"),
        ("width in [10, 60.0, -3]", "uz"),
        ("width * confidence >= 15", "wxz"),
        ("(width + 10) / 2 - 5 == width / 2", "uvwxyz"),
        ("-width < -45", "yz"),
        ("width / 0 > 1", "uvwxyz"),
        ('contains(label, "nife")', "uwz"),
        ('startswith(label, "k")', "uw"),
        ('endswith(label, "k")', "vz"),
        ('label < "kn"', "vz"),
        ('column("time of day") == "night"', "vy"),
        ('column("class") in ["a"] or column("time of day") == "night"', "uvxy"),
        ('startswith(column("time of day"), "ni")', "vy"),
        ('unit in ["u", "z"]', "uz"),
        ("empty == 3", ""),
        ('empty == "a" or contains(empty, "a") or empty < 1 or empty + 1 > 0', ""),
        ("isna(empty)", "uvwxyz"),
        ("True", "uvwxyz"),
        ('False or "a" == "a"', "uvwxyz"),
        ("\n  failure\t", "vxy"),
        ("(failure\n and night)", "x"),
    ],
)
def test_rules_say_what_they_say(units, rule, found):
    """Each construct, worked by hand; whatever is missing compares False."""
    mask = evaluate_rule(rule, units)
    assert mask.dtype == bool
    assert mask.shape == (6,)
    assert "".join(units.index[mask]) == found


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("lable == 'knife'", "Did you mean 'label'"),
        ("label == ", "can't be read"),
        ("", "must be a text"),
        ("label", "gives text"),
        ("width + 1", "gives numbers"),
        ("label == 3", "text with numbers"),
        ("width == 'a'", "numbers with text"),
        ("failure == 1", "true or false with numbers"),
        ("failure < True", "no order"),
        ("width in ['a']", "numbers with text"),
        ("width and failure", "where true or false is needed"),
        ("not label", "where true or false is needed"),
        ("label + 'x' == 'ax'", "Only numbers"),
        ("-label == 'a'", "Only numbers"),
        ("contains(width, '1')", "column of text"),
        ("contains(label)", 'contains\\(label, "text"\\)'),
        ("contains('a', 'a')", "must be a column"),
        ("contains(label, label)", "text in quotes"),
        ("isna(label, width)", "isna\\(label\\)"),
        ("isna(x=label)", "isna\\(label\\)"),
        ("isnan(label)", "Did you mean 'isna'"),
        ("'knife' in label", "contains"),
        ("label in other", "a list"),
        ("1 < width in [3]", "chain"),
        ("mixed == 1", "can't compare"),
        ("taken > '2026'", "can't compare"),
        ("label is None", "'is'"),
        ("label == None", "isna"),
        ("failure & night", "write 'and'.*character 1 "),
        ("failure | night", "write 'or'"),
        ("~failure", "write 'not'"),
        ("width ** 2 > 1", r"'\*\*'"),
        ("width % 2 == 0", "'%'"),
        ("failure if night else failure", "if"),
        ("label.str", "a dot"),
        ("label[0] == 'k'", "square brackets"),
        ("lambda: 1", "lambda"),
        ("[x for x in label]", "ListComp"),
        ("f'{label}' == 'a'", "f-string"),
        ("(label := 'a') == 'a'", "':='"),
        ("b'a' == label", "no text"),
        ("failure and width == 1j", "character 22"),
        ("__import__('os').system('true')", "may be called"),
        ("().__class__.__bases__", "a dot"),
        ("column('label').values == 1", "a dot"),
        ("column(label) == 'a'", "text in quotes"),
        ("width == 1" + "0" * 400, "too large"),
        ("failure\x00", "can't be read"),
        ("label == '\ud800'", "can't be read"),
    ],
)
def test_what_is_not_on_the_list_is_refused_in_words(units, rule, words):
    """Typos, wrong types and every other kind of Python."""
    with pytest.raises(RuleError, match=words):
        evaluate_rule(rule, units)


@pytest.mark.parametrize(
    "rule",
    [
        "(" * 4000 + "1" + ")" * 4000,
        "not " * 2400 + "failure",
        "-" * 9000 + "width > 0",
        "width" + "+width" * 1600 + " > 0",
        "width" + "**width" * 1400 + " > 0",
        "failure" + ".a" * 4900,
        "a" + ".a" * 4000 + "()",
        "isna(" * 1900 + "label" + ")" * 1900,
        "label == " + "[" * 4000 + "]" * 4000,
        "failure if " * 800 + "failure" + " else failure" * 100,
        "lambda:" * 1400 + "1",
        "width == " + "9" * 9000,
        "failure or " * 100_000 + "failure",
    ],
)
def test_bombs_are_refused(units, rule):
    """Nested or long without measure: an error, no crash, in a thread with a small stack too."""
    with pytest.raises(RuleError):
        evaluate_rule(rule, units)
    seen = []

    def run():
        try:
            rule_columns(rule)
        except RuleError as error:
            seen.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(seen) == 1


def test_long_flat_rules_are_read(units):
    """Many alternatives are no nesting."""
    assert evaluate_rule(" or ".join(['label == "fork"'] * 500), units).sum() == 1


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_a_rule_error(text):
    """Nothing else ever comes out."""
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]})
    try:
        mask = evaluate_rule(text, frame)
    except RuleError:
        return
    assert mask.dtype == bool
    assert mask.shape == (2,)


_WORDS = ["a", "b", "c", "1", "-2.5", "'x'", "True", "(", ")", "[", "]", ",", "==", "!=", "<", ">=", "in", "not in"]
_WORDS += [
    "not",
    "and",
    "or",
    "+",
    "-",
    "*",
    "/",
    "isna(",
    "contains(",
    "column(",
    "**",
    ".",
    "if",
    "else",
    "is",
    "None",
]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=9))
def test_any_row_of_words_is_a_rule_or_a_rule_error(words):
    """As above, with text that is often grammatical; a mask has one value for each row, also where there is none."""
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None], "c": [True, False]})
    for rows in (frame, frame.iloc[:0]):
        try:
            mask = evaluate_rule(" ".join(words), rows)
        except RuleError:
            continue
        assert mask.dtype == bool
        assert mask.shape == (len(rows),)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=12),
    bar=st.floats(allow_nan=False, allow_infinity=False),
    op=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
)
def test_comparisons_equal_pythons(values, bar, op):
    """Row by row what Python says of the two numbers; False where there is none."""
    import operator

    ops = {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
    mask = evaluate_rule(f"a {op} {bar!r}", pd.DataFrame({"a": pd.Series(values, dtype=float)}))
    assert mask.tolist() == [v is not None and ops[op](v, bar) for v in values]


def test_whole_numbers_stay_exact():
    """Ids above 2^53 don't blur."""
    frame = pd.DataFrame({"id": np.array([2**60, 2**60 + 1])})
    assert evaluate_rule(f"id == {2**60 + 1}", frame).tolist() == [False, True]


def test_empty_frames_give_empty_masks(units):
    """A rule on no rows holds for none."""
    assert evaluate_rule("label == 'knife' and width > 3 or True", units.iloc[:0]).shape == (0,)


def test_rule_columns_names_what_a_rule_needs():
    """Columns, bare or quoted; no functions and no texts."""
    rule = 'label == "knife" and (isna(night) or column("time of day") in ["a"]) and contains(note, "column")'
    assert rule_columns(rule) == {"label", "night", "time of day", "note"}
    assert rule_columns("column == 3 and isna(isna)") == {"column", "isna"}
    with pytest.raises(RuleError):
        rule_columns("a.b")
