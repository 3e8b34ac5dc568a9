"""The share of single units that fail, or don't, where each is a group of its own."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError
from slicelab.evaluation._intervals import MetricValue, proportion_interval


def unit_share(name: str, failures: npt.NDArray[np.bool_], *, confidence: float = 0.95) -> MetricValue:
    """Return what `metric_value` gives for independent classification units, from their failures alone.

    Parameters
    ----------
    name
        "accuracy" or "error_rate".
    failures
        bool (n,).
    confidence
        Of the interval, in (0, 1).

    Raises
    ------
    InvalidInputError
        The metric is another one.
    """
    if name not in ("accuracy", "error_rate"):
        raise InvalidInputError(f"unit_share() gives accuracy and error_rate; got {name!r}. Use metric_value().")
    n, failed = len(failures), int(np.count_nonzero(failures))
    if not n:
        return MetricValue(math.nan, math.nan, math.nan, 0, 0)
    counted = failures if name == "error_rate" else ~failures
    low, high = proportion_interval(counted, np.ones(n), confidence=confidence)
    return MetricValue(int(np.count_nonzero(counted)) / n, low, high, n, failed)
