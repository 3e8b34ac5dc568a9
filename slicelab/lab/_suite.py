"""A suite of a dataset: adding cases, running it, saving it for the gate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from slicelab import gate
from slicelab.core import Bar, Case, NotFoundError, Slice, Suite, SuiteReport, did_you_mean, new_id
from slicelab.lab._pictures import Pictures
from slicelab.lab._units import Units
from slicelab.store import Cases

if TYPE_CHECKING:
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
            },
        )
        return self._cases.save(case)

    def retire(self, name: str) -> None:
        """Take a case out of the suite; its versions stay."""
        self._cases.retire(self.case(name))

    def refreeze(self) -> list[Case]:
        """Take the present labels and media as right: every case that they made invalid gets a new version.

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

    def value(self) -> Suite:
        """Return the suite with the truth it is judged by, as the gate takes it."""
        cases = self.cases
        if not cases:
            raise NotFoundError(
                f"Suite {self.name!r} has no cases. Add one with lab.promote(slice, bar=..., suite=...)."
            )
        return gate.make_suite(self.name, cases, self._units.table(), categories=self._units.info().coco_categories)

    def run(self, model: str, *, against: str | None = None) -> SuiteReport:
        """Judge a model by every case.

        Parameters
        ----------
        model
            Its name.
        against
            Another model to compare with, unit by unit.

        Returns
        -------
        SuiteReport; it is kept in the database as well.
        """
        predictions = self._units.predictions(model)
        other = None if against is None else self._units.predictions(against)
        report = gate.run_suite(self.value(), predictions, against=other)
        self._records.append("runs", _run_record(self.dataset, report))
        return report

    def history(self) -> pd.DataFrame:
        """Return every verdict so far: one row per run and case, oldest first."""
        runs = self._records.find("runs", dataset=self.dataset, suite=self.name)
        rows = [
            {"at": run["at"], "model": run["model"], **{k: r[k] for k in ("case", "version", "verdict", "value")}}
            for run in sorted(runs, key=lambda r: r["at_ns"])
            for r in run["results"]
        ]
        return pd.DataFrame(rows, columns=["at", "model", "case", "version", "verdict", "value"])

    def save(self, path: str | Path) -> Path:
        """Write the suite as a file that goes to git and that `slicelab gate` reads; return its path."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return gate.save_suite(self.value(), path)

    def write_html(self, report: SuiteReport, path: str | Path, *, models: Sequence[str]) -> Path:
        """Write a report with the pictures of the worst units of each case that doesn't pass."""
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
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return gate.write_text(path, report_html(report, pictures=pictures, captions=captions))

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
        "results": results,
    }


def _json(value: object) -> object:
    """Return a JSON value: NaN becomes None, tuples lists."""
    if isinstance(value, float):
        return None if value != value else value
    return [_json(v) for v in value] if isinstance(value, (tuple, list)) else value
