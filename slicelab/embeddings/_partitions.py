"""Vectors as partitions: one Parquet file each, in a folder or under any fsspec URL, there whole or not at all.

A file has one row per distinct picture: `key`, `unit` (the first that shows it), `vector` (fixed-size list of float32),
and `kind` and `reason` of what is wrong where there is no vector.
"""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError, SourceError, hash_value
from slicelab.embeddings._compute import Described
from slicelab.embeddings._decode import Broken
from slicelab.embeddings._item import ImageItem

logger = logging.getLogger("slicelab")

_COLUMNS = {"key", "unit", "vector", "kind", "reason"}
_PART = ".part"


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
        self.output = str(output)
        self.identity = identity
        self._fs, root = file_system(self.output)
        self._folder = f"{root.rstrip('/')}/{identity}"

    def name(self, keys: Sequence[str]) -> str:
        """Return the name of the partition that holds these keys: a hash of them and of the embedder."""
        return hash_value([self.identity, list(keys)])[:32]

    def names(self) -> list[str]:
        """Return the names of the partitions that are there, sorted.

        Raises
        ------
        SourceError
            The place can't be looked at.
        """
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._folder, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:  # each file system has errors of its own
            reason = str(error) or type(error).__name__
            raise SourceError(
                f"The partitions in {self.output!r} can't be listed: {reason}. Correct output=."
            ) from error
        files = [str(path).rpartition("/")[2] for path in found]
        return sorted(file.removesuffix(".parquet") for file in files if file.endswith(".parquet"))

    def check_writable(self) -> None:
        """Raise `SourceError` when nothing can be written there."""
        probe = f"{self._folder}/{uuid.uuid4().hex}{_PART}"
        try:
            self._fs.makedirs(self._folder, exist_ok=True)
            self._fs.pipe_file(probe, b"slicelab")
            self._fs.rm_file(probe)
        except Exception as error:  # each file system has errors of its own
            raise SourceError(
                f"The vectors can't be written to {self.output!r}: {error or type(error).__name__}. "
                "Give an output= folder or URL that can be written."
            ) from error

    def write(self, name: str, items: Sequence[ImageItem], described: Described, dim: int) -> None:
        """Write a partition under a name of its own and move it into place."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(_table(items, described, dim), buffer, compression="zstd")
        temporary = f"{self._folder}/{name}-{uuid.uuid4().hex}{_PART}"
        self._fs.makedirs(self._folder, exist_ok=True)
        try:
            self._fs.pipe_file(temporary, buffer.getvalue())
            self._fs.mv(temporary, f"{self._folder}/{name}.parquet")
        finally:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)

    def read(self, name: str, *, wanted: Collection[str] | None = None) -> Described | None:
        """Return what a partition holds of the wanted keys (None: all); None when it isn't there or is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = f"{self._folder}/{name}.parquet"
        try:
            table = pq.read_table(io.BytesIO(self._fs.cat_file(path)))
            return _described(table, wanted)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, ValueError) as error:
            logger.warning("The partition %s can't be read and is computed again: %s.", path, error)
            return None


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path in it."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InvalidInputError(f"The place {url!r} can't be used: {error}") from error
    return fs, str(path)


def _table(items: Sequence[ImageItem], described: Described, dim: int) -> Any:
    import pyarrow as pa

    units = {item.key: item.unit for item in reversed(items)}
    keys = list(dict.fromkeys(item.key for item in items))
    there = np.array([key in described.vectors for key in keys], bool)
    rows = np.zeros((len(keys), dim), np.float32)
    if there.any():
        rows[there] = np.stack([described.vectors[key] for key in keys if key in described.vectors])
    broken = [described.broken.get(key) for key in keys]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), dim, mask=pa.array(~there))
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
    import pyarrow as pa

    if set(table.column_names) != _COLUMNS or not pa.types.is_fixed_size_list(table.schema.field("vector").type):
        raise ValueError(f"it isn't a partition of vectors: its columns are {table.column_names}")
    keys = table.column("key").to_pylist()
    column = table.column("vector").combine_chunks()
    there = column.is_valid().to_numpy(zero_copy_only=False)
    rows: npt.NDArray[np.float32] = column.drop_null().flatten().to_numpy().reshape(-1, column.type.list_size)
    if rows.dtype != np.float32 or not np.isfinite(rows).all():
        raise ValueError("its vectors aren't finite float32")
    place = np.cumsum(there) - 1
    kinds, reasons = table.column("kind").to_pylist(), table.column("reason").to_pylist()
    result = Described()
    for i, key in enumerate(keys):
        if wanted is not None and key not in wanted:
            continue
        if there[i]:
            result.vectors[key] = rows[place[i]]
        else:
            result.broken[key] = Broken(str(kinds[i]), str(reasons[i]))
    return result
