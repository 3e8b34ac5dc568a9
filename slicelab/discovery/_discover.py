"""Discovery: units in, ranked candidate slices out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, InvalidInputError, check_matrix, check_unique
from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._project import FloatMatrix, embed_features, nearest, reduce_features
from slicelab.discovery._scan import ClusterTree, grow_tree, scan_tree
from slicelab.evaluation import wilson_interval

FloatArray = npt.NDArray[np.float64]

MIN_UNITS = 60
MIN_FAILURES = 5
ALPHA = 0.1
VOTERS = 15


@dataclass(frozen=True, eq=False)
class _Found:
    """Rows of one candidate and what the halves say of it."""

    rows: npt.NDArray[np.int64]
    population: npt.NDArray[np.int64]
    p_value: float
    q_value: float


def discover(
    embeddings: npt.ArrayLike,
    failures: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    predictions: npt.ArrayLike | None = None,
    confidences: npt.ArrayLike | None = None,
    max_slices: int = 20,
    random_state: int = 0,
    *,
    ids: list[str] | None = None,
    projection: npt.ArrayLike | None = None,
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
    predictions, confidences
        (n,) what the model said and how sure it was; used to describe slices, never to make them.
    max_slices
        At most this many are returned. Fewer is usual, none is possible.
    random_state
        Seed. The same seed and rows give the same slices.
    ids
        (n,) unique ids of the units; they come back as `unit_ids`.
    projection
        (n, 2) a map that is there already; None: made when it is first asked for.
    progress
        Show a progress bar over the classes.

    Returns
    -------
    CandidateSlices
        Confirmed ones first, then by the failures above what their class's rate would give.

    Raises
    ------
    InvalidInputError
        A shape, dtype or value is wrong.

    Notes
    -----
    Per class: UMAP to five dimensions from the embeddings alone, a Ward tree on its neighbour graph, and an exact
    search for the disjoint nodes with the largest likelihood ratio of their failures, less a penalty of ln n each
    (a scan statistic, Kulldorff 1997). The tree never sees a failure, so a node chosen on one half of the units can
    be tested on the other: a slice is "confirmed" when the node that matches it in either half passes the one-sided
    binomial test on the other half after Benjamini-Hochberg over every node tested, at 10 %. `failure_rate` and
    `interval` are those of all its members; `details["held_out"]` has the half that did not choose.
    """
    vectors = check_matrix(embeddings, "embeddings")
    failed = _check_failures(failures, len(vectors))
    classes = _check_column(labels, len(vectors), "labels")
    predicted = _check_column(predictions, len(vectors), "predictions")
    if confidences is not None:
        _check_column(confidences, len(vectors), "confidences")
    if ids is not None:
        if len(ids) != len(vectors):
            raise InvalidInputError(f"There must be {len(vectors)} ids, one for each row; got {len(ids)}.")
        check_unique(ids, "id")
    if max_slices < 1:
        raise InvalidInputError(f"max_slices must be at least 1; got {max_slices}.")
    features = reduce_features(vectors) if len(vectors) else vectors
    halves = np.random.default_rng(random_state).permutation(len(vectors)) % 2
    tested: list[tuple[_Found, dict[str, object]]] = []
    for rows in _populations(classes, failed, progress=progress):
        tested.extend(_search(features, failed, rows, halves=halves, random_state=random_state))
    tested = _with_q_values(tested)
    candidates = [_candidate(found, details, features, failed, classes, predicted, ids) for found, details in tested]
    candidates.sort(key=lambda c: (c.status != "confirmed", c.size * (c.base_rate - c.failure_rate), c.members[0]))
    return CandidateSlices(
        tuple(_with_names(candidates[:max_slices])),
        features=features,
        embeddings=vectors,
        ids=tuple(ids or ()),
        projection=None if projection is None else check_matrix(projection, "projection", rows=len(vectors)),
        random_state=random_state,
    )


