"""What the command line is made on: its name, its help and `--version`."""

from __future__ import annotations

from typing import Annotated

import typer

from slicelab import __version__


def new_app() -> typer.Typer:
    """Return a command line without commands."""
    app = typer.Typer(
        name="slicelab",
        help="Find where a vision model fails; keep what was found as test cases and relabel queues.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Find where a vision model fails; keep what was found as test cases and relabel queues."""
