"""A user's own metric on a slice, with its interval, alone or beside another model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import OWN_METRICS, InvalidInputError
from slicelab.evaluation._intervals import MetricValue, percentile_interval

OWN_RESAMPLES = 200

Floats = npt.NDArray[np.float64]


def own_value(name: str, units: pd.DataFrame, images: Sequence[str], *, confidence: float) -> MetricValue:
    """Return a registered metric of units with the percentile interval of 200 resamples of the images.

    Parameters
    ----------
    name
        As registered by `slicelab.core.metric`.
    units
        What the function gets, with a column `member` for detection.
    images
        Keys of the images that are drawn; one may be without units.
    confidence
        Of the interval.

    Raises
    ------
    InvalidInputError
        The function raises an error or doesn't return a number.
    """
    members = units["member"].to_numpy(bool) if "member" in units else np.ones(len(units), dtype=bool)
    n, failures = int(members.sum()), int((units["failure"].to_numpy(bool) & members).sum())
    value = _call(name, units)
    if not math.isfinite(value):
        return MetricValue(math.nan, math.nan, math.nan, n, failures)
    draws = np.array([_call(name, units.iloc[rows]) for rows in _resamples(units, images)])
    low, high = percentile_interval(draws, confidence=confidence)
    return MetricValue(value, min(low, value), max(high, value), n, failures)


def _call(name: str, units: pd.DataFrame) -> float:
    function = OWN_METRICS[name].function
    try:
        return float(function(units))
    except Exception as error:
        raise InvalidInputError(f"The metric {name!r} failed on {len(units)} units: {error!r}.") from error


def _resamples(units: pd.DataFrame, images: Sequence[str]) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of images that were drawn again; the same images whatever the rows are."""
    image = pd.Index(list(images), dtype=object).get_indexer(pd.Index(units["key"], dtype=object))
    order = np.argsort(image, kind="stable")
    counts = np.bincount(image, minlength=len(images))
    starts = np.cumsum(counts) - counts
    random = np.random.default_rng(0)
    for _ in range(OWN_RESAMPLES):
        drawn = random.integers(len(images), size=len(images))
        sizes = counts[drawn]
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield order[np.repeat(starts[drawn], sizes) + offsets]
