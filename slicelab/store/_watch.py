"""What every process that shares a mongod agrees on, and the watch that outlives them.

The watch stops mongod when no process uses it any more, even when all were killed, and starts it again when it was
killed under them. It runs this file alone, with the standard library only, so that it stays small.

Locks (`flock`, freed by the kernel when a process dies, however it dies):

- server.lock: held while mongod is started, stopped or looked for.
- clients.lock: shared by every process that uses mongod.
- watch.lock: held by the watch; there is one.
- db/mongod.lock: held by mongod itself, which writes its pid into it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOP_SECONDS = 60
START_SECONDS = 600


_held: set[int] = set()
"""Descriptors of the locks that this process holds: a forked child closes its copies, it holds none of them."""


def take(path: Path, mode: int) -> int | None:
    """Lock a file (`fcntl.LOCK_SH` or `LOCK_EX`) without waiting; return its descriptor, None if others hold it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    _held.add(descriptor)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except OSError as error:
        drop(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def drop(descriptor: int) -> None:
    """Give a lock back."""
    _held.discard(descriptor)
    os.close(descriptor)


def _drop_all() -> None:
    for descriptor in list(_held):
        drop(descriptor)


os.register_at_fork(after_in_child=_drop_all)


def is_free(path: Path) -> bool:
    """Tell whether nobody holds a lock on the file."""
    descriptor = take(path, fcntl.LOCK_EX)
    if descriptor is not None:
        drop(descriptor)
    return descriptor is not None


@contextmanager
def server_lock(home: Path, *, waiting: Callable[[float], None] = lambda seconds: None) -> Iterator[None]:
    """Hold the lock under which mongod is started, stopped or looked for."""
    began = time.monotonic()
    while (descriptor := take(home / "server.lock", fcntl.LOCK_EX)) is None:
        waiting(time.monotonic() - began)
        time.sleep(0.02)
    try:
        yield
    finally:
        drop(descriptor)


def mongod_pid(home: Path) -> int | None:
    """Return the pid of the mongod that has the database open, None when there is none. Call with the server lock."""
    path = home / "db" / "mongod.lock"
    if not path.exists() or is_free(path):
        return None
    text = path.read_text(encoding="utf-8").strip()
    return int(text) if text.isdigit() else 0


def launch(home: Path, state: dict[str, Any], *, waiting: Callable[[float], None] = lambda seconds: None) -> str:
    """Start mongod and note it in server.json; return '' or what went wrong. Call with the server lock.

    Parameters
    ----------
    state
        `command` (list of str; it must hold `--fork`, which returns when mongod listens) and `port`.
    waiting
        Is called about each 50 ms with the seconds waited so far.
    """
    began = time.monotonic()
    _note(home, {**state, "pid": None})  # should we be killed here, the watch knows that there is something to stop
    with subprocess.Popen(
        state["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=home
    ) as process:
        while process.poll() is None:
            waiting(time.monotonic() - began)
            if time.monotonic() - began > START_SECONDS:
                process.kill()
                return f"it didn't listen within {START_SECONDS} s"
            time.sleep(0.02)
        said = process.stdout.read().decode(errors="replace").strip() if process.stdout else ""
    if process.returncode:
        return f"exit {process.returncode}: {said[-400:]}"
    _note(home, {**state, "pid": mongod_pid(home)})
    return ""


def _note(home: Path, state: dict[str, Any]) -> None:
    temporary = home / ".server.json"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(home / "server.json")


def stop(home: Path) -> bool:
    """Stop mongod cleanly; tell whether none runs any more. Call with the server lock."""
    (home / "server.json").unlink(missing_ok=True)
    pid = mongod_pid(home)
    if pid is None:
        return True
    try:
        if pid:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return mongod_pid(home) is None
    began = time.monotonic()
    while mongod_pid(home) is not None:
        if time.monotonic() - began > STOP_SECONDS:
            return False
        time.sleep(0.02)
    return True


def watch(home: Path, *, grace: float, tick: float = 0.25) -> None:
    """Look after mongod until nobody has used it for `grace` seconds."""
    mine = take(home / "watch.lock", fcntl.LOCK_EX)
    if mine is None:
        return
    used, retry_at, pause = time.monotonic(), 0.0, 1.0
    while home.is_dir():
        time.sleep(tick)
        now = time.monotonic()
        held = take(home / "server.lock", fcntl.LOCK_EX)
        if held is None:  # somebody starts, stops or looks
            used = now
            continue
        try:
            if not is_free(home / "clients.lock"):
                used = now
                if now >= retry_at:
                    revived = _revive(home)
                    pause = 1.0 if revived else min(pause * 2, 60.0)
                    retry_at = now if revived else now + pause
            elif now - used >= grace or not (home / "server.json").exists():
                stop(home)
                drop(mine)
                return
        finally:
            drop(held)


def _revive(home: Path) -> bool:
    """Start mongod again when it died under its users."""
    path = home / "server.json"
    if not path.exists() or mongod_pid(home) is not None:
        return True
    return launch(home, json.loads(path.read_text(encoding="utf-8"))) == ""


def _main() -> None:
    """Leave the terminal and the parent, then watch: `python -I -S _watch.py <home> <grace seconds>`."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    watch(Path(sys.argv[1]), grace=float(sys.argv[2]))


if __name__ == "__main__":
    _main()
