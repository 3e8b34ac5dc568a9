"""Labels and predictions to units, for classification: one unit per labelled sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, UNIT_COLUMNS, InvalidInputError, Predictions, SampleTable


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
        The table or the predictions are not for classification.

    Notes
    -----
    `loss` is 1 - p(label) where the model gives probabilities. Else it comes from the confidence c: 1 - c where the
    prediction is right and c where it is wrong (as p(label) is at most 1 - c); 0 or 1 where c is unknown.
    An unpredicted sample has loss 1.
    """
    _check_task(table, predictions)
    labels = table.samples["label"].dropna()
    rows = predictions.frame.index.get_indexer(labels.index)
    there = rows >= 0
    predicted = predictions.frame.iloc[np.where(there, rows, 0)] if len(predictions.frame) else None
    label = labels.to_numpy(object)
    prediction = np.full(len(labels), np.nan, dtype=object)
    confidence = np.full(len(labels), np.nan)
    if predicted is not None:
        prediction[there] = predicted["label"].to_numpy(object)[there]
        confidence[there] = predicted["confidence"].to_numpy(np.float64)[there]
    there &= ~pd.isna(prediction)
    correct = np.array(label == prediction, dtype=bool)
    outcome = np.where(correct, "correct", np.where(there, "wrong", "unpredicted"))
    confidence[~there] = np.nan
    units = pd.DataFrame(
        {
            "key": labels.index.to_numpy(object),
            "label": label,
            "prediction": prediction,
            "confidence": confidence,
            "outcome": outcome,
            "failure": ~correct,
            "loss": _loss(predictions, rows, label, correct=correct, there=there, confidence=confidence),
            "group_id": table.groups.loc[labels.index].to_numpy(object),
        },
        index=pd.Index(labels.index.to_numpy(object), name="unit", dtype=TEXT),
        columns=list(UNIT_COLUMNS),
    )
    return units.astype({"key": TEXT, "label": TEXT, "prediction": TEXT, "outcome": TEXT, "group_id": TEXT})


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
    label: npt.NDArray[np.object_],
    *,
    correct: npt.NDArray[np.bool_],
    there: npt.NDArray[np.bool_],
    confidence: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    loss = np.where(correct, 1 - confidence, confidence)
    loss = np.where(np.isnan(loss), ~correct, loss).astype(np.float64)
    if predictions.probabilities is not None and len(predictions.frame):
        column = pd.Index(predictions.classes).get_indexer(pd.Index(label))
        # A label that the model doesn't know gets no probability.
        given = predictions.probabilities[np.where(rows >= 0, rows, 0), np.maximum(column, 0)].astype(np.float64)
        given = np.where(column >= 0, given, 0.0)
        loss = np.where(np.isnan(given), loss, 1 - given)
    return np.where(there, np.clip(loss, 0.0, 1.0), 1.0)
