"""Labels and predictions of one partition as tables; what isn't right there is an error: nobody would see findings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slicelab.core import BOX_COLUMNS, TEXT, Predictions, SampleTable, SourceError, Task, listed
from slicelab.sources import read_predictions

_PLACE = ["x", "y", "width", "height"]


def task_of(columns: list[str]) -> Task:
    """Return what labels of these columns are for, or raise `SourceError` where columns are missing."""
    missing = [c for c in ("key", "label") if c not in columns]
    place = [c for c in _PLACE if c not in columns]
    if missing or 0 < len(place) < len(_PLACE):
        raise SourceError(
            f"its labels lack the columns {listed([*missing, *(place if len(place) < len(_PLACE) else [])])}; "
            f"they have {listed(columns, 12)}."
        )
    return "classification" if place else "detection"


def label_table(frame: pd.DataFrame, task: Task) -> SampleTable:
    """Return the labels of a partition.

    Parameters
    ----------
    frame
        Classification: `key` (unique) and `label` (missing where unknown). Detection: one row per labelled box, `key`,
        `label`, `x`, `y`, `width`, `height` (pixels), and where there are any `label_id` (else the box's number on its
        image) and `crowd`; a row that has neither label nor box says that its image shows nothing. In both `group`
        where there is one: the images of one are not independent; a missing value is a group of its own.

    Raises
    ------
    SourceError
        Columns are missing, or a row can't be right.
    """
    found = task_of(list(frame.columns))
    if found != task:
        raise SourceError(f"its labels are for {found}, those of the first partition for {task}.")
    texts = frame[["key", "label"]].astype(object)
    odd = [v for c in texts for v in texts[c].dropna() if not isinstance(v, str) or not v]
    if odd or texts["key"].isna().any():
        raise SourceError(f"keys must be texts, and labels too where there is one; got {listed(odd or [None])}.")
    keys = pd.Index(texts["key"].to_numpy(object), name="key", dtype=TEXT)
    if task == "classification":
        if keys.has_duplicates:
            raise SourceError(f"each key must be there once; these are twice: {_twice(keys)}.")
        samples = pd.DataFrame({"label": pd.Series(texts["label"].to_numpy(object), index=keys, dtype=TEXT)})
        samples, group = _grouped(samples, frame, keys)
        return SampleTable(task, samples, pd.DataFrame(columns=list(BOX_COLUMNS)), (), group)
    samples, group = _grouped(pd.DataFrame(index=keys.unique()), frame, keys)
    return SampleTable(task, samples, _boxes(frame, keys), (), group)


def _grouped(samples: pd.DataFrame, frame: pd.DataFrame, keys: pd.Index) -> tuple[pd.DataFrame, str | None]:
    """Add the groups of images, one each, and return the name of their column; None where there is none."""
    if "group" not in frame:
        return samples, None
    rows = pd.DataFrame({"key": keys.to_numpy(object), "group": frame["group"].to_numpy(object)}).dropna()
    several = rows.groupby("key")["group"].nunique()
    if (several > 1).any():
        raise SourceError(f"an image can be of one group only; of several are {listed(several.index[several > 1])}.")
    return samples.assign(group=rows.drop_duplicates("key").set_index("key")["group"].reindex(samples.index)), "group"


def _boxes(frame: pd.DataFrame, keys: pd.Index) -> pd.DataFrame:
    try:
        place = frame[_PLACE].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(f"x, y, width and height of labels must be numbers: {error}.") from error
    nothing = np.isnan(place).all(axis=1) & frame["label"].isna().to_numpy()
    ids = frame["label_id"].astype(object) if "label_id" in frame else frame.groupby(keys.to_numpy(object)).cumcount()
    boxes = pd.DataFrame(
        {
            "key": keys.to_numpy(object),
            "label_id": ids.to_numpy(object),
            "label": frame["label"].to_numpy(object),
            **{name: place[:, i] for i, name in enumerate(_PLACE)},
            "crowd": frame["crowd"].fillna(False).to_numpy(bool) if "crowd" in frame else False,
        }
    )[~nothing]
    bad = ~np.isfinite(place[~nothing]).all(axis=1) | ~(place[~nothing, 2:] > 0).all(axis=1)
    bad |= boxes["label"].isna().to_numpy() | boxes["label_id"].isna().to_numpy()
    if bad.any():
        raise SourceError(
            "a labelled box needs a label, finite x and y, and width and height above 0; "
            f"{int(bad.sum())} have none, on {listed(boxes.loc[bad, 'key'])}."
        )
    boxes = boxes.astype({"key": TEXT, "label_id": TEXT, "label": TEXT, "crowd": bool})
    twice = boxes.duplicated(["key", "label_id"]) | boxes["label_id"].str.contains("#", regex=False)
    if twice.any():
        raise SourceError(
            f"label ids must be unique on their image, without '#'; see {listed(boxes.loc[twice, 'key'])}."
        )
    kept: pd.DataFrame = boxes.reset_index(drop=True)
    return kept


def prediction_table(frame: pd.DataFrame, table: SampleTable, model: str) -> Predictions:
    """Return the predictions of a partition, which must be for its images.

    Parameters
    ----------
    frame
        As `read_predictions` takes tables; without rows: nothing was predicted.

    Raises
    ------
    SourceError
        Columns are missing, a row can't be right, or is for another image than those of the labels.
    """
    if not len(frame) and table.task == "classification":
        empty = pd.DataFrame({"label": pd.Series([], dtype=TEXT), "confidence": pd.Series([], dtype=np.float64)})
        return Predictions(model, table.task, empty.set_axis(pd.Index([], dtype=TEXT, name="key")), ())
    predictions, findings, _ = read_predictions(frame, model=model, table=None, task=table.task)
    refused = [f for f in findings if f.refused]
    if refused:
        raise SourceError(
            f"{len(refused)} of its predictions can't be taken. First: row {refused[0].line}: {refused[0].reason}."
        )
    keys = predictions.frame.index if table.task == "classification" else predictions.frame["key"]
    foreign = pd.Index(keys.unique()).difference(table.samples.index)
    if len(foreign):
        raise SourceError(
            f"{len(foreign)} images have predictions there but aren't among its labels: {listed(foreign)}. "
            "Put labels and predictions of an image into partitions of one name."
        )
    return predictions


def _twice(keys: pd.Index) -> str:
    return listed(keys[keys.duplicated()].unique())
