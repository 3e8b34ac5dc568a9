"""Which processes live: a pid alone is not enough, the system uses them again."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A process of this machine: its pid and when it started (seconds since the epoch)."""

    pid: int
    started: float


def this_process() -> Process:
    """Return the running process."""
    import psutil

    return Process(os.getpid(), psutil.Process().create_time())


def is_alive(process: Process) -> bool:
    """Tell whether that very process still runs."""
    import psutil

    try:
        found = psutil.Process(process.pid)
        return abs(found.create_time() - process.started) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


running: set[str] = set()
"""Names of the builds and additions of this process that haven't ended."""


def is_at_work(owner: Process, name: str) -> bool:
    """Tell whether a build or an addition goes on; one of this process may have ended by an error."""
    return name in running if owner.pid == this_process().pid and is_alive(owner) else is_alive(owner)


def signature() -> list[float]:
    """Return the running process as a record keeps it."""
    me = this_process()
    return [me.pid, me.started]
