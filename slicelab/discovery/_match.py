"""The same slice under another model, and the same slice in newer data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, InvalidInputError
from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._check_units import check_column
from slicelab.discovery._grouped import difference_interval
from slicelab.discovery._populations import group_codes

SAME = 0.3
"""Slices that share less than this (Jaccard) are different ones."""


def match(before: Sequence[Candidate], after: Sequence[Candidate]) -> pd.DataFrame:
    """Pair the slices of two models, or of two rounds, by the units that they share.

    Parameters
    ----------
    before, after
        Candidates with unit ids.

    Returns
    -------
    DataFrame, one row per pair and per slice without one: `before`, `after` (names; "" for none), `jaccard`,
    `rate_before`, `rate_after` (NaN for none), and `change`: "stays", "gone" (only before) or "new" (only after).
    Pairs come first, in the order of `before`; the pairing has the largest sum of Jaccard indices.

    Raises
    ------
    InvalidInputError
        A candidate knows no unit ids.

    Notes
    -----
    **Source:** the assignment of H. W. Kuhn 1955, scipy's `linear_sum_assignment`.
    """
    from scipy.optimize import linear_sum_assignment

    olds, news = [_units(c) for c in before], [_units(c) for c in after]
    overlap = np.array([[len(a & b) / len(a | b) for b in news] for a in olds]).reshape(len(olds), len(news))
    best = np.stack(linear_sum_assignment(-overlap), axis=1).tolist()
    pairs = [(i, j) for i, j in best if overlap[i, j] >= SAME]
    rows: list[tuple[object, ...]] = [
        (before[i].name, after[j].name, overlap[i, j], before[i].failure_rate, after[j].failure_rate, "stays")
        for i, j in pairs
    ]
    paired_old, paired_new = {i for i, _ in pairs}, {j for _, j in pairs}
    nan = float("nan")
    rows += [(c.name, "", 0.0, c.failure_rate, nan, "gone") for i, c in enumerate(before) if i not in paired_old]
    rows += [("", c.name, 0.0, nan, c.failure_rate, "new") for j, c in enumerate(after) if j not in paired_new]
    return pd.DataFrame(rows, columns=["before", "after", "jaccard", "rate_before", "rate_after", "change"])


def _units(candidate: Candidate) -> set[str]:
    if not candidate.unit_ids:
        raise InvalidInputError(
            f"The candidate {candidate.name!r} knows rows but no unit ids. Give discover(..., ids=units.index)."
        )
    return set(candidate.unit_ids)


def drift(
    found: CandidateSlices, new_embeddings: npt.ArrayLike, *, groups: npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Say whether new data falls into the slices more or less often than the data they were found in.

    Parameters
    ----------
    found
        What discovery returned.
    new_embeddings
        (m, d) from the same embedder, m >= 1.
    groups
        (m,) new units that are not independent have one value, such as the objects of an image; a missing value is a
        group of its own. None: they are independent. Those of before are what discovery was given.

    Returns
    -------
    DataFrame, one row per slice: `name`, `share_before` and `share_now` of all units, `change` with its interval
    `low`, `high` (95 %), in shares.

    Raises
    ------
    InvalidInputError
        As `CandidateSlices.assign`, there is no new row, or another number of groups.

    Notes
    -----
    **Source:** Newcombe 1998, method 10: from the intervals of both shares, which count groups where units share one.
    New groups are taken as others than those of before.
    """
    now = found.assign(new_embeddings) >= 0.5
    if not len(now):
        raise InvalidInputError("There must be at least one new embedding to compare with; got none.")
    grouped = check_column(groups, len(now), "groups")
    codes = np.arange(len(now)) if grouped is None else group_codes(grouped)
    then = found.assign(found.embeddings) >= 0.5
    rows = []
    for i, candidate in enumerate(found):
        share, before = float(now[:, i].mean()), float(then[:, i].mean())
        low, high = difference_interval(now[:, i].astype(float), then[:, i].astype(float), codes, found.groups)
        rows.append((candidate.name, before, share, share - before, low, high))
    return pd.DataFrame(rows, columns=["name", "share_before", "share_now", "change", "low", "high"])
