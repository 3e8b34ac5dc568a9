"""Many machines: Ray Data deals partitions of pictures to workers, each of which writes its vectors to a file.

Workers hold nothing but the embedder. A partition whose file is there is done: a worker that dies costs the one that it
had in hand, and a driver that is started again goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab.core import InvalidInputError, MissingExtraError, SliceLabError, SourceError, StateError
from slicelab.embeddings._cache import VectorCache
from slicelab.embeddings._compute import Described, describe, placed
from slicelab.embeddings._decode import by_file
from slicelab.embeddings._embed import EmbedResult, check_request, gathered
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._item import ImageItem
from slicelab.embeddings._media import Media
from slicelab.embeddings._partitions import Partitions

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("slicelab")

RETRIES = 3
"""How often a partition is tried again after the worker that had it in hand died."""
_MOST_CPUS = 8  # per worker with a GPU: more threads than these read no faster than one GPU computes
_STARTS = 3  # Ray gives its first process 30 seconds, which on a busy machine may not do
_KEPT = "What was finished is kept; the next run goes on."
_NOT_HERE = "Ray isn't installed. Run: pip install 'slicelab[ray]'"


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
    _import_ray()
    Media(media)
    identity, keys = embedder.identity, [item.key for item in items]
    partitions = Partitions(output, identity)
    known = cache.find(identity, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    before, new = Described(), Described()
    if missing:
        wanted = {item.key for item in missing}
        for name in partitions.names():
            before.update(partitions.read(name, wanted=wanted) or Described())
    job = _Job(make, str(output), identity, dict(media or {}), batch_size, device)
    tasks = _cut(missing, before, partition_size)
    try:
        if tasks:
            partitions.check_writable()
            with _cluster(address):
                for name in job.run(tasks, embedder, workers=workers, progress=progress):
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
            f"A worker wrote a partition to {partitions.output!r}, but it isn't there for this process. "
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
    """What a worker needs to know beside the embedder."""

    make: Callable[[], Embedder] | None
    output: str
    identity: str
    media: dict[str, str]
    batch_size: int
    device: str

    def run(
        self, tasks: Sequence[list[ImageItem]], embedder: Embedder, *, workers: int | None, progress: bool
    ) -> Iterator[str]:
        """Yield the names of partitions as they are finished."""
        import ray
        from tqdm.auto import tqdm

        most, resources = _shares(self.device)
        sent = None if self.make is not None else _sent(embedder)
        blocks = ray.data.from_arrow([_table(task) for task in tasks])
        pool = ray.data.ActorPoolStrategy(
            min_size=1, max_size=max(1, min(workers or most, len(tasks))), max_tasks_in_flight_per_actor=2
        )
        with warnings.catch_warnings():
            # Ray Data would try again for ever; what bounds that goes with Ray 2.64, which pyproject.toml shuts out.
            warnings.simplefilter("ignore", DeprecationWarning)
            done = blocks.map_batches(
                _Worker,
                fn_constructor_args=(self, sent, embedder.dim, int(resources["num_cpus"])),
                batch_size=None,
                batch_format="pyarrow",
                compute=pool,
                max_restarts=-1,
                max_task_retries=RETRIES,
                **resources,
            )
        done.context.enable_progress_bars = False
        done.context.print_on_execution_start = False
        total = sum(map(len, tasks))
        try:
            with tqdm(total=total, desc="Embedding", unit="image", disable=not progress) as bar:
                for row in done.iter_rows():
                    if row["problem"] is not None:
                        raise StateError(f"A worker failed: {row['problem']} {_KEPT}")
                    yield str(row["name"])
                    bar.update(row["pictures"])
        except ray.exceptions.RayError as error:
            words = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise StateError(f"The workers failed: {words[0]} {_KEPT}") from error


class _Worker:
    """One process of the cluster: describes a partition and writes its file, unless it is there."""

    def __init__(self, job: _Job, sent: Any, dim: int, threads: int) -> None:
        self._job = job
        self._sent = sent
        self._dim = dim
        self._threads = threads
        self._partitions = Partitions(job.output, job.identity)
        self._media = Media(job.media)

    @cached_property
    def _embedder(self) -> Embedder:
        import ray

        embedder: Embedder = ray.get(self._sent) if self._job.make is None else self._job.make()
        if embedder.identity != self._job.identity:
            raise StateError(
                f"A worker's embedder is {embedder.identity}, wanted is {self._job.identity}: the weights or the code "
                f"on {socket.gethostname()} differ. Bring them to the same state on every machine."
            )
        return placed(embedder, self._job.device)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Take the pictures of one partition; return its name, their number, and what went wrong (None: nothing)."""
        import pyarrow as pa

        items = _items(table)
        name, problem = self._partitions.name([item.key for item in items]), None
        try:
            self._describe(name, items)
        except Exception as error:  # Ray Data wouldn't bring its words to the driver
            logger.exception("The partition %s failed.", name)
            problem = str(error) if isinstance(error, SliceLabError) else f"{type(error).__name__}: {error}."
        return pa.table({"name": [name], "pictures": [len(items)], "problem": pa.array([problem], pa.string())})

    def _describe(self, name: str, items: list[ImageItem]) -> None:
        there = self._partitions.read(name)
        if there is not None and not there.broken:
            return
        described = Described()
        describe(
            items,
            self._embedder,
            into=described,
            read=self._media.read,
            batch_size=self._job.batch_size,
            workers=max(2, self._threads),
        )
        self._partitions.write(name, items, described, self._dim)


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


