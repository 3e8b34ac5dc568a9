"""Test cases that a model must pass: case, suite, verdict."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from slicelab.core._bar import Bar
from slicelab.core._operating_point import OperatingPoint, confidence_words
from slicelab.core._slice import actor, new_id, now
from slicelab.core._tables import Task
from slicelab.core._words import html_table, visible

SUITE_SCHEMA = 4
"""Of suites that are made now; 4 has groups and operating points, and its cases are frozen whole."""

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
        SHA-256 over all that the case is judged by, as `slicelab.gate.case_hash` computes it.
    schema_version
        What the hash covers. 2: the members, and of every image that one belongs to the media, all labels (members or
        not, with boxes and crowd flags) and the group. 1, of older versions: the members with their own labels and
        the media; the other labels on the images, which precision and the matching read, are not covered.
    hashes
        SHA-256 of "membership", "labels", "media" and (schema 2) "groups" by themselves, to tell which one changed;
        may be empty.
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
    schema_version: int = 2
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
        Index `key`; columns `sha256`, `width`, `height`, for classification `label`; `group` (text, NaN where missing)
        where the dataset declares groups. Every sample that a member belongs to.
    boxes
        Detection: every labelled box on those samples, `BOX_COLUMNS`, in pixels to 0.01.
    categories
        Class names by COCO category id, so that COCO results can be read; empty where the labels weren't COCO. Then
        `samples` has a column `coco_image_id` as well.
    operating_points
        Detection: by model, the confidence from which on its predicted boxes count; a number or one per class.
    others
        Detection: the same for models that aren't among them. None: each case is judged where the model's F1 on that
        case's own images is highest, so that no verdict depends on another case. "suite", only of schema 3 and older:
        where F1 over all images of the suite is highest.
    edited
        Whether the file it was read from had been edited by hand or merged: its content hash didn't match.
    content_hash
        SHA-256 of the fields of that file, as they stand there; "": it was read from none.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    samples: pd.DataFrame
    boxes: pd.DataFrame
    categories: dict[int, str] = field(default_factory=dict)
    schema_version: int = SUITE_SCHEMA
    operating_points: dict[str, float | dict[str, float]] = field(default_factory=dict)
    others: float | dict[str, float] | Literal["suite"] | None = None
    edited: bool = False
    content_hash: str = ""


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
        SHA-256 of what the verdict rests on: "predictions" (on this case's images), "labels", "membership", "media",
        "groups", "confidence" (the operating point, or the rule by which it is found) and "metric" (its definition and
        the user's own code). Where two runs differ, so does one of these.
    n_groups
        Groups among the units that were judged; 0 where that isn't known.
    confidence
        Detection: from which on predicted boxes counted on this case, a number or one per class.
    n_images, n_predicted
        Detection: the case's images, and those of them that have a predicted box at any confidence.
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
    n_groups: int = 0
    confidence: float | dict[str, float] | None = field(default=None, hash=False)
    n_images: int = 0
    n_predicted: int = 0

    @property
    def counted(self) -> str:
        """How many units were judged, and in how many groups where those are fewer: "300 in 30 groups"."""
        grouped = 0 < self.n_groups < self.n_units
        return f"{self.n_units} in {self.n_groups} group{'s' * (self.n_groups != 1)}" if grouped else str(self.n_units)

    @property
    def target(self) -> float | None:
        """The value that the bar asks for; None where it is that of another model which isn't there."""
        return self.case.bar.target(self.baseline)

    def __str__(self) -> str:
        """One line: verdict, case, bar, value with interval; the reason on a second one unless it passes."""
        value = f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        change = f"  {self.comparison}" if self.comparison else ""
        line = f"{self.verdict:<12} {self.case.name}: {self.case.bar}, {value}, n={self.counted}{change}"
        if self.n_predicted < self.n_images:
            line += f"  boxes on {self.n_predicted} of {self.n_images} images"
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
    operating_points
        Detection: by model, from which confidence on its boxes counted, and where that comes from.
    warnings
        Sentences that whoever relies on the verdicts must know; every form of the report shows them.
    edited
        Whether the suite's file had been edited by hand or merged; with `strict` the exit code is 2 then.
    content_hash
        SHA-256 of the suite's file; "": it was read from none.
    """

    suite: str
    model: str
    against: str | None
    results: tuple[CaseResult, ...]
    seconds: float = 0.0
    at: str = field(default_factory=now)
    by: str = field(default_factory=actor)
    provenance: dict[str, Any] = field(default_factory=dict, hash=False)
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict, hash=False)
    warnings: tuple[str, ...] = ()
    edited: bool = False
    content_hash: str = ""

    @property
    def passed(self) -> bool:
        """True when every case passes."""
        return bool(self.results) and all(r.verdict == "pass" for r in self.results)

    def exit_code(self, *, strict: bool = False) -> int:
        """0: no case fails; 1: one fails or is invalid (or is inconclusive, when `strict`); 2: there is no verdict.

        That is where there is no case, and when `strict` where the suite's file was edited by hand or merged.
        """
        bad = {"fail", "invalid", "inconclusive"} if strict else {"fail", "invalid"}
        if not self.results or (strict and self.edited):
            return 2
        return int(any(r.verdict in bad for r in self.results))

    def counts(self) -> dict[str, int]:
        """Return the number of cases by verdict."""
        return {v: sum(r.verdict == v for r in self.results) for v in VERDICTS}

    def __str__(self) -> str:
        """Every case's line or two, one for the whole, one per operating point and one per warning."""
        counts = ", ".join(f"{n} {verdict}" for verdict, n in self.counts().items() if n)
        against = f" against {self.against}" if self.against else ""
        whole = visible(f"suite {self.suite}, model {self.model}{against}: {counts or 'no cases'}")
        told = [f"operating point of {line}" for line in self.operating_point_lines()]
        told += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join([*map(str, self.results), whole, *map(visible, told)])

    __repr__ = __str__

    def operating_point_lines(self) -> list[str]:
        """Say for every model from which confidence on its boxes counted: a line each, empty in classification."""
        return [f"{model}: {point}" for model, point in self.operating_points.items()]

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
                "groups": r.n_groups or None,
                "failures": r.n_failures,
                "confidence": None if r.confidence is None else confidence_words(r.confidence),
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
        columns = ["case", "verdict", "bar", "value", "low", "high", "units", "groups", "failures", "confidence"]
        columns += ["baseline", "change", "p_value", "p_adjusted", "comparison", "broke", "fixed", "reason"]
        return pd.DataFrame(rows, columns=columns).set_index("case")

    def _repr_html_(self) -> str:
        frame = self.frame().drop(columns="reason")
        frame = frame.drop(columns=[c for c in ("groups", "confidence") if frame[c].isna().all()])
        table = html_table(frame, float_format="{:.3f}".format, na_rep="")
        told = [*(f"operating point of {p}" for p in self.operating_point_lines()), *self.warnings]
        return table + "".join(f"<p>{html.escape(visible(line))}</p>" for line in told)
