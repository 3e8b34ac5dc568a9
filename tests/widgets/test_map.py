"""The map's figure arrives complete, and tells row positions."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from ipywidgets.widgets import widget

from slicelab.widgets import Map, SafeFigureWidget


def test_connection_opens_with_the_data(monkeypatch) -> None:
    """The first message to the browser holds the traces and the layout (plotly's own figure sends none)."""
    opened, create = [], widget.comm.create_comm

    def remember(**message):
        state = message.get("data", {}).get("state", {})
        if "_widget_data" in state:
            opened.append((len(state["_widget_data"]), state["_widget_layout"].get("dragmode")))
        return create(**message)

    monkeypatch.setattr(widget.comm, "create_comm", remember)
    for kind in (go.FigureWidget, SafeFigureWidget):
        kind([go.Scatter(x=[1, 2], y=[1, 2])], layout={"dragmode": "lasso"})
    assert opened == [(0, None), (1, "lasso")]


def test_highlight_and_selection_are_row_positions(units, projection, lasso) -> None:
    """Rows go in and come out as positions in the frame, whatever trace a point is in."""
    map_, heard = Map(units, projection), []
    map_.on_select(lambda rows: heard.append(rows.tolist()))
    map_.highlight(np.array([3, 100, 7]))
    chosen = [int(t.customdata[p]) for t in map_.figure.data for p in t.selectedpoints]
    assert sorted(chosen) == [3, 7, 100]
    assert heard == []  # what the program does is no gesture
    lasso(map_, [5, 4])
    assert heard == [[4, 5]]
    map_.highlight(None)
    assert [t.selectedpoints for t in map_.figure.data] == [None] * len(map_.figure.data)


def test_without_webgl_the_figure_becomes_svg(fakes, send) -> None:
    """The browser's word that it has no WebGL changes many points to SVG and keeps the highlight."""
    units, projection = fakes.make_units(4000), fakes.make_projection(4000)
    map_ = Map(units, projection)
    map_.highlight(np.array([1, 2]))
    assert {trace.type for trace in map_.figure.data} == {"scattergl"}
    send(map_._frame, {"kind": "webgl", "works": True})
    assert {trace.type for trace in map_.figure.data} == {"scattergl"}
    send(map_._frame, {"kind": "webgl", "works": False})
    assert {trace.type for trace in map_.figure.data} == {"scatter"}
    assert map_.children[1] is map_.figure
    assert sum(len(trace.selectedpoints) for trace in map_.figure.data) == 2
