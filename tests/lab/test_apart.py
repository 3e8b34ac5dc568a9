"""Long work beside the notebook: what it gives, how it is stopped, and what happens when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from slicelab.core import InvalidInputError, StateError
from slicelab.lab._apart import Apart

ENDLESS = (subprocess.run, {"args": ["sleep", "30"]})


class Heard:
    """What work tells, and a way to wait for its end."""

    def __init__(self) -> None:
        self.told, self.result, self.error = [], None, "none"
        self._end = threading.Event()

    def start(self, work) -> None:
        work.start(tell=lambda *told: self.told.append(told), done=self._done, failed=self._failed)

    def wait(self) -> None:
        assert self._end.wait(120)

    def _done(self, result) -> None:
        self.result = result
        self._end.set()

    def _failed(self, error) -> None:
        self.error = error
        self._end.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_steps_follow_each_other(heard) -> None:
    """Each step is asked for when the one before is done; the last one's result is kept."""
    order = []

    def step(name):
        def give():
            order.append(name)
            return dict, {"name": name}

        return give

    heard.start(Apart(step("first"), step("second"), keep=lambda found: found["name"].upper()))
    heard.wait()
    assert (order, heard.result, heard.error) == (["first", "second"], "SECOND", "none")


def test_an_error_of_the_work_is_its_callers(heard) -> None:
    """What the work raises is raised here, as what it is."""
    from slicelab.discovery import discover

    heard.start(Apart(lambda: (discover, {"embeddings": [[1.0]], "failures": [1, 2]}), keep=lambda found: found))
    heard.wait()
    assert isinstance(heard.error, InvalidInputError)
    assert "failures" in str(heard.error)


def test_stopped_at_any_moment(heard) -> None:
    """A stop ends the process at once, in the middle of whatever it does; one before the start does nothing at all."""
    work = Apart(lambda: ENDLESS, keep=lambda found: found)
    work.cancel()
    heard.start(work)
    heard.wait()
    assert (heard.error, heard.result) == (None, None)
    again = Heard()
    work = Apart(lambda: ENDLESS, keep=lambda found: found)
    again.start(work)
    _until_alive(work)
    work.cancel()
    again.wait()
    assert again.error is None
    assert not work._process.is_alive()


def test_a_killed_process_is_an_error_in_words(heard) -> None:
    """Where the system kills the process, as for lack of memory, that is said."""
    work = Apart(lambda: ENDLESS, keep=lambda found: found)
    heard.start(work)
    _until_alive(work)
    os.kill(work._process.pid, signal.SIGKILL)
    heard.wait()
    assert isinstance(heard.error, StateError)
    assert "has ended" in str(heard.error)


@pytest.mark.mongo
def test_discovery_apart_is_discovery(parts, heard) -> None:
    """The search beside the notebook finds what `discover` finds, tells how far it is, and is kept."""
    heard.start(parts.discovery("v3"))
    heard.wait()
    assert heard.error == "none"
    assert any(share is not None for _, share in heard.told)
    assert "classes" in {words for words, _ in heard.told}
    assert parts._found["v3"] is heard.result
    same = parts.discover("v3", progress=False)
    assert [c.unit_ids for c in heard.result] == [c.unit_ids for c in same]
    assert len(same) > 0
    assert parts.promote_slice(heard.result[0], name="found apart").members


def _until_alive(work) -> None:
    end = time.monotonic() + 60
    while not work._process.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
