"""The explorer outside JupyterLab: Notebook 7, and a page without code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

import slicelab

pytestmark = [pytest.mark.browser, pytest.mark.mongo]

LOAD = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("parts", sys.argv[1])
parts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parts)
folder = parts.draw(pathlib.Path(sys.argv[2]))
import slicelab as sl
lab = sl.load("parts", folder / "images", folder / "labels.csv", {m: folder / f"{m}.csv" for m in ("v3", "v4")})
lab.embed(progress=False)
lab.project()
lab.create_slice("dark nuts", rule='label == "nut" and dark')
"""
NOTEBOOK = """
import os
os.environ["SLICELAB_HOME"] = {home!r}
import slicelab as sl
sl.open("parts").explore("v3")
"""
DRAWN = """() => { const map = document.querySelector('.slicelab-map');
    return !!(map?.querySelector('.nsewdrag') && map.dataset.colour && Number(map.dataset.painted)); }"""
PICTURES = "() => [...document.querySelectorAll('.slicelab-tile img')].some(i => i.naturalWidth > 1)"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A SliceLab home with one data set."""
    home = tmp_path_factory.mktemp("places")
    file = Path(__file__).parents[1] / "lab" / "conftest.py"
    environment = _environment(home)
    subprocess.run([sys.executable, "-c", LOAD, str(file), str(home / "files")], env=environment, check=True)
    return home


def _environment(home: Path) -> dict[str, str]:
    root = str(Path(slicelab.__file__).parents[1])
    return dict(os.environ, SLICELAB_HOME=str(home / "store"), PYTHONPATH=root, TQDM_DISABLE="1",
                JUPYTER_CONFIG_DIR=str(home / "config"), IPYTHONDIR=str(home / "ipython"))  # fmt: skip


def look_and_keep(page, name: str) -> None:
    """Choose a slice, see its pictures, rename it: the chain from the table to the database and back."""
    from playwright.sync_api import expect

    page.wait_for_function(DRAWN, timeout=120_000)
    row = page.locator(".slicelab-slices tbody tr", has_text=re.compile("dark|renamed")).first
    row.click()
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text("20 selected · 20 failures (100.0 %)")
    page.wait_for_function(PICTURES)
    page.get_by_placeholder("name of a slice").fill(name)
    page.locator("button.slicelab-rename").click()
    expect(page.locator(".slicelab-notice")).to_contain_text(re.compile(r"saved, version \d: " + name))
    expect(row).to_contain_text(name)


def test_notebook_7(page, server, home, run_all, shoot) -> None:
    """The same cell in Notebook 7 draws, selects and saves."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = new_code_cell(NOTEBOOK.format(home=str(home / "store")).strip())
    nbformat.write(new_notebook(cells=[cell], metadata=kernel), server.folder / "seven.ipynb")
    page.goto(f"http://127.0.0.1:{server.port}/notebooks/seven.ipynb?token={server.token}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
    page.get_by_text("Idle").or_(page.locator("[data-status=idle]")).first.wait_for(timeout=60_000)
    run_all(page)
    look_and_keep(page, "renamed in seven")
    shoot(page, "notebook-7")
    assert page.seen.hosts == {"127.0.0.1"}


def test_a_page_without_code(page, home, shoot) -> None:
    """`slicelab app` serves the explorer, to this machine only, without a line of code to be seen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "slicelab", "app", "parts", "--model", "v3", f"--port={port}", "--no-browser"]
    process = subprocess.Popen(
        command, env=_environment(home), start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    try:
        assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
        _wait(port, process)
        listening = [c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port]
        assert listening == ["127.0.0.1"]  # and not on this machine's other addresses
        page.goto(f"http://127.0.0.1:{port}/", timeout=120_000)
        look_and_keep(page, "renamed on the page")
        assert page.locator(".jp-InputArea, .jp-CodeCell .jp-Editor").count() == 0
        shoot(page, "voila")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/voila/static/", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail("voila did not start")
