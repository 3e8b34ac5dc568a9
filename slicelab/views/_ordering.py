"""In what order to look at units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import check_choice
from slicelab.views._selection import Rows, check_units

ORDERS = (
    "as given", "failures first", "greatest loss", "least confident", "most confident", "most typical",
    "nearest the border",
)  # fmt: skip


class Ordering:
    """Sorts rows of a units frame; what it needs is read once, so that sorting takes milliseconds.

    Parameters
    ----------
    units
        The units frame.
    projection
        float (n, 2); None: without one, "most typical" and "nearest the border" keep the order given.
    """

    def __init__(self, units: pd.DataFrame, projection: npt.ArrayLike | None = None) -> None:
        check_units(units)
        self._failure = units["failure"].to_numpy(dtype=bool)
        self._loss = units["loss"].to_numpy(dtype=np.float64, na_value=np.nan)
        self._confidence = units["confidence"].to_numpy(dtype=np.float64, na_value=np.nan)
        self._places = None if projection is None else np.asarray(projection, dtype=np.float32)

    def order(self, rows: Rows, by: str, *, typical_first: bool = False) -> Rows:
        """Return `rows` in another order; ties keep theirs.

        Parameters
        ----------
        rows
            int64 (m,), row positions.
        by
            One of `ORDERS`. "failures first": then by loss. "most typical": nearest to the middle of these rows on
            the map first; "nearest the border": the reverse. Missing values come last.
        typical_first
            `rows` are in order of typicality already, as members of candidates are.
        """
        ways: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
            "as given": lambda: np.zeros(len(rows)),
            "failures first": lambda: self._failures_first(rows),
            "greatest loss": lambda: -self._loss[rows],
            "least confident": lambda: self._confidence[rows],
            "most confident": lambda: -self._confidence[rows],
            "most typical": lambda: self._distance(rows, typical_first),
            "nearest the border": lambda: -self._distance(rows, typical_first),
        }
        check_choice(by, list(ways), "order")
        return rows[np.argsort(ways[by](), kind="stable")]  # NaN sorts last

    def _failures_first(self, rows: Rows) -> npt.NDArray[np.float64]:
        loss = np.nan_to_num(self._loss[rows], nan=-1.0)
        return np.asarray(-loss - 10.0 * self._failure[rows])  # a loss is at most 1

    def _distance(self, rows: Rows, typical_first: bool) -> npt.NDArray[np.float64]:
        if typical_first or self._places is None or not len(rows):
            return np.arange(len(rows), dtype=np.float64)
        places = self._places[rows].astype(np.float64)
        there = np.isfinite(places).all(axis=1)
        middle = np.median(places[there], axis=0) if there.any() else np.zeros(2)
        return np.asarray(np.square(places - middle).sum(axis=1))
