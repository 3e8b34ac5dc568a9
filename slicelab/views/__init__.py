"""Values to plotly figures and small HTML; no callbacks."""

from slicelab.views._charts import confusion_figure, history_figure, interval_figure
from slicelab.views._inspection import inspection_lines
from slicelab.views._map import MapLayers, colour_choices, map_figure, map_layers, selected_points, slice_outlines
from slicelab.views._ordering import ORDERS, Ordering
from slicelab.views._report import report_html
from slicelab.views._safe_html import Safe, safe_html
from slicelab.views._selection import (
    Rows,
    caption,
    check_units,
    failures_first,
    rows_in,
    rows_of,
    selection_line,
)
from slicelab.views._slices_frame import Interval, SliceRows, slices_frame
from slicelab.views._still import explorer_html, map_png

__all__ = [
    "ORDERS",
    "Interval",
    "MapLayers",
    "Ordering",
    "Rows",
    "Safe",
    "SliceRows",
    "caption",
    "check_units",
    "colour_choices",
    "confusion_figure",
    "explorer_html",
    "failures_first",
    "history_figure",
    "inspection_lines",
    "interval_figure",
    "map_figure",
    "map_layers",
    "map_png",
    "report_html",
    "rows_in",
    "rows_of",
    "safe_html",
    "selected_points",
    "selection_line",
    "slice_outlines",
    "slices_frame",
]
