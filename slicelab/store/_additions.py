"""Additions to a dataset that is there: announced in its record first, and taken back when they are cut off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from slicelab.core import StateError
from slicelab.store._dataset_info import LOAD, DatasetInfo, find_info
from slicelab.store._fiftyone import load_dataset
from slicelab.store._processes import Process, is_at_work, running, signature

if TYPE_CHECKING:
    from slicelab.store._connection import Connection

log = logging.getLogger("slicelab")


class Additions:
    """What is being added to datasets.

    Parameters
    ----------
    connection
        To the database.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._records = connection.records

    @contextmanager
    def announced(self, name: str, load_id: str, fields: Sequence[str]) -> Iterator[None]:
        """Announce an addition to a dataset, and take it back if it fails.

        Parameters
        ----------
        name
            Of the dataset.
        load_id
            Stands on every sample that is added.
        fields
            That are added.
        """
        info = find_info(self._records, name)
        pending = {"load_id": load_id, "fields": list(fields), "process": signature()}
        self._records.update("datasets", name, rev=info.rev, changes={"pending": pending})
        running.add(load_id)
        try:
            yield
        except BaseException:
            running.discard(load_id)
            with suppress(Exception):  # else the next opening takes it back
                self.take_back(find_info(self._records, name))
            raise
        finally:
            running.discard(load_id)

    def commit(self, name: str, *, also: Callable[[Any], None] | None = None, **changes: Any) -> None:
        """End an addition; `also` happens in the same transaction."""
        info = find_info(self._records, name)

        def write(session: Any) -> None:
            new = {"pending": None, **changes}
            self._records.update("datasets", name, rev=info.rev, changes=new, session=session)
            if also is not None:
                also(session)

        self._records.transact(write)

    def take_back(self, info: DatasetInfo) -> None:
        """Delete what an addition that was cut off has written."""
        if info.pending is None:
            return
        owner = Process(*info.pending["process"])
        if is_at_work(owner, info.pending["load_id"]):
            raise StateError(
                f"Process {owner.pid} is adding to dataset {info.name!r} at this moment. Wait until it is done."
            )
        log.warning("Dataset %s: an addition was cut off; taking it back.", info.name)
        self._connection.end_abandoned()  # its open transaction would keep the record locked for a minute
        dataset = load_dataset(self._connection, info.name)
        from fiftyone import ViewField

        if dataset.has_field(LOAD):
            dataset.delete_samples(dataset.match(ViewField(LOAD) == info.pending["load_id"]))
        for added in info.pending["fields"]:
            if dataset.has_field(added):
                dataset.delete_sample_field(added)
        self._records.update("datasets", info.name, rev=info.rev, changes={"pending": None})
