"""The browser's half: a JupyterLab server, a Chromium, lassos by mouse, and a clock in the page."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook

import slicelab
from tests.benchmarks.explorer import notebooks

ROOT = Path(slicelab.__file__).parents[1]
# From the end of a gesture to the first frame after the page says what was asked for.
CLOCK = """(done) => {
    window.__began = null; window.__took = null;
    const stop = (event) => { if (window.__began === null) window.__began = performance.now(); };
    window.addEventListener('pointerup', stop, { capture: true, once: true });
    window.addEventListener('mouseup', stop, { capture: true, once: true });
    window.addEventListener('change', stop, { capture: true, once: true });
    const test = new Function('return ' + done)();
    const look = () => {
        if (window.__began !== null && test()) {
            requestAnimationFrame(() => { window.__took = performance.now() - window.__began; });
        } else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
PLOT = "document.querySelector('.js-plotly-plot')"
FRAMES = """() => new Promise((done) => {
    const grid = document.querySelector('.slicelab-grid');
    const times = []; const began = performance.now(); let last = began;
    const step = (now) => {
        times.push(now - last); last = now;
        grid.scrollTop = 4 * (now - began);
        if (now - began < 4000) requestAnimationFrame(step); else done(times.slice(1));
    };
    requestAnimationFrame(step);
})"""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one kind of gesture."""

    what: str
    tool: str
    times: list[float]

    @property
    def median(self) -> float:
        """Half were faster."""
        return float(np.median(self.times)) if self.times else float("nan")

    @property
    def p95(self) -> float:
        """95 % were faster."""
        return float(np.quantile(self.times, 0.95)) if self.times else float("nan")

    @property
    def number(self) -> int:
        """How many."""
        return len(self.times)


class Bench:
    """A server, a browser, and what is measured in it."""

    turn = 0
    """Which quarter of the map is lassoed next: never the one that is selected already."""

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        self.folder = Path(tempfile.mkdtemp(prefix="slicelab-bench-"))
        self.port, self.token = _free_port(), secrets.token_hex(16)
        shutil.copy(ROOT / "tests" / "widgets" / "fakes.py", self.folder / "fakes.py")
        environment = dict(os.environ, PYTHONPATH=str(ROOT), TQDM_DISABLE="1",
                           JUPYTER_CONFIG_DIR=str(self.folder / "c"), JUPYTERLAB_SETTINGS_DIR=str(self.folder / "s"),
                           JUPYTERLAB_WORKSPACES_DIR=str(self.folder / "w"))  # fmt: skip
        settings = self.folder / "s" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text(
            '{"windowingMode": "none", "autoStartDefaultKernel": true}'
        )
        self.server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
             f"--port={self.port}", f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder}",
             "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait(f"http://127.0.0.1:{self.port}/api/status?token={self.token}")
        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # As it starts where there is no GPU: WebGL is computed, and the page painted on the CPU. Forced onto ANGLE,
            # every frame of JupyterLab costs 50 to 170 ms of CPU time.
            args=["--no-sandbox"],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()
        self.playwright.stop()
        self.server.terminate()
        self.server.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def measure(self, count: int, gestures: int, peers: list[str]) -> Iterator[Timing]:
        """Give the timings of SliceLab and of the peers for so many points."""
        page = self._open("slicelab.ipynb", notebooks.POINTS, notebooks.SLICELAB, count=count)
        page.wait_for_selector(".slicelab-map[data-colour]", timeout=180_000)
        shown, ready = (f"document.querySelector('.slicelab-map[data-{mark}]')" for mark in ("painted", "colour"))
        yield Timing("explore() to points", "slicelab", self._ready(page, shown, gestures))
        yield Timing("explore() to ready", "slicelab", self._ready(page, ready, gestures))
        page.wait_for_timeout(1500)
        title = "document.querySelector('.slicelab-gallery .slicelab-title').textContent"
        yield Timing("selection to its figures", "slicelab", self._lassos(page, gestures, _plotly_place, title))
        painted = ("[...document.querySelectorAll('.slicelab-tile')].slice(0, 4).every(t => t.querySelector('img')"
                   "?.complete) && document.querySelector('.slicelab-tile').dataset.row")  # fmt: skip
        yield Timing("selection to pictures", "slicelab", self._lassos(page, gestures, _plotly_place, painted))
        yield Timing("change of colour", "slicelab", self._colours(page, gestures))
        frames = page.evaluate(FRAMES)
        yield Timing("frame while scrolling", "slicelab", frames)
        page.context.close()
        line = "document.querySelector('.peer-line')?.textContent"
        if "jupyter-scatter" in peers:
            page = self._open("scatter.ipynb", notebooks.POINTS, notebooks.SCATTER, count=count)
            page.wait_for_selector(".peer-line", timeout=120_000)
            yield Timing(
                "explore() to ready",
                "jupyter-scatter",
                self._ready(page, "document.querySelector('.jp-OutputArea-output canvas')", gestures),
            )
            page.wait_for_timeout(1500)
            yield Timing("selection to its figures", "jupyter-scatter",
                         self._lassos(page, gestures, _canvas_place, line))  # fmt: skip
            page.context.close()
        if "fiftyone" in peers:
            from slicelab.store import connect

            page = self._open("fiftyone.ipynb", notebooks.POINTS, notebooks.FIFTYONE, notebooks.LINE,
                              notebooks.FIFTYONE_PLOT, count=count, database=connect().uri,
                              port=_free_port())  # fmt: skip
            page.wait_for_function(
                f"() => {PLOT}?._fullData?.length && {PLOT}.querySelector('.nsewdrag')", timeout=180_000
            )
            ready = f"{PLOT}?._fullData?.[0]?.x?.length > 0"
            yield Timing("explore() to ready", "fiftyone", self._ready(page, ready, gestures, cell=3))
            page.wait_for_timeout(1500)
            page.evaluate(f"() => {PLOT}.scrollIntoView()")
            page.get_by_title("Lasso Select").or_(page.locator("[data-val=lasso]")).first.click()
            page.wait_for_timeout(1500)
            yield Timing("selection to its figures", "fiftyone", self._lassos(page, gestures, _plotly_place, line))
            page.context.close()

    def _open(self, name: str, *cells: str, **values: Any) -> Any:
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        made = [new_code_cell(cell.format(**values).strip()) for cell in cells]
        nbformat.write(new_notebook(cells=made, metadata=kernel), self.folder / name)
        page = self.browser.new_context(viewport={"width": 1400, "height": 1200}).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{self.port}/lab/tree/{name}?reset&token={self.token}")
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook")
        page.wait_for_selector("[data-status=idle]")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
        page.wait_for_timeout(500)
        accept = page.locator(".jp-Dialog .jp-mod-accept")
        if accept.count():
            accept.first.click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
            ".every(m => /[0-9]/.test(m.textContent))",
            timeout=600_000,
        )
        return page

    def _ready(self, page: Any, there: str, gestures: int, cell: int = 1) -> list[float]:
        """Run the cell that shows the map again: from the key to what is drawn."""
        times = []
        for _ in range(min(gestures, 10)):
            page.locator(".jp-CodeCell .jp-InputArea").nth(cell).click()
            page.evaluate(
                """(there) => { window.__took = null;
                    const old = document.querySelector('.slicelab-map, .js-plotly-plot, .jp-OutputArea-output canvas');
                    window.addEventListener('keydown', () => {
                        const began = performance.now();
                        const test = new Function('return ' + there);
                        const look = () => { if (!old?.isConnected && test()) requestAnimationFrame(() => {
                            window.__took = performance.now() - began; }); else requestAnimationFrame(look); };
                        look();
                    }, { capture: true, once: true }); }""",
                there,
            )
            page.keyboard.press("Control+Enter")
            times.append(_took(page))
            page.wait_for_timeout(800)
        return times

    def _lassos(
        self, page: Any, gestures: int, place: Callable[[Any], tuple[float, ...]], done: str, key: str | None = None
    ) -> list[float]:
        """Lasso one quarter of the map after the other: until `done` differs from what it was."""
        times = []
        page.evaluate("() => document.querySelector('.js-plotly-plot, .jp-OutputArea-output canvas').scrollIntoView()")
        page.wait_for_timeout(500)
        left, top, right, bottom = place(page)
        width, height = right - left, bottom - top
        for i in range(self.turn, self.turn + gestures):
            x, y = left + (0.04 + 0.5 * (i % 2)) * width, top + (0.04 + 0.5 * (i // 2 % 2)) * height
            corners = [
                (x, y),
                (x + 0.42 * width, y),
                (x + 0.42 * width, y + 0.42 * height),
                (x, y + 0.42 * height),
                (x, y + 4),
            ]
            before = page.evaluate(f"() => String({done})")
            page.evaluate(CLOCK, f"() => {{ const now = {done}; return now && String(now) !== {before!r}; }}")
            if key:
                page.keyboard.down(key)
            page.mouse.move(*corners[0])
            page.mouse.down()
            for corner in corners[1:]:
                page.mouse.move(*corner, steps=5)
            page.mouse.up()
            if key:
                page.keyboard.up(key)
            times.append(_took(page))
        self.turn += gestures
        return times

    def _colours(self, page: Any, gestures: int) -> list[float]:
        """Choose another column: until plotly has drawn its legend or scale."""
        times = []
        for i in range(gestures):
            colour = ("label", "confidence", "outcome", "brightness")[i % 4]
            page.evaluate(
                CLOCK, f"() => document.querySelector('.slicelab-map[data-colour]')?.dataset.colour === {colour!r}"
            )
            page.locator(".slicelab-map select").select_option(colour)
            times.append(_took(page))
            page.wait_for_timeout(150)
        return times


def _took(page: Any, patience: float = 20) -> float:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        took = page.evaluate("() => window.__took")
        if took is not None:
            return float(took)
        page.wait_for_timeout(30)
    return float("nan")


def _plotly_place(page: Any) -> tuple[float, ...]:
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def _canvas_place(page: Any) -> tuple[float, ...]:
    box = page.locator(".jp-OutputArea-output canvas").first.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(f"Nothing answers at {address}.")
