"""A relabel queue of a dataset: adding, exporting, receiving, merging."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from slicelab import annotation, curation, gate
from slicelab.core import (
    BOX_COLUMNS,
    IN_FLIGHT,
    TEXT,
    Batch,
    CaseResult,
    Flip,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    Return,
    Slice,
    StateError,
    check_name,
    check_unique,
)
from slicelab.curation import Decided, Sampling
from slicelab.lab._decisions import Decisions
from slicelab.lab._flips import flips
from slicelab.lab._label_schema import example_pictures
from slicelab.lab._pictures import Pictures
from slicelab.lab._servers import Servers
from slicelab.lab._suggest import check_budget, suggest
from slicelab.lab._units import Units
from slicelab.store import Cases, Datasets, LabelSchemas, Queues, Slices, Vectors

log = logging.getLogger("slicelab")


@dataclass(frozen=True)
class Exported:
    """A batch and the files that were written for it."""

    batch: Batch
    format: str
    paths: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are not copied pictures."""
        return tuple(p for p in self.paths if p.parent.name != "images")

    def __str__(self) -> str:
        pictures = len(self.paths) - len(self.files)
        more = f" and {pictures} pictures" if pictures else ""
        return f"{len(self.batch.tasks)} tasks as {self.format}: {', '.join(str(p) for p in self.files)}{more}"


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Parameters
    ----------
    into
        The label field that is the truth now.
    changed, confirmed
        How many samples got other labels, and how many kept theirs.
    labels
        One row per changed sample, index `key`: `old`, `new`.
    flips
        What became of every affected case under every model, and why.
    """

    into: str
    changed: int
    confirmed: int
    labels: pd.DataFrame
    flips: tuple[Flip, ...] = ()

    def __str__(self) -> str:
        head = f"merged into {self.into}: {self.changed} samples changed, {self.confirmed} confirmed"
        return "\n".join([head, *(f"  {flip}" for flip in self.flips)])


class LabQueue(Decisions, Servers):
    """Items that wait for a person's decision about a label; made by `Lab.queue`."""

    def __init__(
        self,
        dataset: str,
        name: str,
        queues: Queues,
        datasets: Datasets,
        units: Units,
        slices: Slices,
        cases: Cases,
        vectors: Vectors,
        schemas: LabelSchemas,
        pictures: Pictures,
    ) -> None:
        self.dataset = dataset
        self.name = name
        self._queues = queues
        self._datasets = datasets
        self._units = units
        self._slices = slices
        self._cases = cases
        self._vectors = vectors
        self._schemas = schemas
        self._pictures = pictures

    def items(self, *, state: str | None = None) -> list[QueueItem]:
        """Return the items (of one state), highest priority first."""
        return self._queues.items(self.name, state=state)

    def frame(self) -> pd.DataFrame:
        """Return one row per item, highest priority first."""
        columns = [f.name for f in fields(QueueItem) if f.name != "schema_version"]
        return pd.DataFrame([[getattr(i, c) for c in columns] for i in self.items()], columns=columns)

    def counts(self) -> dict[str, int]:
        """Return the number of items by state."""
        states = pd.Series([i.state for i in self.items()], dtype=TEXT).value_counts()
        return {str(state): int(n) for state, n in states.items()}

    def add(
        self,
        what: Slice | str | Sequence[str],
        *,
        reason: str,
        model: str | None = None,
        instruction: str = "",
        priority: float | None = None,
        limit: int | None = None,
        sampling: Sampling = "worst",
        by: str = "label",
        embeddings: str = "default",
    ) -> int:
        """Queue units for a person's decision.

        Parameters
        ----------
        what
            A slice, its name, or unit ids.
        reason
            One of relabel, augment, define_new_class, merge_classes, remove, investigate.
        model
            Whose predictions say what comes first; None: the slice's model, else the first.
        instruction
            Words for the annotators.
        priority
            None: the loss under that model.
        limit
            The budget: at most this many.
        sampling
            Which ones: "worst" (the highest priorities), "stratified" by the column `by`, "diverse" in the embedding of
            that name, "random"; "all" without a limit.
        by, embeddings
            For "stratified" and "diverse".

        Returns
        -------
        How many were new; units that are in flight in this queue already are left out.
        """
        slice_ = self._slices.get(what) if isinstance(what, str) else what if isinstance(what, Slice) else None
        members = list(slice_.members) if slice_ is not None else list(what)  # type: ignore[arg-type]
        models = list(self._datasets.info(self.dataset).models)
        preferred = model or (slice_.model if slice_ is not None else None) or next(iter(models), None)
        frame = self._units.known(sorted(models, key=lambda m: m != preferred))
        missing = [u for u in members if u not in frame.index]
        if missing:
            raise NotFoundError(
                f"{len(missing)} of the units aren't in dataset {self.dataset!r}, first {missing[0]!r}."
            )
        new = curation.add_items(
            self.name,
            frame.loc[members],
            reason=reason,
            origin=slice_.name if slice_ is not None else "",
            instruction=instruction,
            priority=priority,
            existing=self.items(),
        )
        units = frame.loc[[i.unit for i in new]].assign(priority=[i.priority for i in new])
        chosen = set(self._sampled(units, limit, sampling, by, embeddings))
        new = sorted((i for i in new if i.unit in chosen), key=lambda item: -item.priority)
        self._queues.add(new)
        return len(new)

    def _sampled(self, units: pd.DataFrame, budget: int | None, how: Sampling, by: str, embeddings: str) -> pd.Index:
        vectors = None
        if how == "diverse":
            names, rows = self._vectors.load(embeddings)
            at = pd.Index(names).get_indexer(units.index)
            units, vectors = units[at >= 0], rows[at[at >= 0]]
        return curation.sample_units(units, budget, sampling=how, by=by, vectors=vectors)

    def export(
        self,
        format: str,  # noqa: A002
        folder: str | Path,
        *,
        images: Literal["copy", "none"] = "copy",
        model: str | None = None,
        blind: bool = False,
        media_url: str | None = None,
        limit: int | None = None,
        archive: bool = False,
        probes: Slice | str | Sequence[str] = (),
        probe_share: float = 0.1,
    ) -> Exported:
        """Write the queued items as a batch for the annotation team.

        Parameters
        ----------
        format
            One of `slicelab.annotation.EXPORT_FORMATS`.
        folder
            Below it the batch gets a folder of its own.
        images
            "copy": the pictures go along; "none": only their names.
        model
            Whose predictions go along; None: none.
        blind
            True: neither the present labels nor anything of the model goes along.
        media_url
            Label Studio: the address under which it finds the pictures; None: local files.
        limit
            At most this many items, the highest priorities.
        archive
            True: one zip instead of a folder.
        probes
            A slice, its name, or units whose labels are known to be right: some are mixed in as gold probes, which look
            like any other task. `annotators` scores everybody by them; they are never merged.
        probe_share
            Probes per task, in (0, 1].

        Returns
        -------
        Exported
            The folder has its name only once the batch is noted in the database; what an export that was cut off has
            left, the next one into the same folder completes or removes.
        """
        self._settle_drafts(folder)
        batch, queued = self._gather(model=model, blind=blind, limit=limit, probes=probes, probe_share=probe_share)
        paths = annotation.write_batch(
            batch,
            folder,
            format=format,
            images=images,
            media_url=media_url,
            archive=archive,
            examples=self._examples(batch),
            commit=lambda: self._mark_exported(batch, queued),
        )
        return Exported(batch, format, tuple(paths))

    def _settle_drafts(self, folder: str | Path) -> None:
        """End what killed exports have left there, in words."""
        named, removed = annotation.settle_drafts(folder, self._queues.is_out)
        for path in named:
            log.warning("An export was cut off after it was noted; its files are at %s now.", path)
        if removed:
            log.warning("Removed from %s what exports have left that were cut off before they were noted.", folder)

    def _claim(self, **options: Any) -> Batch:
        """Make a batch of the queued items and mark them as exported."""
        batch, queued = self._gather(**options)
        self._mark_exported(batch, queued)
        return batch

    def _mark_exported(self, batch: Batch, queued: Sequence[QueueItem]) -> None:
        moves = [(item, curation.move_item(item, "exported", batch_id=batch.batch_id)) for item in queued]
        self._queues.move(moves, with_batch=batch)

    def _gather(
        self,
        *,
        model: str | None,
        blind: bool,
        limit: int | None,
        probes: Slice | str | Sequence[str],
        probe_share: float,
    ) -> tuple[Batch, list[QueueItem]]:
        queued = self.items(state="queued")[:limit]
        if not queued:
            raise StateError(f"Queue {self.name!r} has nothing to export: {self.counts() or 'it is empty'}.")
        batch = self._batch_of(queued, model=model, blind=blind)
        return self._probed(batch, probes, probe_share), queued

    def _probed(self, batch: Batch, probes: Slice | str | Sequence[str], share: float) -> Batch:
        """Mix gold probes into a batch; their samples are those that aren't in flight in this queue."""
        if not isinstance(probes, Slice) and not probes:
            return batch
        units = list(self._slices.get(probes).members if isinstance(probes, str) else _members(probes))
        keys = {unit: self._units.keys_of([unit])[0] for unit in units}
        busy = {item.key for item in self.items() if item.state in IN_FLIGHT}
        one_each = {key: unit for unit, key in keys.items() if key not in busy}
        free = [QueueItem(self.name, unit, key, "relabel") for key, unit in one_each.items()]
        if not free:
            raise StateError(f"All {len(units)} trusted units are in flight in queue {self.name!r}. Trust others.")
        trusted = self._batch_of(free, model=batch.model, blind=batch.blind)
        return curation.add_probes(batch, trusted, share=share)

    def _batch_of(self, queued: Sequence[QueueItem], *, model: str | None, blind: bool) -> Batch:
        table = self._units.table()
        schemas = self._schemas.all()
        batch = curation.make_batch(
            queued,
            samples=table.samples,
            boxes=table.boxes,
            predicted=None if model is None else self._units.predictions(model).frame,
            dataset=self.dataset,
            queue=self.name,
            task=table.task,
            classes=table.classes,
            model=model,
            blind=blind,
        )
        return replace(batch, label_schema=schemas[-1] if schemas else None)

    def _examples(self, batch: Batch) -> dict[str, list[bytes]]:
        models = list(self._datasets.info(self.dataset).models)
        return example_pictures(batch.label_schema, self._pictures, models)

    def export_again(
        self,
        format: str,  # noqa: A002
        folder: str | Path,
        *,
        images: Literal["copy", "none"] = "copy",
        blind: bool = True,
        media_url: str | None = None,
        archive: bool = False,
        probes: Slice | str | Sequence[str] = (),
        probe_share: float = 0.1,
    ) -> Exported:
        """Send exactly the items that need a second opinion out once more, as a batch of its own.

        Parameters
        ----------
        format, folder, images, media_url, archive, probes, probe_share
            As `export`.
        blind
            True: the next annotator sees neither the present labels nor, ever, the earlier answers.

        Returns
        -------
        Exported
            Once it came back, `decide` joins its answers with those of the earlier rounds.
        """
        self._settle_drafts(folder)
        waiting = self.items(state="needs_second_opinion")
        if not waiting:
            raise StateError(
                f"No item of queue {self.name!r} needs a second opinion: {self.counts() or 'it is empty'}."
            )
        again = [curation.move_item(item, "queued") for item in waiting]
        batch = self._probed(self._batch_of(again, model=None, blind=blind), probes, probe_share)
        out = [curation.move_item(item, "exported", batch_id=batch.batch_id) for item in again]
        steps = [
            step
            for before, mid, after in zip(waiting, again, out, strict=True)
            for step in ((before, mid), (mid, after))
        ]
        paths = annotation.write_batch(
            batch,
            folder,
            format=format,
            images=images,
            media_url=media_url,
            archive=archive,
            examples=self._examples(batch),
            commit=lambda: self._queues.move(steps, with_batch=batch),
        )
        return Exported(batch, format, tuple(paths))

    def write(
        self,
        batch: Batch,
        format: str,  # noqa: A002
        folder: str | Path,
        *,
        images: Literal["copy", "none"] = "copy",
    ) -> Exported:
        """Write the files of a batch that is out already once more; parameters as in `export`."""
        self._settle_drafts(folder)
        examples = self._examples(batch)
        paths = annotation.write_batch(batch, folder, format=format, images=images, examples=examples)
        return Exported(batch, format, tuple(paths))

    def batches(self) -> list[Batch]:
        """Return the batches that went out, oldest first."""
        return self._queues.batches(self.name)

    def receive(
        self,
        path: str | Path,
        *,
        batch: Batch | str | None = None,
        format: str | None = None,  # noqa: A002
        all_reviewed: bool = False,
        annotator: str = "",
    ) -> Return:
        """Read what the annotation team sent back and say what it is; labels aren't changed yet.

        Parameters
        ----------
        path
            The returned file.
        batch
            To which it answers; None: the one that most of its rows belong to.
        format
            None: found out from the file.
        all_reviewed
            CVAT and COCO can't say who finished an image: an answer counts when the image is marked as reviewed or
            differs. True: a person has looked at every image in the file.
        annotator
            Who answered, where the file doesn't say.

        Returns
        -------
        Return
            Every row as matched, unmatched, duplicated, unreviewed, conflicting or rejected. The same file again
            changes nothing. Where this answer and another person's to the same task differ, its items need a second
            opinion: `decide` joins the answers, `export_again` asks others.

        Raises
        ------
        ReturnFileError
            The file can't be read; nothing was changed.
        """
        returned, of_batch = self._read(path, batch, format, all_reviewed)
        if annotator:
            returned = replace(returned, annotator=check_name(annotator, "name of the annotator"))
        given = curation.given_answers(self.batches(), [*self.returns(), returned])
        self._queues.save_return(returned, curation.return_moves(returned, of_batch, self.items(), given))
        return returned

    def merge(
        self, returned: Return | Decided | Sequence[Return | Decided], *, into: str, only_accepted: bool = False
    ) -> Merged:
        """Write the matched answers of returns as a new version of the labels; the old ones stay.

        Parameters
        ----------
        returned
            From `receive` or `decide`, or several of them (the rounds of a second opinion).
        into
            Name of the new label field, like "ground_truth_v2". It is the truth from then on.
        only_accepted
            True: only what was accepted; False: also what came back and nobody judged. What was rejected, needs a
            second opinion, or is a gold probe is never merged.

        Raises
        ------
        ConflictError
            The field is there already, or somebody merged this return.
        """
        wanted = [returned] if isinstance(returned, Return | Decided) else list(returned)
        returns = [each.returned if isinstance(each, Decided) else each for each in wanted]
        done = [self._queues.merged_into(each) for each in returns]
        if not returns or all(done) or any(d not in (None, into) for d in done):
            where = next((d for d in done if d not in (None, into)), None) or next(iter(done), None)
            raise StateError(f"This return was merged into {where!r} already; nothing was changed.")
        items = self.items()
        if only_accepted:
            items = [i for i in items if i.state in ("accepted", "merged")]
        batches = [self._queues.batch(each.batch_id) for each in returns]
        counted = curation.without_decided(returns, self.returns())
        outcomes = [curation.apply_return(r, b, items) for r, b in zip(counted, batches, strict=True)]
        outcome = curation.joined(outcomes)
        if not outcome.tasks:
            raise InvalidInputError(f"There is no answer that counts in {', '.join(map(str, returns))}.")
        table = self._units.table()
        samples, boxes = curation.merge_labels(table.samples, table.boxes, outcome)
        provenance = {
            "batch": ", ".join(r.batch_id for r in returns),
            "file_sha256": ", ".join(r.sha256 for r in returns),
            "by": returns[-1].received_by,
        }

        def mark(session: Any = None) -> None:
            for each, batch, found, before in zip(returns, batches, outcomes, done, strict=True):
                if before is None:
                    moves = _merge_moves(items, batch, set(found.tasks.values()))
                    self._queues.mark_merged(each, into, moves, session=session)

        if self._was_written(into, provenance):  # by an older version, which was cut off before the items moved
            mark()
        else:
            self._datasets.write_label_version(
                self.dataset,
                into,
                labels=outcome.labels,
                boxes={k: boxes.loc[boxes["key"] == k, list(BOX_COLUMNS)] for k in outcome.boxes},
                provenance=provenance,
                also=mark,
            )
        labels = _differences(table.samples, samples, table.boxes, boxes)
        return Merged(into, outcome.changed, outcome.confirmed, labels, self.explain(into))

    def explain(self, into: str) -> tuple[Flip, ...]:
        """Say what a merge into a label field did to every affected case under every model, and why.

        The cases are judged twice by the same predictions: with the labels before and after.
        """
        versions = self._datasets.label_versions(self.dataset, into)
        if not versions:
            raise NotFoundError(f"Nothing was merged into {into!r} in dataset {self.dataset!r}.")
        before = self._datasets.read_table(self.dataset, label_field=versions[-1]["from"])
        after = self._datasets.read_table(self.dataset, label_field=into)
        changed = _differences(before.samples, after.samples, before.boxes, after.boxes).index
        cases = [case for suite in self._cases.suites() for case in self._cases.all(suite)]
        names = list(self._datasets.info(self.dataset).models) if cases else []
        models = [self._units.predictions(m) for m in names]
        points = self._units.operating_points(names)
        return flips(cases, before, after, models, changed=changed, operating_points=points)

    def step_back(self) -> str:
        """Take the labels before the last merge as the truth again; return their field. Nothing is deleted."""
        return self._datasets.step_back(self.dataset)

    def suggest(
        self,
        budget: int = 100,
        *,
        model: str | Sequence[str] | None = None,
        embeddings: str = "default",
        sampling: Sampling = "worst",
        by: str = "label",
    ) -> pd.DataFrame:
        """Say which labels people should look at first.

        Parameters
        ----------
        budget
            At most this many units.
        model
            Whose predictions are asked; they must be out-of-sample. None: the first. Several (classification, the same
            classes): they are pooled; `prediction` and `gain` are of the first one.
        embeddings
            Name of the vectors that say what is near (classification); without them probabilities alone.
        sampling, by
            How the budget is spent, as in `add`.

        Returns
        -------
        DataFrame, index `unit`, most valuable first: `key`, `label`, `prediction`, `suggestion`, `kind` (what may be
        wrong), `likelihood` of a label error (0-1), `gain` (which part of the way to the bar of a case that doesn't
        pass one correction would be), `priority` = likelihood x (1 + gain). Units in flight in this queue are left
        out. Queue them with `add_suggested`.
        """
        check_budget(budget)
        known = list(self._datasets.info(self.dataset).models)
        models = [model] if isinstance(model, str) else list(model or known[:1])
        if not models:
            raise StateError(f"Dataset {self.dataset!r} has no predictions to find label errors by.")
        check_unique(models, "model")
        results = self._verdicts(models[0])
        found = suggest(self._units, self._vectors, models=models, embeddings=embeddings, results=results)
        busy = {item.unit for item in self.items() if item.state in IN_FLIGHT}
        free = found[~found.index.isin(busy)]
        return free.loc[self._sampled(free, budget, sampling, by, embeddings)]

    def add_suggested(self, found: pd.DataFrame, *, reason: str = "relabel", instruction: str = "") -> int:
        """Queue what `suggest` found, in its order; return how many were new."""
        new = curation.add_items(
            self.name,
            found.assign(loss=found["priority"]),
            reason=reason,
            origin="suggestion",
            instruction=instruction,
            existing=self.items(),
        )
        self._queues.add(new)
        return len(new)

    def _verdicts(self, model: str) -> list[CaseResult]:
        table, predictions = self._units.table(), self._units.predictions(model)
        points = self._units.operating_points([model])
        suites = [self._cases.all(name) for name in self._cases.suites()]
        return [
            result
            for cases in suites
            if cases
            for result in gate.run_suite(
                gate.make_suite(cases[0].suite, cases, table, operating_points=points), predictions
            ).results
        ]

    def returns(self, *, merged: bool | None = None) -> list[Return]:
        """Return what came back so far, oldest first; `merged`: only what was, or wasn't, merged yet."""
        found = self._queues.returns(self.name)
        return [r for r in found if merged is None or merged == (self._queues.merged_into(r) is not None)]

    def _was_written(self, into: str, provenance: dict[str, str]) -> bool:
        """Tell whether this very return was written into that field before the process was cut off."""
        versions = self._datasets.label_versions(self.dataset, into)
        there = into in self._datasets.info(self.dataset).label_fields
        return there and any({k: v.get(k) for k in provenance} == provenance for v in versions)

    def _read(
        self, path: str | Path, batch: Batch | str | None, kind: str | None, all_reviewed: bool
    ) -> tuple[Return, Batch]:
        if isinstance(batch, Batch):
            return annotation.read_return(path, batch, format=kind, all_reviewed=all_reviewed), batch
        candidates = self.batches() if batch is None else [self._queues.batch(batch)]
        if not candidates:
            raise StateError(f"Queue {self.name!r} has exported nothing yet, so nothing can come back to it.")
        read = [(annotation.read_return(path, b, format=kind, all_reviewed=all_reviewed), b) for b in candidates]
        return max(read, key=lambda pair: len(pair[0].matched) + len(pair[0].rows) - pair[0].counts()["unmatched"])


