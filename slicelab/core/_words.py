"""Words of messages: lists cut short, hints to names that exist, and text that shows as it is stored."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of writing."""


def listed(values: Iterable[object], limit: int = 5) -> str:
    """Show the first few values and how many more there are."""
    values = list(values)
    shown = ", ".join(repr(v) for v in values[:limit])
    more = len(values) - limit
    return f"{shown} and {more} more" if more > 0 else shown


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Word a hint to the closest of the names that exist ('' where there are none)."""
    options = list(options)
    if not options:
        return ""
    close = difflib.get_close_matches(name, options, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" There is: {listed(options)}."


def visible(text: str) -> str:
    """Replace control and bidirectional-override characters, so that text shows as it is stored."""
    return CONTROL.sub("\ufffd", text)


def html_table(frame: pd.DataFrame, **options: Any) -> str:
    """Make a notebook's table of a frame, whose texts show as they are stored: `options` are `DataFrame.to_html`'s."""
    shown = frame.map(_visible_cell).rename(index=_visible_cell)
    return str(shown.to_html(**options))  # which escapes its cells


def _visible_cell(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value
