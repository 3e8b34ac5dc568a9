"""New datasets: filled under a temporary name and renamed when they are complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from slicelab.core import StateError, new_id
from slicelab.store._dataset_info import DatasetInfo, record_of
from slicelab.store._fiftyone import import_fiftyone
from slicelab.store._processes import Process, is_at_work, running, signature

if TYPE_CHECKING:
    import fiftyone as fo

    from slicelab.store._connection import Connection

log = logging.getLogger("slicelab")


class Builds:
    """The datasets that are being made; a reader never sees one of them.

    Parameters
    ----------
    connection
        To the database.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._records = connection.records

    def build(self, info: DatasetInfo, fill: Callable[[fo.Dataset], None]) -> None:
        """Make a dataset, in the place of one of that name if there is one.

        Parameters
        ----------
        info
            What will be known of it.
        fill
            Declares the fields and writes the samples.
        """
        self.sweep()
        with self._begun(info.name) as dataset:
            building = dataset.name
            fill(dataset)
            self._records.update("builds", building, rev=1, changes={"complete": record_of(info)})
        self._finish(building)

    @contextmanager
    def scratch(self) -> Iterator[fo.Dataset]:
        """Give a dataset for a trial; it is gone afterwards."""
        with self._begun("a trial") as dataset:
            yield dataset
            self._delete(dataset.name)

    @contextmanager
    def _begun(self, name: str) -> Iterator[fo.Dataset]:
        """Give an empty dataset under a temporary name, and delete it on an error."""
        fiftyone = import_fiftyone(self._connection)
        building = f"{name} (loading {new_id()[:8]})"
        self._records.insert("builds", {"_id": building, "process": signature(), "complete": None})
        running.add(building)
        try:
            yield fiftyone.Dataset(building, persistent=True)
        except BaseException:
            with suppress(Exception):  # else the next creation cleans up what is left
                self._delete(building)
            raise
        finally:
            running.discard(building)

    def sweep(self) -> None:
        """Finish, or delete, what creations that were cut off have left."""
        for build in self._records.find("builds"):
            if is_at_work(Process(*build["process"]), build["_id"]):
                continue
            log.warning("Dataset %s was cut off; cleaning up.", build["_id"])
            if build["complete"] is not None:
                self._finish(build["_id"])
                continue
            self._delete(build["_id"])

    def _finish(self, building: str) -> None:
        """Put a complete build in its place. Every step can be repeated."""
        build = self._records.get("builds", building)
        if build is None or build["complete"] is None:
            raise StateError(f"Build {building!r} isn't complete.")
        record: dict[str, Any] = build["complete"]
        name = record["_id"]
        fiftyone = import_fiftyone(self._connection)
        if fiftyone.dataset_exists(building):
            if fiftyone.dataset_exists(name):
                fiftyone.delete_dataset(name)
            fiftyone.load_dataset(building).name = name
        old = self._records.get("datasets", name)
        if old is None:
            self._records.insert("datasets", record)
        else:
            changes = {k: v for k, v in record.items() if k not in ("_id", "rev")}
            self._records.update("datasets", name, rev=old["rev"], changes=changes)
        self._drop(building)

    def _delete(self, building: str) -> None:
        fiftyone = import_fiftyone(self._connection)
        if fiftyone.dataset_exists(building):
            fiftyone.delete_dataset(building)
        self._drop(building)

    def _drop(self, building: str) -> None:
        build = self._records.get("builds", building)
        if build is not None:
            self._records.delete("builds", building, rev=build["rev"])
