"""Partitions of vectors: one row per distinct picture.

The columns are `key`, `unit` (the first that shows it), `vector` (fixed-size list of float32), and `kind` and `reason`
of what is wrong where there is no vector: NaN then, as pyarrow before 26 can't write lists that are null; null is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slicelab.core import SourceError, listed
from slicelab.partitions._folder import Folder

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {"key", "unit", "vector", "kind", "reason"}


def vector_partitions(place: str | Path) -> Folder:
    """Return the folder of an embedder's partitions: this one, or the only one below it (an `output` of embedding).

    Raises
    ------
    InvalidInputError
        No such kind of URL.
    SourceError
        Several folders, or none, hold partitions there.
    """
    folder = Folder(place)
    if folder.names():
        return folder
    below = [name for name in folder.folders() if folder.below(name).names()]
    if len(below) != 1:
        there = f"there are those of {len(below)} embedders: {listed(below)}. Name one of them" if below else "none"
        raise SourceError(f"Partitions of one embedder's vectors are needed in {folder.place!r}; {there}.")
    return folder.below(below[0])


def has_vector(table: pa.Table) -> pa.ChunkedArray:
    """Return for each row of a partition, as bool, whether it holds a vector and not what is wrong with the picture."""
    import pyarrow.compute as pc

    return pc.and_(table.column("vector").is_valid(), table.column("kind").is_null())


def partition_vectors(table: pa.Table) -> tuple[list[str], list[str], npt.NDArray[np.float32]]:
    """Return what a partition holds: keys (n,), units (n,) and vectors float32 (n, d); broken pictures are left out.

    Raises
    ------
    SourceError
        It is no partition of vectors.
    """
    import pyarrow as pa

    if not set(table.column_names) >= COLUMNS or not pa.types.is_fixed_size_list(table.schema.field("vector").type):
        raise SourceError(f"it isn't a partition of vectors: its columns are {listed(table.column_names, 9)}.")
    table = table.filter(has_vector(table))
    column = table.column("vector").combine_chunks()
    rows: npt.NDArray[np.float32] = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    if rows.dtype != np.float32 or not np.isfinite(rows).all():
        raise SourceError("its vectors aren't finite float32.")
    return table.column("key").to_pylist(), table.column("unit").to_pylist(), rows