def _check_failures(values: npt.ArrayLike, n: int) -> FloatArray:
    failed = np.asarray(values)
    if failed.shape != (n,):
        raise InvalidInputError(f"The failures must be {n} values, one for each row; got shape {failed.shape}.")
    if failed.dtype == object or not (np.issubdtype(failed.dtype, np.number) or failed.dtype == bool):
        raise InvalidInputError(f"The failures must be booleans or numbers from 0 to 1; got dtype {failed.dtype}.")
    failed = failed.astype(np.float64)
    if not np.isfinite(failed).all() or failed.min(initial=0) < 0 or failed.max(initial=0) > 1:
        raise InvalidInputError("The failures must be finite and from 0 to 1; divide a loss by its largest value.")
    return failed


def _check_column(values: npt.ArrayLike | None, n: int, what: str) -> npt.NDArray[np.object_] | None:
    if values is None:
        return None
    column = np.asarray(values, dtype=object)
    if column.shape != (n,):
        raise InvalidInputError(f"The {what} must be {n} values, one for each row; got shape {column.shape}.")
    return column


def _populations(
    classes: npt.NDArray[np.object_] | None, failed: FloatArray, *, progress: bool
) -> list[npt.NDArray[np.int64]]:
    """Rows of each class that is large enough, and of all the small ones together."""
    from tqdm.auto import tqdm

    if classes is None:
        groups = [np.arange(len(failed))]
    else:
        codes, _ = pd.factorize(classes, sort=False, use_na_sentinel=False)
        groups = [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]
    large = [rows for rows in groups if _searchable(rows, failed)]
    small = [rows for rows in groups if not _searchable(rows, failed)]
    if small and _searchable(pooled := np.sort(np.concatenate(small)), failed) and len(small) > 1:
        large.append(pooled)
    return tqdm(large, desc="classes", disable=not progress, leave=False)  # type: ignore[return-value]


def _searchable(rows: npt.NDArray[np.int64], failed: FloatArray) -> bool:
    return len(rows) >= MIN_UNITS and MIN_FAILURES <= failed[rows].sum() < len(rows)


def _search(
    features: FloatMatrix,
    failed: FloatArray,
    rows: npt.NDArray[np.int64],
    *,
    halves: npt.NDArray[np.int64],
    random_state: int,
) -> list[tuple[_Found, dict[str, object]]]:
    """Find the slices of one population and test them on the half that did not choose them."""
    n_neighbors = int(np.clip(np.sqrt(len(rows)) / 3, 8, 30))
    points = embed_features(
        features[rows], n_components=5, n_neighbors=n_neighbors, min_dist=0.0, random_state=random_state
    )
    tree = grow_tree(points)
    values, half = failed[rows], halves[rows]
    held_out = [
        _test_node(tree, node, values, half, chosen_on=side)
        for side in (0, 1)
        for node in scan_tree(tree, values, weights=(half == side).astype(float))
    ]
    chosen = [tree.leaves(node) for node in scan_tree(tree, values)]
    found = []
    for leaves in chosen:
        matches = [t for t in held_out if _jaccard(t[0], leaves) >= 0.5]
        p_value = min(1.0, min((t[1] for t in matches), default=1.0) * max(len(matches), 1))
        details: dict[str, object] = {
            "held_out": min((t[2] for t in matches), key=lambda d: d["p_value"], default=None)
        }
        found.append((_Found(rows[leaves], rows, p_value, 1.0), details))
    unmatched = [t for t in held_out if not any(_jaccard(t[0], leaves) >= 0.5 for leaves in chosen)]
    found.extend((_Found(rows[:0], rows, t[1], 1.0), {}) for t in unmatched)
    return found


