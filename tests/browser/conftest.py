"""A real JupyterLab in a real Chromium, in folders of its own.

Chromium comes from SLICELAB_CHROMIUM or the usual places. Without one these tests are skipped, or fail where
SLICELAB_REQUIRE_BROWSER=1. SLICELAB_SCREENSHOTS names a folder for pictures of what was seen.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import slicelab

NAMES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")  # fmt: skip
# Where there is no GPU Chromium paints on the CPU by itself; forced onto SwiftShader every frame costs 50 ms and more.
NO_WEBGL = ("--disable-gpu", "--disable-3d-apis")
ERROR = '[data-mime-type="application/vnd.jupyter.error"]'
# The number in front of a cell appears when it has run, "[*]" means that it waits or runs; an error stops the rest.
HAS_RUN = """() => {
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
    const marks = cells.map(cell => cell.querySelector('.jp-InputPrompt').textContent);
    const failed = document.querySelector('.jp-Notebook [data-mime-type="application/vnd.jupyter.error"]');
    return marks.every(mark => !mark.includes('*')) && (failed || marks.every(mark => /[0-9]/.test(mark)));
}"""
PATIENCE = 120_000  # ms: JupyterLab's first start on a busy machine


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab: notebooks are read from `folder`, its settings are files in `settings`."""

    port: int
    token: str
    folder: Path
    settings: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{path}?reset&token={self.token}"


@dataclass
class Seen:
    """What a page did besides being looked at."""

    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium."""
    wanted = os.environ.get("SLICELAB_CHROMIUM")
    for name in (wanted,) if wanted else NAMES:
        found = shutil.which(name)
        if found:
            return found
    words = (
        f"No Chromium at {wanted or ', '.join(NAMES)}. Install one (apt-get install chromium) or set SLICELAB_CHROMIUM."
    )
    if os.environ.get("SLICELAB_REQUIRE_BROWSER") == "1":
        pytest.fail(words, pytrace=False)
    return pytest.skip(words)


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab server whose settings, kernels and notebooks live in temporary folders."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    folder.mkdir()
    server = LabServer(_free_port(), secrets.token_hex(16), folder, home / "settings")
    _write_settings(home)
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={server.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={server.token}",
        f"--ServerApp.root_dir={folder}", "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--ServerApp.terminals_enabled=False",
    ]  # fmt: skip
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, env=_environment(home), cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_for_server(server, process, home / "server.log")
        yield server
    finally:
        _stop(process)


@pytest.fixture
def open_page(chromium: str, tmp_path: Path) -> Iterator[Callable[..., object]]:
    """A function that opens a fresh browser; `page.seen` tells its requests' hosts and its errors."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # its own 5 s are short for a kernel's first save on a busy machine
    contexts = []
    with sync_playwright() as playwright:

        def start(*, webgl: bool = True, width: int = 1400, height: int = 1500) -> object:
            context = playwright.chromium.launch_persistent_context(
                tmp_path / f"profile{len(contexts)}",
                executable_path=chromium,
                headless=True,
                args=[*QUIET, *(() if webgl else NO_WEBGL)],
                viewport={"width": width, "height": height},
            )
            contexts.append(context)
            context.set_default_timeout(60_000)
            page = context.pages[0] if context.pages else context.new_page()
            page.seen = _watch(page)
            return page

        yield start
        for context in contexts:
            context.close()


@pytest.fixture
def page(open_page: Callable[..., object]) -> object:
    """A page of a fresh browser."""
    return open_page()


@pytest.fixture
def shoot() -> Callable[[object, str], None]:
    """A function that keeps a picture of a page, where SLICELAB_SCREENSHOTS names a folder."""
    folder = os.environ.get("SLICELAB_SCREENSHOTS")

    def keep(page: object, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", timeout=90_000)

    return keep


@pytest.fixture
def run_notebook() -> Callable[..., list[str]]:
    """The function `run_notebook(page, server, path, *, timeout=180, dark=False) -> errors`."""
    return _run_notebook


@pytest.fixture
def run_all() -> Callable[[object], None]:
    """A function that runs all cells of the notebook that a page shows."""
    return _run_all


def _run_notebook(page, server: LabServer, path: str, *, timeout: float = 180, dark: bool = False) -> list[str]:
    """Open a notebook of the server's folder, run all its cells, wait until it is idle; return the cells' errors.

    `page` is a Playwright page, `path` is relative to `server.folder`, `timeout` is in seconds.
    """
    theme = "JupyterLab Dark" if dark else "JupyterLab Light"
    _write_setting(server.settings, "apputils-extension/themes", {"theme": theme})
    page.goto(server.url(path))
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=PATIENCE)
    _wait_idle(page, PATIENCE)
    _accept_dialogs(page)
    _run_all(page)
    _accept_dialogs(page)
    page.wait_for_function(HAS_RUN, timeout=timeout * 1000)
    _wait_idle(page, timeout * 1000)
    return page.locator(f".jp-Notebook {ERROR}").all_inner_texts()


def _run_all(page) -> None:
    # A menu of a busy page closes by itself when something else takes the focus.
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    every = page.get_by_role("menuitem", name=re.compile("^Run All Cells"))
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        with suppress(PlaywrightTimeout):
            every.click(timeout=10_000)
            return
        page.keyboard.press("Escape")
    every.click()


def _wait_idle(page, timeout: float) -> None:
    page.wait_for_function(
        """() => { const e = document.querySelector('.jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator');
            return e && e.dataset.status === 'idle'; }""",
        timeout=timeout,
    )


def _accept_dialogs(page) -> None:
    # "Select Kernel" appears when cells are run before the session is attached, and waits for ever.
    for _ in range(4):
        accept = page.locator(".jp-Dialog .jp-mod-accept")
        if accept.count():
            accept.first.click()
        page.wait_for_timeout(300)


def _watch(page) -> Seen:
    seen = Seen()

    def request(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss"):
            seen.hosts.add(parts.hostname)

    page.on("request", request)
    page.on("websocket", lambda socket: seen.hosts.add(urlsplit(socket.url).hostname))
    page.on("pageerror", lambda error: seen.errors.append(str(error)[:300]))
    return seen


def _write_settings(home: Path) -> None:
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        # Cells must not move away under the mouse.
        "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    }
    for name, values in settings.items():
        _write_setting(home / "settings", name, values)
    # The kernel is this Python, whatever kernels the machine has.
    spec = home / "data" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))


def _write_setting(folder: Path, name: str, values: dict[str, object]) -> None:
    file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


def _environment(home: Path) -> dict[str, str]:
    return dict(os.environ, JUPYTER_CONFIG_DIR=str(home / "config"), JUPYTER_DATA_DIR=str(home / "data"),
                       JUPYTER_RUNTIME_DIR=str(home / "run"), JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
                       JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"), IPYTHONDIR=str(home / "ipython"),
                       TQDM_DISABLE="1", PYTHONPATH=str(Path(slicelab.__file__).parents[1]))  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_server(server: LabServer, process: subprocess.Popen, log: Path) -> None:
    address = f"http://127.0.0.1:{server.port}/api/status?token={server.token}"
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}", pytrace=False)


def _stop(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
