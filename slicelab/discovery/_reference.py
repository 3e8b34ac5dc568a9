"""The rows that discovery saw, by which new ones are placed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from slicelab.core import hash_value
from slicelab.discovery._nearest_rows import FloatMatrix, nearest_rows

NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class Reference:
    """Known rows and how strongly they belong to slices.

    Parameters
    ----------
    embeddings
        float32 (n, d).
    memberships
        float32 (n, n_slices) in [0, 1].
    names
        Of the slices.
    """

    embeddings: FloatMatrix
    memberships: FloatMatrix
    names: tuple[str, ...]

    def assign(self, rows: FloatMatrix) -> FloatMatrix:
        """Return the mean membership of each row's 10 nearest known rows, float32 (m, n_slices)."""
        if not self.names or not len(rows):
            return np.zeros((len(rows), len(self.names)), np.float32)
        indices, _ = nearest_rows(self.embeddings, NEIGHBOURS, rows)
        return np.asarray(self.memberships[indices].mean(axis=1), np.float32)

    def hash(self) -> str:
        """Return a hash of all of it."""
        arrays = [np.ascontiguousarray(a, dtype="<f4") for a in (self.embeddings, self.memberships)]
        digests = [[list(a.shape), hashlib.sha256(a.data).hexdigest()] for a in arrays]
        return hash_value([NEIGHBOURS, digests, list(self.names)])
