"""Rows under check: which stay, and for every other one exactly one refusal with file, line and reason.

Because a row can be refused only once and only here, rows in = loaded + refused holds by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Finding, listed, visible

Mask = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Reason = str | Callable[[int], str]


class Rows:
    """The rows of one kind in one load.

    Parameters
    ----------
    rows
        Their kind: "samples", "labels" or "predictions:<model>".
    count
        How many there are.
    file
        In which file they stand: one name, or one for each row.
    lines
        Their 1-based lines; None where lines mean nothing.
    items
        The key or id of what each row concerns.
    """

    def __init__(
        self,
        rows: str,
        count: int,
        *,
        file: str | Sequence[Any] | Objects,
        lines: Sequence[Any] | npt.NDArray[Any] | None = None,
        items: Sequence[Any] | npt.NDArray[Any] | None = None,
    ) -> None:
        self.rows = rows
        self.kept: Mask = np.ones(count, dtype=bool)
        self.findings: list[Finding] = []
        self._file = file
        self._lines = lines
        self._items = items

    def __len__(self) -> int:
        return len(self.kept)

    def refuse(self, mask: Mask, kind: str, reason: Reason) -> None:
        """Refuse those rows of `mask` that are still in."""
        hit = mask & self.kept
        self._find(hit, kind, reason, refused=True)
        self.kept &= ~hit

    def refuse_where(self, problems: Objects, kind: str) -> None:
        """Refuse the rows that have a problem; `problems` holds its words, or None."""
        self.refuse(not_none(problems), kind, lambda i: str(problems[i]))

    def refuse_problems(self, problems: Objects) -> None:
        """Refuse the rows that a reader found a problem with: (kind, reason), or None."""
        hit = not_none(problems) & self.kept
        for kind in sorted({problems[i][0] for i in np.flatnonzero(hit)}):
            same = np.array([p is not None and p[0] == kind for p in problems], dtype=bool)
            self.refuse(same, kind, lambda i: str(problems[i][1]))

    def notice(self, mask: Mask, kind: str, reason: Reason) -> None:
        """Note something on each row of `mask` that is still in."""
        self._find(mask & self.kept, kind, reason, refused=False)

    def notice_once(self, mask: Mask, kind: str, reason: str) -> None:
        """Note it in one finding for all rows of `mask` that are still in; `reason` follows their number."""
        where = np.flatnonzero(mask & self.kept)
        if len(where):
            text = f"{len(where)} of {len(self)} rows {reason}; the first: {listed([self._item(i) for i in where[:5]])}"
            self.findings.append(
                Finding(kind, self._file_of(where[0]), self._line(where[0]), "", text, refused=False, rows=self.rows)
            )

    def _find(self, mask: Mask, kind: str, reason: Reason, *, refused: bool) -> None:
        for i in np.flatnonzero(mask).tolist():
            text = reason if isinstance(reason, str) else reason(i)
            self.findings.append(
                Finding(
                    kind, self._file_of(i), self._line(i), self._item(i), visible(text), refused=refused, rows=self.rows
                )
            )

    def _file_of(self, i: int) -> str:
        return self._file if isinstance(self._file, str) else str(self._file[i])

    def _line(self, i: int) -> int | None:
        line = None if self._lines is None else self._lines[i]
        return None if line is None else int(line)

    def _item(self, i: int) -> str:
        item = None if self._items is None else self._items[i]
        return "" if item is None else printable(item)


def printable(value: object) -> str:
    """Return a value as text that can be stored and shown: no surrogates, no control characters, not endless."""
    text = visible(str(value)[:300])
    return text.encode("utf-8", "backslashreplace").decode()


def objects(values: Sequence[Any] | Objects) -> Objects:
    """Return a 1-D object array of `values`, whatever they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def not_none(values: Objects) -> Mask:
    """Tell which values are not None."""
    return np.array([v is not None for v in values], dtype=bool)


def later_repeats(values: Objects) -> Mask:
    """Tell which values (None aside) occurred before."""
    return np.asarray(pd.Series(values, dtype=object).duplicated(keep="first")) & not_none(values)
