"""Which units a budget is spent on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, check_choice, listed

Sampling = Literal["all", "worst", "random", "stratified", "diverse"]
SAMPLINGS = ("all", "worst", "random", "stratified", "diverse")


def sample_units(
    units: pd.DataFrame,
    budget: int | None,
    *,
    sampling: Sampling = "worst",
    by: str = "label",
    vectors: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
) -> pd.Index:
    """Choose the units that a budget is spent on.

    Parameters
    ----------
    units
        Index `unit` (unique), columns `priority` (float, higher is more urgent) and `by`.
    budget
        How many at most; None: all.
    sampling
        "worst": the highest priorities. "random": each with the same chance. "stratified": as many of each value of
        `by` as its share among the units (at least one of each while the budget lasts), the worst of each. "diverse":
        far apart in the embedding, urgent ones rather than others. "all": no budget.
    by
        The column of "stratified"; a missing value is a stratum of its own.
    vectors
        float (n, d), rows in the order of `units`; for "diverse".
    seed
        Of "random" and "diverse".

    Returns
    -------
    Index of the chosen units, highest priority first.

    Raises
    ------
    InvalidInputError
        "all" with a budget, a column that isn't there, "diverse" without vectors.

    Notes
    -----
    Source of "diverse": k-means++ seeding on the vectors, weighted by priority, as BADGE does it (Ash et al., 2020);
    by `sklearn.cluster.kmeans_plusplus`. Cost: budget x n x d.
    """
    check_choice(sampling, SAMPLINGS, "sampling")
    ordered = units.index[np.argsort(-units["priority"].to_numpy(np.float64), kind="stable")]
    if sampling == "all" and budget is not None:
        raise InvalidInputError(f'sampling="all" takes all {len(units)} units; leave the limit of {budget} out.')
    if budget is None or budget >= len(units):
        return ordered
    if sampling == "stratified":
        chosen = _stratified(units.loc[ordered], budget, by)
    elif sampling == "diverse":
        chosen = _diverse(units, budget, vectors, seed)
    elif sampling == "random":
        chosen = set(np.random.default_rng(seed).choice(units.index.to_numpy(object), budget, replace=False))
    else:
        chosen = set(ordered[:budget])
    return ordered[ordered.isin(list(chosen))]


def _stratified(ordered: pd.DataFrame, budget: int, by: str) -> set[Hashable]:
    """Share the budget by largest remainder, then give every stratum one where that is possible."""
    if by not in ordered.columns:
        raise InvalidInputError(f"There is no column {by!r} to stratify by; there is {listed(ordered.columns)}.")
    strata = ordered.groupby(ordered[by].astype(object).where(ordered[by].notna(), None), dropna=False, sort=True)
    sizes = strata.size()
    exact = sizes.to_numpy(np.float64) * budget / len(ordered)
    parts = np.floor(exact).astype(int)
    parts[np.argsort(-(exact - parts), kind="stable")[: budget - parts.sum()]] += 1
    for empty in np.flatnonzero(parts == 0):
        if parts.max() < 2:
            break
        parts[parts.argmax()] -= 1
        parts[empty] = 1
    chosen: set[Hashable] = set()
    for part, (_, members) in zip(parts.tolist(), strata, strict=True):
        chosen |= set(members.index[:part])
    return chosen


def _diverse(units: pd.DataFrame, budget: int, vectors: npt.NDArray[np.float32] | None, seed: int) -> set[Hashable]:
    from sklearn.cluster import kmeans_plusplus

    if vectors is None or len(vectors) != len(units):
        raise InvalidInputError('sampling="diverse" needs a vector for every unit. Compute them: lab.embed().')
    priority = units["priority"].to_numpy(np.float64)
    weights = np.clip(priority, 0, None) + 1e-3 * max(float(priority.max()), 1e-9)
    points = np.asarray(vectors, dtype=np.float64)
    _, rows = kmeans_plusplus(points, budget, sample_weight=weights, random_state=seed)
    chosen = list(dict.fromkeys(rows.tolist()))
    if len(chosen) < budget:  # fewer different vectors than the budget: the rest by priority
        taken = set(chosen)
        chosen += [i for i in np.argsort(-priority, kind="stable").tolist() if i not in taken][: budget - len(chosen)]
    return set(units.index[chosen])
