"""`slicelab app`: the explorer as a page without code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from slicelab.core import MissingExtraError, StateError

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]

_CELL = """import slicelab
lab = slicelab.open({name})
lab.explore({model})"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("app")(serve)


def serve(
    name: Dataset,
    model: Annotated[str | None, typer.Option(help="Model to look at; none: the first.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve the explorer as a page, to this machine only.

    Example: slicelab app bags --model v3
    """
    from importlib.util import find_spec

    if find_spec("voila") is None:
        raise MissingExtraError("`slicelab app` needs voila, which isn't installed. Run: pip install 'slicelab[app]'")
    import slicelab

    lab = slicelab.open(name)
    if model is None and not lab.models:
        raise StateError(f"Dataset {name!r} has no predictions to look at; load some with --predictions.")
    chosen = model or lab.models[0]
    lab.units(chosen)  # a wrong name is told here, and not on the page
    with tempfile.TemporaryDirectory(prefix="slicelab-app-") as folder:
        notebook = write_page(Path(folder), name, chosen)
        port = port or _free_port()
        typer.echo(f"http://127.0.0.1:{port}/  (Ctrl+C stops it)")
        raise typer.Exit(subprocess.call(command(notebook, port, browser=browser), env=dict(os.environ)))


def write_page(folder: Path, name: str, model: str) -> Path:
    """Write the notebook that is the page; names go in as literals of Python."""
    source = _CELL.format(name=json.dumps(name), model=json.dumps(model))
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "explorer",
        "metadata": {},
        "outputs": [],
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell | {"source": source}], "metadata": {"kernelspec": kernel}}
    path = folder / "slicelab.ipynb"
    path.write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def command(notebook: Path, port: int, *, browser: bool) -> list[str]:
    """Return what starts voila on loopback."""
    more = [] if browser else ["--no-browser"]
    return [
        sys.executable, "-m", "voila", str(notebook), f"--port={port}", "--Voila.ip=127.0.0.1",
        "--ServerApp.port_retries=0", "--VoilaConfiguration.show_tracebacks=True", *more,
    ]  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
