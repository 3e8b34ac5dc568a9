"""Runs sides in fresh processes, in turn, and tells what each of their steps cost.

A side is a command. What it runs notes its steps and writes them as its last line:

    steps = Steps()
    work()
    steps.mark("first map")            # all since the process began
    with steps.timed("second map"):    # this block alone
        work()
    steps.write()

The other end, where `python` makes the command of a function in this package:

    result = compare({"ours": python("projection:ours", 10_000), "peer": python("projection:peer", 10_000)}, rounds=5)
    print(result.table(against="peer"))

CPU seconds are user and system time of the process and of all that it began, mongod and other helpers that outlive it
included: on a shared machine only they can be compared. Wall seconds depend on who else is there.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[3]
PACKAGE = __package__ or "tests.benchmarks.performance"
_MARK = "SLICELAB_BENCH_RUN"
"""Every process of a run inherits this variable: helpers that were handed to init are found by it."""


def homes(folder: str) -> dict[str, str]:
    """Return the variables that give each side a database of its own in this folder, and one BLAS thread."""
    return {
        "OMP_NUM_THREADS": "1",  # threads that wait for each other burn CPU seconds on a busy machine
        "SLICELAB_HOME": f"{folder}/slicelab",
        "FIFTYONE_DATABASE_DIR": f"{folder}/fiftyone",
        "FIFTYONE_DO_NOT_TRACK": "1",
    }


class PeerMissingError(RuntimeError):
    """A side could not run: its library isn't installed, or it failed."""


def python(function: str, *arguments: object) -> list[str]:
    """Return the command that calls "module:function" of this package with JSON values, in a process of its own."""
    return [sys.executable, "-m", f"{PACKAGE}.measure", function, json.dumps(arguments)]


class Steps:
    """What a side notes of itself, in its own process."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[str, float]] = {}
        self._values: dict[str, object] = {}
        self._began = _began()
        self._peaks = _Peaks()

    def mark(self, name: str) -> None:
        """Note all the CPU and wall seconds since the process began."""
        self._steps[name] = {
            "cpu": _cpu(),
            "wall": time.clock_gettime(time.CLOCK_BOOTTIME) - self._began,
            "peak": self._peaks.highest(),
        }

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the CPU and wall seconds of what is done inside, and the highest memory of the process until then."""
        cpu, wall = _cpu(), time.perf_counter()
        yield
        took = {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall}
        self._steps[name] = took | {"peak": self._peaks.highest()}

    def value(self, name: str, value: object) -> None:
        """Note a figure that isn't a time (a JSON value)."""
        self._values[name] = value

    def write(self) -> None:
        """Write all that was noted as a line of JSON."""
        print(json.dumps({"steps": self._steps, "values": self._values}), flush=True)


class _Peaks:
    """The highest memory of the process and its helpers together (MiB): resident, less what processes share."""

    def __init__(self) -> None:
        self._helpers = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def highest(self) -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + self._helpers

    def _watch(self) -> None:
        # Helpers are looked for seldom: looking costs CPU time, which would be charged to the side.
        while True:
            now = 0
            for process in _helpers():
                try:
                    memory = process.memory_info()
                except psutil.Error:
                    continue
                now += memory.rss - getattr(memory, "shared", 0)
            self._helpers = max(self._helpers, now / 2**20)
            time.sleep(2)


