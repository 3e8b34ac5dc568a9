"""Which images aren't independent, found in pictures, names, times and columns; and what leaks between splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, Fingerprints, GroupProposal, sample_groups
from slicelab.discovery._name_sequences import name_sequences, neighbours_in
from slicelab.discovery._near_duplicates import duplicate_groups, thumbnail_similarity

Ints = npt.NDArray[np.int64]

BURST_SECONDS = 3.0

_LEAST_ODDS = 0.7
_LEAST_SURE = 1e-3
_LEAST_GROUPS = 5
_OTHERS = 4000
_FEW = 20


def groups_by_picture(prints: Fingerprints, pairs: pd.DataFrame) -> GroupProposal | None:
    """Propose groups of near-duplicates.

    Parameters
    ----------
    prints
        Of the images.
    pairs
        From `near_duplicates`.

    Returns
    -------
    GroupProposal, None where there is no pair.
    """
    if not len(pairs):
        return None
    same = int((pairs["evidence"] == "same file").sum())
    nearest = float(pairs["similarity"].min())
    words = f"{len(pairs)} pairs of pictures show nearly the same (correlation of details {nearest:.2f} and more"
    words += f", {same} the same file)" if same else ")"
    return GroupProposal("near-duplicates", words, _keyed(duplicate_groups(pairs, prints.units)))


def groups_by_name(prints: Fingerprints, strata: Sequence[str] | None = None) -> GroupProposal | None:
    """Propose sequences of file names whose neighbours look more alike than other pictures do.

    Parameters
    ----------
    prints
        Of the images; units are their keys, paths or names.
    strata
        By image: only pictures of one of them are compared, so that what they have in common proves nothing, such as
        the class of an image. None: the folder of each, where folders hold 20 images and more, else nothing.

    Returns
    -------
    GroupProposal; None where names don't run, or pictures don't bear it out.

    Notes
    -----
    Neighbours in a sequence are held to up to 4,000 random pairs of the same strata that are no neighbours, by the
    correlation of their thumbnails: a sequence stands if its neighbours are the more similar ones with odds of at least
    .7 (the area under the ROC curve, Mann-Whitney's U), all of them together with p < .001.
    """
    from scipy.stats import mannwhitneyu

    sequences = name_sequences(prints.units)
    together = neighbours_in(sequences)
    together = together[prints.readable[together].all(axis=1)]
    others = _other_pairs(prints, together, strata)
    if not len(together) or not len(others):
        return None
    near, far = (thumbnail_similarity(prints, pair[:, 0], pair[:, 1]) for pair in (together, others))
    test = mannwhitneyu(near, far, alternative="greater")
    odds = float(test.statistic) / len(near) / len(far)
    if odds < _LEAST_ODDS or test.pvalue >= _LEAST_SURE:
        return None
    above = np.searchsorted(np.sort(far), near) / len(far)
    names = sequences["sequence"]
    of_sequence = pd.Series(above).groupby(names.to_numpy(object)[together[:, 0]]).mean()
    kept = names.where(names.isin(of_sequence.index[of_sequence >= _LEAST_ODDS]))
    if not kept.notna().any():
        return None
    words = (
        f"numbers run through their names, and neighbours look more alike than other pairs with odds of {odds:.2f} "
        f"({len(near)} neighbours, {len(far)} other pairs)"
    )
    return GroupProposal("file names", words, _keyed(kept))


def groups_by_time(
    keys: Sequence[str], captures: pd.DataFrame, *, seconds: float = BURST_SECONDS
) -> GroupProposal | None:
    """Propose bursts: pictures that one camera took within seconds.

    Parameters
    ----------
    keys
        Of the images.
    captures
        Rows in the order of `keys`: `camera` and `time`, from `slicelab.sources.capture_times`.
    seconds
        Longest time between one picture of a burst and the next.

    Returns
    -------
    GroupProposal, None where no picture has a time or none has another near it.
    """
    frame = captures.set_axis(pd.Index(list(keys), name="key", dtype=TEXT)).dropna(subset=["time"])
    frame = frame.assign(camera=frame["camera"].fillna("")).sort_values(["camera", "time"], kind="stable")
    gaps = frame.groupby("camera")["time"].diff().dt.total_seconds().to_numpy()
    number = pd.Series((~(gaps <= seconds)).cumsum(), index=frame.index)  # NaN, the first of a camera, begins one
    first = pd.Series(frame.index.to_numpy(object), index=frame.index).groupby(number).transform("first")
    first = first[number.duplicated(keep=False)]
    if not len(first):
        return None
    words = f"taken by one camera with at most {seconds:g} s between one and the next, as their EXIF data say"
    return GroupProposal("capture times", words, _keyed(first.reindex(pd.Index(list(keys)))))


def groups_by_column(samples: pd.DataFrame, columns: Sequence[str], failures: pd.Series[Any]) -> list[GroupProposal]:
    """Propose metadata columns whose values explain how failures cluster.

    Parameters
    ----------
    samples
        Index `key`; has the columns.
    columns
        Metadata columns.
    failures
        Share of each image's units that fail, index `key`; images that aren't there are left out.

    Returns
    -------
    GroupProposals, the strongest correlation first. A column is proposed if it has at least five groups, at least one
    of two images, not only one image a group by half, and the intra-class correlation of failures is above 0 for
    certain: its interval is, at a confidence of 95 % over all the columns together (Bonferroni).
    """
    from slicelab.evaluation import intraclass_correlation

    grouped = {column: _groups_of(samples, column) for column in columns}
    grouped = {column: groups for column, groups in grouped.items() if _can_group(groups)}
    found = []
    for column, groups in grouped.items():
        there = failures.index.intersection(groups.index[groups.notna()])
        confidence = 1 - 0.05 / len(grouped)
        icc, low, high = intraclass_correlation(
            failures.loc[there].to_numpy(float), groups.loc[there].to_numpy(object), confidence=confidence
        )
        if low > 0:
            words = f"failures of one value are alike: intra-class correlation {icc:.2f} [{low:.2f}, {high:.2f}]"
            found.append((icc, GroupProposal("column", words, groups, column)))
    return [proposal for _, proposal in sorted(found, key=lambda pair: -pair[0])]


def split_leaks(split: pd.Series[Any], proposals: Iterable[GroupProposal]) -> pd.DataFrame:
    """Find groups that stand on more than one side of a split.

    Parameters
    ----------
    split
        Index `key`: the split of each image, such as "train" and "test"; images without one are left out.
    proposals
        Groups of the same images.

    Returns
    -------
    DataFrame, a row per group that leaks, the largest first: `source`, `group`, `values` (the sides and how many images
    are on each, in words), `images`, `keys` (tuple of str, first those of one side) and `evidence`.
    """
    rows = []
    sides = split.dropna().astype(TEXT).sort_values(kind="stable")
    for proposal in proposals:
        groups = proposal.groups.reindex(sides.index).dropna()
        for name, keys in groups.groupby(groups).groups.items():
            here = sides.loc[keys]
            counts = here.value_counts()
            if len(counts) > 1:
                values = ", ".join(f"{side} {n}" for side, n in counts.items())
                row = (proposal.source, str(name), values, len(here), tuple(here.index), proposal.evidence)
                rows.append(row)
    frame = pd.DataFrame(rows, columns=["source", "group", "values", "images", "keys", "evidence"])
    return frame.sort_values("images", ascending=False, kind="stable", ignore_index=True)


def _keyed(groups: pd.Series[Any]) -> pd.Series[str]:
    return pd.Series(groups.to_numpy(object), index=pd.Index(groups.index, name="key", dtype=TEXT), dtype=TEXT)


def _groups_of(samples: pd.DataFrame, column: str) -> pd.Series[str]:
    groups = sample_groups(samples, column)
    return groups.where(samples[column].notna())


def _can_group(groups: pd.Series[str]) -> bool:
    counts = groups.value_counts()
    return len(counts) >= _LEAST_GROUPS and counts.iloc[0] > 1 and int(counts.sum()) >= 1.5 * len(counts)


def _other_pairs(prints: Fingerprints, together: Ints, strata: Sequence[str] | None) -> Ints:
    """Return random pairs of one stratum that don't follow each other in a sequence, int64 (m, 2)."""
    n = len(prints)
    kept = np.flatnonzero(prints.readable)
    codes = pd.factorize(np.array(_strata(prints) if strata is None else strata, dtype=object))[0][kept]
    order = kept[np.argsort(codes, kind="stable")]
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    rng = np.random.default_rng(0)
    left = rng.integers(0, max(len(order), 1), 2 * _OTHERS)[: 2 * _OTHERS * (len(order) > 1)]
    stratum = np.repeat(np.arange(len(counts)), counts)[left]
    right = starts[stratum] + (rng.random(len(left)) * counts[stratum]).astype(np.int64)
    a, b = np.minimum(order[left], order[right]), np.maximum(order[left], order[right])
    neighbours = np.minimum(*together.T) * n + np.maximum(*together.T)
    fit = (a != b) & ~np.isin(a * n + b, neighbours)
    return np.stack([a[fit], b[fit]], axis=1)[:_OTHERS]


def _strata(prints: Fingerprints) -> list[str]:
    folders = [str(PurePosixPath(unit).parent) for unit in prints.units]
    many = len(folders) >= _FEW * len(set(folders))
    return folders if many else [""] * len(folders)
