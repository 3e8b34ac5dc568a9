"""100 cases x 100,000 predictions, each in a fresh process: `python -m tests.benchmarks.gate`.

The peer is pandas, which only reads the prediction file; both run in turn, several times. A round that isn't counted
comes first and leaves the bytecode of all modules behind, as an installation does. `--task detection` judges 100,000
predicted boxes on 10,000 images instead.
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

from slicelab.core import BOX_COLUMNS, TEXT, Bar, SampleTable, object_unit
from slicelab.gate import freeze_case, make_suite, save_suite

PEER = "import sys, pandas; print(len(pandas.read_csv(sys.argv[1])))"
GATE = "import sys; from slicelab.cli import main; sys.argv[0] = 'slicelab'; main()"
# The child tells its own peak, in kB, when it ends.
PEAK = (
    "import atexit, resource, sys; "
    "atexit.register(lambda: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)); "
)
FORBIDDEN = ("fiftyone", "pymongo", "torch", "umap", "plotly")


def make(folder: Path, *, n: int, n_cases: int, seed: int = 0, shuffled: bool = False) -> tuple[Path, Path]:
    """Write a suite of cases of n / n_cases members and predictions on n samples; 84 % are right.

    The rows of the predictions come in the order of the samples, or in none.
    """
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
    written = pd.DataFrame(frame)
    (written.sample(frac=1, random_state=seed) if shuffled else written).to_csv(predictions, index=False)
    return suite, predictions


def make_detection(folder: Path, *, n: int, n_cases: int, seed: int = 0) -> tuple[Path, Path]:
    """Write a suite of objects, ten on an image and of ten classes, and n predicted boxes; a tenth is off."""
    random = np.random.default_rng(seed)
    classes = [f"class {i}" for i in range(10)]
    images = [f"images/{i:06d}.png" for i in range(n // 10)]
    samples = pd.DataFrame(
        {
            "filepath": images,
            "sha256": [f"{i:064x}" for i in range(len(images))],
            "width": 1000,
            "height": 1000,
        },
        index=pd.Index(images, name="key", dtype=TEXT),
    )
    at = random.random((len(images) * 10, 2)) * 900
    boxes = pd.DataFrame(
        {
            "key": np.repeat(images, 10),
            "label_id": np.tile([str(i) for i in range(10)], len(images)),
            "label": np.take(classes, random.integers(10, size=len(at))),
            "x": at[:, 0].round(2),
            "y": at[:, 1].round(2),
            "width": 80.0,
            "height": 80.0,
            "crowd": False,
        }
    )
    table = SampleTable("detection", samples, boxes, tuple(classes))
    units = [object_unit(*ids) for ids in zip(boxes["key"], boxes["label_id"], strict=True)]
    cases = [
        freeze_case(
            f"case {i:03d}", suite="release", members=units[i::n_cases], table=table, bar=Bar("recall", at_least=0.8)
        )
        for i in range(n_cases)
    ]
    suite = save_suite(make_suite("release", cases, table), folder / "release.json")
    off = np.where(random.random(len(boxes)) < 0.1, 60.0, 4.0)
    said = boxes.drop(columns=["label_id", "crowd"]).assign(confidence=random.random(len(boxes)).round(4))
    said["x"] = (said["x"] + off).round(2)
    predictions = folder / "v4.csv"
    said.to_csv(predictions, index=False)
    return suite, predictions


def run(code: str, *arguments: str, bytecode: str) -> tuple[float, float, int]:
    """Return user + system seconds, peak MB and exit code of a fresh process.

    CPU seconds rather than wall: they don't depend on what else runs on the machine.
    """
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    settings["PYTHONPYCACHEPREFIX"] = bytecode
    before = os.times()
    done = subprocess.run([sys.executable, "-c", PEAK + code, *arguments], capture_output=True, text=True, env=settings)
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
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--task", choices=("classification", "detection"), default="classification")
    parser.add_argument("--shuffled", action="store_true", help="classification: predictions in another order")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.task == "classification":
            size = {"n": chosen.predictions, "n_cases": chosen.cases}
            suite, predictions = make(Path(folder), **size, shuffled=chosen.shuffled)
        else:
            suite, predictions = make_detection(Path(folder), n=chosen.predictions, n_cases=chosen.cases)
        gate = ("gate", str(suite), "--predictions", str(predictions))
        bytecode = str(Path(folder) / "bytecode")
        pairs = [
            (run(PEER, str(predictions), bytecode=bytecode), run(GATE, *gate, bytecode=bytecode))
            for _ in range(chosen.repeats + 1)
        ][1:]
        loaded = imported(*gate)
    peers, gates = zip(*pairs, strict=True)
    print(
        f"{chosen.task}: {chosen.cases} cases, {chosen.predictions:,} predictions, {chosen.repeats} rounds; "
        f"exit code {gates[0][2]}"
    )
    for name, pick in (("best", min), ("median", statistics.median)):
        peer, mine = ([pick(values) for values in zip(*side, strict=True)] for side in (peers, gates))
        print(f"{name}:")
        print(f"  pandas.read_csv  {peer[0]:6.2f} CPU s  {peer[1]:6.0f} MB")
        print(f"  slicelab gate    {mine[0]:6.2f} CPU s  {mine[1]:6.0f} MB")
        print(f"  ratio            {mine[0] / peer[0]:6.2f}        {mine[1] / peer[1]:6.2f}")
    print(f"imports of {', '.join(FORBIDDEN)}: {sorted(loaded.intersection(FORBIDDEN)) or 'none'}")


if __name__ == "__main__":
    main()
