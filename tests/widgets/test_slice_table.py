"""Rows go to the browser as plain JSON; picks come back as keys."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.views import slices_frame
from slicelab.widgets import SliceTable


def test_rows_are_strict_json(fakes, units) -> None:
    """NaN and infinity, which JSON lacks, arrive as null; numbers are plain."""
    frame = slices_frame(fakes.make_candidates(units), units)
    frame.loc[0, ["q_value", "lift"]] = [np.nan, np.inf]
    table = SliceTable(frame)
    json.dumps(table.rows, allow_nan=False)
    assert (table.rows[0]["q_value"], table.rows[0]["lift"]) == (None, None)
    assert table.rows[1]["size"] == 50


def test_picks_stay_while_their_rows_do(fakes, units, send) -> None:
    """What is chosen stays chosen when the rows change, unless its row is gone."""
    frame = slices_frame(fakes.make_candidates(units), units)
    table, heard = SliceTable(frame, keys=["a", "b"]), []
    table.on_pick(heard.append)
    send(table, {"kind": "pick", "keys": ["b", "a", "gone"]})
    assert heard == [["b", "a"]]
    table.show(frame.iloc[:1], keys=["b"])
    assert table.picked == ["b"]
    assert heard == [["b", "a"]]


@pytest.mark.parametrize("keys", [None, "a", [1], {"a": 1}])
def test_bad_picks_are_refused(fakes, units, send, keys) -> None:
    """A pick that is not a list of keys changes nothing and is told."""
    told = []
    table = SliceTable(slices_frame(fakes.make_candidates(units), units))
    table.on_error = told.append
    send(table, {"kind": "pick", "keys": keys})
    assert table.picked == []
    assert [type(error) for error in told] == [InvalidInputError]


def test_keys_must_fit_the_rows() -> None:
    """A wrong number of keys is refused."""
    with pytest.raises(InvalidInputError, match="1 rows, got 2 keys"):
        SliceTable(pd.DataFrame({"name": ["x"]}), keys=["a", "b"])
