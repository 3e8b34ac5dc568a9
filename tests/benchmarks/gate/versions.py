"""Suites of an older version judged by it and by this one: `python -m tests.benchmarks.gate.versions OLD`.

OLD is a checkout of the older version (`git worktree add OLD 21017be`). It writes two suites on the sample data and
judges them; this version judges the same files, and suites that it makes of the same cases itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]

# What either version runs, in a process of its own; both have these names.
MAKE = """
import json, sys
from pathlib import Path
from slicelab.core import Bar
from slicelab.gate import freeze_case, make_suite, save_suite
from slicelab.sources import read_samples
data, out = Path(sys.argv[1]), Path(sys.argv[2])
table = read_samples(data / "baggage/images", data / "baggage/labels.json", progress=False)[0]
categories = {c["id"]: c["name"] for c in json.loads((data / "baggage/labels.json").read_text())["categories"]}
boxes = table.boxes[~table.boxes["crowd"] & (table.boxes["label"] == "knife")]
knives = (boxes["key"] + "#" + boxes["label_id"]).tolist()
keys = sorted(table.samples.index)
wanted = [
    ("knives recall", knives, Bar("recall", at_least=0.5)),
    ("knives precision", knives, Bar("precision", at_least=0.5)),
    ("knives false alarms", knives, Bar("false_positives_per_image", at_most=0.8)),
    ("knives error", knives, Bar("error_rate", at_most=0.7)),
    ("first 60 precision", keys[:60], Bar("precision", at_least=0.6)),
    ("first 60 map", keys[:60], Bar("map", at_least=0.2, strict=False)),
    ("next 60 f1", keys[60:120], Bar("f1", at_least=0.5)),
    ("first 90 macro recall", keys[:90], Bar("macro_recall", at_least=0.5)),
    ("no worse", keys[:120], Bar("recall", no_worse_than="v3", margin=0.05)),
]
cases = [freeze_case(n, suite="baggage", members=m, table=table, bar=b) for n, m, b in wanted]
save_suite(make_suite("baggage", cases, table, categories=categories), out / "baggage.json")
table = read_samples(data / "digits/images", data / "digits/labels.csv", progress=False)[0]
keys = list(table.samples.index)
sevens = table.samples.index[table.samples["label"] == "7"].tolist()
wanted = [
    ("all", keys, Bar("accuracy", at_least=0.9)),
    ("sevens", sevens, Bar("accuracy", at_least=0.7)),
    ("first 100 error", keys[:100], Bar("error_rate", at_most=0.2)),
    ("first 300 recall", keys[:300], Bar("recall", at_least=0.5)),
    ("first 300 ece", keys[:300], Bar("ece", at_most=0.3, strict=False)),
    ("first 300 top3", keys[:300], Bar("top3", at_least=0.9)),
]
cases = [freeze_case(n, suite="digits", members=m, table=table, bar=b) for n, m, b in wanted]
save_suite(make_suite("digits", cases, table), out / "digits.json")
"""
JUDGE = """
import json, sys
from slicelab.gate import load_suite, read_predictions, run_suite
data, out = sys.argv[1:]
runs = [("baggage", "v4", "v3", "json"), ("baggage", "v3", None, "json"), ("digits", "cnn_small", "cnn", "csv")]
told = {}
for name, model, against, kind in runs:
    suite = load_suite(f"{out}/{name}.json")
    both = [m and read_predictions(suite, f"{m}={data}/{name}/predictions_{m}.{kind}") for m in (model, against)]
    for r in run_suite(suite, both[0], against=both[1]).results:
        told[f"{name}, {model}: {r.case.name}"] = [r.verdict, r.value, *r.interval, r.comparison]
print(json.dumps(told))
"""


def run(tree: Path, code: str, *arguments: Path) -> str:
    """Run code with a tree's version of the library."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=tree).stdout


def words(result: list[str | float]) -> str:
    verdict, value, low, high, comparison = result
    if math.isnan(float(value)):
        return str(verdict)
    return f"{verdict} {value:.3f} [{low:.3f}, {high:.3f}] {comparison}".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="checkout of the older version")
    old = parser.parse_args().old.resolve()
    data = ROOT / "data_samples"
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("old", "new")}
        for name, tree in (("old", old), ("new", ROOT)):
            files[name].mkdir()
            run(tree, MAKE, data, files[name])
        runs = [(old, files["old"]), (ROOT, files["old"]), (ROOT, files["new"])]
        told = [json.loads(run(tree, JUDGE, data, out)) for tree, out in runs]
    print("| case | old version | its file, this version | made anew by this version |\n|---|---|---|---|")
    for case in told[0]:
        print(f"| {case} | {' | '.join(words(t[case]) for t in told)} |")
    equal = sum(words(told[0][c]) == words(told[1][c]) for c in told[0])
    print(f"\nThe old file by either version: {equal} of {len(told[0])} results are the same to three digits.")


if __name__ == "__main__":
    main()
