"""A setting: units whose failing groups are known. Every suite makes them, every method reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Setting:
    """Units of one experiment.

    Parameters
    ----------
    name
        Suite and variant, such as "spotcheck-vectors" or "synthetic-b".
    seed
        Everything is deterministic from name and seed.
    embeddings
        float32 (n, d).
    failures
        bool (n,): the model's prediction isn't the (possibly noisy) label.
    labels, predictions
        int64 (n,).
    probabilities
        float32 (n, n_classes): the model's.
    slices
        bool masks (n,) of the true failing groups; none on null data.
    fail_probability
        float64 (n,) where failures were drawn from known probabilities (simulations); else None.
    new
        A second set from the same source for the inductive score (same fields), or None.
    details
        What the experiment adds, such as attributes (a dict of columns) and the parameters that were drawn.
    """

    name: str
    seed: int
    embeddings: Floats
    failures: Mask
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    probabilities: Floats
    slices: tuple[Mask, ...] = ()
    fail_probability: npt.NDArray[np.float64] | None = None
    new: Setting | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.failures)

    @property
    def confidences(self) -> Floats:
        """Probability of what was predicted, float32 (n,)."""
        return self.probabilities[np.arange(len(self)), self.predictions]

    @property
    def label_probabilities(self) -> Floats:
        """Probability of the label, float32 (n,)."""
        return self.probabilities[np.arange(len(self)), self.labels]


@dataclass(frozen=True, eq=False)
class Proposed:
    """What a method returns on a setting.

    Parameters
    ----------
    members
        One bool mask (n,) per slice, best slice first.
    scores
        float32 (n, k): how strongly every unit belongs to every slice (for precision at 10); None: the masks.
    new_scores
        float32 (n_new, k) on `setting.new`, for methods that can place unseen rows; else None.
    confirmed
        bool per slice, for methods that claim it; None: every returned slice is a claim.
    """

    members: tuple[Mask, ...]
    scores: Floats | None = None
    new_scores: Floats | None = None
    confirmed: tuple[bool, ...] | None = None
