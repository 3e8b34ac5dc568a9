"""Start the command line: a gate, which runs in every build, doesn't wait for what the other commands need."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

_OBJECTS = 200_000
"""New containers until the collector looks for cycles; 700 are usual."""


def main() -> None:
    """Run the command line; errors that SliceLab words are one line on stderr and exit code 2."""
    alone = sys.argv[1:2] == ["gate"]
    if alone:
        # A gate makes many objects at once, hardly any cycles, and ends.
        gc.set_threshold(_OBJECTS, 10, 10)
        atexit.register(gc.freeze)
        # Arrow's own allocator asks for huge pages, and to clear those takes longer than to read a file.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import typer

    from slicelab.core import SliceLabError, visible

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        if alone:
            run_gate(sys.argv[2:])
        else:
            _whole_app()()
    except SliceLabError as error:
        typer.echo(visible(f"slicelab: {error}".replace("\n", "\n  ")).replace("\ufffd  ", "\n  "), err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("slicelab: stopped; what was done is kept.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_gate(arguments: list[str]) -> None:
    """Run `slicelab gate`; typer reads the arguments only where they aren't plain."""
    import typer

    from slicelab.cli._gate import gate
    from slicelab.cli._plain_options import plain_options

    plain = plain_options(gate, arguments)
    if plain is None:
        gate_app()()
        return
    try:
        gate(**plain)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except typer.BadParameter as error:
        error.show()
        sys.exit(error.exit_code)


def gate_app() -> typer.Typer:
    """Return the command line with `gate` alone: to build the other fifty commands takes longer than to judge."""
    from slicelab.cli._gate import gate
    from slicelab.cli._root import new_app

    app = new_app()
    app.command()(gate)
    return app


def _whole_app() -> typer.Typer:
    from slicelab.cli._main import app

    return app


def __getattr__(name: str) -> Any:
    """Build all commands when `slicelab.cli.app` is asked for."""
    if name == "app":
        return _whole_app()
    raise AttributeError(f"module 'slicelab.cli' has no attribute {name!r}")
