"""A gate's report as one HTML page that needs nothing else: no scripts, no fonts, no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence

from slicelab.core import Bar, CaseResult, SuiteReport, Verdict
from slicelab.views._safe_html import Safe, safe_html

MAX_PICTURES = 24
MAX_IDS = 24

# A sign and a word beside every colour; the hues (Okabe and Ito's) stay apart for colour-blind eyes.
_SIGNS: dict[Verdict, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?", "invalid": "!"}
_P_VALUES = "p is that of the case alone; regressed and improved hold after Holm's correction over the suite."
_NOTHING = "\u2013"
_WIDTH, _HEIGHT, _PAD = 220, 26, 7

_STYLE = Safe("""
:root { color-scheme: light dark;
  --ground: #fff; --panel: #f6f7f9; --ink: #1c2127; --soft: #5b6672; --rule: #dde1e6;
  --pass: #006b4e; --fail: #b23a00; --inconclusive: #00578a; --invalid: #6b4a79;
  --pass-ground: #dff3ec; --fail-ground: #fde8dc; --inconclusive-ground: #deeefa; --invalid-ground: #efe6f3; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171a; --panel: #1d2226; --ink: #e6e9ec; --soft: #9aa5b0; --rule: #333a41;
  --pass: #5fd3ae; --fail: #ff9d66; --inconclusive: #7cc3f2; --invalid: #d3aee2;
  --pass-ground: #10342a; --fail-ground: #432110; --inconclusive-ground: #10304a; --invalid-ground: #35243d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 8px; }
p { margin: 0 0 8px; }
.soft { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.warning { padding: 8px 14px; border-radius: 8px; background: var(--fail-ground); color: var(--fail); }
.counts { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 24px; padding: 0; list-style: none; }
.counts li { min-width: 132px; padding: 10px 16px; border-radius: 8px; }
.counts b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.none { opacity: .45; }
.pass { background: var(--pass-ground); color: var(--pass); }
.fail { background: var(--fail-ground); color: var(--fail); }
.inconclusive { background: var(--inconclusive-ground); color: var(--inconclusive); }
.invalid { background: var(--invalid-ground); color: var(--invalid); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--soft); white-space: nowrap; }
th, td { padding: 9px 10px; border-bottom: 1px solid var(--rule); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.group { padding-top: 22px; font-size: 15px; color: var(--ink); white-space: normal; overflow-wrap: anywhere; }
td.name { font-weight: 600; min-width: 150px; overflow-wrap: break-word; max-width: 260px; }
td.why { font-size: 13px; min-width: 200px; overflow-wrap: anywhere; }
.chip { display: inline-block; padding: 1px 10px; border-radius: 999px; font-weight: 600; white-space: nowrap; }
.ends { display: flex; justify-content: space-between; gap: 8px; width: 220px; }
svg { display: block; } svg .axis { stroke: var(--rule); } svg .bar { stroke: var(--ink); stroke-width: 2; }
svg .good { fill: var(--pass-ground); }
svg .span { stroke-width: 4; stroke-linecap: round; } svg .dot { stroke: var(--ground); stroke-width: 1.5; }
svg .was { fill: none; stroke: var(--soft); stroke-width: 1.5; }
svg .v-pass { stroke: var(--pass); fill: var(--pass); } svg .v-fail { stroke: var(--fail); fill: var(--fail); }
svg .v-inconclusive { stroke: var(--inconclusive); fill: var(--inconclusive); }
svg .v-invalid { stroke: var(--invalid); fill: var(--invalid); }
details { margin: 12px 0; padding: 12px 16px; background: var(--panel); border-radius: 8px; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0 0; }
figure { margin: 0; width: 148px; }
figure img { display: block; width: 148px; height: 148px; object-fit: contain; background: var(--rule);
  border-radius: 4px; }
figcaption { margin-top: 4px; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
.note { white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: 12px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.ids { columns: 3 240px; margin: 10px 0 0; padding: 0; list-style: none; }
@media print { details { break-inside: avoid; } }
""")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{headline}</h1>
<p class="soft">{about}</p>
{notes}
<ul class="counts">{counts}</ul>
{table}
{failing}
</main>
</body>
</html>
"""

_ROW = """<tr><td class="name" title="{title}">{name}</td><td>{chip}</td><td class="number">{value}</td>
<td>{drawing}</td>{change}<td class="number">{failures}&thinsp;/&thinsp;{units}</td><td class="why">{reason}</td></tr>
"""

_CASE = """<details{opened}><summary><b>{name}</b> {chip} <span class="soft">{summary}</span></summary>
{note}{pictures}{ids}{rest}</details>
"""

_SVG = """<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{words}">
<title>{words}</title>{parts}</svg>"""
_GOOD_SIDE = '<rect class="good" x="{x}" y="2" width="{width}" height="{height}"/>'
_LINE = '<line class="{kind}" x1="{a}" x2="{b}" y1="{top}" y2="{bottom}"/>'
_DOT = '<circle class="{kind}" cx="{x}" cy="{y}" r="5"/>'


def report_html(
    report: SuiteReport,
    *,
    pictures: Mapping[str, bytes] | None = None,
    captions: Mapping[str, str] | None = None,
) -> Safe:
    """Draw a report as a whole HTML page.

    Parameters
    ----------
    report
        Verdicts of a suite.
    pictures
        JPEG bytes by unit id, for failing units; None: ids are listed.
    captions
        What stands under a picture, by unit id, like "knife → fork"; without one it is the id.

    Returns
    -------
    str
        A complete page of its own: styles, drawings and pictures are inside, there are no scripts. It follows the
        reader's light or dark setting. Every name, note and caption is escaped.
    """
    told = [r for r in report.results if r.verdict in ("fail", "inconclusive") and r.failing]
    sections = [_section(r, pictures or {}, captions or {}) for r in told]
    return safe_html(
        _PAGE,
        title=f"{report.suite}: {report.model}",
        style=_STYLE,
        headline=_headline(report),
        about=_about(report),
        notes=_notes(report),
        counts=[_count(verdict, n) for verdict, n in report.counts().items()],
        table=_table(report),
        failing=[Safe("<h2>What fails</h2>"), *sections] if sections else None,
    )


def _headline(report: SuiteReport) -> str:
    n = len(report.results)
    passed = sum(r.verdict == "pass" for r in report.results)
    cases = "the suite has no cases" if not n else f"{passed} of {n} case{'s' if n > 1 else ''} passed"
    return f"{report.model} on {report.suite}: {cases}"


def _about(report: SuiteReport) -> str:
    against = f"compared with {report.against} · " if report.against is not None else ""
    return f"{against}{report.at} · {report.by} · {report.seconds:.1f} s"


def _notes(report: SuiteReport) -> list[Safe]:
    """Say at which operating points the models were judged, by which file, and what has to be known of it."""
    told = [f"Operating point of {line}." for line in report.operating_point_lines()]
    told += [f"Suite file {report.content_hash}."] if report.content_hash else []
    warnings = [safe_html('<p class="warning">! {line}</p>\n', line=line) for line in report.warnings]
    return [*warnings, *(safe_html('<p class="soft">{line}</p>\n', line=line) for line in told)]


def _count(verdict: str, n: int) -> Safe:
    return safe_html(
        '<li class="{verdict}{none}"><b>{sign} {n}</b>{verdict}</li>',
        verdict=verdict,
        none="" if n else " none",
        sign=_SIGNS[verdict],  # type: ignore[index]
        n=n,
    )


def _chip(verdict: Verdict) -> Safe:
    return safe_html('<span class="chip {verdict}">{sign} {verdict}</span>', verdict=verdict, sign=_SIGNS[verdict])


def _table(report: SuiteReport) -> Safe:
    compared = report.against is not None
    change = safe_html('<th class="number">change<br>against {against}</th>', against=report.against)
    return safe_html(
        '<div class="scroll"><table><thead><tr><th>case</th><th>verdict</th><th class="number">value</th>'
        '<th>interval against the bar</th>{change}<th class="number">failures<br>/ units</th><th>why</th></tr></thead>'
        "<tbody>\n{rows}</tbody></table></div>{key}",
        change=change if compared else None,
        rows=[row for group in _groups(report.results) for row in _group_rows(*group, report)],
        key=safe_html(
            '<p class="soft">Line: the interval. Dot: the value{ring}. Upright: the bar; its good side shaded.{p}</p>',
            ring="; ring: the other model's" if compared else "",
            p=f" {_P_VALUES}" if compared else "",
        ),
    )


def _groups(results: Sequence[CaseResult]) -> list[tuple[str, list[CaseResult]]]:
    """Divide cases by the path before their name, "night/" of "night/people"; each group where it first occurs."""
    groups: dict[str, list[CaseResult]] = {}
    for r in results:
        name = r.case.name
        groups.setdefault(name[: name.rfind("/") + 1], []).append(r)
    return list(groups.items())


def _group_rows(path: str, results: list[CaseResult], report: SuiteReport) -> list[Safe]:
    compared = report.against is not None
    rows = [_row(r, compared, _axis(r, report), name=r.case.name.removeprefix(path)) for r in results]
    if not path:
        return rows
    passed = sum(r.verdict == "pass" for r in results)
    head = '<tr><th class="group" colspan="{n}">{path}<span class="soft"> {passed} of {all} passed</span></th></tr>\n'
    return [safe_html(head, n=7 if compared else 6, path=path, passed=passed, all=len(results)), *rows]


def _row(r: CaseResult, compared: bool, axis: tuple[float, float], *, name: str) -> Safe:
    low, high = (f"{end:.3g}" for end in axis)
    ends = '<div class="soft ends"><span>{low}</span><span>{bar}</span><span>{high}</span></div>'
    return safe_html(
        _ROW,
        name=name,
        title=r.case.name,
        chip=_chip(r.verdict),
        value=_number(r.value),
        drawing=[_drawing(r, axis), safe_html(ends, low=low, bar=_bar_words(r.case.bar), high=high)],
        change=_change(r) if compared else None,
        failures=r.n_failures,
        units=r.counted,
        reason=r.reason,
    )


def _change(r: CaseResult) -> Safe:
    if r.change is None or not math.isfinite(r.change):
        return safe_html('<td class="number">{nothing}</td>', nothing=_NOTHING)
    signs = {"regressed": "▼ ", "improved": "▲ "}
    return safe_html(
        '<td class="number">{change}<br><span class="soft">{sign}{comparison}<br>p = {p}</span></td>',
        change=f"{r.change:+.3f}",
        sign=signs.get(r.comparison, ""),
        comparison=r.comparison,
        p=_NOTHING if r.p_value is None else f"{r.p_value:.2g}",
    )


def _bar_words(bar: Bar) -> str:
    return str(bar).replace("_", " ").replace(">=", "≥").replace("<=", "≤")


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else _NOTHING


def _axis(r: CaseResult, report: SuiteReport) -> tuple[float, float]:
    """Return the ends of a row's axis; shares have one in common, to 1 and from a round number below them all."""
    numbers = _numbers(r)
    if numbers and (max(numbers) > 1 or min(numbers) < 0):
        return min(1.05 * min(numbers), 0.0), max(1.05 * max(numbers), 0.0)
    rows = [found for found in map(_numbers, report.results) if found and 0 <= min(found) <= max(found) <= 1]
    shares = [n for found in rows for n in found] or [0.0]
    return max(math.floor(10 * min(shares) - 0.5) / 10, 0.0), 1.0


def _numbers(r: CaseResult) -> list[float]:
    """Return what a row's drawing must hold."""
    return [v for v in (r.target, r.value, *r.interval, r.baseline) if v is not None and math.isfinite(v)]


def _drawing(r: CaseResult, axis: tuple[float, float]) -> Safe:
    """Draw interval, value, baseline and bar on one axis."""
    bar, target = r.case.bar, r.target

    def x(value: float) -> float:
        share = (value - axis[0]) / (axis[1] - axis[0])
        return round(_PAD + (_WIDTH - 2 * _PAD) * min(max(share, 0.0), 1.0), 1)

    middle = _HEIGHT // 2
    parts = [safe_html(_LINE, kind="axis", a=x(axis[0]), b=x(axis[1]), top=middle, bottom=middle)]
    if target is not None:
        left, right = (x(axis[0]), x(target)) if bar.lower_is_better else (x(target), x(axis[1]))
        parts.insert(0, safe_html(_GOOD_SIDE, x=left, width=round(right - left, 1), height=_HEIGHT - 4))
    if all(map(math.isfinite, r.interval)):
        a, b = map(x, r.interval)
        parts.append(safe_html(_LINE, kind=f"span v-{r.verdict}", a=a, b=b, top=middle, bottom=middle))
    if target is not None:
        parts.append(safe_html(_LINE, kind="bar", a=x(target), b=x(target), top=2, bottom=_HEIGHT - 2))
    if r.baseline is not None and math.isfinite(r.baseline):
        parts.append(safe_html(_DOT, kind="was", x=x(r.baseline), y=middle))
    if math.isfinite(r.value):
        parts.append(safe_html(_DOT, kind=f"dot v-{r.verdict}", x=x(r.value), y=middle))
    low, high = map(_number, r.interval)
    words = f"{_number(r.value)}, interval {low} to {high}, bar {_bar_words(bar)}"
    return safe_html(_SVG, width=_WIDTH, height=_HEIGHT, words=words, parts=parts)


def _section(r: CaseResult, pictures: Mapping[str, bytes], captions: Mapping[str, str]) -> Safe:
    shown = [unit for unit in r.failing if unit in pictures][:MAX_PICTURES]
    listed = [unit for unit in r.failing if unit not in pictures][:MAX_IDS] if not shown else []
    left = len(r.failing) - len(shown) - len(listed)
    figures = [_figure(unit, pictures, captions) for unit in shown]
    items = [safe_html("<li><code>{unit}</code> {words}</li>", unit=u, words=captions.get(u)) for u in listed]
    return safe_html(
        _CASE,
        opened=Safe(" open") if r.verdict == "fail" else None,
        name=r.case.name,
        chip=_chip(r.verdict),
        summary=f"{len(r.failing)} failing, worst first",
        note=safe_html('<p class="soft note">{note}</p>', note=r.case.note) if r.case.note else None,
        pictures=safe_html('<div class="pictures">{figures}</div>', figures=figures) if figures else None,
        ids=safe_html('<ul class="ids">{items}</ul>', items=items) if items else None,
        rest=safe_html('<p class="soft">and {n} more</p>', n=left) if left else None,
    )


def _figure(unit: str, pictures: Mapping[str, bytes], captions: Mapping[str, str]) -> Safe:
    words = captions.get(unit, unit)
    return safe_html(
        '<figure><img alt="{words}" title="{unit}" src="data:image/jpeg;base64,{data}">'
        "<figcaption>{words}</figcaption></figure>",
        words=words,
        unit=unit,
        data=base64.b64encode(pictures[unit]).decode("ascii"),
    )
