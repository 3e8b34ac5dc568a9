"""Ray Data deals tasks to the workers of a cluster: the only file that knows Ray.

A task is an Arrow table, and what a worker makes of it is a file. Workers hold nothing but what they were made with, so
one that dies costs the task that it had in hand, and a driver that is started again goes on.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from slicelab import core
from slicelab.core import InvalidInputError, MissingExtraError, SliceLabError, StateError

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("slicelab")

T = TypeVar("T")

RETRIES = 3
"""How often a task is tried again after the worker that had it in hand died."""
_MOST_CPUS = 8  # per worker with a GPU: more threads than these read no faster than one GPU computes
_STARTS = 3  # Ray gives its first process 30 seconds, which on a busy machine may not do
_KEPT = "What was finished is kept; the next run goes on."
_NOT_HERE = "Ray isn't installed. Run: pip install 'slicelab[ray]'"


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A value in Ray's object store, which each worker fetches when it first needs it."""

    reference: Any

    def get(self) -> T:
        """Return the value."""
        import ray

        value: T = ray.get(self.reference)
        return value


def share(value: T) -> Shared[T]:
    """Put a value into the object store of the cluster to which this process is connected.

    Raises
    ------
    InvalidInputError
        It can't be pickled.
    """
    import ray

    try:
        return Shared(ray.put(value))
    except (TypeError, AttributeError, RuntimeError, ValueError, pickle.PicklingError) as error:
        raise InvalidInputError(f"This can't be sent to workers: {str(error).splitlines()[0]}") from error


def deal(
    tasks: Sequence[pa.Table],
    make: Callable[[int], Callable[[pa.Table], str]],
    *,
    device: str = "cpu",
    workers: int | None = None,
    what: str,
    unit: str,
    progress: bool = True,
) -> Iterator[str]:
    """Let the workers of the cluster do tasks; yield what each gave back, as they are finished.

    Parameters
    ----------
    tasks
        Of one schema each, not empty; their rows are what the bar counts.
    make
        Called once on each worker with the number of its processors, for the function that does a task and returns a
        text. It is pickled.
    device
        "auto" or "cuda...": a GPU for each worker, where the cluster has any.
    workers
        How many at most; None: as many as the cluster has GPUs, else CPUs.
    what, unit
        Words of the bar.

    Raises
    ------
    SliceLabError
        What a worker raised, of the same class (`StateError` where it was no error of SliceLab's).
    StateError
        A worker died more than `RETRIES` times over the same task.
    """
    import ray
    from tqdm.auto import tqdm

    most, resources = _shares(device)
    blocks = ray.data.from_arrow(list(tasks))
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=max(1, min(workers or most, len(tasks))), max_tasks_in_flight_per_actor=2
    )
    with warnings.catch_warnings():
        # Ray Data would try again for ever; what bounds that goes with Ray 2.64, which pyproject.toml shuts out.
        warnings.simplefilter("ignore", DeprecationWarning)
        done = blocks.map_batches(
            _Worker,
            fn_constructor_args=(make, int(resources["num_cpus"])),
            batch_size=None,
            batch_format="pyarrow",
            compute=pool,
            max_restarts=-1,
            max_task_retries=RETRIES,
            **resources,
        )
    done.context.enable_progress_bars = False
    done.context.print_on_execution_start = False
    try:
        with tqdm(total=sum(map(len, tasks)), desc=what, unit=unit, disable=not progress) as bar:
            for row in done.iter_rows():
                if row["error"] is not None:
                    raise getattr(core, row["error"], StateError)(f"A worker failed: {row['problem']} {_KEPT}")
                yield str(row["answer"])
                bar.update(row["rows"])
    except ray.exceptions.RayError as error:
        words = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise StateError(f"The workers failed: {words[0]} {_KEPT}") from error


class _Worker:
    """One process of the cluster."""

    def __init__(self, make: Callable[[int], Callable[[pa.Table], str]], threads: int) -> None:
        self._make = make
        self._threads = threads

    @cached_property
    def _work(self) -> Callable[[pa.Table], str]:
        return self._make(self._threads)

    def __call__(self, task: pa.Table) -> pa.Table:
        """Do a task; return the answer, the number of its rows, and what went wrong with the error's class."""
        import pyarrow as pa

        answer, problem, name = "", None, None
        try:
            answer = self._work(task)
        except Exception as error:  # Ray Data wouldn't bring its words to the driver
            logger.exception("A task failed.")
            ours = isinstance(error, SliceLabError)
            problem = str(error) if ours else f"{type(error).__name__}: {error}."
            name = type(error).__name__ if ours else StateError.__name__
        row = {"answer": answer, "rows": len(task), "problem": problem, "error": name}
        schema = [("answer", pa.string()), ("rows", pa.int64()), ("problem", pa.string()), ("error", pa.string())]
        return pa.Table.from_pylist([row], pa.schema(schema))


def _shares(device: str) -> tuple[int, dict[str, float]]:
    """Return how many workers the cluster holds, and what each of them takes of it."""
    import ray

    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
    if gpus and (device == "auto" or device.startswith("cuda")):
        return gpus, {"num_gpus": 1, "num_cpus": max(1, min(_MOST_CPUS, cpus // gpus))}
    return max(1, cpus), {"num_cpus": 1}


def require_ray() -> Any:
    """Return Ray, or raise `MissingExtraError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(_NOT_HERE) from error
    return ray


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Be connected to a cluster inside the block; what was connected before stays.

    Parameters
    ----------
    address
        None: a cluster of this machine alone, which ends with the block; "auto", "host:port" or "ray://host:port":
        that one. Where the process is connected already, that connection is used.

    Raises
    ------
    InvalidInputError
        That is no address.
    MissingExtraError
        Ray isn't installed.
    StateError
        No cluster answers there, or this process is connected to another.
    """
    ray = require_ray()
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
