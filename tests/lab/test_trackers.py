"""Reports in MLflow and W&B, by their own clients and without a server; left out where they aren't installed."""

import pytest

from slicelab.core import Bar, Case, CaseResult, SuiteReport
from slicelab.lab import _trackers


@pytest.fixture
def report():
    case = Case("knives", "release", Bar("recall", at_least=0.9), ("a", "b"), "hash")
    bad = Case("gone", "release", Bar("recall", at_least=0.9), ("c",), "hash")
    nothing = (float("nan"), float("nan"))
    results = (
        CaseResult(case, "pass", "", 0.95, (0.91, 0.99), 2, 0),
        CaseResult(bad, "invalid", "no member", float("nan"), nothing, 0, 0),
    )
    return SuiteReport("release", "v4", None, results)


LOGGED = {"release/knives/value": 0.95, "release/knives/passed": 1.0, "release/gone/passed": 0.0, "release/pass": 1.0}


def test_mlflow_holds_what_was_logged(report, tmp_path):
    """A run of its own has the numbers, the suite's name and the page."""
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    _trackers.log_to_mlflow(report, "<p>page</p>", run_name="nightly")
    run = mlflow.MlflowClient().get_run(mlflow.last_active_run().info.run_id)
    assert {name: run.data.metrics[name] for name in LOGGED} == LOGGED
    assert "release/gone/value" not in run.data.metrics
    assert run.data.tags["slicelab.suite"] == "release"
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/slicelab/report.html") == "<p>page</p>"


def test_wandb_holds_what_was_logged(report, tmp_path, monkeypatch):
    """The active run, kept on disk only, has the numbers and a table with a row per case."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = pytest.importorskip("wandb")
    with wandb.init(project="suites", dir=tmp_path) as run:
        _trackers.log_to_wandb(report)
        summary = dict(run.summary)
    assert {name: summary[name] for name in LOGGED} == LOGGED
    assert summary["release/cases"]["nrows"] == 2
