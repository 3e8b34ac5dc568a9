"""Labels and predictions to units, for classification: one unit per labelled sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import UNIT_COLUMNS, InvalidInputError, Predictions, SampleTable, listed
from slicelab.sources import find_texts

_OUTCOMES = ("correct", "wrong", "unpredicted")


def classification_units(table: SampleTable, predictions: Predictions) -> pd.DataFrame:
    """Tell for every labelled sample what the model made of it.

    Parameters
    ----------
    table
        Samples with labels. Samples whose label is unknown (NaN) are not units.
    predictions
        What the model says, matched by key. Predictions for other samples are left out.

    Returns
    -------
    DataFrame, index `unit` (the sample's key) in the order of the table, columns `UNIT_COLUMNS`. The outcome is
    "correct", "wrong", or "unpredicted" where there is no prediction (a failure).

    Raises
    ------
    InvalidInputError
        The table or the predictions are not for classification, or an image is predicted twice.

    Notes
    -----
    `loss` is 1 - p(label) where the model gives probabilities. Else it comes from the confidence c: 1 - c where the
    prediction is right and c where it is wrong (as p(label) is at most 1 - c); 0 or 1 where c is unknown.
    An unpredicted sample has loss 1.
    """
    _check_task(table, predictions)
    if not predictions.frame.index.is_unique:
        twice = predictions.frame.index[predictions.frame.index.duplicated()].unique()
        raise InvalidInputError(f"{predictions.model!r} predicts {len(twice)} images twice: {listed(twice)}.")
    known = table.samples["label"].notna().to_numpy(bool)
    labels = table.samples["label"][known]
    rows = find_texts(labels.index, predictions.frame.index)
    there = rows >= 0
    prediction = _taken(predictions.frame["label"], rows)
    confidence = np.full(len(labels), np.nan)
    confidence[there] = predictions.frame["confidence"].to_numpy(np.float64)[rows[there]]
    there &= ~pd.isna(prediction)
    correct = _equal(labels.array, prediction)
    outcome = pd.array(list(_OUTCOMES), dtype="str").take(np.where(correct, 0, np.where(there, 1, 2)))
    confidence[~there] = np.nan
    units = pd.DataFrame(
        {
            "key": labels.index.array,
            "label": labels.array,
            "prediction": prediction,
            "confidence": confidence,
            "outcome": outcome,
            "failure": ~correct,
            "loss": _loss(predictions, rows, labels, correct=correct, there=there, confidence=confidence),
            "group_id": table.groups[known].array,
        },
        index=pd.Index(labels.index, name="unit", dtype="str"),
        columns=list(UNIT_COLUMNS),
    )
    return units.astype({"key": "str", "label": "str", "prediction": "str", "outcome": "str", "group_id": "str"})


def _taken(values: pd.Series, rows: npt.NDArray[np.intp]) -> pd.api.extensions.ExtensionArray:
    """Return the values of rows, missing where a row is -1."""
    if not _are_texts(values.array):
        values = pd.Series(values.to_numpy(object), dtype=object)
    taken: pd.api.extensions.ExtensionArray = values.array.take(rows, allow_fill=True)
    return taken


def _are_texts(values: pd.api.extensions.ExtensionArray) -> bool:
    dtype = values.dtype
    return isinstance(dtype, pd.StringDtype) and dtype.na_value is not pd.NA


def _equal(a: pd.api.extensions.ExtensionArray, b: pd.api.extensions.ExtensionArray) -> npt.NDArray[np.bool_]:
    if _are_texts(a) and _are_texts(b):
        return np.asarray(a == b, dtype=bool)
    return np.asarray(a.to_numpy(object) == b.to_numpy(object), dtype=bool)


def _check_task(table: SampleTable, predictions: Predictions) -> None:
    for what, task in (("table", table.task), ("predictions", predictions.task)):
        if task != "classification":
            raise InvalidInputError(
                f"classification_units() needs a {what} for classification; got one for {task}. "
                "For boxes use detection_units()."
            )


def _loss(
    predictions: Predictions,
    rows: npt.NDArray[np.intp],
    labels: pd.Series,
    *,
    correct: npt.NDArray[np.bool_],
    there: npt.NDArray[np.bool_],
    confidence: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    loss = np.where(correct, 1 - confidence, confidence)
    loss = np.where(np.isnan(loss), ~correct, loss).astype(np.float64)
    if predictions.probabilities is not None and len(predictions.frame):
        column = pd.Index(predictions.classes).get_indexer(pd.Index(labels, dtype=object))
        # A label that the model doesn't know gets no probability.
        given = predictions.probabilities[np.where(rows >= 0, rows, 0), np.maximum(column, 0)].astype(np.float64)
        given = np.where(column >= 0, given, 0.0)
        loss = np.where(np.isnan(given), loss, 1 - given)
    return np.where(there, np.clip(loss, 0.0, 1.0), 1.0)
