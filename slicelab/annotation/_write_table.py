"""Tables for spreadsheets: text that a spreadsheet would run as a formula is escaped."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from slicelab.annotation._csv_rows import escape_formula


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as CSV, without its index; return the path.

    Cells of text that start like a formula get a leading apostrophe (see `write_batch` for the rule).
    """
    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]) and not pd.api.types.is_bool_dtype(safe[column]):
            safe[column] = [escape_formula(v) if isinstance(v, str) else v for v in safe[column]]
    safe.to_csv(path, index=False)
    return Path(path)
