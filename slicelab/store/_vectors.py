"""Vectors of a dataset's units: memory-mapped files beside the database, registered in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slicelab.core import NotFoundError, StoreError, check_matrix, check_unique, did_you_mean, hash_file, new_id, now

if TYPE_CHECKING:
    from slicelab.store._connection import Connection


class Vectors:
    """The vectors of one dataset, by name: embeddings and the map.

    Parameters
    ----------
    connection, dataset
        The database and the dataset's name.
    """

    def __init__(self, connection: Connection, dataset: str) -> None:
        self._records = connection.records
        self._dataset = dataset
        self._folder = connection.home / "vectors" / hashlib.sha256(dataset.encode()).hexdigest()[:16]

    def names(self) -> list[str]:
        """Return the names of what is stored, oldest first."""
        found = self._records.find("vectors", dataset=self._dataset)
        return [r["name"] for r in sorted(found, key=lambda r: (r["at"], r["name"]))]

    def identity(self, name: str) -> str | None:
        """Return by what the vectors of that name were made (None: there are none)."""
        record = self._records.get("vectors", f"{self._dataset}:{name}")
        return None if record is None else str(record["identity"])

    def save(self, name: str, units: Sequence[str], vectors: npt.ArrayLike, *, identity: str) -> None:
        """Store vectors, replacing those of that name.

        Parameters
        ----------
        name
            Like "default".
        units
            (n,) unit ids, unique.
        vectors
            (n, d), rows as `units`.
        identity
            By what they were made: embedder and preprocessing.
        """
        check_unique(units, "unit")
        array = check_matrix(vectors, "vectors", rows=len(units))
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{new_id()}.npy"
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        record = {
            "dataset": self._dataset,
            "name": name,
            "file": path.name,
            "sha256": hash_file(path),
            "units": self._records.put_list(list(units)),
            "shape": list(array.shape),
            "identity": identity,
            "at": now(),
        }
        record_id = f"{self._dataset}:{name}"
        old = self._records.get("vectors", record_id)
        if old is None:
            self._records.insert("vectors", {"_id": record_id, **record})
        else:
            self._records.update("vectors", record_id, rev=old["rev"], changes=record)
            (self._folder / old["file"]).unlink(missing_ok=True)

    def load(self, name: str) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Return units (n,) and vectors float32 (n, d), memory-mapped and read-only.

        Raises
        ------
        NotFoundError
            Nothing of that name is stored.
        StoreError
            The file is gone or isn't what was stored.
        """
        record = self._records.get("vectors", f"{self._dataset}:{name}")
        if record is None:
            hint = did_you_mean(name, self.names())
            raise NotFoundError(f"Dataset {self._dataset!r} has no embeddings {name!r}. Call lab.embed() first.{hint}")
        path: Path = self._folder / record["file"]
        if not path.is_file():
            raise StoreError(f"The vectors {name!r} of dataset {self._dataset!r} are gone from disk. Embed again.")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if list(array.shape) != record["shape"]:
            raise StoreError(
                f"The vectors {name!r} have shape {array.shape}, stored was {record['shape']}. Embed again."
            )
        return list(self._records.get_list(record["units"])), array
