"""A folder of partitions to another, file by file; what is there and was made of the same input stays."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import SourceError, listed
from slicelab.partitions._deal import Shared, cluster, deal, require_ray, share
from slicelab.partitions._folder import Folder, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

_MARK = b"slicelab"


def transform(
    sources: Sequence[Folder],
    output: str | Path,
    work: Callable[..., pa.Table],
    model: Any,
    *,
    job: str,
    address: str | None = None,
    workers: int | None = None,
    what: str,
    progress: bool = True,
) -> Iterator[tuple[str, pa.Table]]:
    """Make a partition of the output from each partition of the sources; yield it when it is there.

    Parameters
    ----------
    sources
        Folders that hold partitions of the same names.
    output
        Folder or fsspec URL that the driver and every worker see. A partition that is there and was made by this job
        of the same bytes is kept; others of this job are made again.
    work
        A pure function of a module: from the model and the tables of one partition, one of each source, to one table.
    model
        What the work needs beside them; each worker fetches it once, through Ray's object store.
    job
        What is done and with what, as a hash: it stands in every partition of the output.
    address, workers, what, progress
        As in `cluster` and `deal`.

    Raises
    ------
    InvalidInputError
        The address is none.
    MissingExtraError
        Ray isn't installed.
    SourceError
        A source has no partitions, or not those that the first has, or one that is damaged; the output holds
        partitions of another job, or of sources that aren't there, or can't be written, or the driver doesn't see
        what workers wrote.
    StateError
        No cluster answers there, or its workers failed.
    """
    import pyarrow as pa

    require_ray()
    names = _names(sources)
    folder = Folder(output)
    _check_output(folder, names, job)
    folder.check_writable()
    with cluster(address):
        make = partial(_Transformer, tuple(s.place for s in sources), folder.place, work, share(model), job)
        tasks = [pa.table({"name": [name]}) for name in names]
        for name in deal(tasks, make, workers=workers, what=what, unit="partition", progress=progress):
            table = folder.read(name)
            if table is None:
                raise SourceError(
                    f"A worker wrote a partition to {folder.place!r}, but it isn't there for this process. "
                    "Give an output= folder or URL that this machine and all workers share."
                )
            yield name, table.replace_schema_metadata(None)


def _names(sources: Sequence[Folder]) -> list[str]:
    first, *others = sources
    names = first.names()
    if not names:
        raise SourceError(f"There are no partitions (.parquet files) in {first.place!r}.")
    for other in others:
        differ = sorted(set(names) ^ set(other.names()))
        if differ:
            raise SourceError(
                f"{first.place!r} and {other.place!r} must hold partitions of the same names; "
                f"these are in one of them only: {listed(differ)}."
            )
    return names


def _check_output(folder: Folder, names: Sequence[str], job: str) -> None:
    there = folder.names()
    strange = sorted(set(there) - set(names))
    if strange:
        raise SourceError(
            f"The output {folder.place!r} holds partitions that aren't in the source: {listed(strange)}. "
            "Take them away, or give another output=."
        )
    for name in there:
        table = folder.read(name)
        if table is not None and _mark(table).get("job") != job:
            raise _another_job(folder, name)
        if table is not None:
            return  # the rest is for the workers to look at


def _another_job(folder: Folder, name: str) -> SourceError:
    return SourceError(
        f"The output {folder.place!r} holds partitions of another job, such as {name!r}. Give another output=."
    )


def _mark(table: pa.Table) -> dict[str, Any]:
    """Return by what a partition was made: `job` and `input`; empty for a file that isn't ours."""
    found: dict[str, Any] = json.loads((table.schema.metadata or {}).get(_MARK, b"{}"))
    return found


@dataclass
class _Transformer:
    """What a worker does: read a partition of each source, compute, and write one, unless it is there."""

    sources: tuple[str, ...]
    output: str
    work: Callable[..., pa.Table]
    shared: Shared[Any]
    job: str
    threads: int = 1

    def __call__(self, task: pa.Table) -> str:
        """Make the partition that the task names; return its name."""
        name, output = str(task.column("name")[0].as_py()), Folder(self.output)
        contents = [_content(place, name) for place in self.sources]
        mark = {"job": self.job, "input": [hashlib.sha256(content).hexdigest() for content in contents]}
        there = output.read(name)
        if there is not None and _mark(there) == mark:
            return name
        if there is not None and _mark(there).get("job") != self.job:
            raise _another_job(output, name)
        try:
            table = self.work(self._model, *map(_table, contents))
        except SourceError as error:
            raise SourceError(f"The partition {name!r} can't be used: {error}") from error
        output.write(name, table.replace_schema_metadata({_MARK: json.dumps(mark).encode()}))
        return name

    @cached_property
    def _model(self) -> Any:
        return self.shared.get()


def _content(place: str, name: str) -> bytes:
    content = Folder(place).content(name)
    if content is None:
        raise SourceError(
            f"There is no partition {name!r} in {place!r} on worker {socket.gethostname()}. "
            "Give a folder or URL that this machine and all workers share."
        )
    return content


def _table(content: bytes) -> pa.Table:
    import pyarrow as pa

    try:
        return read_parquet(content)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(f"it is no Parquet file that can be read: {error}.") from error