@dataclass(frozen=True)
class Figures:
    """One step of one side over the rounds: CPU and wall seconds, and the highest memory in MiB until it ended."""

    cpu: tuple[float, ...]
    wall: tuple[float, ...]
    peak: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """Steps by side and name, and per side what `Steps.value` noted in each round."""

    steps: Mapping[str, Mapping[str, Figures]]
    values: Mapping[str, tuple[dict[str, object], ...]]

    def ratio(self, side: str, against: str, step: str, peer_step: str | None = None) -> float:
        """Return how many times the median CPU seconds of `side` go into those of `against`."""
        peer = statistics.median(self.steps[against][peer_step or step].cpu)
        return peer / statistics.median(self.steps[side][step].cpu)

    def table(self, *, against: str | None = None, beside: Mapping[str, str] | None = None) -> str:
        """Return the figures as a markdown table.

        Parameters
        ----------
        against
            The side whose CPU seconds are divided by those of the others.
        beside
            By step of the others: the step of `against` that it stands beside, where their names differ.
        """
        lines = ["| step | side | CPU s, median (min to max) | wall s | peak MiB | CPU s: peer by own | n |"]
        lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
        for side, steps in self.steps.items():
            for step, figures in steps.items():
                ratio = self._ratio(side, step, against, (beside or {}).get(step, step))
                cells = [
                    step,
                    side,
                    spread(figures.cpu),
                    spread(figures.wall),
                    f"{statistics.median(figures.peak):.0f}",
                ]
                lines.append("| " + " | ".join([*cells, ratio, str(len(figures.cpu))]) + " |")
        return "\n".join(lines)

    def _ratio(self, side: str, step: str, against: str | None, peer_step: str) -> str:
        if against is None or side == against or peer_step not in self.steps[against]:
            return ""
        pairs = zip(self.steps[against][peer_step].cpu, self.steps[side][step].cpu, strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        return f"{self.ratio(side, against, step, peer_step):.3g} x ({min(ratios):.2g} to {max(ratios):.2g})"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write "median (min to max)"."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def compare(
    sides: Mapping[str, Sequence[str]],
    *,
    rounds: int = 5,
    warm: int = 0,
    environment: Mapping[str, str] | None = None,
    timeout: float = 1800,
) -> Comparison:
    """Run every side `rounds` times, in turn, each time in a fresh process.

    Parameters
    ----------
    sides
        Commands by name; see `python`.
    rounds, warm
        How often each is measured, and how often it runs before that without being measured.
    environment
        Variables that are set for all of them.
    timeout
        Wall seconds that one run may take.

    Raises
    ------
    PeerMissingError
        A side failed. Nothing is left out of a comparison in silence.
    """
    steps: dict[str, dict[str, list[dict[str, float]]]] = {side: {} for side in sides}
    values: dict[str, list[dict[str, object]]] = {side: [] for side in sides}
    for number in range(-warm, rounds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]  # who is first gets the warmer machine
        for side in order:
            print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
            noted = _run(side, sides[side], environment or {}, timeout)
            if number < 0:
                continue
            for step, took in noted["steps"].items():
                steps[side].setdefault(step, []).append(took)
            values[side].append(noted["values"])
    figures = {
        side: {
            step: Figures(*(tuple(took[kind] for took in all_took) for kind in ("cpu", "wall", "peak")))
            for step, all_took in by_step.items()
        }
        for side, by_step in steps.items()
    }
    return Comparison(figures, {side: tuple(noted) for side, noted in values.items()})


def machine() -> str:
    """Say on what this was measured."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} CPUs, load average {load}, Python {sys.version.split()[0]}."


def _run(side: str, command: Sequence[str], environment: Mapping[str, str], timeout: float) -> dict[str, dict]:
    run = uuid.uuid4().hex
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": paths, "TQDM_DISABLE": "1"} | environment | {_MARK: run},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=timeout,
            )
            lines = done.stdout.splitlines()
            if done.returncode == 0 and lines:
                return json.loads(lines[-1])
            errors.seek(0)
            raise PeerMissingError(f"{side} ended with {done.returncode}.\n{errors.read()[-3000:]}")
        finally:
            _end_helpers(run)


def _end_helpers(run: str) -> None:
    """Wait for the helpers of a side to end with it; end what doesn't: it would work beside the next one."""
    _, left = psutil.wait_procs(_marked(run), timeout=20)
    for process in left:
        process.terminate()
    _, left = psutil.wait_procs(left, timeout=20)
    for process in left:
        process.kill()


def _cpu() -> float:
    """CPU seconds of this process, of the children that it waited for, and of all that it began and that still runs."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for process in _helpers():
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and those of its own ended children
        except psutil.Error:
            continue
    return total


def _began() -> float:
    """Return when this process began, in seconds since the machine did."""
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _helpers() -> list[psutil.Process]:
    run = os.environ.get(_MARK)
    return [p for p in _marked(run) if p.pid != os.getpid()] if run else psutil.Process().children(recursive=True)


def _marked(run: str) -> list[psutil.Process]:
    mark, found = f"{_MARK}={run}".encode(), []
    for pid in psutil.pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if mark in variables:
            found.append(psutil.Process(pid))
    return found


def _call() -> None:
    import importlib

    module, function = sys.argv[1].split(":")
    getattr(importlib.import_module(f"{PACKAGE}.{module}"), function)(*json.loads(sys.argv[2]))


if __name__ == "__main__":
    _call()
