"""What an embedder made of pictures, as partitions of vectors."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slicelab.core import SourceError, hash_value
from slicelab.embeddings._compute import Described
from slicelab.embeddings._decode import Broken
from slicelab.embeddings._item import ImageItem
from slicelab.partitions import Folder, has_vector, partition_vectors

logger = logging.getLogger("slicelab")


class Partitions:
    """The partitions of one embedder, `<output>/<identity>/<name>.parquet`.

    Parameters
    ----------
    output
        Folder or fsspec URL ("s3://bucket/vectors").
    identity
        The embedder's.

    Raises
    ------
    InvalidInputError
        No such kind of URL, or its package isn't installed.
    """

    def __init__(self, output: str | Path, identity: str) -> None:
        self.identity = identity
        self.folder = Folder(output).below(identity)

    def name(self, keys: Sequence[str]) -> str:
        """Return the name of the partition that holds these keys: a hash of them and of the embedder."""
        return hash_value([self.identity, list(keys)])[:32]

    def write(self, name: str, items: Sequence[ImageItem], described: Described, dim: int) -> None:
        """Write a partition."""
        self.folder.write(name, _table(items, described, dim))

    def read(self, name: str, *, wanted: Collection[str] | None = None) -> Described | None:
        """Return what a partition holds of the wanted keys (None: all); None when it isn't there or is damaged."""
        table = self.folder.read(name)
        try:
            return None if table is None else _described(table, wanted)
        except SourceError as error:
            logger.warning("The partition %s can't be read and is computed again: %s", name, error)
            return None


def _table(items: Sequence[ImageItem], described: Described, dim: int) -> Any:
    import pyarrow as pa

    units = {item.key: item.unit for item in reversed(items)}
    keys = list(dict.fromkeys(item.key for item in items))
    there = np.array([key in described.vectors for key in keys], bool)
    rows = np.full((len(keys), dim), np.nan, np.float32)
    if there.any():
        rows[there] = np.stack([described.vectors[key] for key in keys if key in described.vectors])
    broken = [described.broken.get(key) for key in keys]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), dim)
    return pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "unit": pa.array([units[key] for key in keys], pa.string()),
            "vector": vectors,
            "kind": pa.array([b and b.kind for b in broken], pa.string()),
            "reason": pa.array([b and b.reason for b in broken], pa.string()),
        }
    )


def _described(table: Any, wanted: Collection[str] | None) -> Described:
    import pyarrow.compute as pc

    keys, _, rows = partition_vectors(table)
    broken = table.filter(pc.invert(has_vector(table))).select(["key", "kind", "reason"]).to_pylist()
    return Described(
        {key: row for key, row in zip(keys, rows, strict=True) if wanted is None or key in wanted},
        {b["key"]: Broken(str(b["kind"]), str(b["reason"])) for b in broken if wanted is None or b["key"] in wanted},
    )
