"""Markdown tables of what is on disk, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.discovery import metrics
from tests.benchmarks.discovery.peers import PEERS
from tests.benchmarks.discovery.run import (
    LEADS,
    METHODS,
    NULLS_OF_PEERS,
    ORACLE,
    REDUCED,
    SLICELAB,
    TOP,
    Case,
    Result,
    cases,
    parameters_of,
    runs_on,
    source_version,
    stored,
    tuned,
)

Results = dict[tuple[str, int], Result]
Measure = Callable[[Result], float]

LEAST_SETTINGS = {"spotcheck-vectors": 100, "spotcheck-images": 30}
NOTHING = "n/a"


def report(suites: Sequence[str], dev: bool = False) -> str:
    """Return one section per suite, and how the peers were tuned."""
    parts = [_head(dev)]
    for suite in suites:
        found = {method: load(method, cases(suite, dev)) for method in METHODS}
        parts.append(_SECTIONS[suite](suite, dev, {method: own for method, own in found.items() if own}))
    parts.append(_tuning())
    return "\n\n".join(part for part in parts if part) + "\n"


def load(method: str, wanted: Iterable[Case]) -> Results:
    """Return a method's results that are on disk, by group and seed."""
    found: Results = {}
    for case in wanted:
        parameters = parameters_of(method, case) if runs_on(method, case) else None
        result = None if parameters is None else stored(method, parameters, case)
        if result is not None:
            found[case.group, case.seed] = result
    return found


# --- Sections ---


def _head(dev: bool) -> str:
    which = "development settings, not the judged ones" if dev else "judged settings"
    return (
        f'# Discovery: {which}\n\nSliceLab with its one default (source {source_version()}; "+leads": filled up to '
        f"{TOP} with its leads), peers with the best "
        f"parameters of their grids on other seeds. The first {TOP} slices of every method are judged. Differences are "
        "SliceLab's minus the row's on the settings that both have, with paired bootstrap 95 % intervals; in brackets "
        "after a number: its own bootstrap 95 % interval."
    )


def _spotcheck(suite: str, dev: bool, found: dict[str, Results]) -> str:
    have = len(cases(suite, dev))
    lines = [f"## {suite}: {have} configurations, precision and recall at least {metrics.LEAST_PRECISION:g}"]
    if not dev and have < LEAST_SETTINGS[suite]:
        lines.append(f"There should be at least {LEAST_SETTINGS[suite]}; only those that are kept were used.")
    header = ["method", "n", "DR", "DR difference", f"FDR@{TOP}", "FDR@u", "claimed: slices", "DR", "FDR", "CPU s"]
    rows = [
        [
            method,
            str(len(own)),
            _mean(own, _of("dr")),
            _difference(found, method, _of("dr")),
            *(f"{_average(own, _of(key)):.3f}" for key in ("fdr", "fdr_u")),
            f"{_average(own, _of('claimed')):.1f}",
            *(f"{_average(own, _of(key)):.3f}" for key in ("dr_claimed", "fdr_claimed")),
            _seconds(own),
        ]
        for method, own in found.items()
    ]
    note = (
        "DR: share of the true slices that are discovered. FDR@u: over the slices up to the one at which DR stops "
        "rising. Claimed: those that a method says are failing groups (SliceLab: confirmed; most: all). The oracle is "
        "a linear model that is told the true slices, judged out of fold: a reference, not a peer."
    )
    return "\n\n".join([*lines, _table(header, rows), note])


def _digits(suite: str, dev: bool, found: dict[str, Results]) -> str:
    groups = list(dict.fromkeys(case.group for case in cases(suite, dev)))
    header = ["method", "n", "inductive", "difference", "transductive", "difference", "mean best F1"]
    parts = [f"## {suite}: share of slices with precision at 10 of at least {metrics.LEAST_SUCCESS:g}"]
    for title, chosen in [*((group, [group]) for group in groups), ("all kinds", groups)]:
        part = {method: own for method, own in _only(found, chosen).items() if own}
        rows = [
            [
                method,
                str(len(own)),
                *_success(part, method, "inductive"),
                *_success(part, method, "transductive"),
                f"{_average(own, _of('f1')):.3f}",
            ]
            for method, own in part.items()
        ]
        parts.append(f"### {title}\n\n{_table(header, rows)}")
    parts.append(
        "Inductive: units of a new set are ranked; transductive: those that were searched. The best of the first five "
        "slices counts for each true one; n is the number of settings."
    )
    return "\n\n".join(parts)


