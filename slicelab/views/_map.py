"""The map: every unit a point where its embedding was projected to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from slicelab.core import FAILURES, TEXT, Candidate, InvalidInputError, Slice, check_choice
from slicelab.views._marks import FAILURE, GREY, OKABE_ITO, OTHER, OUTCOME_MARKS, RIGHT
from slicelab.views._plot_text import plot_text
from slicelab.views._selection import Rows, caption, check_units, rows_in, rows_of

SVG_LIMIT = 3_000
"""Up to so many points SVG is drawn: sharp, and it spends none of the browser's few WebGL contexts."""
TEXT_LIMIT = 20_000
"""Up to so many points each carries its caption to the browser."""
MAX_CATEGORIES = 7
MAX_SLICE_NAMES = 12
HULL_SHARE = 0.8
"""So much of a slice lies inside its outline: a stray member far away would make it cover the whole map."""
_STRENGTH = {True: {"size": 7, "opacity": 0.9}, False: {"size": 6, "opacity": 0.55}}
_NOT_COLOURS = ("key", "label_id", "box_id", "failure", "x", "y", "width", "height")


@dataclass(frozen=True)
class _Layer:
    name: str
    rows: Rows
    marker: dict[str, Any]


@dataclass(frozen=True, eq=False)
class MapLayers:
    """What the map's JavaScript draws: a byte per unit instead of a figure's arrays.

    Parameters
    ----------
    codes
        uint8 (n,): the number of the unit's layer; 255: it isn't drawn.
    values
        float32 (n,): what a colour scale shows; None where each layer has one colour.
    layers
        Per layer, lowest first: `name` (escaped for plotly), `colour` (None: from the scale), `symbol`, `size`,
        `opacity`.
    title
        Of the colour scale, escaped for plotly.
    """

    codes: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float32] | None
    layers: list[dict[str, Any]]
    title: str


def map_figure(
    units: pd.DataFrame,
    projection: npt.ArrayLike,
    *,
    colour: str = "outcome",
    members: Iterable[Any] | None = None,
    slices: Sequence[Candidate | Slice] | None = None,
    webgl: bool | None = None,
    height: int = 460,
) -> go.Figure:
    """Draw the units as points.

    Few traces, failures above the rest. Each trace's `customdata` is int32: the row positions of its points in
    `units`, so that point `i` of trace `t` is the unit `units.index[figure.data[t].customdata[i]]`.

    Parameters
    ----------
    units
        The units frame.
    projection
        float (n, 2), a row per unit in order; a unit whose row holds NaN is not drawn, and the figure says how many.
    colour
        A column: "outcome", another one with few values (the most frequent seven and "other"), or a number.
    members
        Ids or row positions to highlight; the others are dimmed. None: all alike.
    slices
        Their names are written where their members are (the first twelve).
    webgl
        Draw with WebGL; None: above 3,000 points.
    height
        In CSS pixels.

    Raises
    ------
    InvalidInputError
        The projection doesn't fit, or there is no such column.
    """
    check_units(units)
    check_choice(colour, colour_choices(units), "colour")
    places = _check_projection(projection, len(units))
    drawn = np.asarray(np.isfinite(places).all(axis=1))
    kind = go.Scattergl if (len(units) > SVG_LIMIT if webgl is None else webgl) else go.Scatter
    chosen = None if members is None else rows_of(units, members)
    texts = _texts(units)
    layers = [layer for layer in _layers(units, colour, drawn) if len(layer.rows)]
    figure = go.Figure([_trace(kind, layer, places, texts, chosen) for layer in layers], layout=_layout(height, colour))
    _name_each_once(figure)
    for name, where in _placed(slices or (), units, places):
        x, y = np.median(where, axis=0)
        figure.add_annotation(text=name, x=x, y=y, showarrow=False, bgcolor="rgba(255,255,255,0.7)",
                              font={"size": 11, "color": "#222222"})  # fmt: skip
    if not drawn.all():
        _note_absent(figure, int((~drawn).sum()))
    return figure


