"""The map's figure: rows as integers, binary arrays, failures above, text as text."""

from __future__ import annotations

import html
import json

import numpy as np
import pandas as pd
import pytest

from slicelab.core import Candidate, InvalidInputError, Slice
from slicelab.views import colour_choices, map_figure, rows_of

HOSTILE = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "$\\href{javascript:alert(1)}{x}$", "&lt;b&gt;",
           "<a href='javascript:alert(1)'>x</a>", "a\u202eb", "%{x}")  # fmt: skip


def rows_drawn(figure) -> list[int]:
    return sorted(int(row) for trace in figure.data for row in trace.customdata)


@pytest.mark.parametrize("colour", ["outcome", "label", "prediction", "confidence", "loss"])
def test_every_unit_is_one_point_at_its_place(units, projection, colour) -> None:
    """`customdata` is the row position, whatever colours the map, and the point lies where that row was projected."""
    figure = map_figure(units, projection, colour=colour)
    assert rows_drawn(figure) == list(range(60))
    for trace in figure.data:
        assert trace.customdata.dtype == np.int32
        np.testing.assert_array_equal(np.column_stack([trace.x, trace.y]), projection[trace.customdata])
    assert len(figure.data) <= 18


def test_arrays_travel_as_binary(units, projection) -> None:
    """Places and rows are numpy arrays, which plotly sends as bytes and not as JSON lists."""
    figure = json.loads(map_figure(units, projection).to_json())
    for trace in figure["data"]:
        assert trace["x"]["dtype"] == trace["y"]["dtype"] == "f4"
        assert trace["customdata"]["dtype"] in ("i1", "i4")


def test_failures_are_drawn_above_and_marked_by_shape(units, projection) -> None:
    """Failures come after the rest and every outcome has a symbol of its own besides its colour."""
    figure = map_figure(units, projection)
    names = [trace.name.split(" ")[0] for trace in figure.data]
    assert names[0] == "tp"
    assert set(names[1:]) == {"missed", "spurious", "misclassified", "mislocalised", "duplicate"}
    marks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len({colour for colour, _ in marks}) == len({symbol for _, symbol in marks}) == 6


def test_failures_are_above_in_other_colours_too(units, projection) -> None:
    """Coloured by label, the traces of failures come last, with their symbol; each label is in the legend once."""
    figure = map_figure(units, projection, colour="label")
    fails = [set(units["failure"].to_numpy()[trace.customdata]) for trace in figure.data]
    assert fails == sorted(fails, key=lambda kinds: kinds == {True})
    assert [trace.marker.symbol == "x" for trace in figure.data] == [kinds == {True} for kinds in fails]
    names = [trace.name for trace in figure.data]
    assert sorted(t.name for t in figure.data if t.showlegend) == sorted(set(names)) == ["cup (40)", "none (20)"]


def test_members_by_id_or_row(units, projection) -> None:
    """Members can be ids or row positions; unknown ids are left out; without members nothing is selected."""
    for members in (["u3", "u17", "elsewhere"], np.array([3, 17]), (17, 3)):
        figure = map_figure(units, projection, members=members)
        chosen = sorted(int(t.customdata[p]) for t in figure.data for p in t.selectedpoints)
        assert chosen == [3, 17]
    assert all(trace.selectedpoints is None for trace in map_figure(units, projection).data)
    assert all(len(trace.selectedpoints) == 0 for trace in map_figure(units, projection, members=[]).data)


def test_many_categories_become_seven_and_other(projection, units) -> None:
    """A column of many values doesn't make many traces."""
    units["site"] = [f"site {i % 20}" for i in range(60)]
    names = {trace.name for trace in map_figure(units, projection, colour="site").data}
    assert len(names) == 8
    assert "other (39)" in names
    units["flag"] = np.arange(60) % 2 == 0
    assert {t.name for t in map_figure(units, projection, colour="flag").data} == {"True (30)", "False (30)"}


