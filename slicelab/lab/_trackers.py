"""Reports to experiment trackers, by their own clients."""

from __future__ import annotations

import math
import re
from typing import Any

from slicelab.core import TEXT, MissingExtraError, SuiteReport

_NOT_A_NAME = re.compile(r"[^\w\-. /]")


def tracked(report: SuiteReport) -> dict[str, float]:
    """Return what is logged: per case value, low and high (where there are any) and whether it passes, and counts."""
    found: dict[str, float] = {}
    for r in report.results:
        name = _NOT_A_NAME.sub("_", f"{report.suite}/{r.case.name}")
        numbers = {"value": r.value, "low": r.interval[0], "high": r.interval[1], "change": r.change}
        found |= {f"{name}/{k}": float(v) for k, v in numbers.items() if v is not None and math.isfinite(v)}
        found[f"{name}/passed"] = float(r.verdict == "pass")
    return found | {_NOT_A_NAME.sub("_", f"{report.suite}/{v}"): float(n) for v, n in report.counts().items()}


def log_to_mlflow(report: SuiteReport, page: str, **run: Any) -> None:
    """Log a report to MLflow's active run, or to one of its own, with its page as an artifact."""
    try:
        import mlflow
    except ImportError:
        raise MissingExtraError("MLflow isn't installed: pip install mlflow-skinny (or mlflow).") from None

    def log() -> None:
        mlflow.log_metrics(tracked(report))
        mlflow.set_tags({"slicelab.suite": report.suite, "slicelab.model": report.model})
        mlflow.log_text(page, "slicelab/report.html")

    if mlflow.active_run() is not None and not run:
        log()
        return
    with mlflow.start_run(**run):
        log()


def log_to_wandb(report: SuiteReport, **run: Any) -> None:
    """Log a report to the active W&B run, or to one of its own, with its table."""
    try:
        import wandb
    except ImportError:
        raise MissingExtraError("W&B isn't installed: pip install wandb.") from None
    frame = report.frame().reset_index()
    values = {**tracked(report), f"{report.suite}/cases": wandb.Table(dataframe=frame.astype(object).astype(TEXT))}
    if wandb.run is not None and not run:
        wandb.log(values)
        return
    with wandb.init(**run) as own:
        own.log(values)
