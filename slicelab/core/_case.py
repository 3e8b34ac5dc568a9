"""Test cases that a model must pass: bar, case, suite, verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from slicelab.core._checks import check_choice, check_fraction
from slicelab.core._errors import InvalidInputError
from slicelab.core._slice import actor, new_id, now
from slicelab.core._tables import Task

METRICS = (
    "accuracy",
    "error_rate",
    "recall",
    "precision",
    "f1",
    "false_positives_per_image",
    "ap50",
    "map",
)
VERDICTS = ("pass", "fail", "inconclusive", "invalid")
Verdict = Literal["pass", "fail", "inconclusive", "invalid"]


@dataclass(frozen=True)
class Bar:
    """The value that a metric must reach on a case.

    Parameters
    ----------
    metric
        One of `METRICS`.
    at_least, at_most
        The bar: exactly one of the two, in the metric's unit.
    confidence
        Of the interval by which it is judged.
    strict
        True: the interval's nearer end must reach the bar; an interval that straddles it is inconclusive.
        False: the value itself is judged.
    min_units
        With fewer units the verdict is never "pass".
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    confidence: float = 0.95
    strict: bool = True
    min_units: int = 1

    def __post_init__(self) -> None:
        check_choice(self.metric, METRICS, "metric")
        if (self.at_least is None) == (self.at_most is None):
            raise InvalidInputError(
                "A bar needs exactly one of at_least= and at_most=; "
                f"got at_least={self.at_least}, at_most={self.at_most}."
            )
        value = self.at_least if self.at_least is not None else self.at_most
        if self.metric == "false_positives_per_image":
            if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 <= value < np.inf:
                raise InvalidInputError(f"The bar must be a finite number from 0; got {value!r}.")
        else:
            check_fraction(value, "bar")  # type: ignore[arg-type]
        check_fraction(self.confidence, "confidence")
        if not 0 < self.confidence < 1:
            raise InvalidInputError(f"The confidence must lie between 0 and 1; got {self.confidence}.")

    @classmethod
    def parse(cls, text: str, *, confidence: float = 0.95, strict: bool = True, min_units: int = 1) -> Bar:
        """Read a bar as people write it: "recall >= 0.95" or "error_rate<=0.1".

        Raises
        ------
        InvalidInputError
            It isn't a metric, >= or <=, and a number.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*([0-9.eE+-]+)\s*", text)
        try:
            value = float(match[3]) if match else float("nan")
        except ValueError:
            value = float("nan")
        if match is None or value != value:
            raise InvalidInputError(f'A bar reads like "recall >= 0.95" or "error_rate <= 0.1"; got {text!r}.')
        side = {"at_least": value} if match[2] == ">=" else {"at_most": value}
        return cls(match[1], **side, confidence=confidence, strict=strict, min_units=min_units)

    def __str__(self) -> str:
        sign, value = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return f"{self.metric} {sign} {value:g}"


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
    schema_version: int = 1


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
    comparison
        "regressed", "improved", "no evidence" or "" without another model.
    failing
        Unit ids that fail under this model, worst first.
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
                "comparison": r.comparison,
                "reason": r.reason,
            }
            for r in self.results
        ]
        columns = ["case", "verdict", "bar", "value", "low", "high", "units", "failures"]
        columns += ["baseline", "change", "p_value", "comparison", "reason"]
        return pd.DataFrame(rows, columns=columns).set_index("case")

    def _repr_html_(self) -> str:
        # DataFrame escapes its cells.
        return str(self.frame().drop(columns="reason").to_html(float_format="{:.3f}".format, na_rep=""))
