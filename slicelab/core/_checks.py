"""Checks on values, and the only place that words them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slicelab.core._errors import InvalidInputError
from slicelab.core._words import CONTROL, did_you_mean, listed

MAX_NAME = 256


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
    if CONTROL.search(name) or any(unicodedata.category(c) == "Cs" for c in name):
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
    if len(set(values)) == len(values):
        return
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
