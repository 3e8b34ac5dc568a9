"""A suite of a dataset: adding cases, running it, saving it for the gate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from slicelab import curation, gate
from slicelab.core import (
    Bar,
    Case,
    Confidence,
    Drift,
    NotFoundError,
    Slice,
    Suite,
    SuiteReport,
    did_you_mean,
    new_id,
)
from slicelab.lab._lab_report import LabReport
from slicelab.lab._pictures import Pictures
from slicelab.lab._units import Units
from slicelab.store import Cases

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from slicelab.store import Records

PICTURES_PER_CASE = 12


class LabSuite:
    """A named list of cases; made by `Lab.suite`."""

    def __init__(
        self, dataset: str, name: str, cases: Cases, units: Units, pictures: Pictures, records: Records
    ) -> None:
        self.dataset = dataset
        self.name = name
        self._cases = cases
        self._units = units
        self._pictures = pictures
        self._records = records

    @property
    def cases(self) -> list[Case]:
        """The newest version of each case, by name."""
        return self._cases.all(self.name)

    def case(self, name: str) -> Case:
        """Return the case of that name, or raise `NotFoundError`."""
        cases = self.cases
        for case in cases:
            if case.name == name:
                return case
        raise NotFoundError(f"Suite {self.name!r} has no case {name!r}.{did_you_mean(name, [c.name for c in cases])}")

    def add(self, slice_: Slice, *, bar: Bar, name: str | None = None, note: str = "") -> Case:
        """Freeze a slice as a case; a case of that name gets a new version."""
        case = gate.freeze_case(
            name or slice_.name,
            suite=self.name,
            members=slice_.members,
            table=self._units.table(),
            bar=bar,
            rule=slice_.rule,
            note=note or slice_.note,
            provenance={
                "dataset": self.dataset,
                "slice": slice_.name,
                "slice_id": slice_.slice_id,
                "slice_version": slice_.version,
                "model": slice_.model,
                **({"found": slice_.provenance} if slice_.provenance else {}),
            },
        )
        return self._cases.save(case)

    def edit(
        self, case: Case, *, bar: Bar | None = None, members: Sequence[str] | None = None, note: str | None = None
    ) -> Case:
        """Make a new version of a case, with present labels and media.

        Parameters
        ----------
        case
            As it was when the edit began; if it isn't the newest version any more, nothing is written.
        bar, members, note
            What to change; None: as it is.

        Raises
        ------
        ConflictError
            Someone else edited the case meanwhile; the error shows both versions.
        """
        again = gate.freeze_case(
            case.name,
            suite=self.name,
            members=case.members if members is None else members,
            table=self._units.table(),
            bar=case.bar if bar is None else bar,
            rule=case.rule,
            note=case.note if note is None else note,
            provenance=case.provenance | {"edited_from": case.version},
        )
        return self._cases.save(again, expected=case.version)

    def versions(self, name: str) -> list[Case]:
        """Return every version of a case, oldest first."""
        return self._cases.versions(self.name, name)

    def drift(self, case: Case, *, model: str) -> Drift:
        """Tell how the units that a case's rule describes now differ from its members.

        Parameters
        ----------
        case
            With a rule.
        model
            Under whose predictions the rule is applied.
        """
        return curation.rule_drift(case.name, case.rule, case.members, self._units.for_rule(case.rule, model))

    def accept_drift(self, case: Case, *, model: str) -> Case:
        """Take the units that the rule describes now as members of a new version; return it."""
        drift = self.drift(case, model=model)
        if not drift:
            return case
        return self.edit(case, members=sorted(set(case.members).difference(drift.went).union(drift.came)))

    def stratify(self, by: str, *, bar: Bar, model: str, buckets: int = 4) -> list[Case]:
        """Add a case per class or per bucket of a metadata column; see `slicelab.gate.stratify`.

        Parameters
        ----------
        by
            Column of the units, like "label".
        bar
            Of every case; groups with fewer units than its `min_units` are left out.
        model
            Whose units frame is divided.
        buckets
            For columns of numbers.
        """
        groups = gate.stratify(self._units.objects(model), by, buckets=buckets, min_units=bar.min_units)
        table = self._units.table()
        origin = {"dataset": self.dataset, "stratified_by": by}
        return [
            self._cases.save(
                gate.freeze_case(name, suite=self.name, members=members, table=table, bar=bar, provenance=origin)
            )
            for name, members in groups.items()
        ]

    def retire(self, name: str) -> None:
        """Take a case out of the suite; its versions stay."""
        self._cases.retire(self.case(name))

    def refreeze(self) -> list[Case]:
        """Take the present labels, media and groups as right: every case that they made invalid gets a new version.

        So does every case that an older version froze, which covers only its members' labels: it is frozen whole now.

        Returns
        -------
        The new versions.
        """
        table = self._units.table()
        again = [
            gate.freeze_case(
                case.name,
                suite=self.name,
                members=case.members,
                table=table,
                bar=case.bar,
                rule=case.rule,
                note=case.note,
                provenance=case.provenance | {"refrozen_from": case.content_hash},
            )
            for case in self.cases
        ]
        hashes = {case.name: case.content_hash for case in self.cases}
        return [self._cases.save(case) for case in again if case.content_hash != hashes[case.name]]

    def value(self, *, others: Confidence | None = None, models: Sequence[str] | None = None) -> Suite:
        """Return the suite with the truth it is judged by, as the gate takes it.

        Parameters
        ----------
        others
            Detection: the operating point of models that the dataset doesn't know, a number or one per class. None:
            each case is judged where such a model's F1 on that case's own images is highest.
        models
            Whose operating points it holds. None: all of the dataset's.
        """
        cases = self.cases
        if not cases:
            raise NotFoundError(
                f"Suite {self.name!r} has no cases. Add one with lab.promote(slice, bar=..., suite=...)."
            )
        info = self._units.info()
        points = self._units.operating_points(info.models if models is None else models)
        return gate.make_suite(
            self.name,
            cases,
            self._units.table(),
            categories=info.coco_categories,
            operating_points=points,
            others=others,
        )

    def run(self, model: str, *, against: str | None = None) -> LabReport:
        """Judge a model by every case.

        Parameters
        ----------
        model
            Its name.
        against
            Another model to compare with, unit by unit. None: the one that the cases' bars name, if it is one.

        Returns
        -------
        LabReport; it is kept in the database as well. In detection both models are judged at the operating points that
        are kept with them, see `Lab.evaluate`.
        """
        named = {case.bar.against for case in self.cases if case.bar.against is not None}
        if against is None and len(named) == 1:
            against = named.pop()
        suite = self.value(models=[model] if against is None else [model, against])
        predictions = self._units.predictions(model)
        other = None if against is None else self._units.predictions(against)
        report = gate.run_suite(suite, predictions, against=other)
        self._records.append("runs", _run_record(self.dataset, report))
        return LabReport.of(report, partial(self.html, models=self._models()))

    def history(self) -> pd.DataFrame:
        """Return every verdict so far: one row per run and case, oldest first."""
        runs = self._records.find("runs", dataset=self.dataset, suite=self.name)
        rows = [
            {
                "at": run["at"],
                "model": run["model"],
                **{k: r[k] for k in ("case", "version", "verdict", "value")},
                "low": (r.get("interval") or [None, None])[0],
                "high": (r.get("interval") or [None, None])[1],
            }
            for run in sorted(runs, key=lambda r: r["at_ns"])
            for r in run["results"]
        ]
        return pd.DataFrame(rows, columns=["at", "model", "case", "version", "verdict", "value", "low", "high"])

    def plot_history(self, case: str) -> go.Figure:
        """Draw the values of a case over its runs, with intervals."""
        from slicelab.views import history_figure

        runs = self.history()
        runs = runs[runs["case"] == case]
        if runs.empty:
            raise NotFoundError(f"Suite {self.name!r} has no run of a case {case!r}. Run it first.")
        return history_figure(runs, title=case)

    def _models(self) -> tuple[str, ...]:
        return tuple(self._units.info().models)

    def save(self, path: str | Path, *, others: Confidence | None = None) -> Path:
        """Write the suite as a file that goes to git and that `slicelab gate` reads; return its path.

        Parameters
        ----------
        path
            Of the file.
        others
            As in `value`. The file holds the operating points of the dataset's models in any case.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return gate.save_suite(self.value(others=others), path)

    def write_html(self, report: SuiteReport, path: str | Path, *, models: Sequence[str]) -> Path:
        """Write a report with the pictures of the worst units of each case that doesn't pass."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return gate.write_text(path, self.html(report, models=models))

    def html(self, report: SuiteReport, *, models: Sequence[str]) -> str:
        """Return that page."""
        from slicelab.views import report_html

        shown = [u for r in report.results if r.verdict != "pass" for u in r.failing[:PICTURES_PER_CASE]]
        known = self._units.known(models).index
        pictures = {
            t.unit: t.image
            for t in self._pictures.thumbnails([u for u in dict.fromkeys(shown) if u in known], models=models, size=160)
            if t.image
        }
        frame = self._units.frame(report.model)
        words = frame[["label", "prediction"]].astype(object).where(frame[["label", "prediction"]].notna(), "nothing")
        captions = {u: " → ".join(map(str, words.loc[u])) for u in pictures if u in words.index}
        return report_html(report, pictures=pictures, captions=captions)

    def __repr__(self) -> str:
        lines = [f"Suite {self.name!r} of {self.dataset!r}"]
        return "\n".join(
            lines + [f"  {c.name} (version {c.version}): {c.bar}, {len(c.members)} units" for c in self.cases]
        )


def _run_record(dataset: str, report: SuiteReport) -> dict[str, object]:
    results = []
    for r in report.results:
        figures = {k: v for k, v in asdict(r).items() if k not in ("case", "failing")}
        finite = {k: _json(v) for k, v in figures.items()}
        results.append({"case": r.case.name, "version": r.case.version, "content_hash": r.case.content_hash, **finite})
    return {
        "_id": new_id(),
        "dataset": dataset,
        "suite": report.suite,
        "model": report.model,
        "against": report.against,
        "at": report.at,
        "at_ns": time.time_ns(),
        "by": report.by,
        "operating_points": {m: asdict(point) for m, point in report.operating_points.items()},
        "results": results,
    }


def _json(value: object) -> object:
    """Return a JSON value: NaN becomes None, tuples lists."""
    if isinstance(value, float):
        return None if value != value else value
    return [_json(v) for v in value] if isinstance(value, (tuple, list)) else value
