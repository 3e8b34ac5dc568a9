"""Charts beside the map: what is taken for what, and how sure each failure rate is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slicelab.core import InvalidInputError, listed
from slicelab.views._marks import FAILURE
from slicelab.views._plot_text import plot_text

_MAX_WRITTEN = 20
_VERDICT_MARKS = {
    "pass": ("#006b4e", "circle"),
    "fail": ("#b23a00", "x"),
    "inconclusive": ("#00578a", "diamond"),
    "invalid": ("#6b4a79", "square-open"),
}


def confusion_figure(confusion: pd.DataFrame) -> go.Figure:
    """Draw a confusion table.

    Parameters
    ----------
    confusion
        Counts: a row per label, a column per prediction, as `slicelab.evaluation.confusion` gives it.

    Returns
    -------
    Heatmap of each row's shares (0 to 1, white to blue), the counts written in the cells up to 20 x 20.
    """
    if confusion.empty:
        raise InvalidInputError(f"The confusion table is empty: shape {confusion.shape}. Evaluate a model first.")
    counts = confusion.to_numpy(dtype=np.float64)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    labels = [plot_text(v, limit=24) for v in confusion.index]
    predictions = [plot_text(v, limit=24) for v in confusion.columns]
    names = np.array([[f"{lab} → {pred}" for pred in predictions] for lab in labels], dtype=object)
    heat = go.Heatmap(
        z=shares,
        customdata=np.dstack([names, counts.astype(np.int64).astype(object)]),
        text=counts.astype(np.int64),
        texttemplate="%{text}" if max(counts.shape) <= _MAX_WRITTEN else None,
        hovertemplate="%{customdata[0]}<br>%{customdata[1]} units, %{z:.1%} of the label<extra></extra>",
        colorscale="Blues",
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        colorbar={"title": {"text": "share of label"}, "thickness": 10, "tickformat": ".0%"},
    )
    side = 60 + 26 * min(max(counts.shape), 30)
    # Positions are numbers and the names are tick texts: plotly would read names like "2024-01-01" as dates.
    return go.Figure(
        heat,
        layout={
            "template": "none",
            "height": max(260, side + 80),
            "width": max(360, side + 200),
            "margin": {"l": 120, "r": 20, "t": 60, "b": 20},
            "xaxis": {"title": {"text": "prediction"}, "side": "top", "tickvals": np.arange(len(predictions)),
                      "ticktext": predictions, "showgrid": False, "zeroline": False},
            "yaxis": {"title": {"text": "label"}, "autorange": "reversed", "tickvals": np.arange(len(labels)),
                      "ticktext": labels, "showgrid": False, "zeroline": False},
        },
    )  # fmt: skip


def interval_figure(slices: pd.DataFrame, *, base_rate: float | None = None) -> go.Figure:
    """Draw failure rates with their intervals, a line per slice, in the order given from the top.

    Parameters
    ----------
    slices
        Columns `name`, `failure_rate`, `low`, `high`, as `slices_frame` gives it. With `base_rate`, too, what each is
        compared with is drawn as a mark of its line.
    base_rate
        One failure rate to compare all with, such as that of all units; drawn as a vertical line.
    """
    missing = [c for c in ("name", "failure_rate", "low", "high") if c not in slices.columns]
    if missing:
        raise InvalidInputError(f"The table lacks the columns {listed(missing)}. Give what `slices_frame` returns.")
    rate = slices["failure_rate"].to_numpy(dtype=np.float64)
    figure = go.Figure(
        go.Scatter(
            x=rate,
            y=np.arange(len(slices)),
            mode="markers",
            marker={"color": FAILURE.colour, "size": 9},
            error_x={"type": "data", "symmetric": False, "array": slices["high"].to_numpy(dtype=np.float64) - rate,
                     "arrayminus": rate - slices["low"].to_numpy(dtype=np.float64), "color": FAILURE.colour},
            hovertemplate="%{x:.1%}<extra></extra>",
            showlegend=False,
        ),
        layout={
            "template": "none",
            "height": 90 + 26 * len(slices),
            "margin": {"l": 220, "r": 20, "t": 10, "b": 50},
            "xaxis": {"title": {"text": "failure rate, 95 % interval"}, "range": [0, 1], "tickformat": ".0%"},
            "yaxis": {"tickvals": np.arange(len(slices)), "ticktext": [plot_text(n, limit=32) for n in slices["name"]],
                      "autorange": "reversed", "showgrid": False, "zeroline": False},
        },
    )  # fmt: skip
    if "base_rate" in slices:
        figure.add_scatter(
            x=slices["base_rate"].to_numpy(dtype=np.float64),
            y=np.arange(len(slices)),
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 14, "color": "#767676"},
            hovertemplate="%{x:.1%} of its class or population<extra></extra>",
            showlegend=False,
        )
    if base_rate is not None:
        figure.add_vline(x=base_rate, line={"dash": "dot", "color": "#767676"})
    return figure


def history_figure(runs: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw a case's value over its runs, with intervals; the verdict is the mark's shape, colour and word.

    Parameters
    ----------
    runs
        A row per run, oldest first; columns `at`, `model`, `verdict`, `value`, `low`, `high` (None: none).
    title
        The case's name.
    """
    value = runs["value"].to_numpy(dtype=np.float64)
    low, high = (runs[c].to_numpy(dtype=np.float64) for c in ("low", "high"))
    place = np.arange(len(runs))
    verdicts = runs["verdict"].to_numpy(object)
    figure = go.Figure(
        layout={
            "template": "none",
            "height": 320,
            "title": {"text": plot_text(title, limit=64), "font": {"size": 14}},
            "margin": {"l": 60, "r": 20, "t": 40, "b": 70},
            "xaxis": {"tickvals": place, "ticktext": [plot_text(m, limit=16) for m in runs["model"]],
                      "showgrid": False, "zeroline": False},
            "yaxis": {"title": {"text": "value, interval"}},
        },
    )  # fmt: skip
    figure.add_scatter(x=place, y=value, mode="lines", line={"color": "#b8bfc6"}, showlegend=False, hoverinfo="skip")
    for verdict, (colour, symbol) in _VERDICT_MARKS.items():
        rows = np.flatnonzero(verdicts == verdict)
        if not len(rows):
            continue
        figure.add_scatter(
            x=place[rows],
            # An invalid run has no value: it stands at the foot of the plot.
            y=np.where(np.isnan(value[rows]), np.nanmin(np.append(value, np.append(low, 0.0))), value[rows]),
            mode="markers",
            name=verdict,
            marker={"color": colour, "symbol": symbol, "size": 11},
            error_y={"type": "data", "symmetric": False, "array": np.nan_to_num(high - value)[rows],
                     "arrayminus": np.nan_to_num(value - low)[rows], "color": colour},
            customdata=[plot_text(str(at), limit=40) for at in runs["at"].to_numpy(object)[rows]],
            hovertemplate="%{y:.4g}<br>%{customdata}<extra>" + verdict + "</extra>",
        )  # fmt: skip
    return figure
