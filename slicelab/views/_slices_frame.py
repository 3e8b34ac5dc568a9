"""Candidates and slices as a table: one row each, the same columns for both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, Slice, group_codes
from slicelab.views._selection import Rows, caption, check_units, rows_in

COLUMNS = (
    "name", "size", "failures", "failure_rate", "low", "high", "base_rate", "lift", "q_value", "stability", "confusion",
    "status", "rule", "description", "version",
)  # fmt: skip

Interval = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], tuple[float, float]]
"""Of a share: successes and units of each group, (n_groups,), to its ends."""


def slices_frame(
    slices: Iterable[Candidate | Slice],
    units: pd.DataFrame,
    failures: pd.DataFrame | None = None,
    *,
    interval: Interval | None = None,
    dismissed: Sequence[str] = (),
    kept_as: Sequence[str] = (),
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
    interval
        Of the failure rate of a slice some of whose members share a group (`group_id`, else the image), such as
        `slicelab.evaluation.proportion_interval`. None: `low` and `high` are NaN there.
    dismissed
        For each of `slices` why a person dismissed it ("": nobody did); its status is "dismissed" then.
    kept_as
        For each of `slices` the slice that a candidate became ("": none); its status is "kept" then.

    Returns
    -------
    Columns `name` (a candidate without one: "candidate 3", counted from 1), `size`, `failures`, `failure_rate`, `low`,
    `high` (95 % interval: of a candidate its own, of a slice Wilson's where each member is a group of its own, else
    that of `interval`), `base_rate` (failure rate of what the slice is compared with: of a candidate the population in
    which it was searched; of a slice its members' classes, among labelled units, or among predicted boxes for members
    without a label), `lift` (failure rate over that; NaN where nothing there fails), `q_value` and `stability` (NaN for
    slices), `confusion` (the most frequent one among its failures), `status` ("candidate", "confirmed" or "slice";
    "boundary", "small" and "lead" are candidates of that kind; "dismissed", "kept"), `rule`, `description` and
    `version` (0 for candidates).
    """
    return SliceRows(units, failures, interval=interval).frame(slices, dismissed=dismissed, kept_as=kept_as)


