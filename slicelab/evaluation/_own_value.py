"""A user's own metric on a slice, with its interval, alone or beside another model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import OWN_METRICS, InvalidInputError, group_codes, image_group_codes
from slicelab.evaluation._intervals import MetricValue, group_interval, share_interval

OWN_RESAMPLES = 200

Floats = npt.NDArray[np.float64]


def own_value(
    name: str,
    units: pd.DataFrame,
    images: Sequence[str],
    *,
    confidence: float,
    groups: Mapping[str, str] | pd.Series | None = None,
) -> MetricValue:
    """Return a registered metric of units with the stretched percentile interval of 200 resamples of the groups.

    Parameters
    ----------
    name
        As registered by `slicelab.core.metric`.
    units
        What the function gets, with a column `member` for detection.
    images
        Keys of the images, each once; one may be without units.
    confidence
        Of the interval.
    groups
        As in `metric_value`.

    Returns
    -------
    MetricValue; value and interval NaN where the function returns no finite number. Where every resample gives the same
    value the interval is that of such a share of so many groups; NaN if there is one group, or it isn't in [0, 1].

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
    draws = np.array([_call(name, units.iloc[rows]) for rows in _resamples(units, images, groups)])
    n_groups = int(image_group_codes(pd.Index(list(images), dtype=object), units, groups).max(initial=-1)) + 1
    held = len(np.unique(group_codes(units, groups)[members]))
    interval = group_interval(value, draws, n=n_groups, confidence=confidence)
    if not interval[1] - interval[0] > 1e-12:  # all draws are the same: the bootstrap knows nothing
        interval = (math.nan, math.nan)
        if held > 1 and 0 <= value <= 1:
            interval = share_interval(value, draws, n=held, confidence=confidence)
    return MetricValue(value, *interval, n, failures, held)


def _call(name: str, units: pd.DataFrame) -> float:
    function = OWN_METRICS[name].function
    try:
        return float(function(units))
    except Exception as error:
        raise InvalidInputError(f"The metric {name!r} failed on {len(units)} units: {error!r}.") from error


def _resamples(
    units: pd.DataFrame, images: Sequence[str], groups: Mapping[str, str] | pd.Series | None = None
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of groups of images that were drawn again; the same groups whatever the rows are."""
    keys = pd.Index(list(images), dtype=object)
    of_image = image_group_codes(keys, units, groups)
    group = of_image[keys.get_indexer(pd.Index(units["key"], dtype=object))]
    n_groups = int(of_image.max(initial=-1)) + 1
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=n_groups)
    starts = np.cumsum(counts) - counts
    random = np.random.default_rng(0)
    for _ in range(OWN_RESAMPLES):
        drawn = random.integers(n_groups, size=n_groups)
        sizes = counts[drawn]
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield order[np.repeat(starts[drawn], sizes) + offsets]
