"""A group of units beside all the others: confusions, models, metadata, image statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, Contrast, Inspection, Share, group_codes
from slicelab.evaluation._intervals import proportion_interval

_OUTCOMES = (
    "key",
    "prediction",
    "confidence",
    "outcome",
    "failure",
    "loss",
    "label_id",
    "box_id",
    "sha256",
    "iou",
    "group_id",
)
_MANY = 200
_TOP = 8
_LEAST_EFFECT = 0.2
"""Cohen's "small": differences below it are noise to a reader."""
_LEAST_ERRORS = 1.96
"""Standard errors by group that a difference must reach: what few groups have in common is chance."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Texts:
    codes: Ints  # 0: missing
    names: tuple[str, ...]
    counts: Ints


@dataclass(frozen=True, eq=False)
class _Numbers:
    values: npt.NDArray[np.float64]  # 0 where missing
    there: npt.NDArray[np.bool_]
    total: float
    number: int
    deviation: float


def who_fails(failures: pd.DataFrame) -> pd.Series[str]:
    """Say for every unit which models fail on it.

    Parameters
    ----------
    failures
        One bool column per model.

    Returns
    -------
    "none", "all" ("both" for two models), "only v3", or for three models and more "v3, v4"; index as `failures`.
    """
    names = [str(name) for name in failures.columns]
    codes = failures.to_numpy(dtype=bool) @ (1 << np.arange(len(names)))
    words = {}
    for code in np.unique(codes):
        wrong = [name for bit, name in enumerate(names) if int(code) >> bit & 1]
        words[int(code)] = _words(wrong, len(names))
    return pd.Series([words[int(c)] for c in codes], index=failures.index, dtype=TEXT)


class Background:
    """What all units are like, so that any group of them is compared in milliseconds.

    Parameters
    ----------
    units
        The units frame. Columns of few texts, truth values or numbers are compared. Units of one `group_id` (without
        that column: of one `key`) aren't independent.
    failures
        One bool column per model, index as `units`; None: one model.
    """

    def __init__(self, units: pd.DataFrame, failures: pd.DataFrame | None = None) -> None:
        self._failure = units["failure"].to_numpy(dtype=bool)
        self._groups = group_codes(units)
        fails = pd.Series(units["label"].astype(TEXT).fillna("nothing"), index=units.index)
        pairs = fails + " \N{RIGHTWARDS ARROW} " + units["prediction"].astype(TEXT).fillna("nothing")
        self._pairs = _texts(pairs.where(self._failure))
        self._who = None if failures is None or failures.shape[1] < 2 else _texts(who_fails(failures))
        self._columns: dict[str, _Texts | _Numbers] = {}
        for name in units.columns:
            if isinstance(name, str) and name not in _OUTCOMES and (column := _read(units[name])) is not None:
                self._columns[name] = column

    def compare(self, rows: npt.ArrayLike) -> Inspection:
        """Compare units with the rest.

        Parameters
        ----------
        rows
            int (m,): row positions, each once.
        """
        inside = np.asarray(rows, dtype=np.int64)
        size, rest = len(inside), len(self._failure) - len(inside)
        failures = int(self._failure[inside].sum())
        groups = np.unique(self._groups[inside], return_inverse=True)[1]
        contrasts = [self._contrast(name, column, inside) for name, column in self._columns.items()]
        found = sorted((c for c in contrasts if c and abs(c.effect) >= _LEAST_EFFECT), key=lambda c: -abs(c.effect))
        found = [c for c in found if self._errors(c, inside) >= _LEAST_ERRORS]
        interval = proportion_interval(np.bincount(groups, weights=self._failure[inside]), np.bincount(groups))
        return Inspection(
            size=size,
            failures=failures,
            interval=interval if size else (np.nan, np.nan),
            rest_rate=(int(self._failure.sum()) - failures) / rest if rest else np.nan,
            confusions=self._shares(self._pairs, inside)[:_TOP],
            agreement=self._shares(self._who, inside) if self._who else (),
            contrasts=tuple(found[:_TOP]),
            n_groups=int(groups.max()) + 1 if size else 0,
        )

    def _errors(self, contrast: Contrast, inside: Ints) -> float:
        """Return how many standard errors lie between the units and the rest.

        The errors are those of a score test: what each group adds to the difference is counted from the mean of all
        units, as if there were no difference. So units of few groups don't look certain where they are all alike.
        """
        column = self._columns[contrast.column]
        if isinstance(column, _Numbers):
            values, there = column.values, column.there
        else:
            values = (column.codes == column.names.index(contrast.value) + 1).astype(np.float64)
            there = column.codes > 0
        mine = np.zeros(len(there), dtype=bool)
        mine[inside] = True
        mine, others = mine & there, ~mine & there
        weights = mine / mine.sum() - others / others.sum()
        added = np.bincount(self._groups, weights=weights * (values - values[there].mean()))
        error = float(np.sqrt((added**2).sum()))
        return abs(contrast.inside - contrast.outside) / error if error > 0 else np.inf

    def _shares(self, column: _Texts, inside: Ints) -> tuple[Share, ...]:
        counts = np.bincount(column.codes[inside], minlength=len(column.names) + 1)[1:]
        size, rest = len(inside), len(column.codes) - len(inside)
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        return tuple(
            Share(
                column.names[i],
                int(counts[i]),
                counts[i] / size,
                (column.counts[i] - counts[i]) / rest if rest else np.nan,
            )
            for i in order
        )

    def _contrast(self, name: str, column: _Texts | _Numbers, inside: Ints) -> Contrast | None:
        if isinstance(column, _Numbers):
            number = int(column.there[inside].sum())
            total, others = float(column.values[inside].sum()), column.number - number
            if not number or not others:
                return None
            a, b = total / number, (column.total - total) / others
            return Contrast(name, "", a, b, (a - b) / column.deviation)
        counts = np.bincount(column.codes[inside], minlength=len(column.names) + 1)[1:]
        number, others = int(counts.sum()), int(column.counts.sum() - counts.sum())
        if not number or not others:
            return None
        within, without = counts / number, (column.counts - counts) / others
        effect = 2 * np.arcsin(np.sqrt(within)) - 2 * np.arcsin(np.sqrt(without))
        top = int(np.argmax(effect))  # what the group has more of says more than what it lacks
        return Contrast(name, column.names[top], float(within[top]), float(without[top]), float(effect[top]))


def _read(values: pd.Series) -> _Texts | _Numbers | None:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        there = np.isfinite(numbers)
        deviation = float(numbers[there].std()) if there.any() else 0.0
        if deviation <= 0:
            return None
        filled = np.where(there, numbers, 0.0)
        return _Numbers(filled, there, float(filled.sum()), int(there.sum()), deviation)
    column = _texts(values.astype(TEXT))
    # nearly as many values as units: names and remarks, which set no group apart
    return column if 1 < len(column.names) <= min(_MANY, len(values) // 2) else None


def _texts(values: pd.Series) -> _Texts:
    codes, names = pd.factorize(values)
    shifted = np.asarray(codes, dtype=np.int64) + 1
    counts = np.bincount(shifted, minlength=len(names) + 1)[1:]
    return _Texts(shifted, tuple(str(n) for n in names), counts)


def _words(wrong: list[str], models: int) -> str:
    if not wrong:
        return "none"
    if len(wrong) == models:
        return "both" if models == 2 else "all"
    return f"only {wrong[0]}" if len(wrong) == 1 else ", ".join(wrong)
