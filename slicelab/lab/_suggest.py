"""Which labels people should look at first, with a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, CaseResult, InvalidInputError, Predictions, StateError, listed
from slicelab.lab._units import Units
from slicelab.store import Vectors


def suggest(
    units: Units, vectors: Vectors, *, models: Sequence[str], embeddings: str, results: Iterable[CaseResult]
) -> pd.DataFrame:
    """Return every labelled unit with its priority, highest first; see `LabQueue.suggest`.

    The first of `models` is the one whose predictions, losses and cases are told.
    """
    table, model = units.table(), models[0]
    frame = units.frame(model) if table.task == "detection" else units.objects(model)
    if table.task == "detection":
        if len(models) > 1:
            raise InvalidInputError(f"Labelled boxes are doubted by one model; got {listed(models)}. Choose one.")
        from slicelab.evaluation import box_label_errors

        found = box_label_errors(frame).assign(suggestion=frame["prediction"])
        found["likelihood"] = found["score"]
    else:
        found = _of_images(frame, units, vectors, models=models, embeddings=embeddings)
    gain = _gain(frame.index, results)
    found.insert(0, "priority", found["likelihood"] * (1 + gain))
    known = frame[["key", "label", "prediction", "loss"]]
    return known.join(found, how="inner").assign(gain=gain).sort_values("priority", ascending=False, kind="stable")


def _of_images(
    frame: pd.DataFrame, units: Units, vectors: Vectors, *, models: Sequence[str], embeddings: str
) -> pd.DataFrame:
    from slicelab.evaluation import label_errors

    said = [units.predictions(model) for model in models]
    classes = list(said[0].classes)
    _check_same_classes(models, said)
    asked = np.all([frame.index.isin(each.frame.index) for each in said], axis=0)
    frame = frame[asked & frame["label"].isin(classes).to_numpy()]
    if frame.empty:
        raise StateError(f"No unit has both a label and a prediction of {' and '.join(map(repr, models))}.")
    near = None
    if vectors.identity(embeddings) is not None:
        names, rows_of = vectors.load(embeddings)
        at = pd.Index(names).get_indexer(frame.index)
        near = rows_of[at] if (at >= 0).all() else None
    found = label_errors(
        frame["label"].astype(TEXT), [_probabilities(each, frame.index, classes) for each in said], classes, near
    )
    found.index = frame.index
    found["likelihood"] = 1 / (1 + np.exp(-found["score"]))
    return found.assign(kind="swapped")


def _check_same_classes(models: Sequence[str], said: Sequence[Predictions]) -> None:
    for model, each in zip(models[1:], said[1:], strict=True):
        odd = set(each.classes) ^ set(said[0].classes)
        if odd:
            raise InvalidInputError(
                f"Models that are asked together need the same classes; {listed(sorted(odd))} aren't in both "
                f"{models[0]!r} and {model!r}. Ask one of them."
            )


def _probabilities(said: Predictions, keys: pd.Index, classes: list[str]) -> npt.NDArray[np.float64]:
    """Return what a model says of these units, shape (n, K), columns in the order of `classes`."""
    rows = pd.Index(said.frame.index).get_indexer(keys)
    if said.probabilities is None:
        return _spread(said.frame.iloc[rows], classes)
    columns = pd.Index(said.classes).get_indexer(pd.Index(classes))
    return np.asarray(said.probabilities[rows][:, columns], dtype=np.float64)


def _spread(said: pd.DataFrame, classes: list[str]) -> npt.NDArray[np.float64]:
    """Return probabilities from a confidence alone: the rest is spread over the other classes."""
    sure = said["confidence"].fillna(1.0).clip(0, 1).to_numpy(np.float64)
    p = np.repeat(((1 - sure) / max(len(classes) - 1, 1))[:, None], len(classes), axis=1)
    chosen = pd.Index(classes).get_indexer(pd.Index(said["label"]))
    rows = np.flatnonzero(chosen >= 0)
    p[rows, chosen[rows]] = sure[rows]
    return np.asarray(p + 1e-12, dtype=np.float64)


def _gain(index: pd.Index, results: Iterable[CaseResult]) -> npt.NDArray[np.float64]:
    """Return for each unit how much of the way to the bar of a case one corrected failure is, summed over cases.

    Only cases that don't pass count. With f failures among n units and a bar of at least b on a share of right ones,
    f - n (1 - b) of them would have to be label errors; each is worth one part of that.
    """
    gain = pd.Series(0.0, index=index)
    for result in results:
        bar = result.case.bar
        if result.verdict == "pass" or not result.n_failures:
            continue
        allowed = 1 - bar.at_least if bar.at_least is not None else bar.at_most
        needed = max(result.n_failures - result.n_units * float(allowed or 0), 1.0)
        units = [u for u in result.failing if u in gain.index]
        gain.loc[units] += 1 / needed
    shares: npt.NDArray[np.float64] = np.asarray(gain, dtype=np.float64)
    return shares


def check_budget(budget: int) -> int:
    """Return a budget, or raise `InvalidInputError` when it isn't a whole number above 0."""
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise InvalidInputError(f"A budget is a whole number of units above 0; got {budget!r}.")
    return budget
