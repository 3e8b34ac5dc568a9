"""What the explorer asks about units: what is special about them, what lies near them, how they group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Inspection, NotFoundError, Rule, StateError, listed
from slicelab.evaluation import Background
from slicelab.lab._units import Units
from slicelab.store import Vectors


class Looking:
    """Questions about one dataset's units, with what answers them kept at hand.

    Parameters
    ----------
    units, vectors
        The dataset's.
    """

    def __init__(self, units: Units, vectors: Vectors) -> None:
        self._units = units
        self._vectors = vectors
        self._backgrounds: dict[str, tuple[int, pd.Index, Background]] = {}
        self._near: dict[str, tuple[str | None, pd.Index, npt.NDArray[np.float32]]] = {}

    def failures(self, models: Sequence[str], index: pd.Index) -> pd.DataFrame:
        """Return one bool column per model, index as given; a unit that a model doesn't have doesn't fail under it."""
        columns = {m: self._units.frame(m)["failure"].reindex(index).fillna(False).astype(bool) for m in models}
        return pd.DataFrame(columns, index=index)

    def inspect(self, units: Sequence[str], model: str, models: Sequence[str]) -> Inspection:
        """Compare units with the rest, under a model and beside the others."""
        index, background = self._background(model, models)
        return background.compare(_rows(index, units))

    def describe(self, units: Sequence[str], model: str) -> Rule | None:
        """Return the rule over metadata, position and what was measured of the pictures that describes units best."""
        from slicelab.discovery import describe

        frame = self._units.frame(model)
        inside = np.zeros(len(frame), dtype=bool)
        inside[_rows(frame.index, units)] = True
        attributes = self._units.described(frame).assign(label=frame["label"])
        half = np.random.default_rng(0).permutation(len(frame)) % 2
        return describe(inside, attributes, half)

    def neighbours(self, unit: str, model: str, *, count: int, embeddings: str) -> list[str]:
        """Return the nearest units of the same label that a model handles correctly, nearest first."""
        index, vectors = self._vectors_of(embeddings)
        if unit not in index:
            return []
        frame = self._units.frame(model)
        right = frame.index[~frame["failure"].to_numpy(dtype=bool)]
        label = frame["label"].get(unit)
        if label is not None and label == label:
            right = right[(frame.loc[right, "label"] == label).to_numpy(dtype=bool)]
        rows = index.get_indexer(right)
        rows = rows[(rows >= 0) & (rows != index.get_loc(unit))]
        distance = np.square(vectors[rows] - vectors[index.get_loc(unit)]).sum(axis=1)
        return [str(index[rows[i]]) for i in np.argsort(distance, kind="stable")[:count]]

    def regroup(self, members: Sequence[str], *, parts: int, embeddings: str) -> list[list[str]]:
        """Cluster units by their vectors into parts, largest first; members without a vector join the first."""
        from sklearn.cluster import KMeans

        index, vectors = self._vectors_of(embeddings)
        rows = index.get_indexer(pd.Index(members))
        there = np.flatnonzero(rows >= 0)
        if len(there) < parts:
            raise StateError(
                f"{len(there)} of these {len(members)} units have vectors; {parts} parts need at least {parts} of them."
            )
        labels = np.zeros(len(members), dtype=int)
        labels[there] = KMeans(parts, n_init=4, random_state=0).fit_predict(vectors[rows[there]])
        groups = [[m for m, label in zip(members, labels, strict=True) if label == part] for part in range(parts)]
        return sorted((g for g in groups if g), key=len, reverse=True)

    def _background(self, model: str, models: Sequence[str]) -> tuple[pd.Index, Background]:
        revision = self._units.revision
        kept = self._backgrounds.get(model)
        if kept is None or kept[0] != revision:
            frame = self._units.frame(model)
            background = Background(frame, self.failures(models, frame.index))
            # Found by hash, text by text: an index of pandas' own text type makes a copy at every question.
            kept = self._backgrounds[model] = (
                revision,
                pd.Index(frame.index.to_numpy(object), dtype=object),
                background,
            )
        return kept[1], kept[2]

    def _vectors_of(self, name: str) -> tuple[pd.Index, npt.NDArray[np.float32]]:
        identity = self._vectors.identity(name)
        kept = self._near.get(name)
        if kept is None or kept[0] != identity:
            units, vectors = self._vectors.load(name)
            kept = self._near[name] = (identity, pd.Index(units), np.asarray(vectors, dtype=np.float32))
        return kept[1], kept[2]


def _rows(index: pd.Index, units: Sequence[str]) -> npt.NDArray[np.int64]:
    rows = index.get_indexer(pd.Index(np.array(units, dtype=object), dtype=object)).astype(np.int64)
    if (rows < 0).any():
        absent = [u for u, row in zip(units, rows, strict=True) if row < 0]
        raise NotFoundError(f"{len(absent)} of {len(units)} units aren't in the dataset: {listed(absent)}.")
    return rows