def _synthetic(suite: str, dev: bool, found: dict[str, Results]) -> str:
    sizes = list(dict.fromkeys(case.group.split("-", 2)[2] for case in cases(suite, dev)))
    parts = [f"## {suite}: mean best F1"]
    for size in sizes:
        part = {m: own for m, own in _select(found, lambda group, s=size: group.endswith(f"-{s}")).items() if own}
        n, dims = size.split("-")
        header = ["method", "n", *"abcde", "mean", "difference", "CPU s"]
        rows = [
            [
                method,
                str(len(own)),
                *(_shape(own, f"synthetic-{shape}-{size}") for shape in "abcde"),
                _mean(own, _of("f1")),
                _difference(part, method, _of("f1")),
                _seconds(own),
            ]
            for method, own in part.items()
        ]
        parts.append(f"### n = {int(n):,}, d = {dims}\n\n{_table(header, rows)}")
    return "\n\n".join(parts)


def _shape(own: Results, group: str) -> str:
    values = [result["f1"] for (name, _), result in own.items() if name == group]
    return f"{np.mean(values):.3f}" if values else NOTHING


def _null(suite: str, dev: bool, found: dict[str, Results]) -> str:
    groups = list(dict.fromkeys(case.group for case in cases(suite, dev)))
    planted = [*cases("synthetic", dev), *cases("effects", dev)]
    header = ["method", *(f"{group}: claims any (upper 95 %)" for group in groups), "false share of claims, planted"]
    rows = []
    for method, own in found.items():
        falsities = load(method, planted)
        share = _mean(falsities, _of("false_proportion")) + f" of {len(falsities)}" if falsities else NOTHING
        rows.append([method, *(_claims(own, group) for group in groups), share])
    note = (
        "Share of null settings with at least one claimed slice (SliceLab: confirmed; most peers: any slice at all), "
        f"with the Clopper-Pearson upper limit; peers on {NULLS_OF_PEERS} seeds per kind. Last column: mean false "
        "discovery proportion of the claimed slices on synthetic settings with planted ones (n = 2,000, d = 64)."
    )
    return "\n\n".join([f"## {suite}: no failing group", _table(header, rows), note])


def _claims(own: Results, group: str) -> str:
    values = [result["claimed"] > 0 for (name, _), result in own.items() if name == group]
    if not values:
        return NOTHING
    upper = metrics.clopper_pearson_upper(sum(values), len(values))
    return f"{sum(values)} of {len(values)} = {np.mean(values):.3f} ({upper:.3f})"


def _effects(suite: str, dev: bool, found: dict[str, Results]) -> str:
    slices = [row for own in found.get(SLICELAB, {}).values() for row in own["held_out"]]
    header = ["slices", "n", "what", "mean signed error", "mean interval", "coverage (95 % interval)"]
    rows = []
    for title, chosen in (("all", slices), ("confirmed", [row for row in slices if row["confirmed"]])):
        for what in ("rate", "effect"):
            known = [row for row in chosen if _is_known(row[what]) and _is_known(row[f"true_{what}"])]
            if known:
                rows.append([title, str(len(known)), what, *_error(known, what)])
    note = (
        "SliceLab's held-out rate of a slice, and its effect (that rate minus the rate outside), against the "
        "probabilities that failures were drawn from, on the same units; slices without held-out units are left out. "
        "Confirmed ones are chosen by their held-out failures, so theirs are a little high. Synthetic settings, "
        "n = 2,000, d = 64."
    )
    return "\n\n".join([f"## {suite}: held-out effects", _table(header, rows) if rows else "Not run yet.", note])


