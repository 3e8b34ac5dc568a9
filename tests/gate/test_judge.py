"""Value, interval and bar give the verdict."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from slicelab.core import Bar
from slicelab.evaluation import wilson_interval
from slicelab.gate import judge, judge_change, units_to_decide

NAN = math.nan


@pytest.mark.parametrize(
    ("bar", "value", "interval", "verdict"),
    [
        (Bar("accuracy", at_least=0.8), 0.9, (0.85, 0.95), "pass"),
        (Bar("accuracy", at_least=0.8), 0.9, (0.8, 0.95), "pass"),
        (Bar("accuracy", at_least=0.8), 0.9, (0.79, 0.95), "inconclusive"),
        (Bar("accuracy", at_least=0.8), 0.7, (0.6, 0.8), "inconclusive"),
        (Bar("accuracy", at_least=0.8), 0.7, (0.6, 0.79), "fail"),
        (Bar("error_rate", at_most=0.2), 0.1, (0.05, 0.15), "pass"),
        (Bar("error_rate", at_most=0.2), 0.1, (0.05, 0.2), "pass"),
        (Bar("error_rate", at_most=0.2), 0.1, (0.05, 0.21), "inconclusive"),
        (Bar("error_rate", at_most=0.2), 0.3, (0.2, 0.4), "inconclusive"),
        (Bar("error_rate", at_most=0.2), 0.3, (0.21, 0.4), "fail"),
        (Bar("accuracy", at_least=0.8, strict=False), 0.8, (0.6, 0.9), "pass"),
        (Bar("accuracy", at_least=0.8, strict=False), 0.79, (0.6, 0.9), "fail"),
        (Bar("error_rate", at_most=0.05, strict=False), 1 - 0.95, (0.0, 0.1), "pass"),
        (Bar("false_positives_per_image", at_most=1.5), 3.0, (2.0, 4.0), "fail"),
        (Bar("map", at_least=0.5), 0.7, (NAN, NAN), "inconclusive"),
        (Bar("map", at_least=0.5), NAN, (NAN, NAN), "invalid"),
        (Bar("map", at_least=0.5, strict=False), NAN, (NAN, NAN), "invalid"),
    ],
)
def test_the_nearer_end_must_reach_the_bar(bar, value, interval, verdict):
    """Strict bars judge the interval, others the value; no number is never a pass."""
    assert judge(bar, value=value, interval=interval, n_units=50)[0] == verdict


@pytest.mark.parametrize("strict", [True, False])
def test_too_few_units_never_pass(strict):
    """With fewer units than the bar wants a pass becomes inconclusive, and a fail stays a fail."""
    bar = Bar("accuracy", at_least=0.5, min_units=100, strict=strict)
    verdict, reason = judge(bar, value=0.9, interval=(0.8, 0.95), n_units=99)
    assert verdict == "inconclusive"
    assert "99" in reason
    assert "100" in reason
    assert judge(bar, value=0.9, interval=(0.8, 0.95), n_units=100)[0] == "pass"
    assert judge(bar, value=0.1, interval=(0.05, 0.2), n_units=3)[0] == "fail"


@given(
    n=st.integers(1, 400),
    share=st.floats(0, 1),
    at_least=st.floats(0.02, 0.98),
    confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_the_advice_holds(n, share, at_least, confidence):
    """With the number of units that was advised, and the same share, SciPy's Wilson interval leaves the bar outside."""
    k = round(share * n)
    value, interval = k / n, wilson_interval(k, n, confidence=confidence, corrected=True)
    bar = Bar("accuracy", at_least=at_least, confidence=confidence)
    needed = units_to_decide(bar, value=value, interval=interval, n_units=n)
    verdict, reason = judge(bar, value=value, interval=interval, n_units=n)
    if verdict != "inconclusive":
        return
    if needed is None:
        assert abs(value - at_least) < 1e-6
        return
    assert needed >= n
    assert f"more unit{'' if needed <= n + 1 else 's'} would" in reason
    times = math.ceil(needed / n)
    low, high = binomtest(k * times, n * times).proportion_ci(confidence, method="exact" if k in (0, n) else "wilsoncc")
    assert low >= at_least - 1e-6 or high <= at_least + 1e-6


def test_a_bar_of_one_says_so():
    """No interval reaches 1: the reason says it instead of advising a number of units."""
    verdict, reason = judge(Bar("accuracy", at_least=1), value=1.0, interval=(0.9, 1.0), n_units=35)
    assert verdict == "inconclusive"
    assert "never reaches a bar of 1" in reason


def test_more_groups_are_asked_for_where_groups_are_missing():
    """The interval is twice too wide. 1,000 objects on 20 images: 60 more images; 20 images of one: 60 more units."""
    bar = Bar("recall", no_worse_than="v1", margin=0.02)
    told = {"change": 0.03, "interval": (-0.07, 0.13)}
    assert "About 60 more groups (such as images)" in judge_change(bar, **told, n_units=1000, n_groups=20)[1]
    for n_groups in (20, None):
        assert "About 60 more units" in judge_change(bar, **told, n_units=20, n_groups=n_groups)[1]


def test_one_more_image_is_one_image():
    """The number of what would decide agrees with its word."""
    told = {"value": 0.8462, "interval": (0.6409, 0.95003), "n_units": 26, "n_groups": 15, "noun": "images"}
    assert "About 1 more image would" in judge(Bar("recall", at_least=0.95), **told)[1]


def test_a_change_without_an_interval_decides_nothing():
    """One group: the change is known, how sure it is isn't."""
    bar = Bar("f1", no_worse_than="v1")
    verdict, reason = judge_change(bar, change=0.2, interval=(NAN, NAN), n_units=30, n_groups=1)
    assert verdict == "inconclusive"
    assert "no interval" in reason