class SliceRows:
    """Makes `slices_frame`s of the same units again and again; what didn't change since isn't counted again.

    Parameters
    ----------
    units, failures, interval
        As in `slices_frame`.

    Attributes
    ----------
    fails
        bool (n,): which units fail.
    """

    def __init__(
        self, units: pd.DataFrame, failures: pd.DataFrame | None = None, *, interval: Interval | None = None
    ) -> None:
        self._units = check_units(units)
        self._interval = interval
        self._groups = group_codes(units)
        # An index of pandas' own text type makes a copy of itself at every question.
        self._index = pd.Index(units.index.to_numpy(object), dtype=object)
        self.fails = units["failure"].to_numpy(dtype=bool)
        self._class_rates = _class_rates(units, self.fails)
        models = [] if failures is None else list(failures.items())
        self._under = {f"failures of {model}": column.to_numpy(dtype=bool) for model, column in models}
        self._kept: dict[object, tuple[Candidate | Slice, Rows, dict[str, Any]]] = {}  # with what it was counted for

    def members(self, group: Candidate | Slice) -> Rows:
        """Return the row positions of a group's members, int64 in their order; those not among the units left out."""
        return self._read(group)[1]

    def base_rate(self, members: Rows) -> float:
        """Return the failure rate of the classes of these rows, as they are mixed in them; NaN without rows."""
        return float(self._class_rates[members].mean()) if len(members) else np.nan

    def interval(self, members: Rows) -> tuple[float, float]:
        """Return the 95 % interval of the failure rate of these rows; NaN without rows."""
        fails = self.fails[members].astype(np.float64)
        codes = np.unique(self._groups[members], return_inverse=True)[1]
        sizes = np.bincount(codes).astype(np.float64)
        failing = np.bincount(codes, weights=fails).astype(np.float64)
        if len(sizes) == len(members):
            return _wilson(int(fails.sum()), len(members))
        return (np.nan, np.nan) if self._interval is None else self._interval(failing, sizes)

    def frame(
        self, groups: Iterable[Candidate | Slice], *, dismissed: Sequence[str] = (), kept_as: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Return what `slices_frame` returns."""
        groups = list(groups)
        rows: list[dict[str, Any]] = []
        for number, group in enumerate(groups, start=1):
            row = {**self._read(group)[2]}
            row["name"] = row["name"] or f"candidate {number}"
            if name := kept_as[number - 1] if kept_as else "":
                row |= {"status": "kept", "description": f"is slice {name} \N{MIDDLE DOT} {row['description']}"}
            elif reason := dismissed[number - 1] if dismissed else "":
                row |= {"status": "dismissed", "description": f"{reason} \N{MIDDLE DOT} {row['description']}"}
            rows.append(row)
        alive = {_identity(group) for group in groups}
        self._kept = {key: kept for key, kept in self._kept.items() if key in alive}
        return pd.DataFrame(rows, columns=[*COLUMNS, *self._under])

    def _read(self, group: Candidate | Slice) -> tuple[Candidate | Slice, Rows, dict[str, Any]]:
        key = _identity(group)
        if key not in self._kept or self._kept[key][0] != group:
            self._kept[key] = (group, *self._count(group))
        return self._kept[key]

    def _count(self, group: Candidate | Slice) -> tuple[Rows, dict[str, Any]]:
        members = rows_in(self._units, group, index=self._index)
        row = _candidate_row(group) if isinstance(group, Candidate) else _slice_row(group, self, members)
        row["confusion"] = _confusion(self._units, members[self.fails[members]])
        for model, fails in self._under.items():
            row[model] = float(fails[members].mean()) if len(members) else np.nan
        return members, row


def _identity(group: Candidate | Slice) -> object:
    return group.slice_id if isinstance(group, Slice) else id(group)


def _class_rates(units: pd.DataFrame, fails: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return for every unit the failure rate of its class, float64 (n,): among labelled units, or predicted boxes.

    A unit without a label is compared with all that was predicted as its class. NaN where it has neither.
    """
    failed = pd.Series(fails.astype(np.float64), index=units.index)
    label, prediction = (units[column].astype(object) for column in ("label", "prediction"))
    labelled = failed.groupby(label).transform("mean")
    predicted = failed.groupby(prediction).transform("mean")
    return np.where(label.notna(), labelled, predicted).astype(np.float64)


def _lift(rate: float, base_rate: float) -> float:
    return rate / base_rate if base_rate > 0 else np.nan


def _candidate_row(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "size": candidate.size,
        "failures": candidate.failures,
        "failure_rate": candidate.failure_rate,
        "low": candidate.interval[0],
        "high": candidate.interval[1],
        "base_rate": candidate.base_rate,
        "lift": _lift(candidate.failure_rate, candidate.base_rate),
        "q_value": candidate.q_value,
        "stability": candidate.stability,
        "rule": "" if candidate.rule is None else candidate.rule.expression,
        "status": candidate.status if candidate.kind == "slice" else candidate.kind,
        "description": candidate.description,
        "version": 0,
    }


def _slice_row(slice_: Slice, rows: SliceRows, members: Rows) -> dict[str, Any]:
    failures = int(rows.fails[members].sum())
    rate = failures / len(members) if len(members) else np.nan
    low, high = rows.interval(members)
    base_rate = rows.base_rate(members)
    absent = len(slice_.members) - len(members)
    words = [slice_.note, f"{absent} members are not among these units" if absent else ""]
    return {
        "name": slice_.name,
        "size": len(members),
        "failures": failures,
        "failure_rate": rate,
        "low": low,
        "high": high,
        "base_rate": base_rate,
        "lift": _lift(rate, base_rate),
        "q_value": np.nan,
        "stability": np.nan,
        "rule": slice_.rule or "",
        "status": "slice",
        "description": " · ".join(word for word in words if word),
        "version": slice_.version,
    }


def _confusion(units: pd.DataFrame, wrong: Rows) -> str:
    """Return the most frequent pair of label and prediction among the failures, with its share of them."""
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
