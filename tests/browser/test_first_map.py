"""A data set without a kept map, opened in a real JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import slicelab

pytestmark = [pytest.mark.browser, pytest.mark.mongo]

LOAD = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("parts", sys.argv[1])
parts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parts)
folder = parts.draw(pathlib.Path(sys.argv[2]))
import slicelab as sl
lab = sl.load("parts", folder / "images", folder / "labels.csv", {"v3": folder / "v3.csv"})
lab.embed(progress=False)
"""
OPEN = """
import os
os.environ["SLICELAB_HOME"] = {home!r}
import slicelab as sl
"""
# UMAP waits until the test has seen the first map: on these few units it would be there before the page is.
HELD = """
import pathlib, time
from slicelab import discovery
project = discovery.project
def held(*arguments, **more):
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.05)
    return project(*arguments, **more)
discovery.project = held
"""
EXPLORE = 'lab = sl.open("parts")\nlab.explore("v3")'
DRAWN = """() => { const map = document.querySelector('.slicelab-map'), canvas = map?.querySelector('.slicelab-field');
    return !!(map?.querySelector('.nsewdrag') && map.dataset.colour && Number(map.dataset.painted) === 160
              && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)); }"""
INKED = """() => { const canvas = document.querySelector('.slicelab-map .slicelab-field'), { width, height } = canvas;
    const values = canvas.getContext('2d').getImageData(0, 0, width, height).data, found = new Set();
    for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
            if (values[4 * (y * width + x) + 3] > 100) found.add((y >> 3) * 1000 + (x >> 3));
    return [...found]; }"""
"""Squares of 8 pixels in which there is paint: what two pages share of them doesn't hang on half a pixel."""

ALONE = "() => !document.querySelector('.slicelab-notice').textContent.includes('Laying out the map')"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A SliceLab home with one data set whose units have vectors, and no map."""
    home = tmp_path_factory.mktemp("first")
    file = Path(__file__).parents[1] / "lab" / "conftest.py"
    root = str(Path(slicelab.__file__).parents[1])
    environment = os.environ | {"SLICELAB_HOME": str(home / "store"), "PYTHONPATH": root, "TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, "-c", LOAD, str(file), str(home / "files")], env=environment, check=True)
    return home


def _shared(some: list[int], others: list[int]) -> float:
    return len({*some} & {*others}) / len({*some} | {*others})


def _write(server, name: str, source: str) -> str:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_code_cell(source.strip()), new_code_cell(EXPLORE)]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), server.folder / name)
    return name


def test_points_are_there_at_once_and_move_to_umaps_places(open_page, server, run_notebook, home, shoot) -> None:
    """All points are painted while UMAP has not begun; then they move, to where a later notebook opens with them."""
    go = home / "go"
    opened = OPEN.format(home=str(home / "store"))
    page = open_page()
    assert run_notebook(page, server, _write(server, "first.ipynb", opened + HELD.format(go=str(go)))) == []
    page.wait_for_function(DRAWN)
    first = page.evaluate(INKED)
    assert not page.evaluate(ALONE)
    shoot(page, "first-map")
    go.touch()
    page.wait_for_function(ALONE, timeout=120_000)
    assert page.evaluate(DRAWN)

    later = open_page()
    assert run_notebook(later, server, _write(server, "later.ipynb", opened)) == []
    later.wait_for_function(DRAWN)
    assert later.evaluate(ALONE)
    for _ in range(60):  # until both pages have painted the last of it
        arrived, kept = page.evaluate(INKED), later.evaluate(INKED)
        if _shared(arrived, kept) > 0.8:
            break
        page.wait_for_timeout(500)
    shoot(page, "umap-map")
    shoot(later, "umap-map-later")
    assert _shared(arrived, kept) > 0.8
    assert _shared(arrived, first) < 0.5
    assert page.seen.errors == []
