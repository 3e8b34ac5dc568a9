"""Pictures to vectors on many machines: each worker describes partitions of pictures and writes a file for each."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from slicelab.core import InvalidInputError, SourceError, StateError
from slicelab.embeddings._cache import VectorCache
from slicelab.embeddings._compute import Described, describe, placed
from slicelab.embeddings._decode import by_file
from slicelab.embeddings._embed import EmbedResult, check_request, gathered
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._item import ImageItem
from slicelab.embeddings._media import Media
from slicelab.embeddings._partitions import Partitions
from slicelab.partitions import Shared, cluster, deal, require_ray, share

if TYPE_CHECKING:
    import pyarrow as pa


def embed_with_ray(
    items: Sequence[ImageItem],
    *,
    embedder: Embedder,
    cache: VectorCache,
    output: str | Path,
    make: Callable[[], Embedder] | None = None,
    address: str | None = None,
    partition_size: int = 1024,
    media: Mapping[str, str] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> EmbedResult:
    """Describe every picture by a vector, on the machines of a Ray cluster.

    The pictures that neither cache nor output know are cut into partitions, in the order in which `embed_images` takes
    them. Where the partition size is a multiple of the batch size, no picture is broken, and processors and their
    threads are the same, the vectors are those of `embed_images` bit for bit; else within rounding (1e-5 relative to a
    vector's length). Broken pictures are tried again by the next run.

    Parameters
    ----------
    items, embedder, cache, batch_size
        As in `embed_images`.
    output
        Folder or fsspec URL that the driver and every worker see, for the partitions. It is never emptied.
    make
        Called on each worker for its embedder, which must have the same identity: a function that loads weights from a
        path. None: the embedder itself goes there, pickled, through Ray's object store.
    address
        None: a cluster of this machine alone, which ends with the call; "auto", "host:port" or "ray://host:port": that
        one. Where the process is connected already, that connection is used, and stays.
    partition_size
        Pictures per partition, and at most what is lost when a worker dies.
    media
        By folder as the items have it: the folder or fsspec URL under which the workers find it.
    device
        On the workers. "auto": a GPU for each of them, where the cluster has any.
    workers
        How many at most; None: as many as the cluster has GPUs, else CPUs.

    Raises
    ------
    MissingExtraError
        Ray isn't installed.
    StateError
        No cluster answers there, or its workers failed.
    SourceError
        The output can't be written, or the driver doesn't see what workers wrote.
    """
    check_request(items, batch_size)
    if partition_size < 1:
        raise InvalidInputError(f"The partition_size must be at least 1; got {partition_size}.")
    require_ray()
    Media(media)
    identity, keys = embedder.identity, [item.key for item in items]
    partitions = Partitions(output, identity)
    known = cache.find(identity, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    before, new = Described(), Described()
    if missing:
        wanted = {item.key for item in missing}
        for name in partitions.folder.names():
            before.update(partitions.read(name, wanted=wanted) or Described())
    tasks = _cut(missing, before, partition_size)
    try:
        if tasks:
            partitions.folder.check_writable()
            with cluster(address):
                there = make if make is not None else _sent(embedder).get
                job = _Job(there, str(output), identity, dict(media or {}), batch_size, device)
                begin = partial(_Describer, job, embedder.dim)
                tables = [_table(task) for task in tasks]
                for name in deal(
                    tables, begin, device=device, workers=workers, what="Embedding", unit="image", progress=progress
                ):
                    new.update(_read_new(partitions, name))
    finally:
        with cache.writer(identity) as writer:
            for key, vector in (before.vectors | new.vectors).items():
                writer.put(key, vector)
    return gathered(items, keys, known | before.vectors, new, embedder)


def _read_new(partitions: Partitions, name: str) -> Described:
    described = partitions.read(name)
    if described is None:
        raise SourceError(
            f"A worker wrote a partition to {partitions.folder.place!r}, but it isn't there for this process. "
            "Give an output= folder or URL that this machine and all workers share."
        )
    return described


def _cut(items: Sequence[ImageItem], before: Described, size: int) -> list[list[ImageItem]]:
    """Cut what has no vector yet into partitions; pictures that were broken before come last."""
    ordered = [item for group in by_file(items, most=len(items) or 1) for item in group]
    todo = [item for item in ordered if item.key not in before.vectors]
    todo.sort(key=lambda item: item.key in before.broken)
    return [todo[start : start + size] for start in range(0, len(todo), size)]


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know."""

    make: Callable[[], Embedder]
    output: str
    identity: str
    media: dict[str, str]
    batch_size: int
    device: str


@dataclass
class _Describer:
    """What a worker does: describe a partition and write its file, unless it is there."""

    job: _Job
    dim: int
    threads: int

    def __post_init__(self) -> None:
        self._partitions = Partitions(self.job.output, self.job.identity)
        self._media = Media(self.job.media)

    @cached_property
    def _embedder(self) -> Embedder:
        embedder = self.job.make()
        if embedder.identity != self.job.identity:
            raise StateError(
                f"A worker's embedder is {embedder.identity}, wanted is {self.job.identity}: the weights or the code "
                f"on {socket.gethostname()} differ. Bring them to the same state on every machine."
            )
        return placed(embedder, self.job.device)

    def __call__(self, table: pa.Table) -> str:
        """Take the pictures of one partition; return its name."""
        items = _items(table)
        name = self._partitions.name([item.key for item in items])
        there = self._partitions.read(name)
        if there is not None and not there.broken:
            return name
        described = Described()
        describe(
            items,
            self._embedder,
            into=described,
            read=self._media.read,
            batch_size=self.job.batch_size,
            workers=max(2, self.threads),
        )
        self._partitions.write(name, items, described, self.dim)
        return name


def _table(items: Sequence[ImageItem]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "unit": pa.array([item.unit for item in items], pa.string()),
            "filepath": pa.array([str(item.filepath) for item in items], pa.string()),
            "sha256": pa.array([item.sha256 for item in items], pa.string()),
            "box": pa.array([item.box and list(item.box) for item in items], pa.list_(pa.float64())),
            "margin": pa.array([item.margin for item in items], pa.float64()),
        }
    )


def _items(table: pa.Table) -> list[ImageItem]:
    rows = table.to_pylist()
    return [ImageItem(**row | {"box": None if row["box"] is None else tuple(row["box"])}) for row in rows]


def _sent(embedder: Embedder) -> Shared[Embedder]:
    """Put the embedder into Ray's object store."""
    try:
        return share(embedder.to("cpu"))
    except InvalidInputError as error:
        raise InvalidInputError(
            f"{error} Save its model to a file that every machine has, and pass the path."
        ) from error
