"""A user's own metric under two models on the same units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError
from slicelab.evaluation._compare_models import PairedDifference, difference_of_draws
from slicelab.evaluation._intervals import resampled_weights
from slicelab.evaluation._own_value import OWN_RESAMPLES, _call
from slicelab.evaluation._swap_models import swap_test

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def compare_own(
    name: str,
    units: pd.DataFrame,
    baseline: pd.DataFrame,
    images: Sequence[str],
    groups: npt.ArrayLike | None = None,
    *,
    confidence: float,
) -> PairedDifference:
    """Return how much a registered metric differs between two models.

    Parameters
    ----------
    name
        As registered by `slicelab.core.metric`.
    units, baseline
        What the function gets for either model.
    images
        Keys of the images; one may be without units.
    groups
        int (n_images,) from 0: the group of each image. None: each is a group of its own.
    confidence
        Of the interval.

    Returns
    -------
    PairedDifference: as `paired_bootstrap`, with 200 draws of the groups and 200 swaps of the models.

    Raises
    ------
    InvalidInputError
        The function raises an error or doesn't return a number; groups aren't one number per image.
    """
    codes = np.arange(len(images)) if groups is None else np.asarray(groups)
    if codes.shape != (len(images),):
        raise InvalidInputError(f"Groups must be one number per image ({len(images)}); got shape {codes.shape}.")
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    n = int(codes.max()) + 1 if len(codes) else 0
    group_of = pd.Series(codes, index=pd.Index(list(images), dtype=object))
    mine, base = (_Grouped.of(frame, group_of, n) for frame in (units, baseline))

    def swapped(signs: Floats) -> Floats:
        return np.array(
            [_call(name, _mixed(mine, base, s > 0)) - _call(name, _mixed(mine, base, s < 0)) for s in signs]
        )

    weights = [row for block in resampled_weights(n, n_resamples=OWN_RESAMPLES, seed=0) for row in block]
    draws = np.array([_call(name, mine.drawn(row)) - _call(name, base.drawn(row)) for row in weights])
    difference = _call(name, units) - _call(name, baseline)
    p = swap_test(difference, swapped, n, n_resamples=OWN_RESAMPLES)
    return difference_of_draws(difference, draws, p, n_groups=n, confidence=confidence)


@dataclass(frozen=True, eq=False)
class _Grouped:
    """Units and their rows by group."""

    units: pd.DataFrame
    group: Codes
    rows: tuple[npt.NDArray[np.intp], ...]

    @classmethod
    def of(cls, units: pd.DataFrame, group_of: pd.Series, n: int) -> _Grouped:
        group = group_of.loc[units["key"].to_numpy(object)].to_numpy(np.int64)
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(np.bincount(group, minlength=n))
        return cls(units, group, tuple(np.split(order, ends[:-1])) if n else ())

    def drawn(self, weights: Floats) -> pd.DataFrame:
        """Take the rows of each group as often as it was drawn."""
        places = [self.rows[g] for g in np.repeat(np.arange(len(weights)), weights.astype(np.int64))]
        return self.units.iloc[np.concatenate(places)]


def _mixed(mine: _Grouped, base: _Grouped, chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Take `mine` in the chosen groups and `base` in the others."""
    return pd.concat([mine.units[chosen[mine.group]], base.units[~chosen[base.group]]])
