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

_NAME = "slicelabPlotly"


class PlotlyLibrary(anywidget.AnyWidget):
    """Nothing to see; where it arrives, `globalThis[name]` is plotly."""

    _esm = "export default {}"
    name = traitlets.Unicode().tag(sync=True)


@cache
def plotly_library() -> PlotlyLibrary:
    """Return this kernel's one library."""
    name = f"{_NAME}_{version('plotly')}"
    source = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    wrapped = (
        f"if (!globalThis[{name!r}]) {{ const module = {{ exports: {{}} }}; const before = globalThis.Plotly;\n"
        f"{source}\nglobalThis[{name!r}] = module.exports; globalThis.Plotly = before; }}\nexport default {{}};"
    )
    return PlotlyLibrary(_esm=wrapped, name=name)
