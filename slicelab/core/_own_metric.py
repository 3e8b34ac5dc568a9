"""A user's own metric: a function with a name, and the hash of its source."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from slicelab.core._checks import check_name
from slicelab.core._errors import InvalidInputError
from slicelab.core._metric_names import METRICS, top_k

Measure = Callable[[pd.DataFrame], float]
F = TypeVar("F", bound=Measure)


@dataclass(frozen=True)
class OwnMetric:
    """A function of units frames under a name; `code` is the SHA-256 of its source."""

    name: str
    function: Measure
    lower_is_better: bool
    code: str


OWN_METRICS: dict[str, OwnMetric] = {}
"""What was registered in this process, by name."""


def metric(name: str, *, lower_is_better: bool = False) -> Callable[[F], F]:
    """Register a function as a metric, so that a `Bar` can name it.

    Parameters
    ----------
    name
        An identifier that no built-in metric has. Registering it again replaces the function.
    lower_is_better
        Which direction is the better one.

    Returns
    -------
    A decorator. The function takes a units frame (`UNIT_COLUMNS`, for detection `BOX_UNIT_COLUMNS` as well and a bool
    column `member`) and returns a finite number, or NaN where it is undefined. Its interval is the percentile
    interval of 200 resamples of the images, so that it is called 200 times per case: use whole columns, not loops.

    Raises
    ------
    InvalidInputError
        The name can't be one, or the function's source can't be read (a lambda or a function typed in where Python
        keeps no source): without it no one could tell whether the metric changed.

    Examples
    --------
    >>> @metric("mean_loss", lower_is_better=True)
    ... def mean_loss(units):
    ...     return units["loss"].mean()
    """
    check_name(name, "name of the metric")
    if not name.isidentifier() or name in METRICS or top_k(name):
        raise InvalidInputError(
            f"The name of a metric must be an identifier that no built-in metric has; got {name!r}."
        )

    def register(function: F) -> F:
        try:
            source = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            raise InvalidInputError(
                f"The source of the metric {name!r} can't be read ({error}). Define it in a file or a notebook's cell."
            ) from None
        OWN_METRICS[name] = OwnMetric(name, function, lower_is_better, hashlib.sha256(source.encode()).hexdigest())
        return function

    return register
