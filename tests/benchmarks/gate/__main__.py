"""100 cases x 100,000 predictions, each in a fresh process: `python -m tests.benchmarks.gate`.

The peer is pandas, which only reads the prediction file; both run in turn, several times, and the medians count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from slicelab.core import BOX_COLUMNS, TEXT, Bar, SampleTable
from slicelab.gate import freeze_case, make_suite, save_suite

PEER = "import sys, pandas; print(len(pandas.read_csv(sys.argv[1])))"
GATE = "import sys; from slicelab.cli import main; sys.argv[0] = 'slicelab'; main()"
# The child tells its own peak, in kB, when it ends.
PEAK = (
    "import atexit, resource, sys; "
    "atexit.register(lambda: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)); "
)
FORBIDDEN = ("fiftyone", "pymongo", "torch", "umap", "plotly")


def make(folder: Path, *, n: int, n_cases: int, seed: int = 0) -> tuple[Path, Path]:
    """Write a suite of cases of n / n_cases members and predictions on n samples; 84 % are right."""
    random = np.random.default_rng(seed)
    classes = [f"class {i}" for i in range(10)]
    keys = [f"images/{i:06d}.png" for i in range(n)]
    labels = random.integers(10, size=n)
    said = np.where(random.random(n) < 0.84, labels, random.integers(10, size=n))
    samples = pd.DataFrame(
        {
            "filepath": keys,
            "sha256": [f"{i:064x}" for i in range(n)],
            "width": 32,
            "height": 32,
            "label": [classes[i] for i in labels],
        },
        index=pd.Index(keys, name="key", dtype=TEXT),
    )
    table = SampleTable("classification", samples, pd.DataFrame(columns=list(BOX_COLUMNS)), tuple(classes))
    cases = [
        freeze_case(
            f"case {i:03d}", suite="release", members=keys[i::n_cases], table=table, bar=Bar("accuracy", at_least=0.8)
        )
        for i in range(n_cases)
    ]
    suite = save_suite(make_suite("release", cases, table), folder / "release.json")
    predictions = folder / "v4.csv"
    frame = {"key": keys, "label": [classes[i] for i in said], "confidence": random.random(n).round(4)}
    pd.DataFrame(frame).to_csv(predictions, index=False)
    return suite, predictions


def run(code: str, *arguments: str) -> tuple[float, float, int]:
    """Return user + system seconds, peak MB and exit code of a fresh process.

    CPU seconds rather than wall: they don't depend on what else runs on the machine.
    """
    before = os.times()
    done = subprocess.run([sys.executable, "-c", PEAK + code, *arguments], capture_output=True, text=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    peaks = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("peak ")]
    if not peaks:
        raise SystemExit(done.stderr)
    return spent, int(peaks[-1]) / 1024, done.returncode


def imported(*arguments: str) -> set[str]:
    """Return the top-level modules that a gate run imports, by `-X importtime`."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", GATE, *arguments], capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite, predictions = make(Path(folder), n=chosen.predictions, n_cases=chosen.cases)
        gate = ("gate", str(suite), "--predictions", str(predictions))
        pairs = [(run(PEER, str(predictions)), run(GATE, *gate)) for _ in range(chosen.repeats)]
        loaded = imported(*gate)
    peer, mine = (
        [statistics.median(column) for column in zip(*side, strict=True)] for side in zip(*pairs, strict=True)
    )
    size = f"{chosen.cases} cases, {chosen.predictions:,} predictions, median of {chosen.repeats}"
    print(f"{size}; exit code {mine[2]:.0f}")
    print(f"pandas.read_csv  {peer[0]:6.2f} CPU s  {peer[1]:6.0f} MB")
    print(f"slicelab gate    {mine[0]:6.2f} CPU s  {mine[1]:6.0f} MB")
    print(f"ratio            {mine[0] / peer[0]:6.2f}        {mine[1] / peer[1]:6.2f}")
    print(f"imports of {', '.join(FORBIDDEN)}: {sorted(loaded.intersection(FORBIDDEN)) or 'none'}")


if __name__ == "__main__":
    main()
