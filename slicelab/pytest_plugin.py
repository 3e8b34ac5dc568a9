"""pytest collects suite files: one test per case, against `--slicelab-predictions`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from slicelab.core import CaseResult, SuiteReport

HEAD = 200
WORST = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without predictions the plugin does nothing."""
    group = parser.getgroup("slicelab", "SliceLab: suites as tests")
    group.addoption("--slicelab-predictions", metavar="[NAME=]PATH", help="Predictions to judge suite files by.")
    group.addoption("--slicelab-against", metavar="[NAME=]PATH", help="Another model's, to compare with.")
    group.addoption("--slicelab-labels", metavar="PATH", help="Labels as they are now: a changed one fails its case.")
    group.addoption("--slicelab-metrics", metavar="PATH", action="append", help="Python file with your own metrics.")
    group.addoption(
        "--slicelab-confidence",
        metavar="NUMBER",
        action="append",
        help="Detection: boxes below it don't count; a number, or CLASS=NUMBER. Goes before the suite's.",
    )
    group.addoption(
        "--slicelab-strict",
        action="store_true",
        help="An inconclusive case fails instead of skipping, and so do all of a suite file that was edited by hand.",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take JSON files that say they are suites, when there are predictions to judge."""
    if file_path.suffix != ".json" or not parent.config.getoption("--slicelab-predictions"):
        return None
    with file_path.open("rb") as stream:
        if b'"slicelab-suite"' not in stream.read(HEAD):
            return None
    return SuiteFile.from_parent(parent, path=file_path)


class SuiteFile(pytest.File):
    """A suite; all its cases are judged together, once, when the first of them runs."""

    _report: SuiteReport | None = None

    def collect(self) -> Iterator[CaseItem]:
        """Yield a test per case."""
        from slicelab.gate import load_suite, run_metrics

        for path in self.config.getoption("--slicelab-metrics") or []:
            run_metrics(path)
        self._suite = load_suite(self.path)
        for case in self._suite.cases:
            yield CaseItem.from_parent(self, name=case.name)

    def report(self) -> SuiteReport:
        """Return what the gate says of the suite."""
        from slicelab.core import read_confidence
        from slicelab.gate import read_labels, read_predictions, run_suite

        if self._report is None:
            option = self.config.getoption
            against, labels = option("--slicelab-against"), option("--slicelab-labels")
            self._report = run_suite(
                self._suite,
                read_predictions(self._suite, option("--slicelab-predictions")),
                against=None if against is None else read_predictions(self._suite, against),
                labels=None if labels is None else read_labels(self._suite, labels),
                confidence=read_confidence(option("--slicelab-confidence") or []),
            )
            for warning in self._report.warnings:
                self.warn(pytest.PytestWarning(warning))
        return self._report


class CaseFailure(Exception):  # noqa: N818 - a verdict, not an error
    """A case that doesn't pass."""

    def __init__(self, result: CaseResult) -> None:
        super().__init__(result.reason)
        self.result = result


class CaseItem(pytest.Item):
    """One case."""

    def runtest(self) -> None:
        """Judge it: fail and invalid fail, inconclusive skips unless strict."""
        from slicelab.core import SuiteError, confidence_words

        parent: Any = self.parent
        report: SuiteReport = parent.report()
        strict = self.config.getoption("--slicelab-strict")
        if report.edited and strict:
            raise SuiteError(report.warnings[0])
        result = next(r for r in report.results if r.case.name == self.name)
        self.user_properties += [("suite_hash", report.content_hash), ("reason", result.reason)]
        self.user_properties += [("operating_point", line) for line in report.operating_point_lines()]
        self.user_properties += [("warning", warning) for warning in report.warnings]
        if result.n_images:
            self.user_properties += [
                ("confidence", confidence_words(result.confidence)),
                ("predicted_images", f"{result.n_predicted} of {result.n_images}"),
            ]
        self.user_properties += [
            ("verdict", result.verdict),
            ("bar", str(result.case.bar)),
            ("value", f"{result.value:.6g}"),
            ("interval", f"{result.interval[0]:.6g} to {result.interval[1]:.6g}"),
            ("content_hash", result.case.content_hash),
        ]
        if result.verdict == "inconclusive" and not strict:
            pytest.skip(f"inconclusive: {result.reason}")
        if result.verdict != "pass":
            raise CaseFailure(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say value, interval, bar and the worst units."""
        from slicelab.core import SliceLabError, confidence_words, visible

        error = excinfo.value
        if isinstance(error, SliceLabError):
            return visible(f"The suite can't be judged: {error}")
        if not isinstance(error, CaseFailure):
            return super().repr_failure(excinfo, style)
        r = error.result
        lines = [f"{r.case.name}: {r.verdict}", f"  bar       {r.case.bar}"]
        if r.verdict != "invalid":
            lines += [
                f"  value     {r.value:.4g}",
                f"  interval  {r.interval[0]:.4g} to {r.interval[1]:.4g} at {r.case.bar.confidence:.0%}",
                f"  units     {r.counted}, {r.n_failures} fail",
            ]
        if r.confidence is not None:
            lines.append(f"  boxes     from confidence {confidence_words(r.confidence)} on")
        if r.change is not None:
            lines.append(f"  change    {r.change:+.4g} ({r.comparison}, p = {r.p_value:.2g})")
        lines.append(f"  why       {r.reason}")
        if r.failing:
            lines += [f"  the {min(WORST, len(r.failing))} worst of {len(r.failing)} failing units:"]
            lines += [f"    {unit}" for unit in r.failing[:WORST]]
        return "\n".join(visible(line) for line in lines)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where the test stands."""
        return self.path, None, f"case {self.name}"
