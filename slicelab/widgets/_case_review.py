"""The cases of a report beside the explorer: choose one, see what fails."""

from __future__ import annotations

from typing import Any

from ipywidgets import HTML, Layout, Select, VBox

from slicelab.core import SuiteReport, visible
from slicelab.views import safe_html
from slicelab.widgets._explorer import Explorer

SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "invalid": "!"}


class CaseReview(VBox):
    """A list of cases; choosing one selects its failing units in an explorer.

    Parameters
    ----------
    report
        What a run of the suite gave.
    explorer
        On the same dataset and model.
    """

    def __init__(self, report: SuiteReport, explorer: Explorer) -> None:
        self._results = report.results
        self._explorer = explorer
        options = [(visible(f"{SIGNS[r.verdict]} {r.case.name}"), i) for i, r in enumerate(report.results)]
        self.cases = Select(options=options, value=None, rows=min(max(len(options), 2), 8), layout=Layout(width="100%"))
        self.words = HTML(layout=Layout(width="100%"))
        self.cases.observe(self._chosen, names="value")
        super().__init__([self.cases, self.words, explorer])

    def choose(self, case: str) -> None:
        """Choose a case by name, as a click does."""
        self.cases.value = next(i for i, r in enumerate(self._results) if r.case.name == case)

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is None:
            return
        result = self._results[change["new"]]
        shown = self._explorer.select_known(result.failing)
        self.words.value = str(
            safe_html(
                "<b>{verdict}</b> {bar}: {value}. {reason} {n} of {all} failing units are selected.",
                verdict=result.verdict,
                bar=str(result.case.bar),
                value=f"{result.value:.3f}",
                reason=result.reason,
                n=len(shown),
                all=len(result.failing),
            )
        )