def map_layers(units: pd.DataFrame, projection: npt.ArrayLike, *, colour: str = "outcome") -> MapLayers:
    """Return which layer of the map each unit is in, for a colour as in `map_figure`."""
    check_units(units)
    check_choice(colour, colour_choices(units), "colour")
    places = _check_projection(projection, len(units))
    layers = [each for each in _layers(units, colour, np.asarray(np.isfinite(places).all(axis=1))) if len(each.rows)]
    codes, values = np.full(len(units), 255, np.uint8), None
    if any("coloraxis" in layer.marker for layer in layers):
        values = units[colour].to_numpy(dtype=np.float32, na_value=np.nan)
    for number, layer in enumerate(layers):
        codes[layer.rows] = number
    drawn = [
        {
            "name": layer.name,
            "colour": None if values is not None else layer.marker["color"],
            "symbol": layer.marker["symbol"],
            "size": layer.marker["size"],
            "opacity": layer.marker.get("opacity", 0.8),
        }
        for layer in layers
    ]
    return MapLayers(codes, values, drawn, plot_text(colour))


def slice_outlines(
    slices: Sequence[Candidate | Slice], units: pd.DataFrame, projection: npt.ArrayLike
) -> list[dict[str, Any]]:
    """Return where slices lie on the map (the first twelve).

    Returns
    -------
    Per slice with a place on the map: `name` (escaped for plotly), `x` and `y` of the name (the members' median), and
    `xs`, `ys`: corners of the convex hull of the 80 % of its members that lie nearest to it (none where they have no
    area).
    """
    places = _check_projection(projection, len(units))
    outlines = []
    for name, members in _placed(slices, units, places):
        middle = np.median(members, axis=0)
        distance = np.square(members - middle).sum(axis=1)
        corners = _hull(members[distance <= np.quantile(distance, HULL_SHARE)])
        x, y = (float(v) for v in middle)
        outlines.append({"name": name, "x": x, "y": y, "xs": corners[:, 0].tolist(), "ys": corners[:, 1].tolist()})
    return outlines


def colour_choices(units: pd.DataFrame) -> list[str]:
    """Return the columns that can colour the map."""
    first = ["outcome", "label", "prediction", "confidence", "loss"]
    return first + [c for c in units.columns if isinstance(c, str) and c not in first and c not in _NOT_COLOURS]


def selected_points(layer_rows: Rows, rows: Rows | None) -> Rows | None:
    """Return which points of a trace, whose `customdata` is `layer_rows`, are among `rows` (None: no selection)."""
    return None if rows is None else np.flatnonzero(np.isin(layer_rows, rows))


def _check_projection(projection: npt.ArrayLike, rows: int) -> npt.NDArray[np.float32]:
    places = np.asarray(projection)
    if places.shape != (rows, 2) or not np.issubdtype(places.dtype, np.number):
        raise InvalidInputError(
            f"The projection must be numbers of shape ({rows}, 2), a row per unit in order; "
            f"got shape {places.shape}, dtype {places.dtype}."
        )
    return places.astype(np.float32)


def _layers(units: pd.DataFrame, colour: str, drawn: npt.NDArray[np.bool_]) -> list[_Layer]:
    failure = units["failure"].to_numpy(dtype=bool)
    if colour == "outcome":
        return _outcome_layers(units["outcome"].astype(TEXT).to_numpy(), drawn)
    column = units[colour]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _number_layers(column.to_numpy(dtype=np.float64, na_value=np.nan), failure, drawn)
    return _category_layers(column, failure, drawn)


def _outcome_layers(outcome: npt.NDArray[Any], drawn: npt.NDArray[np.bool_]) -> list[_Layer]:
    names, counts = np.unique(outcome[drawn], return_counts=True)
    above = sorted(zip(names, counts, strict=True), key=lambda pair: (pair[0] in FAILURES, -pair[1]))
    layers = []
    for name, count in above:
        mark = OUTCOME_MARKS.get(str(name), OTHER)
        fails = name in FAILURES
        marker = {
            "color": mark.colour,
            "symbol": mark.symbol,
            "size": 7 if fails else 6,
            "opacity": 0.9 if fails else 0.55,
        }
        layers.append(_Layer(f"{plot_text(name)} ({count:,})", np.flatnonzero(drawn & (outcome == name)), marker))
    return layers


def _number_layers(
    values: npt.NDArray[np.float64], failure: npt.NDArray[np.bool_], drawn: npt.NDArray[np.bool_]
) -> list[_Layer]:
    layers = []
    for name, mark, part in (("right", RIGHT, ~failure), ("failure", FAILURE, failure)):
        rows = np.flatnonzero(drawn & part)
        marker = {"color": values[rows].astype(np.float32), "coloraxis": "coloraxis", "symbol": mark.symbol, "size": 6}
        layers.append(_Layer(f"{name} ({len(rows):,})", rows, marker))
    return layers


