"""Predictions of a table without any flaw, which most are: checked column by column instead of row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from slicelab.sources._match_images import Positions, Target
from slicelab.sources._read_table import (
    CONFIDENCE_COLUMNS,
    KEY_COLUMNS,
    PATH_COLUMNS,
    PREDICTION_COLUMNS,
    PROBABILITY,
    Table,
)
from slicelab.sources._rows import Floats
from slicelab.sources._text_columns import are_plain, arrow_texts, find_texts, text_column
from slicelab.sources._texts import MAX_PATH, clean_texts


def plain_classes(table: Table, target: Target, classes: Sequence[str]) -> tuple[pd.DataFrame, Positions] | None:
    """Read one predicted class per image where nothing needs a word; what the checks of each row would give.

    Parameters
    ----------
    table
        With one column of keys, one of classes and at most one of confidences; no probabilities.
    target
        The samples; every row must name one of them by its key, and none twice.
    classes
        Those that are known.

    Returns
    -------
    The frame of `Predictions`, and each row's place in `target.keys`; None: some row or column is odd, and each row
    must be looked at.
    """
    if any(str(name).startswith(PROBABILITY) for name in table.frame.columns):
        return None
    keys = [name for name in (*KEY_COLUMNS, *PATH_COLUMNS) if name in table.frame.columns]
    label = table.find(PREDICTION_COLUMNS)
    confidence = _confidences(table)
    if len(keys) != 1 or label is None or confidence is None or not _are_known(table.frame[label], classes):
        return None
    names = arrow_texts(table.frame[keys[0]])
    if names is None or not are_plain(names, MAX_PATH):
        return None
    positions = find_texts(table.frame[keys[0]], target.keys)
    if positions.min(initial=0) < 0 or np.bincount(positions, minlength=1).max() > 1:
        return None
    index = pd.Index(text_column(names), name="key")
    frame = pd.DataFrame({"label": table.frame[label].array, "confidence": confidence}, index=index)
    return frame, positions.astype(np.int64)


def _confidences(table: Table) -> Floats | None:
    name = table.find(CONFIDENCE_COLUMNS)
    if name is None:
        return np.full(len(table.frame), np.nan)
    if table.frame[name].dtype not in (np.float64, np.int64):
        return None
    values: Floats = table.frame[name].to_numpy(np.float64)
    outside = (values < 0) | (values > 1)
    return None if outside.any() else values


def _are_known(labels: pd.Series, classes: Sequence[str]) -> bool:
    if arrow_texts(labels) is None:
        return False
    said = labels.unique().tolist()
    texts, problems = clean_texts(said, "label")
    return all(p is None for p in problems) and texts.tolist() == said and set(said) <= set(classes)
