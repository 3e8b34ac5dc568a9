"""Long work in a process of its own: the kernel stays free, and the work can be watched and stopped at any moment."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

from slicelab.core import StateError

Step = Callable[[], tuple[Callable[..., Any], dict[str, Any]]]
"""Gives a function of a module and its keywords; called in the kernel when the step before is done."""


class Apart:
    """Steps that are worked off one after the other; see `slicelab.core.Work`.

    Parameters
    ----------
    steps
        What to do. They only read: what is stopped halfway has changed nothing.
    keep
        Takes what the last step returned, in the kernel; what it returns is the result.
    """

    def __init__(self, *steps: Step, keep: Callable[[Any], Any]) -> None:
        self._steps, self._keep = steps, keep
        self._cancelled = threading.Event()
        context = multiprocessing.get_context("spawn")  # a fork of a kernel inherits its locks and sockets
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._theirs: Any = theirs

    def start(
        self,
        *,
        tell: Callable[[str, float | None], None],
        done: Callable[[Any], None],
        failed: Callable[[Exception | None], None],
    ) -> None:
        """Begin, and return at once."""
        threading.Thread(target=self._run, args=(tell, done, failed), daemon=True).start()

    def cancel(self) -> None:
        """Stop it; `failed` hears of it."""
        self._cancelled.set()
        if self._process.is_alive():
            self._process.terminate()

    def _run(self, tell: Any, done: Any, failed: Any) -> None:
        try:
            result = self._keep(self._work(tell))
        except Exception as error:  # noqa: BLE001 (a thread's edge: who began it shows it)
            failed(None if self._cancelled.is_set() else error)
        else:
            done(result)

    def _work(self, tell: Callable[[str, float | None], None]) -> Any:
        result = None
        try:
            self._process.start()
            self._theirs.close()
            for step in self._steps:
                function, arguments = step()
                self._pipe.send((function, arguments))
                result = self._receive(tell)
                if self._cancelled.is_set():
                    raise StateError("It was stopped.")
        except (EOFError, OSError) as error:
            words = "The process that did the work has ended, maybe for lack of memory. Nothing was changed."
            raise StateError(words) from error
        finally:  # before anybody hears of the end: then no process is left, and only this thread waits for it
            if self._process.pid is not None:
                self._process.terminate()
                self._process.join(10)
        return result

    def _receive(self, tell: Callable[[str, float | None], None]) -> Any:
        while True:
            if self._cancelled.is_set():
                raise StateError("It was stopped.")
            if not self._pipe.poll(0.2):
                continue
            kind, *values = self._pipe.recv()
            if kind == "progress":
                tell(*values)
            elif kind == "failed":
                raise values[0]
            else:
                return values[0]


def _serve(pipe: Any) -> None:
    """Work off what comes through the pipe, in the process of its own."""
    import tqdm.auto
    import tqdm.std

    os.environ.pop("TQDM_DISABLE", None)

    base: Any = tqdm.std.tqdm

    class Bar(base):  # type: ignore[misc]
        """Speaks through the pipe instead of writing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            with open(os.devnull, "w") as nowhere:
                super().__init__(*args, **{**kwargs, "disable": False, "file": nowhere, "mininterval": 0.2})

        def display(self, *_args: Any, **_kwargs: Any) -> bool:
            share = self.n / self.total if self.total else None
            pipe.send(("progress", str(self.desc or "").removesuffix(": "), share))
            return True

        def close(self) -> None:
            self.disable = True

    tqdm.auto.tqdm = Bar  # in this process nobody looks at bars
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", function(**arguments)))
        except Exception as error:  # noqa: BLE001 (it is raised again in the kernel)
            pipe.send(("failed", error))
