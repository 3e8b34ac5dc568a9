"""What discovery returns: a ranked list of candidate slices that can place new units."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, InvalidInputError, check_matrix, visible
from slicelab.discovery._project import FloatMatrix, embed_features, nearest

NEIGHBOURS = 10


class CandidateSlices(Sequence[Candidate]):
    """Candidate slices, best first.

    Parameters
    ----------
    candidates
        In order.
    features
        float32 (n, k), the reduced embeddings that were searched.
    embeddings
        float32 (n, d), as given.
    ids
        Ids of the rows; empty where none were given.
    projection
        float32 (n, 2), or None to make it when it is asked for.
    random_state
        Seed of that map.
    """

    def __init__(
        self,
        candidates: tuple[Candidate, ...],
        *,
        features: FloatMatrix,
        embeddings: FloatMatrix,
        ids: tuple[str, ...] = (),
        projection: FloatMatrix | None = None,
        random_state: int = 0,
    ) -> None:
        self._candidates = candidates
        self._features = features
        self._embeddings = embeddings
        self._projection = projection
        self._random_state = random_state
        self.ids = ids

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, index: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self._candidates[index]

    def __len__(self) -> int:
        return len(self._candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._candidates)

    @cached_property
    def projection(self) -> FloatMatrix:
        """The 2-D UMAP map, float32 (n, 2), rows as given."""
        if self._projection is not None:
            return self._projection
        return embed_features(
            self._features, n_components=2, n_neighbors=15, min_dist=0.1, random_state=self._random_state
        )

    def assign(self, new_embeddings: npt.ArrayLike) -> FloatMatrix:
        """Say how strongly unseen rows belong to each slice.

        Parameters
        ----------
        new_embeddings
            (m, d) finite numbers from the same embedder.

        Returns
        -------
        float32 (m, n_slices) in [0, 1]: mean membership of the 10 nearest rows that discovery saw.

        Raises
        ------
        InvalidInputError
            Another number of dimensions, or not finite.
        """
        rows = check_matrix(new_embeddings, "new embeddings")
        if rows.shape[1] != self._embeddings.shape[1]:
            raise InvalidInputError(
                f"The new embeddings must have {self._embeddings.shape[1]} dimensions; got {rows.shape[1]}."
            )
        if not len(self):
            return np.zeros((len(rows), 0), np.float32)
        indices, _ = nearest(self._embeddings, NEIGHBOURS, queries=rows)
        memberships = np.stack([c.membership for c in self], axis=1)
        return np.asarray(memberships[indices].mean(axis=1), np.float32)

    def frame(self) -> pd.DataFrame:
        """Return one row per slice, best first.

        Returns
        -------
        DataFrame with name, status, size, failures, failure_rate, low, high, base_rate, lift, p_value, q_value,
        description.
        """
        columns = {
            "name": [c.name for c in self],
            "status": [c.status for c in self],
            "size": [c.size for c in self],
            "failures": [c.failures for c in self],
            "failure_rate": [c.failure_rate for c in self],
            "low": [c.interval[0] for c in self],
            "high": [c.interval[1] for c in self],
            "base_rate": [c.base_rate for c in self],
            "lift": [c.lift for c in self],
            "p_value": [c.p_value for c in self],
            "q_value": [c.q_value for c in self],
            "description": [c.description for c in self],
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        confirmed = sum(c.status == "confirmed" for c in self)
        lines = [f"{len(self)} candidate slices, {confirmed} confirmed"]
        lines += [
            visible(f"  {c.name}: {c.failures} of {c.size} fail ({c.failure_rate:.0%}, class {c.base_rate:.0%})")
            for c in self
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not len(self):
            return html.escape("No slice stands out: the failures look spread evenly within each class.")
        # DataFrame escapes its cells.
        return str(self.frame().to_html(float_format="{:.3g}".format))
