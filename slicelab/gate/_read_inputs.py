"""What a gate reads beside its suite: predictions, labels as they are now, metrics of one's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from slicelab.core import Finding, Predictions, SampleTable, Suite, SuiteError
from slicelab.sources import read_labels_for_suite, read_predictions_for_suite


def run_metrics(path: str) -> None:
    """Run a Python file that registers metrics.

    Raises
    ------
    SuiteError
        It can't be run.
    """
    spec = importlib.util.spec_from_file_location(f"slicelab_metrics_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise SuiteError(f"The metrics {path!r} aren't a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SuiteError(f"The metrics {path!r} can't be run: {error!r}.") from error


def read_labels(suite: Suite, path: str) -> SampleTable:
    """Read a file of labels for a suite; a refused row is a reason not to run."""
    table, findings = read_labels_for_suite(
        path, task=suite.task, classes=suite.classes, samples=suite.samples, image_ids=_image_ids(suite)
    )
    _refuse(findings, path)
    return table


def _image_ids(suite: Suite) -> dict[int | str, str] | None:
    ids = suite.samples.get("coco_image_id")
    return None if ids is None else dict(zip(ids.tolist(), ids.index, strict=True))


def _refuse(findings: list[Finding], path: str) -> None:
    # Rows on other samples are no fault: a suite holds a part of the data.
    refused = [f for f in findings if f.refused and f.kind not in ("unknown-sample", "unknown-image")]
    if refused:
        first = refused[0]
        raise SuiteError(
            f"{len(refused)} rows of {path!r} can't be taken, so the gate can't run. "
            f"First: {first.file}:{first.line}: {first.reason}"
        )


def read_predictions(suite: Suite, option: str) -> Predictions:
    """Read a prediction file, [NAME=]PATH, for a suite; a refused row is a reason not to run."""
    name, sign, path = option.partition("=")
    if not sign:
        name, path = Path(option).stem, option
    read, findings, _ = read_predictions_for_suite(
        path,
        model=name,
        task=suite.task,
        classes=suite.classes,
        samples=suite.samples,
        image_ids=_image_ids(suite),
        categories=suite.categories or None,
    )
    _refuse(findings, path)
    return read
