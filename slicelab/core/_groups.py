"""Groups: what isn't independent, such as the objects of an image, the frames of a video, the scans of a patient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core._text import TEXT

GROUP_ID = "group_id"
"""Column of a units frame: the group of each unit."""


def sample_groups(samples: pd.DataFrame, column: str | None) -> pd.Series[str]:
    """Return the group of every image.

    Parameters
    ----------
    samples
        One row per image, index `key`.
    column
        Column of `samples` whose equal values mark images that are not independent. None: each image is a group of
        its own.

    Returns
    -------
    Series of str, index as `samples`. An image whose value is missing is a group of its own, named by its key; where
    some group is called like that, the name is made unique by apostrophes.
    """
    keys = pd.Series(samples.index.astype(TEXT), index=samples.index, dtype=TEXT)
    if column is None:
        return keys
    values = samples[column]
    missing = values.isna().to_numpy(bool)
    named = values.astype(TEXT).astype(TEXT)
    taken = set(named[~missing])
    alone = [_unlike(key, taken) for key in keys[missing]]
    groups = named.to_numpy(object).copy()
    groups[missing] = alone
    return pd.Series(groups, index=samples.index, dtype=TEXT)


def _unlike(key: str, taken: set[str]) -> str:
    while key in taken:
        key += "'"
    return key


def group_codes(units: pd.DataFrame, groups: Mapping[str, str] | pd.Series | None = None) -> npt.NDArray[np.int64]:
    """Return the number of every unit's group.

    Parameters
    ----------
    units
        A units frame.
    groups
        The group of each image by its key. None: the column `group_id` of `units`, and without one the image (`key`).

    Returns
    -------
    int64 (n,), from 0 in the order in which groups first occur.
    """
    if groups is not None:
        named = units["key"].map(groups if isinstance(groups, pd.Series) else dict(groups))
        named = named.fillna(units["key"])
    else:
        named = units[GROUP_ID] if GROUP_ID in units else units["key"]
    return np.asarray(pd.factorize(named)[0], dtype=np.int64)


def image_group_codes(
    images: pd.Index, units: pd.DataFrame, groups: Mapping[str, str] | pd.Series | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of every image's group, int64 (n,); as `group_codes`, for images that may have no unit.

    Without `groups` an image without a unit is a group of its own.
    """
    if groups is None:
        if GROUP_ID not in units or (units[GROUP_ID].to_numpy(object) == units["key"].to_numpy(object)).all():
            return np.arange(len(images), dtype=np.int64)
        groups = units[["key", GROUP_ID]].drop_duplicates("key").set_index("key")[GROUP_ID]
    named = pd.Series(images.to_numpy(object)).map(groups if isinstance(groups, pd.Series) else dict(groups))
    return np.asarray(pd.factorize(named.fillna(pd.Series(images.to_numpy(object))))[0], dtype=np.int64)
