"""The map of a dataset's vectors, made once and kept; and a first one, at once, while UMAP's comes to the explorer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import StateError
from slicelab.store import Vectors

if TYPE_CHECKING:
    from slicelab.widgets import Explorer

log = logging.getLogger("slicelab")

_MAP = "map of "
_MADE_BY = "umap 2"  # changes where the same vectors would get another map
_WORDS = "Laying out the map"

FloatMatrix = npt.NDArray[np.float32]
OnStep = Callable[[pd.DataFrame, float], None]


class Maps:
    """The maps of one dataset.

    Parameters
    ----------
    vectors
        The dataset's.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._making = threading.RLock()  # who comes second finds what the first one kept

    def is_kept(self, name: str, *, random_state: int = 0) -> bool:
        """Tell whether the map is there."""
        return self._vectors.identity(_MAP + name) == self._identity(name, random_state)

    def kept(self, name: str, *, random_state: int = 0) -> pd.DataFrame | None:
        """Return the map if it is there: DataFrame, index `unit`, columns x and y."""
        return _frame(*self._vectors.load(_MAP + name)) if self.is_kept(name, random_state=random_state) else None

    def make(
        self, name: str, *, random_state: int = 0, on_step: OnStep | None = None, progress: bool = False
    ) -> pd.DataFrame:
        """Return the map, made and kept if it isn't there; `on_step` gets it as it is by then, and how much is done."""
        from slicelab.discovery import project

        with self._making:
            found = self.kept(name, random_state=random_state)
            if found is not None:
                return found
            identity = self._identity(name, random_state)
            units, vectors = self._vectors.load(name)

            def told(points: FloatMatrix, epoch: int, n_epochs: int) -> None:
                if on_step is not None:
                    on_step(_frame(units, points), epoch / n_epochs)

            points = project(vectors, random_state=random_state, on_epoch=told, progress=progress)
            self._vectors.save(_MAP + name, units, points, identity=identity)
            return _frame(units, points)

    def first(self, name: str) -> pd.DataFrame:
        """Return the principal components, which are there at once; they are not kept."""
        from slicelab.discovery import first_map

        units, vectors = self._vectors.load(name)
        return _frame(units, first_map(vectors))

    def _identity(self, name: str, random_state: int) -> str:
        return f"{self._vectors.identity(name)} {_MADE_BY} seed {random_state}"


class Arrival:
    """Makes the map on a thread, and moves an explorer's units step by step to where it has them.

    The explorer is touched from the loop alone. Closing it ends the work at the next step, as its "Cancel" does.

    Parameters
    ----------
    maps, name
        Which map.
    explorer
        What shows it.
    units
        (n,) The explorer's units.
    loop
        The loop that the notebook's cells run in.
    """

    def __init__(
        self, maps: Maps, name: str, explorer: Explorer, units: pd.Index, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._maps, self._name, self._explorer, self._units, self._loop = maps, name, explorer, units, loop
        self._stopped = threading.Event()
        self._latest: FloatMatrix | None = None
        self.thread = threading.Thread(target=self._work, name="slicelab map", daemon=True)

    def start(self) -> None:
        """Begin, and return at once."""
        self._explorer.notice.begin(_WORDS, cancel=self.stop)
        self.thread.start()

    def stop(self) -> None:
        """End it at the next step; the explorer keeps the map that it has."""
        self._stopped.set()

    def _work(self) -> None:
        try:
            points = self._maps.make(self._name, on_step=self._step)
        except _StoppedError:
            self._soon(self._end)
        except Exception as error:
            log.exception("The map could not be made.")
            self._soon(self._fail, error)
        else:
            self._latest = self._placed(points)
            self._soon(self._arrive)

    def _step(self, points: pd.DataFrame, share: float) -> None:
        if self._stopped.is_set() or self._explorer.comm is None:
            raise _StoppedError
        self._latest = self._placed(points)
        self._soon(self._show, share)

    def _placed(self, points: pd.DataFrame) -> FloatMatrix:
        """Return the places of the explorer's units; those that have no vector any more have none."""
        return points.reindex(self._units).to_numpy(np.float32)

    def _soon(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._guarded, act, *arguments)
        except RuntimeError:  # the loop is closed: nobody looks any more
            self._stopped.set()

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        if self._explorer.comm is None:
            return
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001 (the loop's edge)
            self._stopped.set()
            self._fail(error)

    def _show(self, share: float) -> None:
        points, self._latest = self._latest, None
        if points is None or self._stopped.is_set():
            return  # a later step was shown already
        self._explorer.move(points)
        if self._explorer.notice.work == _WORDS:  # it may be telling of something else by now
            self._explorer.notice.tell(_WORDS, share)

    def _arrive(self) -> None:
        self._show(1.0)
        self._end()
        with suppress(StateError):  # it wasn't displayed
            self._explorer.freeze()

    def _fail(self, error: Exception) -> None:
        self._end()
        self._explorer.notice.error(error)

    def _end(self) -> None:
        if self._stopped.is_set() or self._explorer.notice.work == _WORDS:
            self._explorer.notice.end()


class _StoppedError(Exception):
    """Nobody waits for the map any more."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that the running cell is in; None where there is none, as in a script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def warm_up() -> threading.Thread:
    """Import and compile on a thread what the first map needs, while the notebook goes on."""

    def work() -> None:
        from slicelab.discovery import project

        project(np.random.default_rng(0).normal(size=(24, 3)))  # every step of it once

    thread = threading.Thread(target=work, name="slicelab warm-up", daemon=True)
    thread.start()
    return thread


def _frame(units: Sequence[str], points: FloatMatrix) -> pd.DataFrame:
    return pd.DataFrame(points, index=pd.Index(units, name="unit"), columns=["x", "y"])
