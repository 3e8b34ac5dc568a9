"""Discovery: units in, ranked candidate slices out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, HeldOut, InvalidInputError, check_matrix
from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._check_units import check_column, check_confidences, check_failures, check_rest
from slicelab.discovery._confirm import confidence_bands, hardest, hold_out, q_values
from slicelab.discovery._explain import Explained, Judged, explain
from slicelab.discovery._grouped import numbered
from slicelab.discovery._landscape import Landscape, jaccard
from slicelab.discovery._populations import (
    canonical_order,
    class_codes,
    group_codes,
    halves,
    landmark_limits,
    populations,
    tied,
)
from slicelab.discovery._project import FloatMatrix, reduce_features
from slicelab.discovery._search import LEADS, Found, coherence, find, leads, stability

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]

SAME = 1 / 3
"""Groups with this Jaccard index or more, half of their mean size in common, are the same group."""


@dataclass(frozen=True, eq=False)
class _Units:
    """What was given, rows in canonical order."""

    vectors: FloatMatrix
    features: FloatMatrix
    failures: FloatArray
    codes: IntArray
    groups: IntArray
    half: IntArray
    confidences: FloatArray | None


@dataclass(frozen=True, eq=False)
class _Tried:
    """A group that one half chose, and what the other half says of it."""

    inside: Mask
    chosen_on: int
    held_out: HeldOut


@dataclass(frozen=True, eq=False)
class _Searched:
    """A population, what was found in it, how stable that is, what was tried to confirm it, and what else there is."""

    rows: IntArray
    landscape: Landscape
    found: list[Found]
    stability: list[float]
    tried: list[_Tried]
    leads: list[Found]


def discover(
    embeddings: npt.ArrayLike,
    failures: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    predictions: npt.ArrayLike | None = None,
    confidences: npt.ArrayLike | None = None,
    max_slices: int = 20,
    random_state: int = 0,
    *,
    attributes: pd.DataFrame | None = None,
    groups: npt.ArrayLike | None = None,
    ids: Sequence[str] | None = None,
    projection: npt.ArrayLike | None = None,
    workers: int = 1,
    progress: bool = False,
) -> CandidateSlices:
    """Propose the groups of units on which a model fails more than on others of their class.

    Parameters
    ----------
    embeddings
        (n, d) finite numbers, one row per unit. Of a model that has not seen the failures.
    failures
        (n,) booleans, or graded failures in [0, 1] such as 1 - p(label).
    labels
        (n,) true classes: slices are searched within each, against its own failure rate. None: among all.
    predictions
        (n,) what the model said; used to describe slices, never to make them.
    confidences
        (n,) how sure the model was, in [0, 1]; used to tell a slice from ordinary doubt near the decision boundary,
        never to make it. None, or any missing: not told apart.
    max_slices
        At most this many are returned. Fewer is usual, none is possible.
    random_state
        Seed. The same seed and units give the same slices, in whatever order the rows come.
    attributes
        DataFrame with n rows (metadata, image statistics): slices are described by rules over its columns.
    groups
        (n,) units that are not independent have one value, such as the objects of an image or the frames of a video.
        They stay in one half, and count as what they are in tests, intervals, stability and coherence: units of one
        group that fail together show as much as few. A missing value is a group of its own. None: units are
        independent. Rows with equal vectors are always of one group.
    ids
        (n,) unique ids of the units; they come back as `unit_ids`.
    projection
        (n, 2) a map that is there already; None: made when it is first asked for.
    workers
        Processes that search the classes. The result is the same for any number.
    progress
        Show a progress bar over the classes.

    Returns
    -------
    CandidateSlices
        Confirmed ones first, then by the failures above what their class's rate would give, times stability. Its
        `leads` are what to look at next: groups that fail more too, which nothing was tried to confirm.

    Raises
    ------
    InvalidInputError
        A shape, dtype or value is wrong.

    Notes
    -----
    Per class: UMAP to five dimensions from the embeddings alone, a Ward tree on its neighbour graph, and an exact
    search for the disjoint nodes with the largest likelihood ratio of their failures, less a penalty each (a scan
    statistic, Kulldorff 1997); two parts that join across a gap are taken apart. This is done on five maps of
    different seeds (three above 5,000 units): what the others do not find too is dropped, and of what overlaps the
    group that stands out most is taken. Where it ends is cut anew: a walk along the 15 nearest neighbours says in which
    order units would come in or go, and the cut is where they fail half as much as the group does (above its class).
    Failures choose among groups that the vectors alone have made; predictions and confidences do not.

    Of more than 30,000 units a random part, chosen without a look at the failures, is laid out; each of these landmarks
    stands for the units nearest to it, with all their failures. A group then consists of whole neighbourhoods of
    landmarks, and one that is smaller than those isn't found.

    Leads are the nodes that stand out most among the rest, and regions of any form in which failures are dense, made by
    the failures themselves: these may also cut anew, or join, what was found.

    The same search is run on the failures of either half of the units alone; what it finds is tested on the other
    half, against its class and against units of the same confidence. The test is exact (conditional on how many fail);
    where units come in groups, these are exchanged, and units within them (a permutation test by its first three
    moments: Mielke and Berry 1976). The q-value is Benjamini and Hochberg's of the harder of the two tests, over every
    group of units so tried on either half; a slice is "confirmed" where such a group, sharing half of its units (Dice),
    reaches 0.1. `p_value` is the one that was so adjusted, of the half with the smaller one: never more than the
    q-value. `failure_rate` is that of all members; `held_out` has the figures of the units that did not choose.
    """
    vectors = check_matrix(embeddings, "embeddings")
    n = len(vectors)
    if n and not vectors.shape[1]:
        raise InvalidInputError(f"The embeddings must have at least one dimension; got shape {vectors.shape}.")
    failed = check_failures(failures, n)
    classes = check_column(labels, n, "labels")
    predicted = check_column(predictions, n, "predictions")
    sure = check_confidences(confidences, n)
    check_rest(n, ids, attributes, max_slices, workers)
    codes = class_codes(classes, n)
    order, prints = canonical_order(vectors, failed, codes)
    grouped = check_column(groups, n, "groups")
    together = prints[order] if grouped is None else tied(group_codes(grouped[order]), prints[order])
    together = numbered(together)
    units = _Units(
        vectors=vectors[order],
        features=reduce_features(vectors[order]) if n else vectors,
        failures=failed[order],
        codes=codes[order],
        groups=together,
        half=halves(together, random_state),
        confidences=None if sure is None else sure[order],
    )
    searched = _search_all(units, random_state, workers=workers, progress=progress)
    judged = _judge(searched, units)
    back = np.argsort(order)
    columns = Explained(failed, together[back], classes, predicted, attributes, ids)
    candidates = [explain(each, order, columns, back, random_state) for each in judged]
    candidates.sort(key=_rank)
    return CandidateSlices(
        tuple(_with_names(candidates[:max_slices])),
        embeddings=vectors,
        ids=tuple(ids or ()),
        projection=None if projection is None else check_matrix(projection, "projection", rows=n),
        random_state=random_state,
        groups=columns.groups,
        leads=partial(_leads, searched, units, order, columns, back, random_state),
    )


def _leads(
    searched: Sequence[_Searched],
    units: _Units,
    order: IntArray,
    columns: Explained,
    back: IntArray,
    random_state: int,
) -> tuple[Candidate, ...]:
    every = [(lead, population) for population in searched for lead in population.leads]
    every.sort(key=lambda each: (-each[0].weight, int(each[1].rows[0])))
    tried = sum(len(population.tried) for population in searched)
    made = [
        explain(
            Judged(
                rows=population.rows,
                landscape=population.landscape,
                found=lead,
                held_out=[],
                q_class=1.0,
                q_both=1.0,
                tried=tried,
                half=units.half[population.rows],
                stability=lead.stability,
                coherence=_coherence(population, units, lead),
            ),
            order,
            columns,
            back,
            random_state,
        )
        for lead, population in every[:LEADS]
    ]
    return tuple(_with_names([replace(candidate, kind="lead") for candidate in made]))


def _search_all(units: _Units, random_state: int, *, workers: int, progress: bool) -> list[_Searched]:
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    todo = populations(units.codes, units.failures)
    run = Parallel(n_jobs=min(workers, max(len(todo), 1)), return_as="generator")
    limits = landmark_limits([len(rows) for rows in todo])
    results = run(delayed(_search)(units, rows, random_state, limit) for rows, limit in zip(todo, limits, strict=True))
    return list(tqdm(results, desc="classes", total=len(todo), disable=not progress, leave=False))


def _search(units: _Units, rows: IntArray, random_state: int, limit: int) -> _Searched:
    """Find the groups of one population, and try those that either half finds on the other half."""
    landscape = Landscape(units.features[rows], random_state, limit)
    failures, half = units.failures[rows], units.half[rows]
    codes, groups = units.codes[rows], units.groups[rows]
    confidences = None if units.confidences is None else units.confidences[rows]
    if confidences is not None and not np.isfinite(confidences).all():
        confidences = None  # for both halves: one that can't be told apart must not confirm for the other
    found = find(landscape, failures)
    tried = [
        _Tried(group.inside, side, hold_out(group.inside, failures, half != side, rows, codes, confidences, groups))
        for side in (0, 1)
        for group in find(landscape, failures, (half == side).astype(np.float64))
    ]
    again = stability(landscape, failures, found, groups)
    return _Searched(rows, landscape, found, again, tried, leads(landscape, failures, found))


def _judge(searched: Sequence[_Searched], units: _Units) -> list[Judged]:
    """Give every group that was found the tests of those like it."""
    tried = [each for population in searched for each in population.tried]
    q_class = q_values([each.held_out.p_value for each in tried])
    q_both = q_values([hardest(each.held_out) for each in tried])
    judged, start = [], 0
    for population in searched:
        stop = start + len(population.tried)
        rows = population.rows
        for group, again in zip(population.found, population.stability, strict=True):
            like = _like(group, population.tried)
            judged.append(
                Judged(
                    rows=rows,
                    landscape=population.landscape,
                    found=group,
                    held_out=[population.tried[i].held_out for i in like],
                    q_class=min((float(q_class[start + i]) for i in like), default=1.0),
                    q_both=min((float(q_both[start + i]) for i in like), default=1.0),
                    tried=len(tried),
                    half=units.half[rows],
                    stability=again,
                    coherence=_coherence(population, units, group),
                )
            )
        start = stop
    return judged


def _coherence(population: _Searched, units: _Units, group: Found) -> float:
    rows = population.rows
    codes = units.codes[rows]
    bands = confidence_bands(None if units.confidences is None else units.confidences[rows], codes)
    return coherence(population.landscape, group.inside, codes if bands is None else bands, units.groups[rows])


def _like(group: Found, tried: Sequence[_Tried]) -> list[int]:
    """Return the most similar group that each half found, if it is the same group."""
    like = []
    for side in (0, 1):
        overlaps = [(jaccard(group.inside, t.inside), -i) for i, t in enumerate(tried) if t.chosen_on == side]
        if overlaps and max(overlaps)[0] >= SAME:
            like.append(-max(overlaps)[1])
    return like


def _rank(candidate: Candidate) -> tuple[bool, float, int]:
    excess = candidate.size * (candidate.failure_rate - candidate.base_rate) * candidate.stability
    return candidate.status != "confirmed", -excess, int(candidate.members.min())


def _with_names(candidates: list[Candidate]) -> list[Candidate]:
    """Put a number where a name would come twice."""
    seen: dict[str, int] = {}
    named = []
    for candidate in candidates:
        seen[candidate.name] = seen.get(candidate.name, 0) + 1
        count = seen[candidate.name]
        named.append(candidate if count == 1 else replace(candidate, name=f"{candidate.name} {count}"))
    return named
