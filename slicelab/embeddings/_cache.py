"""Vectors on disk, so that nothing is computed twice and a stopped run goes on where it stopped.

A shard is one .npz file (keys and vectors), written beside and moved into place, with a name that no other process
picks. Zip members carry a checksum, so a damaged shard shows itself; it is left out and its rows are computed again.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError

logger = logging.getLogger("slicelab")
Vector = npt.NDArray[np.float32]

_IDENTITY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class VectorCache:
    """Vectors by embedder and content, under a folder; several processes may use it at once.

    Parameters
    ----------
    folder
        Where the shards lie: `<folder>/<identity>/<random>.npz`. It is made when the first vector is kept.
    flush_rows, flush_seconds
        A shard is written when so many vectors wait, or the oldest has waited so long.
    """

    def __init__(self, folder: str | Path, *, flush_rows: int = 4096, flush_seconds: float = 10.0) -> None:
        self.folder = Path(folder)
        self.flush_rows = flush_rows
        self.flush_seconds = flush_seconds

    def find(self, identity: str, keys: Collection[str]) -> dict[str, Vector]:
        """Return those of the wanted vectors that are there, float32 (d,) by key.

        Damaged shards are left out, with a warning in the log.
        """
        wanted = set(keys)
        found: dict[str, Vector] = {}
        for path in sorted(self._folder_of(identity).glob("*.npz")):
            if not wanted:
                break
            found |= _read_shard(path, wanted)
            wanted.difference_update(found)
        return found

    @contextmanager
    def writer(self, identity: str) -> Iterator[Writer]:
        """Open a writer; what it was given is on disk when the block is left, by whatever way."""
        writer = Writer(self._folder_of(identity), self.flush_rows, self.flush_seconds)
        try:
            yield writer
        finally:
            writer.flush()

    def _folder_of(self, identity: str) -> Path:
        if not _IDENTITY.fullmatch(identity):
            raise InvalidInputError(
                "An embedder's identity must be 1 to 120 characters of A-Z a-z 0-9 . _ - and not start with a dot; "
                f"got {identity!r}."
            )
        return self.folder / identity


class Writer:
    """Gathers vectors and writes them in shards.

    A folder that can't be written is told once in the log; the run goes on, its vectors are only not kept.
    """

    def __init__(self, folder: Path, flush_rows: int, flush_seconds: float) -> None:
        self._folder = folder
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._rows: dict[str, Vector] = {}
        self._since = time.monotonic()
        self._broken = False

    def put(self, key: str, vector: Vector) -> None:
        """Keep one vector, float32 (d,)."""
        if not self._rows:
            self._since = time.monotonic()
        self._rows[key] = vector
        if len(self._rows) >= self._flush_rows or time.monotonic() - self._since >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        rows, self._rows = self._rows, {}
        if not rows or self._broken:
            return
        try:
            _write_shard(self._folder, rows)
        except OSError as error:
            self._broken = True
            logger.warning(
                "Vectors can't be kept in %s: %s. They are returned, but will be computed again next time; "
                "free some space or choose another folder.",
                self._folder,
                error,
            )


def _write_shard(folder: Path, rows: dict[str, Vector]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    temporary = folder / f"{name}.part"
    try:
        with temporary.open("wb") as stream:
            np.savez(stream, keys=np.array(list(rows), dtype="S"), vectors=np.stack(list(rows.values())))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / f"{name}.npz")
    finally:
        temporary.unlink(missing_ok=True)


def _read_shard(path: Path, wanted: set[str]) -> dict[str, Vector]:
    try:
        with np.load(path, allow_pickle=False) as shard:
            names = shard["keys"].astype(np.str_).tolist()
            rows = [i for i, name in enumerate(names) if name in wanted]
            if not rows:
                return {}
            vectors = shard["vectors"]
        if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(names):
            raise ValueError(f"{len(names)} keys, vectors {vectors.dtype} {vectors.shape}")
        if not np.isfinite(vectors[rows]).all():
            raise ValueError("it holds numbers that aren't finite")
    except _DAMAGE as error:
        logger.warning(
            "The vectors in %s can't be read and are computed again: %s. Delete the file to stop this message.",
            path,
            error or type(error).__name__,
        )
        return {}
    return {names[i]: vectors[i] for i in rows}
