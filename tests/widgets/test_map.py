"""The map without a browser: bytes out, gestures in."""

from __future__ import annotations

import numpy as np
import pytest

from slicelab.core import InvalidInputError, Slice
from slicelab.views import colour_choices, map_layers, slice_outlines
from slicelab.widgets import Map


def test_a_point_costs_few_bytes(fakes) -> None:
    """Places, layers and a selection are bytes: at most 20 for a point, all that the browser is told of it."""
    units, projection = fakes.make_units(5000), fakes.make_projection(5000)
    for colour in ("outcome", "label", "confidence"):
        map_ = Map(units, projection, colour=colour)
        map_.highlight(np.arange(5000))
        sent = len(map_.places) + len(map_.codes) + len(map_.values) + len(map_.selected)
        assert sent <= 20 * 5000
        rest = {k: v for k, v in map_.get_state().items() if k not in ("_esm", "_css", "library")}
        words = sum(len(str(v)) for v in rest.values() if not isinstance(v, (bytes, memoryview)))
        assert words < 4000  # and nothing per point besides


def test_layers_say_what_each_unit_is(units, projection) -> None:
    """The byte of a unit is the layer that its outcome is drawn in; failures lie above; no place, no layer."""
    projection = projection.copy()
    projection[3] = np.nan
    drawn = map_layers(units, projection)
    names = [layer["name"].split(" ")[0] for layer in drawn.layers]
    assert names == ["correct", "wrong"]
    told = ["none" if code == 255 else names[code] for code in drawn.codes]
    assert told == ["none" if i == 3 else outcome for i, outcome in enumerate(units["outcome"])]
    assert drawn.values is None
    numbers = map_layers(units, projection, colour="confidence")
    np.testing.assert_allclose(numbers.values, units["confidence"].to_numpy(np.float32))
    assert [layer["colour"] for layer in numbers.layers] == [None, None]
    assert Map(units, projection).absent == 1


def test_every_column_can_colour(units, projection) -> None:
    """Whatever is on the list of colours is drawn: each unit in one layer."""
    units = units.assign(site=[f"s{i % 20}" for i in range(len(units))], flag=units["failure"])
    for colour in colour_choices(units):
        assert map_layers(units, projection, colour=colour).codes.max() < 20


def test_outlines_hold_most_members_and_name_them(units, projection) -> None:
    """A slice's outline is around its members' middle; a slice of two points has a name only."""
    members = tuple(units.index[0:200:4])
    (outline,) = slice_outlines([Slice("edge-on <knives>", members)], units, projection)
    assert outline["name"] == "edge-on &lt;knives&gt;"
    middle = np.median(projection[::4], axis=0)
    np.testing.assert_allclose([outline["x"], outline["y"]], middle, rtol=1e-5)
    corners = np.column_stack([outline["xs"], outline["ys"]])
    assert len(corners) >= 5
    assert np.linalg.norm(corners - middle, axis=1).max() < np.linalg.norm(projection[::4] - middle, axis=1).max()
    (two,) = slice_outlines([Slice("two", tuple(units.index[:2]))], units, projection)
    assert two["xs"] == []
    assert slice_outlines([Slice("elsewhere", ("x",))], units, projection) == []


def test_selections_are_joined(units, projection, lasso) -> None:
    """Shift adds to what is selected, Alt takes out of it; what the program does is no gesture."""
    map_, heard = Map(units, projection), []
    map_.on_select(lambda rows: heard.append(rows.tolist()))
    map_.highlight(np.array([3, 100, 7]))
    assert np.frombuffer(map_.selected, "<i4").tolist() == [3, 100, 7]
    assert heard == []
    lasso(map_, [5, 4], way="add")
    lasso(map_, [100, 4, 9], way="subtract")
    lasso(map_, [8])
    assert heard == [[3, 4, 5, 7, 100], [3, 5, 7], [8]]
    map_.highlight(None)
    assert not map_.dimmed
    lasso(map_, [0], way="subtract")
    assert len(heard[-1]) == len(units) - 1


def test_hover_tells_words_and_a_picture(units, projection, desk, send) -> None:
    """What is beside the mouse is asked for, point by point, and comes with its picture."""
    ((content, images),) = send(Map(units, projection, desk=desk), {"kind": "hover", "row": 4})
    assert content["lines"][0].startswith("knife → ")
    assert content["lines"][2] == "0004.png"
    assert images[0][:2] == b"\xff\xd8"
    ((content, images),) = send(Map(units, projection), {"kind": "hover", "row": 4})
    assert (content["row"], images) == (4, [])


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "hover", "row": 200},
        {"kind": "pick", "row": "1"},
        {"kind": "range", "range": [0, float("inf"), 0, 1]},
        {"kind": "range", "range": "all"},
        {"kind": "colour", "colour": "nothing like it"},
        {"kind": "select", "way": "replace"},
    ],
)
def test_wrong_messages_are_refused(units, projection, send, content) -> None:
    """What no browser of ours sends is told as an error, and changes nothing."""
    map_, errors = Map(units, projection), []
    map_.on_error = errors.append
    before = map_.get_state(["colour", "range", "selected"])
    send(map_, content)
    assert len(errors) == 1
    assert isinstance(errors[0], InvalidInputError)
    assert map_.get_state(["colour", "range", "selected"]) == before


def test_the_library_is_there_once_per_kernel(units, projection) -> None:
    """All maps share plotly's own source, whole and with a name for its version; nothing comes from elsewhere."""
    first, second = Map(units, projection), Map(units, projection)
    assert first.library is second.library
    assert first.library.name.startswith("slicelabPlotly_")
    assert "plotly.js v" in first.library.source
    assert len(first.library.source) > 3_000_000


def test_places_can_move(units, projection) -> None:
    """Other places keep colours and selection, and all of them come into sight; impossible ones change nothing."""
    map_ = Map(units, projection, colour="label")
    map_.highlight(np.array([1, 2]))
    map_.range = [0.0, 1.0, 0.0, 1.0]
    codes = map_.codes
    moved = -2 * projection
    map_.move(moved)
    assert map_.codes == codes
    moved[5] = np.nan
    map_.move(moved)
    np.testing.assert_array_equal(np.frombuffer(map_.places, "<f4").reshape(-1, 2), moved.astype(np.float32))
    assert (map_.colour, map_.range, map_.rows.tolist(), map_.absent) == ("label", [], [1, 2], 1)
    assert [i for i, code in enumerate(map_.codes) if code == 255] == [5]
    places = map_.places
    with pytest.raises(InvalidInputError):
        map_.move(projection[:-1])
    assert map_.places == places
