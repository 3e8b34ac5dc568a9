"""Checks of what is given to discovery: one value of the right kind for each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, check_unique

FloatArray = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]


def check_failures(values: npt.ArrayLike, n: int) -> FloatArray:
    """Return failures as float64 (n,); refuse what isn't boolean or in [0, 1]."""
    failed = np.asarray(values)
    if failed.shape != (n,):
        raise InvalidInputError(f"The failures must be {n} values, one for each row; got shape {failed.shape}.")
    if failed.dtype == object or not (np.issubdtype(failed.dtype, np.number) or failed.dtype == bool):
        raise InvalidInputError(f"The failures must be booleans or numbers from 0 to 1; got dtype {failed.dtype}.")
    failed = failed.astype(np.float64)
    if not np.isfinite(failed).all() or failed.min(initial=0) < 0 or failed.max(initial=0) > 1:
        raise InvalidInputError("The failures must be finite and from 0 to 1; divide a loss by its largest value.")
    return failed


def check_column(values: npt.ArrayLike | None, n: int, what: str) -> Objects | None:
    """Return a column of any values, (n,)."""
    if values is None:
        return None
    column = np.asarray(values, dtype=object)
    if column.shape != (n,):
        raise InvalidInputError(f"The {what} must be {n} values, one for each row; got shape {column.shape}.")
    return column


def check_confidences(values: npt.ArrayLike | None, n: int) -> FloatArray | None:
    """Return confidences as float64 (n,), NaN where missing."""
    column = check_column(values, n, "confidences")
    if column is None:
        return None
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"The confidences must be numbers; {error}.") from error


def check_rest(
    n: int, ids: Sequence[str] | None, attributes: pd.DataFrame | None, max_slices: int, workers: int
) -> None:
    """Refuse ids, attributes and numbers that don't fit n rows."""
    if ids is not None:
        if len(ids) != n:
            raise InvalidInputError(f"There must be {n} ids, one for each row; got {len(ids)}.")
        check_unique(ids, "id")
    if attributes is not None and len(attributes) != n:
        raise InvalidInputError(f"The attributes must have {n} rows, one for each row; got {len(attributes)}.")
    if max_slices < 1:
        raise InvalidInputError(f"max_slices must be at least 1; got {max_slices}.")
    if workers < 1:
        raise InvalidInputError(f"workers must be at least 1; got {workers}.")
