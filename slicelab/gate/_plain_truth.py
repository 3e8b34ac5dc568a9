"""The hashes of classification cases whose texts need no escapes: lines are put together column by column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slicelab.core import Suite, hash_value
from slicelab.gate._hash_case import GROUP
from slicelab.gate._member_rows import MemberRows, Positions, member_rows
from slicelab.sources import arrow_texts, text_bytes

if TYPE_CHECKING:
    import pyarrow as pa

_ESCAPED = b'"\\'
_CONTROL = 0x20
_FIRST = 0x23
"""Keys that hold only bytes from here on are in the same order as the lines that begin with them."""


class PlainTruth:
    """What `read_truth` gives, without an object for each sample.

    Parameters
    ----------
    keys, labels, media
        Arrow texts, as long as the suite's samples; the keys rise, and JSON writes all as they are.
    groups
        The same; None: the suite has no groups.
    rows
        Where members stand.
    """

    def __init__(
        self,
        keys: pa.LargeStringArray,
        labels: pa.LargeStringArray,
        media: pa.LargeStringArray,
        groups: pa.LargeStringArray | None = None,
        *,
        rows: MemberRows,
    ) -> None:
        self._columns = keys, labels, media
        self._rows = rows
        self._parts = {
            "membership": _join('"', keys, '"\n'),
            "labels": _join('["', keys, '","', labels, '"]\n'),
            "media": _join('["', keys, '","', media, '"]\n'),
            "groups": _join('["', keys, '",null]\n') if groups is None else _join('["', keys, '","', groups, '"]\n'),
        }
        self._in_order = _least(keys) >= _FIRST

    @cached_property
    def _old(self) -> dict[str, pa.LargeStringArray]:
        """The lines of schema 1."""
        keys, labels, media = self._columns
        head = _join('["', keys, '","', labels, '",null,')
        tail = _join('"', media, '"]')
        return {
            "whole": _join(head, tail, "\n"),
            "membership": _join(keys, "\n"),
            "labels": _join(head, "\n"),
            "media": _join(keys, "\n", tail, "\n"),
        }

    def missing(self, members: Sequence[str]) -> list[str]:
        """Members that aren't there."""
        rows = self._rows.of(members)
        return [members[i] for i in np.flatnonzero(rows < 0).tolist()] if (rows < 0).any() else []

    def hash(self, members: Sequence[str], *, schema_version: int = 2) -> str:
        """As `Truth.hash`; all must be there."""
        if schema_version >= 2:
            return hash_value(self.hashes(members))
        return self._sorted(self._old["whole"].take(_indices(self._ordered(members))))

    def hashes(self, members: Sequence[str], *, schema_version: int = 2) -> dict[str, str]:
        """As `Truth.hashes`."""
        rows = _indices(self._ordered(members))
        if schema_version >= 2:
            return {name: self._sorted(part.take(rows)) for name, part in self._parts.items()}
        return {name: _sha256(part.take(rows)) for name, part in self._old.items() if name != "whole"}

    def _sorted(self, lines: pa.LargeStringArray) -> str:
        """Hash lines that begin with the keys in the order of the lines."""
        if self._in_order:
            return _sha256(lines)
        return hashlib.sha256("".join(sorted(lines.to_pylist())).encode()).hexdigest()

    def _ordered(self, members: Sequence[str]) -> Positions:
        rows = self._rows.of(members)
        rising = bool((rows[1:] > rows[:-1]).all())
        return rows if rising else np.unique(rows)


def plain_truth(suite: Suite) -> PlainTruth | None:
    """Return the truth of a suite, or None.

    That is where a label or a group is unknown, a text needs escapes or samples aren't in order.
    """
    if suite.task != "classification":
        return None
    samples = suite.samples
    columns: list[pd.Series | pd.Index] = [samples.index, samples["label"], samples["sha256"]]
    columns += [samples[GROUP]] if GROUP in samples else []
    texts = [found for column in columns if (found := arrow_texts(column)) is not None]
    if len(texts) < len(columns) or not all(map(_is_literal, texts)) or not _rise(texts[0]):
        return None
    return PlainTruth(*texts, rows=member_rows(suite))


def _is_literal(texts: pa.LargeStringArray) -> bool:
    """Tell whether JSON writes every text as it is."""
    _, content = text_bytes(texts)
    data = content.tobytes()
    return content.min(initial=255) >= _CONTROL and not any(bytes([byte]) in data for byte in _ESCAPED)


def _rise(texts: pa.LargeStringArray) -> bool:
    import pyarrow.compute as pc

    return len(texts) < 2 or bool(pc.all(pc.less(texts[:-1], texts[1:])).as_py())


def _least(texts: pa.LargeStringArray) -> int:
    return int(text_bytes(texts)[1].min(initial=255))


def _join(*parts: str | pa.LargeStringArray) -> pa.LargeStringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.large_string()
    values = [pa.scalar(part, text) if isinstance(part, str) else part for part in (*parts, "")]
    joined: pa.LargeStringArray = pc.binary_join_element_wise(*values)
    return joined


def _indices(rows: Positions) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows)


def _sha256(lines: pa.LargeStringArray) -> str:
    return hashlib.sha256(text_bytes(lines)[1].data).hexdigest()
