"""How far several annotators agree, and how good each of them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, Box, InvalidInputError, listed
from slicelab.evaluation._group_boxes import SAME_OBJECT, group_boxes, pair_boxes
from slicelab.evaluation._intervals import group_interval, proportion_interval, resampled_statistic

NOTHING = ""
"""What somebody said of an object that others drew and he or she didn't."""
_COLUMNS = ("unit", "annotator", "label")
_NOTHING_KNOWN = (float("nan"), float("nan"))

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree on what more than one of them answered.

    Parameters
    ----------
    n_units, n_annotators, n_answers
        Units with two answers or more, the people who gave them, and those answers.
    observed
        Share of the pairs of answers to the same unit that are equal, in [0, 1].
    fleiss
        Fleiss' kappa on the units with the commonest number of answers (`fleiss_units` of them).
    alpha
        Krippendorff's alpha for nominal values; takes every unit, however many answers it has.
    pairs
        One row per two annotators: `first`, `second`, `n` (units both answered), `observed` with its 95 % interval
        `low`, `high`, `cohen` (Cohen's kappa).
    iou
        Mean IoU of the boxes that are the same object; NaN for labels of images.
    observed_interval, alpha_interval
        At 95 %. Units of one group (the objects of an image) aren't independent, so groups are what is counted, and
        what is drawn again for alpha.
    n_groups
        Groups behind the units.

    Notes
    -----
    A chance-corrected value is NaN where it isn't defined: nobody answered twice, or all answers are the same label.
    """

    n_units: int
    n_annotators: int
    n_answers: int
    observed: float
    fleiss: float
    fleiss_units: int
    alpha: float
    pairs: pd.DataFrame
    iou: float = float("nan")
    observed_interval: tuple[float, float] = _NOTHING_KNOWN
    alpha_interval: tuple[float, float] = _NOTHING_KNOWN
    n_groups: int = 0

    def __str__(self) -> str:
        if not self.n_units:
            return "no unit was answered by two annotators"
        boxes = "" if np.isnan(self.iou) else f", boxes of the same object overlap by {self.iou:.2f}"
        groups = f" in {self.n_groups} groups" if 0 < self.n_groups < self.n_units else ""
        return (
            f"{self.n_annotators} annotators, {self.n_units} units{groups} with two answers or more: "
            f"{self.observed:.0%} of the pairs agree{_ends(self.observed_interval, '.0%')}, Krippendorff's alpha "
            f"{self.alpha:.3f}{_ends(self.alpha_interval, '.3f')}, Fleiss' kappa {self.fleiss:.3f} "
            f"({self.fleiss_units} units){boxes}"
        )


def _ends(interval: tuple[float, float], form: str) -> str:
    return "" if np.isnan(interval).any() else f" ({interval[0]:{form}} to {interval[1]:{form}})"


def agreement(answers: pd.DataFrame) -> Agreement:
    """Measure the agreement of annotators.

    Parameters
    ----------
    answers
        One row per answer with the columns `unit`, `annotator`, `label` (text); nobody answers a unit twice. With a
        column `group`: units of one group aren't independent; a unit without one, or without that column, is by itself.

    Raises
    ------
    InvalidInputError
        A column is missing, or somebody answered a unit twice.

    Notes
    -----
    Source: Cohen's kappa by scikit-learn, Fleiss' kappa by statsmodels, Krippendorff's alpha by `krippendorff`.
    """
    _check(answers)
    several = answers[answers.groupby("unit")["annotator"].transform("size") > 1]
    if several.empty:
        nan = float("nan")
        return Agreement(0, 0, 0, nan, nan, 0, nan, _pairs(several))
    counts, groups = _counts(several), _unit_groups(several)
    n = counts.sum(axis=1)
    fleiss, fleiss_units = _fleiss(counts)
    equal, pairs = (counts * (counts - 1)).sum(axis=1), n * (n - 1)
    return Agreement(
        n_units=len(counts),
        n_annotators=several["annotator"].nunique(),
        n_answers=len(several),
        observed=float(equal.sum() / pairs.sum()),
        fleiss=fleiss,
        fleiss_units=fleiss_units,
        alpha=_alpha(counts),
        pairs=_pairs(several),
        observed_interval=_share_interval(equal / 2, pairs / 2, groups),
        alpha_interval=_alpha_interval(counts, groups),
        n_groups=int(groups.max()) + 1,
    )


def box_answers(
    answers: Mapping[str, Mapping[str, tuple[Box, ...]]], *, iou: float = SAME_OBJECT
) -> tuple[pd.DataFrame, float]:
    """Turn boxes into answers about objects, so that they are measured as labels are.

    Parameters
    ----------
    answers
        Each annotator's boxes by image.
    iou
        From which two boxes are the same object.

    Returns
    -------
    answers
        One row per object and annotator who looked at its image, as `agreement` takes it; `label` is `NOTHING` where
        the annotator drew nothing there, `group` the image.
    iou
        Mean IoU over the pairs of boxes of the same object, NaN without any.
    """
    rows: list[tuple[str, str, str, str]] = []
    overlaps: list[float] = []
    for image, boxes in answers.items():
        for n, group in enumerate(group_boxes(boxes, iou=iou)):
            rows += [(f"{image}#{n}", who, group[who].label if who in group else NOTHING, image) for who in boxes]
            for one, other in combinations(group.values(), 2):
                overlaps += [overlap for *_, overlap in pair_boxes([one], [other], iou=0.0)]
    frame = pd.DataFrame(rows, columns=[*_COLUMNS, "group"], dtype=TEXT)
    return frame, float(np.mean(overlaps)) if overlaps else float("nan")


def annotator_quality(answers: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Say how good each annotator is: on gold probes, and beside the others.

    Parameters
    ----------
    answers
        As `agreement` takes it.
    right
        One row per answer to a gold probe: `annotator` and `right` (share of it that is right, [0, 1]). With a column
        `group`, or else `key`: probes that share it aren't independent.

    Returns
    -------
    DataFrame, index `annotator`, sorted: `answers`, `probes`, `accuracy` (mean of `right`; NaN without probes), `low`,
    `high` (its 95 % interval), `agrees` (share of the pairs with others' answers that are equal).
    """
    _check(answers)
    rows = []
    people = sorted(set(answers["annotator"]) | set(right["annotator"]))
    both = answers.merge(answers, on="unit", suffixes=("", "_other"))
    both = both[both["annotator"] != both["annotator_other"]]
    for person in people:
        probes = right[right["annotator"] == person]
        scores = probes["right"].to_numpy(np.float64)
        low, high = _share_interval(scores, np.ones(len(scores)), _probe_groups(probes))
        mine = both[both["annotator"] == person]
        agrees = float((mine["label"] == mine["label_other"]).mean()) if len(mine) else float("nan")
        n = int((answers["annotator"] == person).sum())
        mean = float(scores.mean()) if len(scores) else float("nan")
        rows.append((n, len(scores), mean, low, high, agrees))
    columns = ["answers", "probes", "accuracy", "low", "high", "agrees"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(people, name="annotator", dtype=TEXT))


def _check(answers: pd.DataFrame) -> None:
    missing = [c for c in _COLUMNS if c not in answers.columns]
    if missing:
        raise InvalidInputError(f"Answers need the columns {listed(_COLUMNS)}; {listed(missing)} isn't there.")
    twice = answers[answers.duplicated(["unit", "annotator"])]
    if len(twice):
        who = [f"{a} on {u}" for u, a in zip(twice["unit"], twice["annotator"], strict=True)]
        raise InvalidInputError(f"Nobody may answer a unit twice; got {listed(who)}. Leave the older answers out.")


def _counts(answers: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return how often each label was given to each unit, int64 (n_units, n_labels)."""
    table = answers.groupby(["unit", "label"]).size().unstack(fill_value=0)
    return np.asarray(table.sort_index(axis=1).to_numpy(), dtype=np.int64)


def _unit_groups(answers: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the group of each unit in the order of `_counts`, int64 from 0."""
    column = "group" if "group" in answers else "unit"
    return _numbered(answers.groupby("unit")[column].first())


def _probe_groups(probes: pd.DataFrame) -> npt.NDArray[np.int64]:
    column = next((c for c in ("group", "key") if c in probes), None)
    return np.arange(len(probes)) if column is None else _numbered(probes[column])


def _numbered(groups: pd.Series) -> npt.NDArray[np.int64]:
    """Return the number of each group, int64 from 0; a missing value is a group of its own."""
    codes = np.asarray(pd.factorize(groups)[0], dtype=np.int64)
    missing = np.flatnonzero(codes < 0)
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(len(missing))
    return codes


def _share_interval(k: npt.ArrayLike, n: npt.ArrayLike, groups: npt.NDArray[np.int64]) -> tuple[float, float]:
    successes, trials = (np.bincount(groups, weights=np.asarray(v, np.float64)) for v in (k, n))
    return proportion_interval(successes, trials)


def _alpha_interval(counts: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the bootstrap interval of Krippendorff's alpha; (nan, nan) of one group, one label or no disagreement."""
    if groups.max() < 1 or (counts.sum(axis=0) > 0).sum() < 2:
        return _NOTHING_KNOWN
    n = counts.sum(axis=1)
    unlike = (n**2 - (counts**2).sum(axis=1)) / (n - 1)
    sums = np.zeros((int(groups.max()) + 1, 1 + counts.shape[1]))
    np.add.at(sums, groups, np.column_stack([unlike, counts]))
    if not unlike.any():  # every draw is 1: the bootstrap knows nothing
        return _NOTHING_KNOWN
    value = float(_alpha_of(sums.sum(axis=0)[None])[0])
    low, high = group_interval(value, resampled_statistic(sums, _alpha_of), n=len(sums))
    return low, min(high, 1.0)


def _alpha_of(sums: Floats) -> Floats:
    """Krippendorff's nominal alpha of sums (r, 1 + labels): disagreement, and answers per label; NaN with one label."""
    answers = sums[:, 1:].sum(axis=1)
    expected = answers**2 - (sums[:, 1:] ** 2).sum(axis=1)
    ratio = np.divide(sums[:, 0] * (answers - 1), expected, out=np.full(len(sums), np.nan), where=expected > 0)
    alpha: Floats = 1 - ratio
    return alpha


def _fleiss(counts: npt.NDArray[np.int64]) -> tuple[float, int]:
    from statsmodels.stats.inter_rater import fleiss_kappa

    n = counts.sum(axis=1)
    commonest = int(np.bincount(n).argmax())
    same = counts[n == commonest]
    if (same.sum(axis=0) > 0).sum() < 2:  # without any other label chance alone agrees wholly
        return float("nan"), len(same)
    return float(fleiss_kappa(same)), len(same)


def _alpha(counts: npt.NDArray[np.int64]) -> float:
    import krippendorff

    if (counts.sum(axis=0) > 0).sum() < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _pairs(answers: pd.DataFrame) -> pd.DataFrame:
    from sklearn.metrics import cohen_kappa_score

    wide = answers.pivot(index="unit", columns="annotator", values="label")
    groups = pd.Series(_unit_groups(answers), index=wide.index)
    rows: list[tuple[Any, ...]] = []
    for first, second in combinations(sorted(wide.columns), 2):
        both = wide[[first, second]].dropna()
        if both.empty:
            continue
        one, other = both[first].astype(TEXT), both[second].astype(TEXT)
        several = len(set(one) | set(other)) > 1
        kappa = float(cohen_kappa_score(one, other)) if several else float("nan")
        equal = (one == other).to_numpy(np.float64)
        codes = np.asarray(pd.factorize(groups.loc[both.index])[0], dtype=np.int64)
        ends = _share_interval(equal, np.ones(len(equal)), codes)
        rows.append((first, second, len(both), float(equal.mean()), *ends, kappa))
    return pd.DataFrame(rows, columns=["first", "second", "n", "observed", "low", "high", "cohen"])
