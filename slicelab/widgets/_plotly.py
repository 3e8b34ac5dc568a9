"""plotly's own JavaScript, once per page, from the plotly that is installed: nothing is loaded from elsewhere.

`plotly.graph_objects.FigureWidget` isn't used. It opens its connection before it has data, sends the data afterwards,
and its JavaScript ignores that message: on a busy machine the plot stays empty. Here a map's data is there when its
model is, and 100,000 points travel as bytes.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.resources import files

import anywidget
import traitlets


class PlotlyLibrary(anywidget.AnyWidget):
    """Nothing to see: it carries plotly's source, which the first map of a page runs.

    It isn't this widget's own module, as anywidget gives a module two seconds to start: on a busy machine too few for
    five megabytes.
    """

    _esm = "export default { render() {} }"
    name = traitlets.Unicode().tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)


@cache
def plotly_library() -> PlotlyLibrary:
    """Return this kernel's one library."""
    source = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return PlotlyLibrary(source=source, name=f"slicelabPlotly_{version('plotly')}")
