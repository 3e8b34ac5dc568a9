"""Parquet files in a folder or under any fsspec URL, each there whole or not at all."""

from __future__ import annotations

import io
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import InvalidInputError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("slicelab")

_PART = ".part"


class Folder:
    """The partitions in one place, `<place>/<name>.parquet`.

    Parameters
    ----------
    place
        Folder or fsspec URL ("s3://bucket/vectors").

    Raises
    ------
    InvalidInputError
        No such kind of URL, or its package isn't installed.
    """

    def __init__(self, place: str | Path) -> None:
        self.place = str(place)
        self._fs, root = file_system(self.place)
        self._root = root.rstrip("/")

    def below(self, name: str) -> Folder:
        """Return the folder of that name in this one."""
        return Folder(f"{self.place.rstrip('/')}/{name}")

    def names(self) -> list[str]:
        """Return the names of the partitions that are there, sorted.

        Raises
        ------
        SourceError
            The place can't be looked at.
        """
        files = [str(entry["name"]).rpartition("/")[2] for entry in self._entries()]
        return sorted(file.removesuffix(".parquet") for file in files if file.endswith(".parquet"))

    def folders(self) -> list[str]:
        """Return the names of the folders in this one, sorted; errors as `names`."""
        there = [entry for entry in self._entries() if entry["type"] == "directory"]
        return sorted(str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in there)

    def _entries(self) -> list[dict[str, Any]]:
        self._fs.invalidate_cache()
        try:
            return list(self._fs.ls(self._root, detail=True))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:  # each file system has errors of its own
            reason = str(error) or type(error).__name__
            raise SourceError(
                f"The partitions in {self.place!r} can't be listed: {reason}. Correct the place."
            ) from error

    def check_writable(self) -> None:
        """Raise `SourceError` when nothing can be written there."""
        probe = f"{self._root}/{uuid.uuid4().hex}{_PART}"
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(probe, b"slicelab")
            self._fs.rm_file(probe)
        except Exception as error:  # each file system has errors of its own
            raise SourceError(
                f"Partitions can't be written to {self.place!r}: {error or type(error).__name__}. "
                "Give an output= folder or URL that can be written."
            ) from error

    def write(self, name: str, table: pa.Table) -> None:
        """Write a partition under a name of its own and move it into place."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        temporary = f"{self._root}/{name}-{uuid.uuid4().hex}{_PART}"
        self._fs.makedirs(self._root, exist_ok=True)
        try:
            self._fs.pipe_file(temporary, buffer.getvalue())
            self._fs.mv(temporary, f"{self._root}/{name}.parquet")
        finally:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)

    def content(self, name: str) -> bytes | None:
        """Return a partition's bytes; None when it isn't there."""
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{name}.parquet"))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> pa.Table | None:
        """Return a partition; None when it isn't there or is damaged, which is logged."""
        import pyarrow as pa

        try:
            content = self.content(name)
            return None if content is None else read_parquet(content)
        except (pa.ArrowException, OSError, ValueError) as error:
            logger.warning("The partition %s in %s can't be read and is made again: %s.", name, self.place, error)
            return None


def read_parquet(content: bytes) -> pa.Table:
    """Return the table that the bytes of a Parquet file hold."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(content))


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path in it."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InvalidInputError(f"The place {url!r} can't be used: {error}") from error
    return fs, str(path)
