"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd
import typer

from slicelab.core import visible


def show(frame: pd.DataFrame, *, limit: int = 0, empty: str = "nothing") -> None:
    """Print a table with its index, one line per row, whatever characters its cells hold; 0: all rows."""
    if frame.empty:
        typer.echo(empty)
        return
    rows = frame.head(limit) if limit > 0 else frame
    shown = rows.rename(index=_cell, columns=_cell).map(_cell)
    typer.echo(shown.to_string(max_colwidth=60))
    if len(rows) < len(frame):
        typer.echo(f"and {len(frame) - len(rows)} more")


def _cell(value: Hashable | Any) -> str:
    if isinstance(value, float):
        return "\N{EN DASH}" if pd.isna(value) else f"{value:.3g}"
    return "\N{EN DASH}" if value is None or value is pd.NA else visible(str(value))