def _is_known(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def _error(known: Sequence[dict[str, Any]], what: str) -> list[str]:
    truth = np.array([row[f"true_{what}"] for row in known])
    errors = np.array([row[what] for row in known]) - truth
    low, high = np.array([row[f"{what}_interval"] for row in known]).T
    inside = (low <= truth) & (truth <= high)
    return [_signed(errors), f"{(high - low).mean():.3f} wide", _plain(inside)]


_SECTIONS: dict[str, Callable[[str, bool, dict[str, Results]], str]] = {
    "spotcheck-vectors": _spotcheck,
    "spotcheck-images": _spotcheck,
    "digits": _digits,
    "synthetic": _synthetic,
    "null": _null,
    "effects": _effects,
    "digits-penultimate": _digits,
    "synthetic-large": _synthetic,
}


def _tuning() -> str:
    """Which parameters the peers got, and where their grids were cut."""
    names = ("spotcheck-vectors", "spotcheck-images", "digits-rare", "digits-noisy", "digits-correlation", "synthetic")
    rows = []
    for method in PEERS:
        for name in names:
            decided = tuned(method, name)
            if decided is not None and decided["sets"] > 1:
                value = " / ".join(f"{part:.3f}" for part in decided["value"])
                chosen = ", ".join(f"{key} {part}" for key, part in decided["parameters"].items())
                rows.append([method, name, chosen, value, str(decided["sets"]), str(decided["settings"])])
    if not rows:
        return ""
    cut = ", ".join(f"{method} ({len(sets)} of {len(PEERS[method][1])} sets)" for method, sets in REDUCED.items())
    note = (
        "Chosen by mean DR - mean FDR@u / 10 (spotcheck), inductive success rate, then mean best F1 (digits), mean "
        f"best F1 (synthetic, also for null). Grids cut for time: {cut}; PlaneSpot's t-SNE maps are left out."
    )
    header = ["peer", "tuned for", "chosen", "value", "sets", "settings"]
    return f"## How the peers were tuned\n\n{_table(header, rows)}\n\n{note}"


# --- Cells ---


def _of(key: str) -> Measure:
    return lambda result: float(result[key])


def _only(found: dict[str, Results], groups: Sequence[str]) -> dict[str, Results]:
    return _select(found, lambda group: group in groups)


def _select(found: dict[str, Results], wanted: Callable[[str], bool]) -> dict[str, Results]:
    return {method: {key: result for key, result in own.items() if wanted(key[0])} for method, own in found.items()}


def _average(own: Results, measure: Measure) -> float:
    return float(np.mean([measure(result) for result in own.values()]))


def _mean(own: Results, measure: Measure) -> str:
    return _plain([measure(result) for result in own.values()])


def _plain(values: Any) -> str:
    mean, low, high = metrics.paired_bootstrap(values)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _signed(values: Any) -> str:
    mean, low, high = metrics.paired_bootstrap(values)
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def _difference(found: dict[str, Results], method: str, measure: Measure) -> str:
    """SliceLab's measure (with leads, where it was run with them) minus the method's, on settings that both have."""
    if method in (SLICELAB, LEADS, ORACLE):
        return ""
    ours, theirs = _ours(found), found[method]
    both = [key for key in theirs if key in ours]
    if not both:
        return NOTHING
    text = _signed([measure(ours[key]) - measure(theirs[key]) for key in both])
    return text if len(both) == len(theirs) == len(ours) else f"{text} on {len(both)}"


def _ours(found: dict[str, Results]) -> Results:
    return found.get(LEADS) or found.get(SLICELAB, {})


def _success(found: dict[str, Results], method: str, which: str) -> tuple[str, str]:
    if any(which not in result for result in found[method].values()):
        return NOTHING, NOTHING

    def measure(result: Result) -> float:
        return metrics.success_rate(result[which])

    ours = _ours(found)
    known = all(which in result for result in ours.values())
    return _mean(found[method], measure), _difference(found, method, measure) if known else NOTHING


def _seconds(own: Results) -> str:
    return f"{np.median([result['cpu'] for result in own.values()]):.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
