"""A SliceLab folder of the test's own, and a mongod in it that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slicelab.store import _connection, _watch

GRACE = 1.0


def _make_home(patch: pytest.MonkeyPatch) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    for name in ("FIFTYONE_DATABASE_URI", "FIFTYONE_DATABASE_NAME", "SLICELAB_OWN_URI", "SLICELAB_MONGOD"):
        patch.delenv(name, raising=False)
    patch.setenv("SLICELAB_HOME", str(folder))
    patch.setenv("SLICELAB_WATCH_GRACE", str(GRACE))
    patch.setenv("SLICELAB_CACHE_GB", "0.25")
    patch.setenv("FIFTYONE_CONFIG_PATH", str(folder / "no-config.json"))
    return folder


def _remove_home(folder: Path) -> None:
    for key, connection in list(_connection._connections.items()):
        if connection.home == folder:
            connection.close()
            del _connection._connections[key]
    with _watch.server_lock(folder):
        assert _watch.stop(folder)
    while not _watch.is_free(folder / "watch.lock"):
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """SLICELAB_HOME: an empty folder, with no database running yet."""
    with pytest.MonkeyPatch.context() as patch:
        folder = _make_home(patch)
        yield folder
        _remove_home(folder)


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """SLICELAB_HOME for all tests of a file that asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = _make_home(patch)
        yield folder
        _remove_home(folder)


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes that run the given code (`sys.argv[1:]` are the further arguments)."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, cwd=tmp_path, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Probe:
    """Looks at a folder's mongod from outside, and kills it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def pid(self) -> int | None:
        """Return the pid of the mongod that runs there, None when there is none."""
        with _watch.server_lock(self.home):
            return _watch.mongod_pid(self.home)

    def kill(self) -> int:
        """`kill -9` the mongod; return the pid it had."""
        pid = self.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_gone_within(self, seconds: float) -> bool:
        """Wait for the mongod to be gone; tell whether it is."""
        end = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


@pytest.fixture
def probe(home: Path) -> Probe:
    """A look from outside at the mongod of `home`."""
    return Probe(home)
