"""Checks on values, and the only place that words them."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from slicelab.core._errors import InvalidInputError

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MAX_NAME = 256


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
    return _CONTROL.sub("\ufffd", text)


def check_name(name: object, what: str) -> str:
    """Return `name`, or raise `InvalidInputError` when it isn't a usable name.

    Names are 1 to 256 characters, without control or bidirectional-override characters, not blank, in
    Unicode normal form C.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidInputError(f"The {what} must be a non-empty text; got {name!r}.")
    if len(name) > MAX_NAME:
        raise InvalidInputError(
            f"The {what} is too long: {len(name)} characters, at most {MAX_NAME} are kept. It starts {name[:40]!r}."
        )
    if _CONTROL.search(name) or any(unicodedata.category(c) == "Cs" for c in name):
        raise InvalidInputError(f"The {what} holds control characters: {name!r}. Remove them.")
    return unicodedata.normalize("NFC", name)


def check_choice(value: object, options: Sequence[str], what: str) -> str:
    """Return `value`, or raise `InvalidInputError` when it isn't one of `options`."""
    if not isinstance(value, str) or value not in options:
        hint = did_you_mean(str(value), options)
        raise InvalidInputError(f"The {what} must be one of {listed(options, 12)}; got {value!r}.{hint}")
    return value


def check_unique(values: Sequence[str], what: str) -> None:
    """Raise `InvalidInputError` when a value occurs twice."""
    seen: set[str] = set()
    twice = [v for v in values if v in seen or seen.add(v)]  # type: ignore[func-returns-value]
    if twice:
        raise InvalidInputError(f"Every {what} must be there once; these occur again: {listed(twice)}.")


def check_matrix(values: npt.ArrayLike, what: str, *, rows: int | None = None) -> npt.NDArray[np.float32]:
    """Return `values` as float32 (n, d), or raise `InvalidInputError`.

    Parameters
    ----------
    values
        Anything numpy reads as a 2-D array of finite numbers.
    what
        The word for the error messages, like "embeddings".
    rows
        The number of rows that there must be; None: any.
    """
    array = np.asarray(values)
    if array.ndim != 2:
        hint = " For a single row pass vector[None, :]." if array.ndim == 1 else ""
        raise InvalidInputError(f"The {what} must be 2-D (rows x dimensions); got shape {array.shape}.{hint}")
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise InvalidInputError(f"The {what} must be numbers; got dtype {array.dtype}.")
    if np.iscomplexobj(array):
        raise InvalidInputError(f"The {what} must be real numbers; got dtype {array.dtype}.")
    if rows is not None and len(array) != rows:
        raise InvalidInputError(f"The {what} must have {rows} rows, one for each unit in order; got {len(array)}.")
    result = np.ascontiguousarray(array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if len(bad):
        first = listed(bad.tolist())
        raise InvalidInputError(f"The {what} must be finite; {len(bad)} rows are not, they are {first}.")
    return result


def check_fraction(value: float, what: str) -> float:
    """Return `value`, or raise `InvalidInputError` when it isn't a finite number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise InvalidInputError(f"The {what} must be a number from 0 to 1; got {value!r}.")
    return float(value)
