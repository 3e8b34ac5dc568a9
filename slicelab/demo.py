"""The demo: the whole loop on both samples, with everything that it writes in one folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from slicelab.core import Bar, NotFoundError, SuiteReport
from slicelab.lab import Lab, LabQueue, load

Say = Callable[[str], object]

SUITE = "release"


def run_demo(out: Path, *, samples: Path | None = None, say: Say = print) -> None:
    """Load, evaluate, embed, discover, curate, promote, gate, queue and export, on digits and on baggage.

    Parameters
    ----------
    out
        Folder for the suites, reports and batches.
    samples
        Folder of the two samples; None: `data_samples` of the repository.
    say
        Takes each line that is shown.

    Raises
    ------
    NotFoundError
        The samples aren't there.
    """
    folder = samples if samples is not None else Path(__file__).parents[1] / "data_samples"
    if not (folder / "digits" / "labels.csv").is_file():
        raise NotFoundError(f"There are no samples in {str(folder)!r}. Run the demo in a clone, or pass --samples.")
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    written = [*_digits(folder / "digits", out, say), *_baggage(folder / "baggage", out, say)]
    say("\nWritten:")
    for path in written:
        say(f"  {path}")
    say(f"\nDone in {time.perf_counter() - began:.0f} s. Next: make lab")


def _digits(folder: Path, out: Path, say: Say) -> list[Path]:
    """Walk the loop on classification."""
    say("\n== digits: 1,797 images, two models ==")
    lab = load(
        "digits",
        folder / "images",
        folder / "labels.csv",
        {"cnn": folder / "predictions_cnn.csv", "cnn_small": folder / "predictions_cnn_small.csv"},
    )
    say(str(lab.load_report))
    if not lab.has_embeddings():
        import numpy as np

        lab.embed(np.load(folder / "embeddings_cnn.npy", allow_pickle=False))
    return _walk(lab, out, say, model="cnn_small", candidate="cnn", bar=Bar("accuracy", at_least=0.9))


def _baggage(folder: Path, out: Path, say: Say) -> list[Path]:
    """Walk the loop on detection."""
    say("\n== baggage: drawn X-ray scans, two detectors ==")
    lab = load(
        "baggage",
        folder / "images",
        folder / "labels.json",
        {"v3": folder / "predictions_v3.json", "v4": folder / "predictions_v4.json"},
    )
    say(str(lab.load_report))
    if not lab.has_embeddings():
        lab.embed()
    return _walk(lab, out, say, model="v3", candidate="v4", bar=Bar("recall", at_least=0.8))


def _walk(lab: Lab, out: Path, say: Say, *, model: str, candidate: str, bar: Bar) -> list[Path]:
    """From outcomes to files; running it again changes nothing that is there."""
    for name in lab.models:
        say(f"\n{name}")
        say(lab.evaluate(name).to_string(float_format="{:.3f}".format))
    found = lab.discover(model)
    say(f"\nSlices on which {model} fails:")
    say(
        found.frame()[["name", "status", "kind", "size", "failure_rate", "base_rate", "effect", "q_value"]].to_string(
            float_format="{:.3f}".format
        )
    )
    say("\nAnd from metadata, position and image statistics alone:")
    for by_rule in lab.discover_rules(model, max_slices=5, progress=False):
        say(f"  {by_rule.failures} of {by_rule.size} fail ({by_rule.status}): {by_rule.description}")
    names = {s.name for s in lab.slices()}
    cases = {c.name for c in lab.suite(SUITE).cases}
    for proposed in found[:3]:
        slice_ = lab.slice(proposed.name) if proposed.name in names else lab.promote_slice(proposed)
        if slice_.name not in cases:
            lab.promote(slice_, bar=bar, suite=SUITE)
    for label in lab.info.classes:
        rule = f"label == {json.dumps(label)}"
        slice_ = lab.slice(f"all {label}") if f"all {label}" in names else lab.create_slice(f"all {label}", rule=rule)
        if slice_.name not in cases:
            lab.promote(slice_, bar=bar, suite=SUITE)
    return [*_gate(lab, out, say, candidate, model), *_queue(lab, out, say, [c.name for c in found[:3]], model)]


def _gate(lab: Lab, out: Path, say: Say, model: str, against: str) -> list[Path]:
    from slicelab.gate import write_junit

    suite = lab.suite(SUITE)
    report = suite.run(model, against=against)
    say(f"\nSuite {SUITE!r}, {model} against {against}:")
    say(_verdicts(report).to_string(float_format="{:.3f}".format))
    folder = out / lab.name
    return [
        suite.save(folder / "release.json"),
        write_junit(report, folder / "release.xml"),
        suite.write_html(report, folder / "release.html", models=lab.models),
    ]


def _verdicts(report: SuiteReport) -> pd.DataFrame:
    return report.frame()[["verdict", "bar", "value", "low", "high", "units", "change", "comparison"]]


def _queue(lab: Lab, out: Path, say: Say, slices: list[str], model: str) -> list[Path]:
    """Queue the found slices and write them for the annotation team; a batch that is out is written again."""
    written: list[Path] = []
    for format_ in ("label-studio", "cvat"):
        queue: LabQueue = lab.queue(f"demo {format_}")
        folder = out / lab.name / format_
        if folder.exists():
            shutil.rmtree(folder)
        if not queue.batches():
            for name in slices:
                queue.add(name, reason="relabel", instruction="Is the label right?", limit=20)
            exported = queue.export(format_, folder, model=model)
        else:
            exported = queue.write(queue.batches()[-1], format_, folder)
        say(f"\n{exported}")
        written.extend(p for p in exported.files if p.suffix in (".json", ".xml", ".zip"))
    return written