def _category_layers(
    column: pd.Series[Any], failure: npt.NDArray[np.bool_], drawn: npt.NDArray[np.bool_]
) -> list[_Layer]:
    texts = column.astype("string")
    frequent = list(texts[drawn].value_counts().index[:MAX_CATEGORIES])
    codes = pd.Index(frequent).get_indexer(texts)  # -1: not among the frequent ones
    missing = texts.isna().to_numpy()
    parts = [(plot_text(n, limit=24), OKABE_ITO[i], codes == i) for i, n in enumerate(frequent)]
    parts.append(("other", GREY, ~missing & (codes < 0)))
    parts.append(("none", "#BBBBBB", missing))
    named = [(f"{name} ({int((drawn & part).sum()):,})", hue, drawn & part) for name, hue, part in reversed(parts)]
    layers = []
    for mark, half in ((RIGHT, ~failure), (FAILURE, failure)):  # one symbol per trace: plotly checks each of an array
        for name, hue, part in named:
            marker = {"color": hue, "symbol": mark.symbol, "size": 6, "opacity": 0.8}
            layers.append(_Layer(name, np.flatnonzero(part & half), marker))
    return layers


def _texts(units: pd.DataFrame) -> npt.NDArray[Any] | None:
    if len(units) > TEXT_LIMIT:
        return None
    sure = units["confidence"].to_numpy(dtype=np.float64, na_value=np.nan)
    pairs = zip(units["label"], units["prediction"], sure, strict=True)
    words = [plot_text(caption(lab, pred)) + ("" if np.isnan(c) else f" · {c:.2f}") for lab, pred, c in pairs]
    return np.array(words, dtype=object)


def _trace(
    kind: type, layer: _Layer, places: npt.NDArray[np.float32], texts: npt.NDArray[Any] | None, chosen: Rows | None
) -> Any:
    hover = "%{text}" if texts is not None else "row %{customdata}"
    return kind(
        x=places[layer.rows, 0],
        y=places[layer.rows, 1],
        customdata=layer.rows.astype(np.int32),
        text=None if texts is None else texts[layer.rows],
        hovertemplate=hover + "<extra>%{fullData.name}</extra>",
        mode="markers",
        name=layer.name,
        legendgroup=layer.name,
        marker={"line": {"width": 0}, **layer.marker},
        selectedpoints=selected_points(layer.rows, chosen),
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
    )


def _name_each_once(figure: go.Figure) -> None:
    named: set[str] = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in named
        named.add(trace.name)


def _layout(height: int, colour: str) -> dict[str, Any]:
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "title": None,
            "showline": True, "mirror": True, "linecolor": "rgba(128,128,128,0.35)"}  # fmt: skip
    return {
        "template": "none",
        "height": height,
        "dragmode": "lasso",
        "hovermode": "closest",
        "margin": {"l": 1, "r": 1, "t": 1, "b": 4},
        "xaxis": axis,
        "yaxis": axis,
        "font": {"size": 12, "color": "#767676"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": -0.01, "yanchor": "top", "x": 0, "itemsizing": "constant"},
        "coloraxis": {"colorscale": "Cividis", "colorbar": {"title": {"text": plot_text(colour)}, "thickness": 10}},
        "newselection": {"line": {"color": "#767676", "dash": "dot", "width": 1.5}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8C8C8C", "activecolor": "#0072B2"},
        "uirevision": "map",
    }


def _placed(
    slices: Sequence[Candidate | Slice], units: pd.DataFrame, places: npt.NDArray[np.float32]
) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return the names of the first slices, and their members' places."""
    named = []
    for number, each in enumerate(slices[:MAX_SLICE_NAMES], start=1):
        where = places[rows_in(units, each)]
        where = where[np.isfinite(where).all(axis=1)]
        if len(where):
            named.append((plot_text(each.name or f"candidate {number}", limit=32), where))
    return named


def _hull(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.asarray(points[ConvexHull(points).vertices], dtype=np.float64)
    except (QhullError, ValueError):  # fewer than three points, or all on one line
        return np.empty((0, 2))


def _note_absent(figure: go.Figure, count: int) -> None:
    figure.add_annotation(text=f"{count:,} units have no place on the map", xref="paper", yref="paper", x=1, y=0,
                          xanchor="right", yanchor="bottom", showarrow=False, font={"size": 11})  # fmt: skip