def test_webgl_by_the_number_of_points(units, projection) -> None:
    """Few points are SVG, many WebGL, and the caller may decide."""
    assert {t.type for t in map_figure(units, projection).data} == {"scatter"}
    assert {t.type for t in map_figure(units, projection, webgl=True).data} == {"scattergl"}
    many = pd.concat([units] * 60)
    many.index = pd.Index([f"u{i}" for i in range(3600)])
    assert {t.type for t in map_figure(many, np.tile(projection, (60, 1))).data} == {"scattergl"}


def test_units_without_a_place_are_counted(units, projection) -> None:
    """A unit whose embedding failed is not drawn, and the figure says how many there are."""
    projection[[2, 5]] = np.nan
    figure = map_figure(units, projection)
    assert rows_drawn(figure) == [i for i in range(60) if i not in (2, 5)]
    assert [a.text for a in figure.layout.annotations] == ["2 units have no place on the map"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_escaped_for_plotly(units, projection, text) -> None:
    """Labels, outcomes and slice names reach plotly without markup or TeX, and read as they were."""
    units["label"] = text
    for colour in ("outcome", "label"):
        figure = map_figure(units, projection, colour=colour, slices=[Slice(text, ("u1", "u2"))])
        trace = figure.data[-1]
        for drawn in (trace.text[0], trace.name, figure.layout.annotations[0].text):
            assert not set("<>$\u202e") & set(drawn)
        assert text[:20].replace("\u202e", "\ufffd") in html.unescape(trace.text[0])


def test_wrong_input_is_refused(units, projection) -> None:
    """Shapes, columns and rows that don't fit are named."""
    with pytest.raises(InvalidInputError, match=r"shape \(60, 2\).*got shape \(59, 2\)"):
        map_figure(units, projection[:-1])
    with pytest.raises(InvalidInputError, match=r"Did you mean 'label'"):
        map_figure(units, projection, colour="labl")
    with pytest.raises(InvalidInputError, match=r"0 to 59; got 3 to 60"):
        map_figure(units, projection, members=[3, 60])
    with pytest.raises(InvalidInputError, match="must be a DataFrame"):
        map_figure(units.to_dict(), projection)
    with pytest.raises(InvalidInputError, match="'u1'"):
        map_figure(units.rename(index={"u0": "u1"}), projection)


def test_inputs_are_not_changed(units, projection) -> None:
    """Drawing leaves frame and array as they were."""
    before, places = units.copy(), projection.copy()
    map_figure(units, projection, colour="confidence", members=["u1"])
    pd.testing.assert_frame_equal(units, before)
    np.testing.assert_array_equal(projection, places)


def test_no_units_at_all(units) -> None:
    """An empty frame gives an empty figure."""
    assert len(map_figure(units.iloc[:0], np.empty((0, 2))).data) == 0


def test_candidates_are_named_where_they_are(units, projection) -> None:
    """A candidate's name, or its number, is written at the median of its members."""
    members = np.array([1, 2, 3])
    nameless = Candidate(members, np.zeros(60, np.float32), 3, 2, 0.6, (0.2, 0.9), 0.8, 0.5, 0.5,
                         unit_ids=("u1", "u2", "u3"))  # fmt: skip
    note = map_figure(units, projection, slices=[nameless]).layout.annotations[0]
    assert note.text == "candidate 1"
    np.testing.assert_allclose([note.x, note.y], np.median(projection[members], axis=0))


def test_colour_choices_and_rows(units) -> None:
    """Outcome comes first; ids and pixel columns are no colours; row positions keep their order."""
    units["brightness"] = 0.5
    units["x"] = 1.0
    choices = colour_choices(units)
    assert choices[0] == "outcome"
    assert "brightness" in choices
    assert not {"key", "x", "failure"} & set(choices)
    assert rows_of(units, ["u5", "nobody", "u2"]).tolist() == [5, 2]
    assert rows_of(units, []).tolist() == []
