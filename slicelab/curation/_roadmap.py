"""What fixing each slice would give overall: what a team plans from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Slice, check_fraction, group_codes
from slicelab.evaluation import proportion_interval

COLUMNS = ("slice", "points", "low", "high", "units", "failures", "alone", "overlap", "action", "why")

Bools = npt.NDArray[np.bool_]


def roadmap(units: pd.DataFrame, slices: Sequence[Slice], *, confidence: float = 0.95) -> pd.DataFrame:
    """Rank slices by what fixing each would give overall.

    Parameters
    ----------
    units
        Units frame of the units that carry a label, columns `label`, `prediction`, `outcome`, `failure`, `confidence`.
        Units of one `group_id` (without that column: of one `key`) aren't independent.
    slices
        The curated ones. Members that aren't in `units` (another model's spurious boxes) don't count.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    DataFrame, a row per slice, best first; columns `COLUMNS`. "Fixed" means that a slice's units fail as often as the
    units in no slice do; nobody can promise that they never fail.

    - `points`: by how many percentage points the headline metric (share of units that are right) rises when the slice
      is fixed after those above it, each unit counted once; `low`, `high`: the same at the ends of the interval of
      the slice's failure rate (`proportion_interval`);
    - `units`, `failures`: of the slice that no slice above it holds; `overlap`: members that one above it holds;
    - `alone`: the points if it were the only one fixed;
    - `action`, `why`: one of the queue's reasons, proposed from how the slice fails; a person decides.

    Notes
    -----
    Greedy: at each step the slice that gives most of what is left, which for covering is within 1 - 1/e of the best
    order (Nemhauser, Wolsey & Fisher 1978).
    """
    check_fraction(confidence, "confidence")
    failure, groups = units["failure"].to_numpy(bool), group_codes(units)
    inside = {s.slice_id: units.index.isin(list(s.members)) for s in slices}
    anywhere = np.logical_or.reduce([np.zeros(len(units), dtype=bool), *inside.values()])
    rest = failure[~anywhere].mean() if (~anywhere).any() else 0.0
    left, rows = np.ones(len(units), dtype=bool), []
    waiting = list(slices)
    while waiting:
        best = max(waiting, key=lambda s: (_points(failure, inside[s.slice_id] & left, rest), s.name))
        waiting.remove(best)
        mine = inside[best.slice_id] & left
        n, k = int(mine.sum()), int((failure & mine).sum())
        interval = _rate_interval(failure[mine], groups[mine], confidence)
        ends = [100 * n * (end - rest) / len(units) if n else 0.0 for end in interval]
        action, why = propose_action(units[inside[best.slice_id]], rest=rest)
        rows.append(
            {
                "slice": best.name,
                "points": _points(failure, mine, rest),
                "low": max(ends[0], 0.0),
                "high": max(ends[1], 0.0),
                "units": n,
                "failures": k,
                "alone": _points(failure, inside[best.slice_id], rest),
                "overlap": int(inside[best.slice_id].sum()) - n,
                "action": action,
                "why": why,
            }
        )
        left &= ~mine
    return pd.DataFrame(rows, columns=list(COLUMNS)).set_index("slice")


def _rate_interval(failure: Bools, groups: npt.NDArray[np.int64], confidence: float) -> tuple[float, float]:
    codes = np.unique(groups, return_inverse=True)[1]
    return proportion_interval(np.bincount(codes, weights=failure), np.bincount(codes), confidence=confidence)


def _points(failure: Bools, mine: Bools, rest: float) -> float:
    if not mine.any():
        return 0.0
    return max(100 * (int((failure & mine).sum()) - rest * int(mine.sum())) / len(failure), 0.0)


def propose_action(units: pd.DataFrame, *, rest: float) -> tuple[str, str]:
    """Propose one of the queue's reasons for a slice, and say why.

    Parameters
    ----------
    units
        The slice's.
    rest
        The failure rate elsewhere.

    Returns
    -------
    "relabel" where the model is sure of another class on most failures (a wrong label looks like that); "merge_classes"
    where two classes are taken for each other, both ways; "augment" where it simply doesn't know or find them;
    "investigate" where there is too little to tell.
    """
    failed = units[units["failure"].to_numpy(bool)]
    if len(failed) < 5 or not len(units) or len(failed) / len(units) <= rest:
        return "investigate", f"{len(failed)} of {len(units)} fail: too few to tell"
    sure = failed["prediction"].notna() & (failed["confidence"] >= 0.9)
    if sure.mean() >= 0.5:
        return "relabel", f"{int(sure.sum())} of {len(failed)} failures are another class with confidence 0.9 or more"
    pairs = failed.dropna(subset=["label", "prediction"])
    swapped = Counter(zip(pairs["label"].tolist(), pairs["prediction"].tolist(), strict=True))
    for (label, prediction), n in sorted(swapped.items()):
        back = 0 if label == prediction else swapped[prediction, label]
        if min(n, back) >= 3 and n + back >= 0.6 * len(failed):
            return "merge_classes", f"{label} and {prediction} are taken for each other, {n} and {back} times"
    found = int(failed["prediction"].notna().sum())
    if not found:
        return "augment", f"all {len(failed)} failures are missed"
    return "augment", f"{len(failed)} of {len(units)} fail, {found} of them with an unsure or another answer"