def _test_node(
    tree: ClusterTree, node: int, values: FloatArray, half: npt.NDArray[np.int64], *, chosen_on: int
) -> tuple[npt.NDArray[np.int64], float, dict[str, float]]:
    """Test a node on the units of the other half against their rate outside it."""
    from scipy.stats import binomtest

    leaves = tree.leaves(node)
    inside = np.zeros(len(values), bool)
    inside[leaves] = True
    other = half != chosen_on
    failed = values >= 0.5
    n, k = int((inside & other).sum()), int((inside & other & failed).sum())
    base = float(failed[other & ~inside].mean()) if (other & ~inside).any() else 1.0
    p_value = float(binomtest(k, n, base, alternative="greater").pvalue) if n else 1.0
    low, high = wilson_interval(k, n) if n else (0.0, 1.0)
    return leaves, p_value, {"n": n, "failures": k, "low": low, "high": high, "base_rate": base, "p_value": p_value}


def _jaccard(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both) if both else 0.0


def _with_q_values(tested: list[tuple[_Found, dict[str, object]]]) -> list[tuple[_Found, dict[str, object]]]:
    """Benjamini-Hochberg over every node that was tested; those that match no slice only count."""
    if not tested:
        return []
    from scipy.stats import false_discovery_control

    q_values = false_discovery_control([found.p_value for found, _ in tested])
    return [
        (replace(found, q_value=float(q)), details)
        for (found, details), q in zip(tested, q_values, strict=True)
        if len(found.rows)
    ]


def _candidate(
    found: _Found,
    details: dict[str, object],
    features: FloatMatrix,
    failed: FloatArray,
    classes: npt.NDArray[np.object_] | None,
    predicted: npt.NDArray[np.object_] | None,
    ids: list[str] | None,
) -> Candidate:
    rows, population = found.rows, found.population
    membership = _vote(features, rows, population)
    centre = np.median(features[rows], axis=0)
    distance = np.linalg.norm(features[rows] - centre, axis=1)
    members = rows[np.lexsort((rows, distance, -membership[rows]))]
    hit = failed >= 0.5
    failures = int(hit[rows].sum())
    low, high = wilson_interval(failures, len(rows))
    return Candidate(
        members=members,
        membership=membership,
        size=len(rows),
        failures=failures,
        failure_rate=failures / len(rows),
        interval=(low, high),
        base_rate=float(hit[population].mean()),
        p_value=found.p_value,
        q_value=found.q_value,
        status="confirmed" if found.q_value <= ALPHA else "candidate",
        description=_describe(rows, hit, classes, predicted),
        unit_ids=tuple(ids[i] for i in members) if ids else (),
        details=details,
    )


def _vote(
    features: FloatMatrix, rows: npt.NDArray[np.int64], population: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Share of the 15 nearest of the population (itself included) that are members; members get at least 0.5."""
    inside = np.zeros(len(features), bool)
    inside[rows] = True
    indices, _ = nearest(features[population], VOTERS)
    vote = inside[population][indices].mean(axis=1)
    membership = np.zeros(len(features), np.float32)
    membership[population] = np.where(inside[population], np.maximum(vote, 0.5), np.minimum(vote, 0.499))
    return membership


def _describe(
    rows: npt.NDArray[np.int64],
    hit: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.object_] | None,
    predicted: npt.NDArray[np.object_] | None,
) -> str:
    """Say which classes these are and as what the failures were taken."""
    of = "units"
    if classes is not None:
        names = pd.Series(classes[rows]).value_counts()
        of = " and ".join(str(name) for name in names.index[:2]) + (" and others" if len(names) > 2 else "")
    failing = rows[hit[rows]]
    if predicted is None or not len(failing):
        return of
    taken = pd.Series(predicted[failing]).fillna("").astype(str).value_counts()
    became = f"taken for {taken.index[0]}" if taken.index[0] else "missed"
    if taken.index[0] == of:
        became = "badly located"
    return f"{of} {became} ({taken.iloc[0]} of {len(failing)} failures)"


def _with_names(candidates: list[Candidate]) -> list[Candidate]:
    """Name candidates by what they are, with a number where a name would come twice."""
    seen: dict[str, int] = {}
    named = []
    for candidate in candidates:
        base = candidate.description.split(" (")[0]
        seen[base] = seen.get(base, 0) + 1
        named.append(replace(candidate, name=base if seen[base] == 1 else f"{base} {seen[base]}"))
    return named
