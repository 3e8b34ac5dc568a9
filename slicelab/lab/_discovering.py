"""What `discover` is given for a dataset's units, and the same search beside the notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import GROUP_ID, InvalidInputError, listed
from slicelab.lab._apart import Apart
from slicelab.lab._units import Population, Units
from slicelab.store import Vectors


def discovery_inputs(
    units: Units,
    vectors: Vectors,
    model: str,
    *,
    embeddings: str,
    population: Population = "labelled",
    graded: bool = False,
    groups: str | None = None,
    describe: bool = True,
    progress: bool = False,
) -> dict[str, Any]:
    """Return the keywords of `slicelab.discovery.discover` for a model; see `Lab.discover`."""
    names, points = vectors.load(embeddings)
    frame = units.population(model, population)
    rows = np.flatnonzero(pd.Index(names).isin(frame.index))
    frame = frame.loc[[names[i] for i in rows]]
    return {
        "embeddings": points[rows],
        "failures": frame["loss"].to_numpy(float) if graded else frame["failure"].to_numpy(bool),
        "labels": frame["label"].to_numpy(object),
        "predictions": frame["prediction"].to_numpy(object) if population == "labelled" else None,
        "confidences": frame["confidence"].to_numpy(float),
        "attributes": units.attributes(frame, progress=progress) if describe else None,
        "groups": group_names(frame, groups),
        "ids": list(frame.index),
    }


def group_names(units: pd.DataFrame, column: str | None) -> npt.NDArray[np.object_]:
    """Return the group of every unit, (n,): units of one group are not independent.

    Parameters
    ----------
    units
        A units frame.
    column
        The column whose equal values mark them; where its value is missing, the dataset's own group counts. None: the
        dataset's own groups, which are its images where it has no others.

    Raises
    ------
    InvalidInputError
        There is no such column.
    """
    own = units[GROUP_ID].to_numpy(object)
    if column is None or column == GROUP_ID:
        return own
    if column not in units:
        raise InvalidInputError(
            f"There is no column {column!r} to group units by; there are {listed(units.columns, 30)}. "
            "Leave `groups` out for the dataset's own groups."
        )
    values = units[column]
    missing = values.isna().to_numpy(bool)
    names = [f"own {group}" for group in own[missing]]
    groups = np.array([f"value {value}" for value in values], object)
    groups[missing] = names
    return groups


def discovery_apart(
    units: Units, vectors: Vectors, model: str, *, embeddings: str, cache: Path, keep: Callable[[Any], Any]
) -> Apart:
    """Return the search as work of another process: the pictures are measured first, where they aren't yet."""
    from slicelab.discovery import discover
    from slicelab.embeddings import image_statistics

    def measure() -> tuple[Callable[..., Any], dict[str, Any]]:
        known = units.known(list(units.info().models))
        return image_statistics, {"items": units.items(known), "cache_folder": cache / "statistics"}

    def search() -> tuple[Callable[..., Any], dict[str, Any]]:
        return discover, {**discovery_inputs(units, vectors, model, embeddings=embeddings), "progress": True}

    return Apart(measure, search, keep=keep)
