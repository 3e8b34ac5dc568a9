"""The command line: every step of the loop, with exit codes 0 (well), 1 (the gate says no), 2 (can't be done)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicelab.cli._start import main

if TYPE_CHECKING:
    from slicelab.cli._main import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """Build all commands when they are asked for."""
    if name == "app":
        from slicelab.cli import _main

        return _main.app
    raise AttributeError(f"module 'slicelab.cli' has no attribute {name!r}")
