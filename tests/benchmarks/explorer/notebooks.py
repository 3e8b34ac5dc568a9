"""The notebooks of the comparison: each shows a map, and writes how many units are selected into a line of text."""

from __future__ import annotations

POINTS = """
import time
from fakes import FakeDesk, make_candidates, make_projection, make_units
units, projection = make_units({count}), make_projection({count})
"""

SLICELAB = """
from slicelab.widgets import Explorer
desk = FakeDesk(units)
desk.inspect(list(units.index[:2]), "v3")
explorer = Explorer(units, projection, desk=desk, candidates=make_candidates(units), model="v3")
explorer
"""

SCATTER = """
import ipywidgets, jscatter
frame = units.assign(x=projection[:, 0], y=projection[:, 1])
scatter = jscatter.Scatter(data=frame, x="x", y="y", color_by="outcome", height=480)
line = ipywidgets.HTML("0 selected")
line.add_class("peer-line")
scatter.widget.observe(lambda change: setattr(line, "value", f"{{len(scatter.selection())}} selected"), "selection")
scatter.mouse(mode="lasso")
ipywidgets.VBox([scatter.show(), line])
"""

FIFTYONE = """
import os, pathlib, tempfile
os.environ["FIFTYONE_DATABASE_URI"] = {database!r}
os.environ["FIFTYONE_DATABASE_NAME"] = "bench"
import fiftyone as fo, fiftyone.brain as fob, ipywidgets
name = "bench {count}"
if fo.dataset_exists(name):
    dataset = fo.load_dataset(name)
else:
    dataset = fo.Dataset(name, persistent=True)
    folder = pathlib.Path(tempfile.mkdtemp())
    made = (fo.Sample(str(folder / key), outcome=fo.Classification(label=outcome))
            for key, outcome in zip(units["key"], units["outcome"]))
    dataset.add_samples(made, num_samples=len(units), validate=False, progress=False)
results = fob.compute_visualization(dataset, points=projection, brain_key="map", progress=False)
session = fo.launch_app(dataset, port={port}, address="127.0.0.1", auto=False)
line = ipywidgets.HTML("0 selected")
line.add_class("peer-line")
"""
FIFTYONE_PLOT = """
plot = results.visualize(labels="outcome.label", height=480)
session.plots.attach(plot, name="map")
linked = plot._selection_callback  # there is one at a time: the session's is called from ours
times = 0

def selected(ids):
    global times
    linked(ids)
    times += 1  # two quarters can hold as many points
    line.value = f"{{len(ids)}} selected, {{times}}"

plot.register_selection_callback(selected)
plot.show()
"""
LINE = "line"
