"""Test cases that a model must pass: case, suite, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from slicelab.core._bar import Bar
from slicelab.core._slice import actor, new_id, now
from slicelab.core._tables import Task
from slicelab.core._words import html_table, visible

VERDICTS = ("pass", "fail", "inconclusive", "invalid")
Verdict = Literal["pass", "fail", "inconclusive", "invalid"]


@dataclass(frozen=True)
class Case:
    """A frozen slice + metric + bar; immutable, editing makes a new version.

    Parameters
    ----------
    name, suite
        Its name (unique in its suite) and its suite's.
    bar
        What must be reached.
    members
        Unit ids. Objects' ids and samples' keys only: a spurious box stands for its image, as the sample's key.
    content_hash
        SHA-256 over unit ids, labels and media, as `slicelab.gate.case_hash` computes it.
    hashes
        The same of "membership", "labels" and "media" by themselves, to tell which one changed; may be empty.
    """

    name: str
    suite: str
    bar: Bar
    members: tuple[str, ...]
    content_hash: str
    rule: str | None = None
    note: str = ""
    provenance: dict[str, Any] = field(default_factory=dict, hash=False)
    case_id: str = field(default_factory=new_id)
    version: int = 1
    created_at: str = field(default_factory=now)
    created_by: str = field(default_factory=actor)
    schema_version: int = 1
    hashes: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Drift:
    """How the units that a rule describes now differ from a frozen membership.

    Parameters
    ----------
    case
        Name of the case.
    came, went
        Units that match the rule but are no members, and members that no longer match it; sorted.
    """

    case: str
    came: tuple[str, ...]
    went: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.came or self.went)

    def __str__(self) -> str:
        if not self:
            return f"{self.case}: rule and members agree"
        new = f"{len(self.came)} new unit{'s match' if len(self.came) != 1 else ' matches'} the rule"
        return f"{self.case}: {new}, {len(self.went)} member{'s' * (len(self.went) != 1)} no longer do"


@dataclass(frozen=True, eq=False)
class Suite:
    """A named list of cases with the truth they are judged by; all that the gate needs.

    Parameters
    ----------
    name, task, classes
        As in `SampleTable`.
    cases
        In order.
    samples
        Index `key`; columns `sha256`, `width`, `height`, for classification `label`. Every sample that a member
        belongs to.
    boxes
        Detection: every labelled box on those samples, `BOX_COLUMNS`.
    categories
        Class names by COCO category id, so that COCO results can be read; empty where the labels weren't COCO. Then
        `samples` has a column `coco_image_id` as well.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    samples: pd.DataFrame
    boxes: pd.DataFrame
    categories: dict[int, str] = field(default_factory=dict)
    schema_version: int = 2


@dataclass(frozen=True)
class CaseResult:
    """What the gate says of one case.

    Parameters
    ----------
    case
        The case.
    verdict, reason
        Verdict and why, in words.
    value, interval
        The metric on the case and its interval at the bar's confidence (NaN when invalid).
    n_units, n_failures
        Units that were judged and failures among them.
    baseline, baseline_interval, change, p_value
        The other model's value and interval, value - baseline and its p-value (exact McNemar for proportions);
        None without another model.
    change_interval, p_adjusted
        Interval of the change at the bar's confidence, and the p-value after Holm's correction over the suite.
    comparison
        "regressed", "improved", "no evidence" or "" without another model.
    failing
        Unit ids that fail under this model, worst first.
    broke, fixed
        Labelled units that fail under this model only, and under the other model only; the worst first.
    hashes
        SHA-256 of what the verdict rests on: "predictions" (on this case's images), "labels", "membership", "media"
        and "metric" (its definition and the user's own code). Where two runs differ, so does one of these.
    """

    case: Case
    verdict: Verdict
    reason: str
    value: float
    interval: tuple[float, float]
    n_units: int
    n_failures: int
    baseline: float | None = None
    baseline_interval: tuple[float, float] | None = None
    change: float | None = None
    p_value: float | None = None
    comparison: str = ""
    failing: tuple[str, ...] = ()
    change_interval: tuple[float, float] | None = None
    p_adjusted: float | None = None
    broke: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def target(self) -> float | None:
        """The value that the bar asks for; None where it is that of another model which isn't there."""
        return self.case.bar.target(self.baseline)

    def __str__(self) -> str:
        """One line: verdict, case, bar, value with interval; the reason on a second one unless it passes."""
        value = f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        change = f"  {self.comparison}" if self.comparison else ""
        line = f"{self.verdict:<12} {self.case.name}: {self.case.bar}, {value}, n={self.n_units}{change}"
        lines = [line] if self.verdict == "pass" else [line, f"{'':<12}   {self.reason}"]
        return "\n".join(visible(each) for each in lines)

    __repr__ = __str__


@dataclass(frozen=True)
class SuiteReport:
    """Verdicts of a suite under one model.

    Parameters
    ----------
    suite, model, against
        Names.
    results
        One per case, in the suite's order.
    seconds
        Wall time.
    """

    suite: str
    model: str
    against: str | None
    results: tuple[CaseResult, ...]
    seconds: float = 0.0
    at: str = field(default_factory=now)
    by: str = field(default_factory=actor)
    provenance: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def passed(self) -> bool:
        """True when every case passes."""
        return bool(self.results) and all(r.verdict == "pass" for r in self.results)

    def exit_code(self, *, strict: bool = False) -> int:
        """0: no case fails; 1: one fails or is invalid (or is inconclusive, when `strict`); 2: there is no case."""
        bad = {"fail", "invalid", "inconclusive"} if strict else {"fail", "invalid"}
        if not self.results:
            return 2
        return int(any(r.verdict in bad for r in self.results))

    def counts(self) -> dict[str, int]:
        """Return the number of cases by verdict."""
        return {v: sum(r.verdict == v for r in self.results) for v in VERDICTS}

    def __str__(self) -> str:
        """Every case's line or two, and one for the whole."""
        counts = ", ".join(f"{n} {verdict}" for verdict, n in self.counts().items() if n)
        against = f" against {self.against}" if self.against else ""
        whole = visible(f"suite {self.suite}, model {self.model}{against}: {counts or 'no cases'}")
        return "\n".join([*map(str, self.results), whole])

    __repr__ = __str__

    def frame(self) -> pd.DataFrame:
        """One row per case, index `case`."""
        rows = [
            {
                "case": r.case.name,
                "verdict": r.verdict,
                "bar": str(r.case.bar),
                "value": r.value,
                "low": r.interval[0],
                "high": r.interval[1],
                "units": r.n_units,
                "failures": r.n_failures,
                "baseline": r.baseline,
                "change": r.change,
                "p_value": r.p_value,
                "p_adjusted": r.p_adjusted,
                "comparison": r.comparison,
                "broke": len(r.broke),
                "fixed": len(r.fixed),
                "reason": r.reason,
            }
            for r in self.results
        ]
        columns = ["case", "verdict", "bar", "value", "low", "high", "units", "failures"]
        columns += ["baseline", "change", "p_value", "p_adjusted", "comparison", "broke", "fixed", "reason"]
        return pd.DataFrame(rows, columns=columns).set_index("case")

    def _repr_html_(self) -> str:
        return html_table(self.frame().drop(columns="reason"), float_format="{:.3f}".format, na_rep="")
