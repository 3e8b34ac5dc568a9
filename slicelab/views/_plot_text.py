"""Text for plotly, which reads a small HTML and, where MathJax is there, TeX between dollar signs."""

from __future__ import annotations

import html

import pandas as pd

from slicelab.core import visible

NOTHING = "\N{EN DASH}"


def plot_text(value: object, *, limit: int = 60) -> str:
    """Return `value` as text that plotly shows as it is, at most `limit` characters (a dash for a missing one)."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return NOTHING
    text = visible(str(value))
    if len(text) > limit:
        text = text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape(text).replace("$", "&#36;")
