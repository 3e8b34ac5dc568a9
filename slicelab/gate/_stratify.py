"""One case per class or per bucket of a metadata column: a suite to begin with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slicelab.core import TEXT, InvalidInputError, did_you_mean

MAX_GROUPS = 100


def stratify(units: pd.DataFrame, by: str, *, buckets: int = 4, min_units: int = 1) -> dict[str, list[str]]:
    """Divide units by a column.

    Parameters
    ----------
    units
        Units frame with labels and metadata.
    by
        Its column. Each of its values is a group; of numbers with more than `buckets` values, buckets that hold about
        equally many units. Units without a value are left out.
    buckets
        How many, from 2.
    min_units
        Smaller groups are left out.

    Returns
    -------
    dict
        Unit ids by name: "label/knife", "brightness/0.12 to 0.35".

    Raises
    ------
    InvalidInputError
        There is no such column, or it has more than 100 values that aren't numbers (is it an id?).
    """
    if by not in units:
        raise InvalidInputError(f"The units have no column {by!r}.{did_you_mean(by, map(str, units.columns))}")
    if buckets < 2:
        raise InvalidInputError(f"At least 2 buckets are needed; got {buckets}.")
    values = units[by].dropna()
    if pd.api.types.is_numeric_dtype(values) and values.dtype != bool and values.nunique() > buckets:
        cut = pd.qcut(values.astype(np.float64), buckets, duplicates="drop")
        names = cut.map({i: f"{by}/{i.left:.4g} to {i.right:.4g}" for i in cut.cat.categories})
    else:
        if values.nunique() > MAX_GROUPS:
            raise InvalidInputError(
                f"The column {by!r} has {values.nunique()} values; at most {MAX_GROUPS} cases are made. Is it an id?"
            )
        names = values.map(lambda value: f"{by}/{value}")
    groups = {str(name): rows.index.astype(TEXT).tolist() for name, rows in names.groupby(names, observed=True)}
    return {name: members for name, members in groups.items() if len(members) >= min_units}
