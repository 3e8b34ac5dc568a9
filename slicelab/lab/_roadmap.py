"""The roadmap of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from slicelab import curation
from slicelab.core import Slice, StateError

if TYPE_CHECKING:
    from slicelab.lab._units import Units


def roadmap(units: Units, slices: list[Slice], *, model: str, confidence: float) -> pd.DataFrame:
    """Rank the slices; see `slicelab.curation.roadmap`."""
    if not slices:
        raise StateError("There are no curated slices to plan from. Make some with lab.promote_slice(...).")
    return curation.roadmap(units.objects(model), slices, confidence=confidence)
