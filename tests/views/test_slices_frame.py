"""One table for candidates and slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from slicelab.core import Candidate, Slice
from slicelab.evaluation import proportion_interval
from slicelab.views import SliceRows, slice_outlines, slices_frame


def test_a_slice_is_counted_in_the_units(units) -> None:
    """Size, failures, rate, interval and lift of a slice agree with counting by hand and with scipy."""
    units["group_id"] = units.index  # each unit by itself
    members = tuple(f"u{i}" for i in range(7))  # tp, five failures, tp
    row = slices_frame([Slice("s", (*members, "elsewhere"), note="dark", version=3)], units).iloc[0]
    assert (row["name"], row["size"], row["failures"], row["status"], row["version"]) == ("s", 7, 5, "slice", 3)
    oracle = binomtest(5, 7).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert row["failure_rate"] == pytest.approx(5 / 7)
    like = ["prediction" if spurious else "label" for spurious in units["label"].isna().iloc[:7]]
    rates = [units.loc[units[c] == units[c].iloc[i], "failure"].mean() for i, c in enumerate(like)]
    base_rate = np.mean(rates)
    assert (row["base_rate"], row["lift"]) == pytest.approx((base_rate, (5 / 7) / base_rate))
    assert row["description"] == "dark · 1 members are not among these units"
    assert np.isnan(row["q_value"])


@pytest.mark.parametrize("k", range(5))
def test_interval_agrees_with_scipy(units, k) -> None:
    """The interval agrees for every number of failures, with none and all of them too."""
    units["failure"], units["group_id"] = np.arange(60) < k, units.index
    row = slices_frame([Slice("s", ("u0", "u1", "u2", "u3"))], units).iloc[0]
    oracle = binomtest(k, 4).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_the_interval_of_a_slice_counts_groups(units) -> None:
    """Objects of an image aren't independent: failures are counted by image, or nothing is claimed."""
    slice_ = Slice("s", ("u7", "u1", "u2", "u13", "u6"))  # of images 0, 1 and 2: two of 0, two of 1, one of 2
    units["failure"] = units.index.isin(["u1", "u2", "u7"])
    row = slices_frame([slice_], units, interval=proportion_interval).iloc[0]
    assert (row["low"], row["high"]) == proportion_interval([2, 1, 0], [2, 2, 1])
    row = slices_frame([slice_], units).iloc[0]
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["failure_rate"] == 0.6


def test_a_candidate_tells_its_own_numbers(units) -> None:
    """A candidate's numbers are taken over; its lift is over the population it was searched in; no name: a number."""
    found = Candidate(np.array([0]), np.zeros(60, np.float32), 40, 30, 0.75, (0.6, 0.86), 0.5, 0.01, 0.02,
                      status="confirmed", description="cups")  # fmt: skip
    row = slices_frame([found], units).iloc[0]
    assert row[["name", "size", "failures", "status", "description"]].tolist() == [
        "candidate 1", 40, 30, "confirmed", "cups",
    ]  # fmt: skip
    assert (row["low"], row["high"], row["q_value"]) == (0.6, 0.86, 0.02)
    assert (row["base_rate"], row["lift"]) == (0.5, 1.5)
    settled = slices_frame([found, found, found], units, dismissed=["", "noise", ""], kept_as=["big cups", "", ""])
    assert settled["status"].tolist() == ["kept", "dismissed", "confirmed"]
    assert settled["description"].str.split(" · ").str[0].tolist() == ["is slice big cups", "noise", "cups"]


def test_empty_slices_and_no_slices(units) -> None:
    """A slice without members here has no rate; no slices give the same columns."""
    row = slices_frame([Slice("s", ("elsewhere",))], units).iloc[0]
    assert row["size"] == 0
    assert np.isnan(row["failure_rate"])
    assert list(slices_frame([], units).columns) == list(slices_frame([Slice("s", ())], units).columns)


def test_only_what_changed_is_counted_again(units) -> None:
    """The table of the same slices is the same; a slice with other members or words is read anew, one gone is gone."""
    rows = SliceRows(units)
    kept, changed = Slice("kept", ("u0", "u1")), Slice("changed", ("u0",))
    first = rows.frame([kept, changed])
    counted = rows.members(kept)
    assert rows.frame([kept, changed]).equals(first)
    assert rows.members(replace(kept)) is counted  # the same slice, read from the store again
    other = replace(changed, members=("u1", "u2", "u3"), note="more")  # of the same version
    again = rows.frame([kept, other])
    assert again.loc[1, ["size", "description"]].tolist() == [3, "more"]
    assert rows.members(kept) is counted
    assert rows.frame([other])["name"].tolist() == ["changed"]


def test_candidates_are_found_by_their_ids(units) -> None:
    """A candidate's row positions count other units than the frame that is shown; its ids tell which are meant."""
    found = Candidate(np.array([0, 1]), np.zeros(2, np.float32), 2, 1, 0.5, (0.1, 0.9), 0.5, 0.01, 0.02,
                      unit_ids=("u7", "u3"))  # fmt: skip
    assert SliceRows(units).members(found).tolist() == [7, 3]
    assert (
        slices_frame([found], units[::-1])["confusion"].tolist() == slices_frame([found], units)["confusion"].tolist()
    )
    (outline,) = slice_outlines([found], units, np.arange(120, dtype=np.float32).reshape(60, 2))
    assert (outline["x"], outline["y"]) == (10.0, 11.0)  # between the places of u3 and u7


def test_a_slice_is_compared_with_its_own_population() -> None:
    """Labelled members with labelled units of their class, predicted boxes with all that is predicted as theirs.

    Two of four labelled cups fail, and three boxes that are no cup: a slice with both failing cups has twice the rate.
    """
    label = ["cup"] * 4 + [np.nan] * 3 + ["pan"] * 3
    prediction = ["cup", "cup", np.nan, np.nan, "cup", "cup", "cup", "pan", "pan", np.nan]
    fails = [False, False, True, True, True, True, True, False, False, True]
    units = pd.DataFrame(
        {"key": "i", "label": label, "prediction": prediction, "confidence": 0.5, "outcome": "tp", "failure": fails,
         "loss": 0.0},
        index=[f"u{i}" for i in range(10)],
    )  # fmt: skip
    labelled, boxes, both = (
        Slice(name, m) for name, m in (("a", ("u2", "u3")), ("b", ("u4", "u5")), ("c", ("u2", "u9")))
    )
    rows = slices_frame([labelled, boxes, both], units)
    assert rows["base_rate"].tolist() == pytest.approx([2 / 4, 3 / 5, (2 / 4 + 1 / 3) / 2])
    assert rows["lift"].tolist() == pytest.approx([2, 5 / 3, 1 / rows["base_rate"][2]])


def test_what_has_nothing_to_compare_with_has_no_lift() -> None:
    """In a class without failures a lift can't be measured: NaN, not infinity."""
    units = pd.DataFrame(
        {"key": "i", "label": ["cup"] * 3, "prediction": "cup", "confidence": 0.5, "outcome": "tp", "failure": False,
         "loss": 0.0},
        index=["u0", "u1", "u2"],
    )  # fmt: skip
    row = slices_frame([Slice("a", ("u0",))], units).iloc[0]
    assert row["base_rate"] == 0
    assert np.isnan(row["lift"])
