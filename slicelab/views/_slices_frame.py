"""Candidates and slices as a table: one row each, the same columns for both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, Slice
from slicelab.views._selection import caption, check_units, rows_of

COLUMNS = (
    "name", "size", "failures", "failure_rate", "low", "high", "lift", "q_value", "stability", "confusion", "status",
    "rule", "description", "version",
)  # fmt: skip


def slices_frame(
    slices: Iterable[Candidate | Slice],
    units: pd.DataFrame,
    failures: pd.DataFrame | None = None,
    *,
    dismissed: Sequence[str] = (),
) -> pd.DataFrame:
    """Return one row per candidate or slice, in the order given.

    Parameters
    ----------
    slices
        Candidates tell their own numbers; those of a slice are counted in `units`, over its members there.
    units
        The units frame.
    failures
        One bool column per model, index as `units`: each makes a column "failures of <model>", the rate there.
    dismissed
        For each of `slices` why a person dismissed it ("": nobody did); its status is "dismissed" then.

    Returns
    -------
    Columns `name` (a candidate without one: "candidate 3", counted from 1), `size`, `failures`, `failure_rate`,
    `low`, `high` (95 % Wilson interval), `lift` (failure rate over that of all units), `q_value` and
    `stability` (NaN for slices), `confusion` (the most frequent one among its failures), `status` ("candidate",
    "confirmed" or "slice"; "boundary", "small" and "lead" are candidates of that kind), `rule`,
    `description` and `version` (0 for candidates).
    """
    check_units(units)
    base = float(units["failure"].mean()) if len(units) else 0.0
    models = [] if failures is None else list(failures.items())
    under = {f"failures of {model}": column.to_numpy(dtype=bool) for model, column in models}
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(slices, start=1):
        reason = dismissed[number - 1] if dismissed else ""
        members = rows_of(units, each.members)
        row = _candidate_row(each, number) if isinstance(each, Candidate) else _slice_row(each, units, members, base)
        row["confusion"] = _confusion(units, members)
        if reason:
            row |= {"status": "dismissed", "description": f"{reason} \N{MIDDLE DOT} {row['description']}"}
        for model, fails in under.items():
            row[model] = float(fails[members].mean()) if len(members) else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=[*COLUMNS, *under])


def _candidate_row(candidate: Candidate, number: int) -> dict[str, Any]:
    return {
        "name": candidate.name or f"candidate {number}",
        "size": candidate.size,
        "failures": candidate.failures,
        "failure_rate": candidate.failure_rate,
        "low": candidate.interval[0],
        "high": candidate.interval[1],
        "lift": candidate.lift,
        "q_value": candidate.q_value,
        "stability": candidate.stability,
        "rule": "" if candidate.rule is None else candidate.rule.expression,
        "status": candidate.status if candidate.kind == "slice" else candidate.kind,
        "description": candidate.description,
        "version": 0,
    }


def _slice_row(slice_: Slice, units: pd.DataFrame, members: npt.NDArray[np.int64], base: float) -> dict[str, Any]:
    failures = int(units["failure"].to_numpy(dtype=bool)[members].sum())
    rate = failures / len(members) if len(members) else np.nan
    low, high = _wilson(failures, len(members))
    absent = len(slice_.members) - len(members)
    words = [slice_.note, f"{absent} members are not among these units" if absent else ""]
    return {
        "name": slice_.name,
        "size": len(members),
        "failures": failures,
        "failure_rate": rate,
        "low": low,
        "high": high,
        "lift": rate / base if base else np.nan,
        "q_value": np.nan,
        "stability": np.nan,
        "rule": slice_.rule or "",
        "status": "slice",
        "description": " · ".join(word for word in words if word),
        "version": slice_.version,
    }


def _confusion(units: pd.DataFrame, members: npt.NDArray[np.int64]) -> str:
    """Return the most frequent pair of label and prediction among the failures, with its share of them."""
    wrong = members[units["failure"].to_numpy(dtype=bool)[members]]
    if not len(wrong):
        return ""
    pairs = zip(units["label"].iloc[wrong], units["prediction"].iloc[wrong], strict=True)
    (words, count), *_ = Counter(caption(label, prediction) for label, prediction in pairs).most_common(1)
    return f"{words} ({count / len(wrong):.0%})"


def _wilson(k: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (E. B. Wilson, JASA 22, 1927)."""
    if n == 0:
        return np.nan, np.nan
    z = 1.959963984540054
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)
