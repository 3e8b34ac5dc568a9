"""From gesture to painted result in a real JupyterLab, beside jupyter-scatter and FiftyOne's plots in the same run.

    python -m tests.benchmarks.explorer --counts 10000 100000 --gestures 50 --out out/bench/explorer.md

Figures of one run compare with each other; a busy machine makes all of them longer.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

from tests.benchmarks.explorer import kernel
from tests.benchmarks.explorer.browser import Bench, Timing


def main() -> None:
    """Run it and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--gestures", type=int, default=50)
    parser.add_argument("--peers", nargs="*", default=["jupyter-scatter", "fiftyone"])
    parser.add_argument("--out", type=Path, default=Path("out/bench/explorer.md"))
    given = parser.parse_args()
    lines = [f"Load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs.", ""]
    lines += ["| points | what | tool | median ms | p95 ms | n |", "| --- | --- | --- | --- | --- | --- |"]
    with Bench() as bench:
        for count in given.counts:
            for timing in bench.measure(count, given.gestures, given.peers):
                lines.append(_line(count, timing))
                print(lines[-1], flush=True)
    lines += [
        "",
        "| points | select CPU ms | p95 | colour CPU ms | explorer CPU ms | bytes/point | MiB over 500 cycles |",
    ]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for count in given.counts:
        figures = kernel.measure(_fakes(), count)
        lines.append(f"| {count:,} | " + " | ".join(f"{value:.1f}" for value in figures.values()) + " |")
        print(lines[-1], flush=True)
    lines += ["", f"Load average at the end: {os.getloadavg()[0]:.1f}."]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(count: int, timing: Timing) -> str:
    return f"| {count:,} | {timing.what} | {timing.tool} | {timing.median:.0f} | {timing.p95:.0f} | {timing.number} |"


def _fakes() -> object:
    spec = importlib.util.spec_from_file_location("fakes", Path(__file__).parents[2] / "widgets" / "fakes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


main()
