"""Groups: what isn't independent, such as the objects of an image, the frames of a video, the scans of a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    Series of str, index as `samples`. Whole numbers read the same whether they are kept as integers or as floats
    ("3"). An image whose value is missing is a group of its own, named by its key; where some group is called like
    that, the name is made unique by apostrophes.
    """
    keys = pd.Series(samples.index.astype(TEXT), index=samples.index, dtype=TEXT)
    if column is None:
        return keys
    groups = np.array(group_texts(samples[column]), dtype=object)
    missing = np.array([text is None for text in groups], dtype=bool)
    groups[missing] = _alone(keys.to_numpy(object)[missing], set(groups[~missing]))
    return pd.Series(groups, index=samples.index, dtype=TEXT)


def group_texts(values: pd.Series[Any]) -> list[str | None]:
    """Return groups as texts, the same whatever type a file or the store has given them; None where one is missing."""
    there = values.notna().tolist()
    return [_text(value) if ok else None for value, ok in zip(values.tolist(), there, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))  # beside a missing value a whole number becomes a float
    return str(value)


def _alone(keys: Sequence[str], taken: set[str]) -> list[str]:
    """Name groups of one image by its key, made unlike every other group."""
    names, taken = [], taken | set()
    others = set(keys)
    for key in keys:
        name = key
        while name in taken or (name != key and name in others):
            name += "'"
        taken.add(name)
        names.append(name)
    return names


def group_codes(units: pd.DataFrame, groups: Mapping[str, str] | pd.Series | None = None) -> npt.NDArray[np.int64]:
    """Return the number of every unit's group.

    Parameters
    ----------
    units
        A units frame.
    groups
        The group of each image by its key. None: the column `group_id` of `units`. The image itself (`key`) where there
        is neither, or the group is missing.

    Returns
    -------
    int64 (n,), from 0 in the order in which groups first occur.
    """
    if groups is not None:
        named = units["key"].map(groups if isinstance(groups, pd.Series) else dict(groups))
        named = named.fillna(units["key"])
    else:
        named = units[GROUP_ID] if GROUP_ID in units else units["key"]
        if named.hasnans:
            named = named.fillna(units["key"])
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
