"""Which labels are most likely wrong: the order in which people should look at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, InvalidInputError
from slicelab.evaluation._label_noise import Floats, calibrated, noise_rates, pooled

NEIGHBOURS = 20
KINDS = ("swapped", "missed", "spurious", "mislocated")
"""What may be wrong with a label: another class, nothing labelled there, nothing to label there, a box out of place."""


def label_errors(
    labels: Sequence[str] | npt.NDArray[np.object_] | pd.Series,
    probabilities: npt.ArrayLike | Sequence[npt.ArrayLike],
    classes: Sequence[str],
    embeddings: npt.ArrayLike | None = None,
    *,
    neighbours: int = NEIGHBOURS,
) -> pd.DataFrame:
    """Score how likely the label of each sample is wrong.

    The score weighs two things: what the model says about the picture and about those that lie nearest to it in the
    embedding, and how often such a class is labelled so. The second is estimated from the labels as a whole: where one
    class keeps being labelled as one other, its doubtful labels come before those that go astray here and there. Labels
    of neighbours are not asked: where a whole group is mislabelled they agree with the error.

    Parameters
    ----------
    labels
        (n,) labels, each one of `classes`.
    probabilities
        (n, len(classes)) out-of-sample probabilities: of a model that never saw the sample's label. Several models: a
        sequence of such, or (m, n, len(classes)); they are pooled, each with the weight that the labels give it.
    classes
        Names of the columns.
    embeddings
        (n, d) vectors; None: probabilities alone.
    neighbours
        How many are averaged.

    Returns
    -------
    DataFrame, n rows in order: `score` (float64, higher is more suspicious: the log of the odds that the label is
    wrong), `suggestion` (the most probable other class), `issue` (bool: among those that confident learning estimates
    to be wrong).

    Raises
    ------
    InvalidInputError
        Shapes that don't fit, a label that is no class, probabilities that aren't.

    Notes
    -----
    The odds are sum over other classes c of p(c) T(c, label), divided by p(label) T(label, label): p are the calibrated
    probabilities, T the estimated rates at which class c is labelled so (`_label_noise`). `issue` is cleanlab's
    `find_label_issues` (Northcutt et al. 2021) with its defaults. Several models are a logarithmic pool (Genest and
    Zidek 1986); it finds most errors sooner than the better model alone, but may miss the rule by which a few of them
    went astray where the second model is weaker.

    The lead over plain self-confidence (the model's doubt about the label) is in labels that went astray by some rule.
    Where people dispute a label because the picture is hard, no lead was measured, and the odds say nothing about it.
    """
    given = pd.Index(classes).get_indexer(pd.Index(labels))
    said = _of_models(probabilities, (len(given), len(classes)))
    if (given < 0).any():
        wrong = np.asarray(labels, dtype=object)[given < 0]
        raise InvalidInputError(f"{len(wrong)} labels aren't among the classes, first {wrong[0]!r}. Leave them out.")
    if len(classes) < 2:
        raise InvalidInputError(f"Errors need at least two classes to be told from each other; got {list(classes)}.")
    found = pooled(said, given)
    around = None if embeddings is None else _of_neighbours(found, embeddings, neighbours)
    likely = calibrated(found, around, given)
    rates = noise_rates(likely, given)
    rows = np.arange(len(given))
    weights = likely * rates[:, given].T
    right = weights[rows, given].copy()
    weights[rows, given] = 0.0
    return pd.DataFrame(
        {
            "score": np.log(weights.sum(axis=1)) - np.log(right),
            "suggestion": pd.array([classes[c] for c in weights.argmax(axis=1)], dtype=TEXT),
            "issue": _confident(given, found),
        }
    )


def _of_models(probabilities: npt.ArrayLike | Sequence[npt.ArrayLike], shape: tuple[int, int]) -> list[Floats]:
    """Return the probabilities of each model, rows sum to 1, or raise `InvalidInputError`."""
    try:
        found = np.asarray(probabilities, dtype=np.float64)
    except ValueError as error:
        raise InvalidInputError(
            f"The probabilities must be {shape}, a row per label and a column per class, for each model; got arrays "
            "of different shapes."
        ) from error
    got = found.shape
    if found.ndim == 2:
        found = found[None]
    if found.ndim != 3 or not len(found) or found.shape[1:] != shape:
        raise InvalidInputError(
            f"The probabilities must be {shape}, a row per label and a column per class, or several such; got {got}."
        )
    totals = found.sum(axis=2, keepdims=True)
    if not np.isfinite(found).all() or (found < 0).any() or (totals <= 0).any():
        raise InvalidInputError("Probabilities must be finite, not negative, and not all 0 in a row.")
    return list(found / totals)


def _of_neighbours(
    probabilities: npt.NDArray[np.float64], embeddings: npt.ArrayLike, k: int
) -> npt.NDArray[np.float64]:
    """Return the mean probabilities of the k nearest other samples by cosine."""
    from sklearn.neighbors import NearestNeighbors

    vectors = np.asarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(probabilities) or not np.isfinite(vectors).all():
        raise InvalidInputError(
            f"The embeddings must be finite and have a row per label ({len(probabilities)}); got {vectors.shape}."
        )
    k = min(k, len(vectors) - 1)
    if k < 1:
        return probabilities
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    near = NearestNeighbors(n_neighbors=k).fit(unit).kneighbors(return_distance=False)
    mean: npt.NDArray[np.float64] = probabilities[near].mean(axis=1)
    return mean


def _confident(given: npt.NDArray[np.intp], probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    from cleanlab.filter import find_label_issues

    present = np.unique(given)
    if len(present) < 2:
        return np.zeros(len(given), dtype=np.bool_)
    some = probabilities[:, present]
    total = some.sum(axis=1, keepdims=True)
    some = np.where(total > 0, some / np.where(total > 0, total, 1), 1 / len(present))
    mask: npt.NDArray[np.bool_] = np.asarray(
        find_label_issues(np.searchsorted(present, given), some, n_jobs=1), dtype=np.bool_
    )
    return mask


def box_label_errors(units: pd.DataFrame) -> pd.DataFrame:
    """Score how likely the label of each unit of detection is wrong.

    Parameters
    ----------
    units
        Units frame of detection under a model that never saw these labels: `outcome`, `confidence`, `iou`.

    Returns
    -------
    DataFrame, index as `units`: `score` in [0, 1], higher is more suspicious, and `kind`, one of `KINDS`: "missed" (the
    model is sure of a box that nobody labelled), "swapped" (it is sure of another class at the same place),
    "mislocated" (sure of the class, at another place), "spurious" (it sees nothing where a label is).

    Notes
    -----
    The score is the model's confidence times how much the label contradicts it. A labelled object that the model
    doesn't see at all gets 0.5: its silence says less than a sure box.
    """
    missing = [c for c in ("outcome", "confidence", "iou") if c not in units.columns]
    if missing:
        raise InvalidInputError(f"The units lack {', '.join(missing)}; pass the units frame of a detection model.")
    outcome = units["outcome"].astype(TEXT)
    confidence = units["confidence"].fillna(0.0).clip(0, 1).to_numpy(np.float64)
    apart = 1 - units["iou"].fillna(0.0).clip(0, 1).to_numpy(np.float64)
    score = np.select(
        [outcome == "spurious", outcome == "misclassified", outcome == "missed", outcome == "duplicate"],
        [confidence, confidence, np.full(len(units), 0.5), np.zeros(len(units))],
        default=confidence * apart,
    )
    kind = np.select(
        [outcome.isin(["spurious", "duplicate"]), outcome == "misclassified", outcome == "missed"],
        ["missed", "swapped", "spurious"],
        default="mislocated",
    )
    return pd.DataFrame({"score": score, "kind": kind}, index=units.index)
