"""Reports for machines and reviewers: JUnit XML for CI, JSON for programs, Markdown for pull requests."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slicelab.core import CaseResult, SuiteReport, Verdict, confidence_words, visible
from slicelab.gate._write_text import write_text

MAX_FAILING_SHOWN = 20
EDITED = "the suite file was edited by hand or merged"
SIGNS: dict[Verdict, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?", "invalid": "!"}

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>&|~@:!#$^\"']|(?<=www)\.", re.IGNORECASE)


def write_junit(report: SuiteReport, path: str | Path, *, strict: bool = False) -> Path:
    """Write JUnit XML: one `testcase` per case.

    A case that fails has a `failure`, an invalid one an `error`, an inconclusive one is `skipped` (a `failure` too
    when `strict`). Value, interval, bar and reason are lines of its `system-out`. The suite's `properties` say the
    content hash, the operating points, whether the file was edited, and what else has to be known; that stands in
    `system-err` too. Where the file was edited by hand or merged and `strict` is set, there is one `testcase` more, an
    `error`. It fits the schema that pytest and Jenkins hold their reports to (junit-10). Characters that XML 1.0
    doesn't allow are left out.

    Parameters
    ----------
    report
        What `run_suite` gave.
    path
        Of the file; its folder must exist. A file that is there is replaced.
    strict
        Whether an inconclusive case is a failure; as in `SuiteReport.exit_code`.

    Returns
    -------
    Path
        `path`.
    """
    elements = {"pass": None, "fail": "failure", "invalid": "error", "inconclusive": "failure" if strict else "skipped"}
    kinds = [elements[r.verdict] for r in report.results]
    refused = int(strict and report.edited)
    totals = {
        "name": report.suite,
        "tests": str(len(kinds) + refused),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error") + refused),
        "skipped": str(kinds.count("skipped")),
        "time": f"{report.seconds:.3f}",
    }
    root = _element(None, "testsuites", {name: value for name, value in totals.items() if name != "skipped"})
    suite = _element(root, "testsuite", {**totals, "timestamp": report.at})
    told = [("model", report.model), ("against", report.against), ("by", report.by)]
    told += [("content_hash", report.content_hash), ("edited", "true" if report.edited else "")]
    told += [("operating_point", line) for line in report.operating_point_lines()]
    _properties(suite, [*told, *(("warning", warning) for warning in report.warnings)])
    for result, kind in zip(report.results, kinds, strict=True):
        case = _element(suite, "testcase", {"classname": report.suite, "name": result.case.name, "time": "0.000"})
        if kind is not None:
            problem = _element(case, kind, {"message": result.reason, "type": result.verdict})
            problem.text = _xml(_details(result))
        numbers = [f"{name}: {value}" for name, value in _numbers(result).items() if value not in (None, "")]
        _element(case, "system-out", {}).text = _xml("\n".join(numbers))
    if refused:
        case = _element(suite, "testcase", {"classname": report.suite, "name": EDITED, "time": "0.000"})
        _element(case, "error", {"message": report.warnings[0] if report.warnings else EDITED, "type": "edited"})
    if report.warnings:
        _element(suite, "system-err", {}).text = _xml("\n".join(report.warnings))
    ET.indent(root, " ")
    return write_text(path, ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n")


def write_json(report: SuiteReport, path: str | Path) -> Path:
    """Write everything in a report as JSON; a number that there isn't (NaN) is null.

    Parameters
    ----------
    report
        What `run_suite` gave.
    path
        Of the file; its folder must exist. A file that is there is replaced.

    Returns
    -------
    Path
        `path`.
    """
    document = {
        "format": "slicelab-report",
        "schema_version": 1,
        **{name: getattr(report, name) for name in ("suite", "model", "against", "at", "by", "seconds", "provenance")},
        "passed": report.passed,
        "content_hash": report.content_hash,
        "edited": report.edited,
        "operating_points": {m: asdict(point) for m, point in report.operating_points.items()},
        "warnings": list(report.warnings),
        "counts": report.counts(),
        "results": [_result_document(r) for r in report.results],
    }
    text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, indent=1)
    return write_text(path, _SURROGATE.sub("\ufffd", text) + "\n")


def write_markdown(report: SuiteReport, path: str | Path) -> Path:
    """Write a Markdown summary, for a pull request or a job's page; names can't break out of their cells.

    Parameters
    ----------
    report
        What `run_suite` gave.
    path
        Of the file; its folder must exist. A file that is there is replaced.

    Returns
    -------
    Path
        `path`.
    """
    counts = ", ".join(f"{n} {verdict}" for verdict, n in report.counts().items() if n) or "no cases"
    against = f" against {_markdown(report.against)}" if report.against is not None else ""
    heads = ["case", "verdict", "bar", "value", "interval", "units", "failures"]
    heads += ["change", "p", "comparison"] if report.against is not None else []
    lines = [f"## {_markdown(report.suite)}: {_markdown(report.model)}{against}", "", f"**{counts}**", ""]
    for warning in report.warnings:
        lines += [f"> **Warning:** {_markdown(warning)}", ""]
    lines += [_row(heads), _row(["---"] * len(heads))]
    lines += [_row(_cells(r)[: len(heads)]) for r in report.results]
    if report.against is not None:
        lines += [
            "",
            "p is that of the case alone; regressed and improved hold after Holm's correction over the suite.",
        ]
    told = [r for r in report.results if r.verdict != "pass" or r.n_predicted < r.n_images]
    if told:
        lines += ["", *(f"- **{_markdown(r.case.name)}** ({r.verdict}): {_markdown(r.reason)}" for r in told)]
    notes = [f"Operating point of {line}." for line in report.operating_point_lines()]
    notes += [f"Suite {report.content_hash}."] if report.content_hash else []
    if notes:
        lines += ["", *(f"- {_markdown(line)}" for line in notes)]
    return write_text(path, "\n".join(lines) + "\n")


def _cells(r: CaseResult) -> list[str]:
    interval = f"{_number(r.interval[0])} to {_number(r.interval[1])}" if math.isfinite(r.interval[0]) else ""
    sign = "" if r.change is None else "+" if r.change > 0 else ""
    return [
        _markdown(r.case.name),
        f"{SIGNS[r.verdict]} {r.verdict}",
        _markdown(str(r.case.bar)),
        _number(r.value),
        interval,
        r.counted,
        str(r.n_failures),
        sign + _number(r.change),
        _number(r.p_value),
        r.comparison,
    ]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    # As character references, what would be markup, a cell's end, a link or a mention is only text.
    return _MARKDOWN.sub(lambda m: f"&#{ord(m[0])};", _SURROGATE.sub("\ufffd", visible(" ".join(text.split()))))


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _numbers(result: CaseResult) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "bar": result.case.bar,
        "reason": result.reason,
        "value": _number(result.value),
        "low": _number(result.interval[0]),
        "high": _number(result.interval[1]),
        "units": result.n_units,
        "groups": result.n_groups or "",
        "failures": result.n_failures,
        "baseline": _number(result.baseline),
        "change": _number(result.change),
        "p_value": _number(result.p_value),
        "comparison": result.comparison,
        "confidence": "" if result.confidence is None else confidence_words(result.confidence),
        "predicted_images": f"{result.n_predicted} of {result.n_images}" if result.n_images else "",
        "content_hash": result.case.content_hash,
    }


def _details(result: CaseResult) -> str:
    shown = result.failing[:MAX_FAILING_SHOWN]
    more = len(result.failing) - len(shown)
    lines = [f"bar: {result.case.bar}", result.reason]
    if shown:
        lines += [f"{len(result.failing)} units fail, worst first:", *shown]
    return "\n".join(lines + ([f"and {more} more"] if more else []))


def _result_document(result: CaseResult) -> dict[str, Any]:
    fields = {k: getattr(result, k) for k in result.__dataclass_fields__ if k not in ("case", "interval", "failing")}
    case = {k: v for k, v in asdict(result.case).items() if k != "members"}
    return {
        "case": case,
        **fields,
        "interval": list(result.interval),
        "baseline_interval": list(result.baseline_interval) if result.baseline_interval else None,
        "failing": list(result.failing),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _properties(parent: ET.Element, values: list[tuple[str, Any]]) -> None:
    properties = _element(parent, "properties", {})
    for name, value in values:
        if value not in (None, ""):
            _element(properties, "property", {"name": name, "value": str(value)})


def _element(parent: ET.Element | None, tag: str, attributes: dict[str, str]) -> ET.Element:
    cleaned = {name: _xml(value) for name, value in attributes.items()}
    return ET.Element(tag, cleaned) if parent is None else ET.SubElement(parent, tag, cleaned)


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
