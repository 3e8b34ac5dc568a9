"""Rows of a units frame: which are meant, in what order to look at them, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import GROUP_ID, UNIT_COLUMNS, Candidate, InvalidInputError, Slice, check_unique, listed, visible
from slicelab.views._plot_text import NOTHING

Rows = npt.NDArray[np.int64]


def check_units(units: pd.DataFrame) -> pd.DataFrame:
    """Return `units`, or raise `InvalidInputError` when it isn't a units frame."""
    if not isinstance(units, pd.DataFrame):
        raise InvalidInputError(
            f"The units must be a DataFrame, as `lab.units()` gives it; got {type(units).__name__}."
        )
    missing = [column for column in UNIT_COLUMNS if column not in (*units.columns, GROUP_ID)]
    if missing:
        raise InvalidInputError(
            f"The units lack the columns {listed(missing, 10)}; there is {listed(units.columns, 12)}. "
            "Give the frame that `lab.units()` returns."
        )
    if not units.index.is_unique:
        check_unique([str(unit) for unit in units.index], "unit")
    return units


def rows_of(units: pd.DataFrame, members: Iterable[Any], *, index: pd.Index | None = None) -> Rows:
    """Return the row positions of units.

    Parameters
    ----------
    units
        The units frame.
    members
        Unit ids, or row positions (any integers).
    index
        The units' ids as an index of objects, for who asks often; None: that of `units`.

    Returns
    -------
    int64, in the order given; ids that this frame doesn't have are left out.

    Raises
    ------
    InvalidInputError
        A row position lies outside the frame.
    """
    values = members if isinstance(members, np.ndarray) else np.asarray(list(members), dtype=object)
    if len(values) and all(isinstance(value, (int, np.integer)) for value in values[:1]):
        rows = np.asarray(values, dtype=np.int64)
        if rows.min() < 0 or rows.max() >= len(units):
            raise InvalidInputError(
                f"Row positions must lie in 0 to {len(units) - 1}; got {rows.min()} to {rows.max()}. "
                "Were they made for another units frame?"
            )
        return rows
    index = units.index if index is None else index
    rows = index.get_indexer(pd.Index(values, dtype=object)).astype(np.int64)
    return rows[rows >= 0]


def rows_in(units: pd.DataFrame, group: Candidate | Slice, *, index: pd.Index | None = None) -> Rows:
    """Return the row positions of a group's members, as `rows_of`.

    A candidate's own row positions are those of the units that were searched, which may be others than these: they
    count only where it has no unit ids.
    """
    ids = group.unit_ids if isinstance(group, Candidate) else group.members
    return rows_of(units, ids if len(ids) else group.members, index=index)


def failures_first(units: pd.DataFrame, rows: Rows) -> Rows:
    """Return `rows` with failures first, each part with the greatest loss first (otherwise as they were)."""
    part = units.iloc[rows]
    loss = part["loss"].fillna(-1).to_numpy(dtype=np.float64)
    return rows[np.lexsort((-loss, ~part["failure"].to_numpy(dtype=bool)))]


def selection_line(units: pd.DataFrame, rows: Rows) -> str:
    """Word how many units are selected and how many of them fail, beside the share among all."""
    failures = units["failure"].to_numpy(dtype=bool)
    everything = f"of all {len(units):,}: {_share(int(failures.sum()), len(units))}"
    if not len(rows):
        return f"nothing selected · failures {everything}"
    wrong = int(failures[rows].sum())
    word = "failure" if wrong == 1 else "failures"
    return f"{len(rows):,} selected · {wrong:,} {word} ({_share(wrong, len(rows))}) · {everything}"


def caption(label: object, prediction: object) -> str:
    """Word what a unit is and what the model says: "knife → fork"."""
    return f"{_or_nothing(label)} \N{RIGHTWARDS ARROW} {_or_nothing(prediction)}"


def _or_nothing(value: object) -> str:
    return NOTHING if value is None or value is pd.NA or value != value else visible(str(value))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else NOTHING