def _members(units: Slice | Sequence[str]) -> Sequence[str]:
    return units.members if isinstance(units, Slice) else units


def _merge_moves(items: Sequence[QueueItem], batch: Batch, answered: set[str]) -> list[tuple[QueueItem, QueueItem]]:
    """Accept and merge the items of the answered tasks; each step has its own line in the history."""
    ids = {item_id for task in batch.tasks if task.task_id in answered for item_id in task.items}
    mine = [i for i in items if i.item_id in ids and i.batch_id == batch.batch_id]
    mine = [i for i in mine if i.state in ("returned", "accepted")]
    steps = []
    for item in mine:
        accepted = curation.accept([item])[0]
        if accepted is not item:
            steps.append((item, accepted))
        steps.append((accepted, curation.move_item(accepted, "merged")))
    return steps


def _differences(
    old: pd.DataFrame, new: pd.DataFrame, old_boxes: pd.DataFrame, new_boxes: pd.DataFrame
) -> pd.DataFrame:
    if "label" in old:
        rows = pd.DataFrame({"old": old["label"], "new": new["label"]})
        return rows[rows["old"].fillna("") != rows["new"].fillna("")]
    counts = [f.groupby("key")["label"].agg(lambda names: ", ".join(sorted(names))) for f in (old_boxes, new_boxes)]
    rows = pd.DataFrame({"old": counts[0], "new": counts[1]}).fillna("")
    moved = _corners(old_boxes) != _corners(new_boxes).reindex(_corners(old_boxes).index)
    return rows[(rows["old"] != rows["new"]) | moved.reindex(rows.index, fill_value=False)]


def _corners(boxes: pd.DataFrame) -> pd.Series:
    text = (
        boxes[["x", "y", "width", "height"]].round(2).astype(TEXT).agg(" ".join, axis=1)
        if len(boxes)
        else boxes["label"]
    )
    return text.groupby(boxes["key"]).agg(lambda rows: "\n".join(sorted(rows)))
