"""Measure a journey beside its peers and write a table.

    python -m tests.benchmarks.performance projection --rounds 5 --out out/bench/projection.md

A journey is a module of this package with `run(rounds) -> str`, the table. Ratios of one run compare; figures of
different runs don't.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from tests.benchmarks.performance.measure import machine

JOURNEYS = ("projection", "data-path", "journey", "scale", "embedding", "ray")


def main() -> None:
    """Run it and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journey", choices=JOURNEYS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out: Path = given.out or Path(f"out/bench/{given.journey}.md")
    before = machine()
    module = given.journey.replace("-", "_")
    text = importlib.import_module(f"tests.benchmarks.performance.{module}").run(given.rounds)
    text = f"Before: {before}\n\n{text}\n\nAfter: {machine()}\n"
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")


main()
