"""Where the members of a suite's cases stand among its samples: all are looked up at once."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Suite
from slicelab.sources import find_texts, text_column

Positions = npt.NDArray[np.intp]


class MemberRows:
    """Row positions in `suite.samples` by case, -1 where a member is no sample.

    Parameters
    ----------
    suite
        With its cases; members that belong to none of them are looked up when they are asked for.
    """

    def __init__(self, suite: Suite) -> None:
        self.keys = suite.samples.index
        members = [case.members for case in suite.cases]
        found = _find([m for each in members for m in each], self.keys)
        ends = np.cumsum([len(each) for each in members], dtype=np.intp)
        # The tuples are kept, so that no other can take the place of one in memory.
        self._rows = {id(m): (m, found[end - len(m) : end]) for m, end in zip(members, ends.tolist(), strict=True)}

    def of(self, members: Sequence[str]) -> Positions:
        """Return the positions of a case's members, in their order."""
        known = self._rows.get(id(members))
        return known[1] if known is not None else _find(list(members), self.keys)


def member_rows(suite: Suite) -> MemberRows:
    """Return the members' positions, which all that judge a suite share."""
    known = _KNOWN.get(suite)
    if known is None or known.keys is not suite.samples.index:
        known = _KNOWN[suite] = MemberRows(suite)
    return known


_KNOWN: WeakKeyDictionary[Suite, MemberRows] = WeakKeyDictionary()


def _find(members: list[str], keys: pd.Index) -> Positions:
    import pyarrow as pa

    wanted: pd.Index
    try:
        wanted = pd.Index(text_column(pa.array(members, pa.large_string())))
    except (UnicodeEncodeError, pa.ArrowException):  # an id that isn't valid Unicode, or no text
        wanted = pd.Index(members, dtype=object)
    return find_texts(wanted, keys)
