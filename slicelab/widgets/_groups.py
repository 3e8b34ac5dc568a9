"""The slices and candidates of an explorer, each under a key by which the table knows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from slicelab.core import Candidate, Desk, Slice
from slicelab.views import Interval, Rows, SliceRows


class Groups:
    """What the desk keeps and what discovery proposes.

    Parameters
    ----------
    units
        The units frame.
    desk
        Keeps the slices.
    candidates
        What discovery proposed.
    failures
        One bool column per model, index as `units`.
    interval
        Of failure rates where units share groups; see `slices_frame`.
    """

    def __init__(
        self,
        units: pd.DataFrame,
        desk: Desk,
        candidates: Sequence[Candidate] | None,
        failures: pd.DataFrame | None,
        interval: Interval | None = None,
    ) -> None:
        self.candidates = list(candidates or ())
        self._desk = desk
        self._rows = SliceRows(units, failures, interval=interval)
        self._known: dict[str, Candidate | Slice] = {}
        self._dismissed: list[str] = []
        self._kept_as: list[str] = []

    def read(self) -> None:
        """Ask the desk again."""
        known: dict[str, Candidate | Slice] = {key_of(slice_): slice_ for slice_ in self._desk.slices()}
        known |= {f"candidate {i}": candidate for i, candidate in enumerate(self.candidates, start=1)}
        self._known = known
        self._dismissed = self._desk.dismissals(self.candidates)
        self._kept_as = self._desk.kept_as(self.candidates)

    @property
    def keys(self) -> list[str]:
        """The keys, slices before candidates."""
        return list(self._known)

    @property
    def slices(self) -> int:
        """How many slices there are."""
        return len(self._known) - len(self.candidates)

    def frame(self) -> pd.DataFrame:
        """Return the table, rows as `keys`."""
        none = [""] * self.slices
        return self._rows.frame(self._known.values(), dismissed=none + self._dismissed, kept_as=none + self._kept_as)

    def of(self, keys: Sequence[str]) -> list[Candidate | Slice]:
        """Return the groups under these keys; what is gone is left out."""
        return [self._known[key] for key in keys if key in self._known]

    def key(self, name: str) -> str | None:
        """Return the key of the slice of that name; None: there is none."""
        return next((k for k, group in self._known.items() if isinstance(group, Slice) and group.name == name), None)

    def members(self, groups: Sequence[Candidate | Slice]) -> Rows:
        """Return the row positions of all members, each once, in their order."""
        rows = np.concatenate([np.empty(0, dtype=np.int64), *(self._rows.members(group) for group in groups)])
        return rows[np.sort(np.unique(rows, return_index=True)[1])]


def key_of(slice_: Slice) -> str:
    """Return the key of a slice, which stays the same whatever is done to it."""
    return f"slice {slice_.slice_id}"
