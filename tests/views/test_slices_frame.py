"""One table for candidates and slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from slicelab.core import Candidate, Slice
from slicelab.views import SliceRows, slice_outlines, slices_frame


def test_a_slice_is_counted_in_the_units(units) -> None:
    """Size, failures, rate, interval and lift of a slice agree with counting by hand and with scipy."""
    members = tuple(f"u{i}" for i in range(7))  # tp, five failures, tp
    row = slices_frame([Slice("s", (*members, "elsewhere"), note="dark", version=3)], units).iloc[0]
    assert (row["name"], row["size"], row["failures"], row["status"], row["version"]) == ("s", 7, 5, "slice", 3)
    oracle = binomtest(5, 7).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert row["failure_rate"] == pytest.approx(5 / 7)
    assert row["lift"] == pytest.approx((5 / 7) / (50 / 60))
    assert row["description"] == "dark · 1 members are not among these units"
    assert np.isnan(row["q_value"])


@pytest.mark.parametrize("k", range(5))
def test_interval_agrees_with_scipy(units, k) -> None:
    """The interval agrees for every number of failures, with none and all of them too."""
    units["failure"] = np.arange(60) < k
    row = slices_frame([Slice("s", ("u0", "u1", "u2", "u3"))], units).iloc[0]
    oracle = binomtest(k, 4).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_a_candidate_tells_its_own_numbers(units) -> None:
    """A candidate's numbers are taken over, but its lift is over all units, as a slice's; without a name: a number."""
    found = Candidate(np.array([0]), np.zeros(60, np.float32), 40, 30, 0.75, (0.6, 0.86), 0.5, 0.01, 0.02,
                      status="confirmed", description="cups")  # fmt: skip
    row = slices_frame([found], units).iloc[0]
    assert row[["name", "size", "failures", "status", "description"]].tolist() == [
        "candidate 1", 40, 30, "confirmed", "cups",
    ]  # fmt: skip
    assert (row["low"], row["high"], row["q_value"]) == (0.6, 0.86, 0.02)
    assert row["lift"] == pytest.approx(0.75 / (50 / 60))
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
