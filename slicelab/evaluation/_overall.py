"""How a model does in all, and what it takes for what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from slicelab.evaluation._measure_detection import Selection, average_precisions
from slicelab.evaluation._metric_value import metric_value

_COLUMNS = ["metric", "value", "low", "high", "n", "groups"]


def overall(
    units: pd.DataFrame,
    *,
    boxes: pd.DataFrame | None = None,
    predicted: pd.DataFrame | None = None,
    classes: Sequence[str] | None = None,
    keys: Collection[str] | None = None,
    confidence: float = 0.95,
    groups: Mapping[str, str] | pd.Series | None = None,
) -> pd.DataFrame:
    """Return a model's metrics over everything, with intervals.

    Parameters
    ----------
    units
        From `classification_units` or `detection_units`.
    boxes, predicted, classes
        Detection: the labelled boxes, all of the model's boxes and the classes. Without the first two there is no
        "map" and "ap50".
    keys
        Detection: every image. None: those that have a box.
    confidence
        Of the intervals.
    groups
        As in `metric_value`.

    Returns
    -------
    DataFrame, index `metric`, columns `value`, `low`, `high`, `n` (units that were judged) and `groups` (how many
    groups they come from; units of one group are not independent, and the intervals count groups). Classification:
    accuracy, error_rate, f1 (macro). Detection: precision, recall, f1, false_positives_per_image, map, ap50. What
    they are and how the intervals come about stands at `metric_value`.
    """
    detection = "label_id" in units.columns
    names = ["accuracy", "error_rate", "f1"]
    if detection:
        names = ["precision", "recall", "f1", "false_positives_per_image"]
    values = {
        name: metric_value(
            name, units, members=keys, boxes=boxes, predicted=predicted, confidence=confidence, groups=groups
        )
        for name in names
    }
    if detection and boxes is not None and predicted is not None:
        chosen = Selection.of(units, keys, boxes=boxes, predicted=predicted, groups=groups)
        values |= average_precisions(
            ["map", "ap50"],
            units,
            chosen,
            boxes=boxes,
            predicted=predicted,
            classes=classes,
            confidence=confidence,
        )
    rows = [{"metric": name, "n": v.n_units, "groups": v.n_groups} | asdict(v) for name, v in values.items()]
    return pd.DataFrame(rows, columns=_COLUMNS).set_index("metric")


def confusion(units: pd.DataFrame) -> pd.DataFrame:
    """Count what was taken for what.

    Parameters
    ----------
    units
        From `classification_units` or `detection_units`.

    Returns
    -------
    DataFrame of int64, index `label`, columns `prediction`: every class that is labelled or predicted, sorted, on
    both axes. Where they occur there are also the columns "(unpredicted)", "(missed)" and "(mislocalised)" (the
    right class, but too far off) and the rows "(background)" (spurious boxes) and "(duplicate)". The row of a class
    sums to its labels.
    """
    outcome = units["outcome"]
    label = units["label"].astype(object).where(outcome != "spurious", "(background)")
    label = label.where(outcome != "duplicate", "(duplicate)")
    prediction = units["prediction"].astype(object)
    for word in ("unpredicted", "missed", "mislocalised"):
        prediction = prediction.where(outcome != word, f"({word})")
    classes = sorted(set(units["label"].dropna()) | set(units["prediction"].dropna()))
    rows = classes + [s for s in ("(background)", "(duplicate)") if (label == s).any()]
    columns = classes + [s for s in ("(unpredicted)", "(missed)", "(mislocalised)") if (prediction == s).any()]
    counts = pd.DataFrame({"label": label, "prediction": prediction}).value_counts().unstack(fill_value=0)
    counts = counts.reindex(index=rows, columns=columns, fill_value=0).astype("int64")
    return counts.rename_axis(index="label", columns="prediction")