def _shares(device: str) -> tuple[int, dict[str, float]]:
    """Return how many workers the cluster holds, and what each of them takes of it."""
    import ray

    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
    if gpus and (device == "auto" or device.startswith("cuda")):
        return gpus, {"num_gpus": 1, "num_cpus": max(1, min(_MOST_CPUS, cpus // gpus))}
    return max(1, cpus), {"num_cpus": 1}


def _sent(embedder: Embedder) -> Any:
    """Put the embedder into Ray's object store."""
    import pickle

    import ray

    try:
        return ray.put(embedder.to("cpu"))
    except (TypeError, AttributeError, RuntimeError, ValueError, pickle.PicklingError) as error:
        raise InvalidInputError(
            f"This embedder can't be sent to workers: {str(error).splitlines()[0]} "
            "Save its model to a file that every machine has, and pass the path."
        ) from error


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(_NOT_HERE) from error
    return ray


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Be connected to a cluster inside the block; what was connected before stays."""
    ray = _import_ray()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong comes as an error of ours
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here) and not str(address).startswith("ray://"):
            raise StateError(
                f"This process is connected to the Ray cluster {here}; call ray.shutdown() to use {address}."
            )
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": logger.isEnabledFor(logging.DEBUG)}
    if address is None:
        quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}  # no other machine reaches it
    else:
        _check_answers(address)
    _connect(ray, address, quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None, options: Mapping[str, Any]) -> None:
    where = f"at {address!r}" if address else "on this machine"
    for left in range(0 if address else _STARTS - 1, -1, -1):
        try:
            ray.init(address=address or "local", **options)
        except Exception as error:  # when its processes don't start in time, Ray raises just this
            ray.shutdown()
            if not left:
                reason = str(error).strip() or type(error).__name__
                advice = "Look at its logs in /tmp/ray; a cluster that runs can be named by address=."
                raise StateError(f"No Ray cluster could be used {where}: {reason} {advice}") from error
        else:
            return


def _check_answers(address: str) -> None:
    """Raise `StateError` at once when nothing listens there: Ray itself would try for a minute."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not sign or not port.isdigit():
        raise InvalidInputError(f"The address must be 'auto', 'host:port' or 'ray://host:port'; got {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise StateError(
            f"No Ray cluster answers at {address!r}: {error}. Start one (`ray start --head`) or correct the address."
        ) from error
