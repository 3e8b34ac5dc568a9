"""A suite's report in the notebook: shown, saved, logged, and opened in the explorer."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicelab import gate
from slicelab.core import CaseResult, NotFoundError, SuiteReport, did_you_mean

if TYPE_CHECKING:
    from slicelab.widgets import CaseReview, Explorer

HEIGHT = 520


@dataclass(frozen=True, repr=False)
class LabReport(SuiteReport):
    """What `LabSuite.run` returns: a `SuiteReport` that knows its pictures.

    In the notebook it shows as a table with each interval drawn against its bar, and pictures of what fails.
    """

    _page: Callable[[SuiteReport], str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, report: SuiteReport, page: Callable[[SuiteReport], str]) -> LabReport:
        """Make it of a plain report, and of what writes one as a page with pictures."""
        return cls(**{f.name: getattr(report, f.name) for f in fields(SuiteReport)}, _page=page)

    def result(self, case: str) -> CaseResult:
        """Return the result of a case, or raise `NotFoundError`."""
        for result in self.results:
            if result.case.name == case:
                return result
        hint = did_you_mean(case, [r.case.name for r in self.results])
        raise NotFoundError(f"The report on {self.suite!r} has no case {case!r}.{hint}")

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as a page that needs nothing else, with pictures; write it too where a path is given."""
        from slicelab.views import report_html

        page = (self._page or report_html)(self)
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            gate.write_text(path, page)
        return page

    def review(self, explorer: Explorer) -> CaseReview:
        """Return the cases beside an explorer: choosing one selects its failing units there.

        Parameters
        ----------
        explorer
            Of the same model: `lab.explore(report.model)`.
        """
        from slicelab.widgets import CaseReview

        return CaseReview(self, explorer)

    def log_to_mlflow(self, **run: Any) -> None:
        """Log values and verdicts to MLflow's active run, or to a new one (`run`: as `mlflow.start_run` takes).

        Raises
        ------
        MissingExtraError
            mlflow isn't installed.
        """
        from slicelab.lab._trackers import log_to_mlflow

        log_to_mlflow(self, self.to_html(), **run)

    def log_to_wandb(self, **run: Any) -> None:
        """Log values and verdicts to the active W&B run, or to a new one (`run`: as `wandb.init` takes).

        Raises
        ------
        MissingExtraError
            wandb isn't installed.
        """
        from slicelab.lab._trackers import log_to_wandb

        log_to_wandb(self, **run)

    def _repr_html_(self) -> str:
        # A frame keeps the page's style out of the notebook's; without scripts there is nothing to allow.
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe sandbox srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
