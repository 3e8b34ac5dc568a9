"""What people decided: slices, cases, queues, batches and returns, in SliceLab's own collections.

Every write is a compare-and-set or an insert that can be repeated; several documents go in one transaction.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from slicelab.core import (
    IN_FLIGHT,
    AnnotationTask,
    Bar,
    Batch,
    Box,
    Case,
    Change,
    ConflictError,
    Edit,
    NotFoundError,
    QueueItem,
    Return,
    ReturnedRow,
    Slice,
    actor,
    did_you_mean,
    hash_value,
    now,
)
from slicelab.store._label_schemas import label_schema

if TYPE_CHECKING:
    from slicelab.store._records import Records

Session = Any


class Slices:
    """The slices of one dataset, with every version they ever had.

    Parameters
    ----------
    records, dataset
        SliceLab's collections and the dataset's name.
    """

    def __init__(self, records: Records, dataset: str) -> None:
        self._records = records
        self._dataset = dataset
        records.ensure_index("slices", ["dataset", "name"], unique=True, partial={"deleted": False})
        records.ensure_index("changes", ["dataset", "number"], unique=True)

    def all(self) -> list[Slice]:
        """Return the living slices, by name."""
        found = self._records.find("slices", dataset=self._dataset, deleted=False)
        return sorted((self._slice(record) for record in found), key=lambda s: s.name)

    def get(self, name: str) -> Slice:
        """Return the living slice of that name, or raise `NotFoundError`."""
        found = self._records.find("slices", dataset=self._dataset, deleted=False, name=name)
        if not found:
            names = [r["name"] for r in self._records.find("slices", dataset=self._dataset, deleted=False)]
            raise NotFoundError(f"Dataset {self._dataset!r} has no slice {name!r}.{did_you_mean(name, names)}")
        return self._slice(found[0])

    def versions(self, slice_id: str) -> list[Slice]:
        """Return every version of a slice, oldest first."""
        found = self._records.find("slice_versions", slice_id=slice_id)
        return [self._slice(record) for record in sorted(found, key=lambda r: r["version"])]

    def apply(self, change: Change) -> None:
        """Store a change wholly, or raise `ConflictError` and store nothing.

        Applying the same change again does nothing.
        """
        for edit in change.edits:
            if edit.after is not None:
                self._records.put_list(edit.after.members)

        def write(session: Session) -> None:
            if self._records.get("changes", change.change_id, session=session) is not None:
                return
            for edit in change.edits:
                self._write_edit(edit, session)
            number = self._records.next_number(f"changes of {self._dataset}", session=session)
            self._records.insert("changes", self._change_record(change, number), session=session)

        self._records.transact(write)

    def changes(self) -> list[Change]:
        """Return every change, oldest first."""
        found = sorted(self._records.find("changes", dataset=self._dataset), key=lambda r: r["number"])
        return [self._change(record) for record in found]

    def _write_edit(self, edit: Edit, session: Session) -> None:
        before, after = edit.before, edit.after
        subject = after or before
        if subject is None:
            return
        record = self._record(subject) | {"deleted": after is None}
        stored = self._records.get("slices", subject.slice_id, session=session)
        if stored is None:
            self._insert_new(record, subject, session)
        else:
            self._check_unchanged(stored, before, after)
            changes = {k: v for k, v in record.items() if k not in ("_id", "rev")}
            self._records.update("slices", subject.slice_id, rev=stored["rev"], changes=changes, session=session)
        if after is not None:
            version = record | {"_id": f"{after.slice_id}:{after.version}", "slice_id": after.slice_id, "rev": 1}
            self._records.insert("slice_versions", version, session=session)

    def _check_unchanged(self, stored: dict[str, Any], before: Slice | None, after: Slice | None) -> None:
        expected = None if before is None else before.version
        found = None if stored["deleted"] else stored["version"]
        if expected == found:
            return
        name = (before or after or self._slice(stored)).name
        state = "deleted it" if found is None else f"saved version {found}"
        raise ConflictError(
            f"Somebody {state} of slice {name!r} in the meantime; your change of version {expected} was not saved. "
            "Look at it again and repeat your change if it still holds.",
            mine=after,
            theirs=None if found is None else self._slice(stored),
        )

    def _insert_new(self, record: dict[str, Any], subject: Slice, session: Session) -> None:
        same = self._records.find("slices", dataset=self._dataset, deleted=False, name=subject.name, session=session)
        if same:
            raise ConflictError(
                f"Somebody has made a slice {subject.name!r} in the meantime. Choose another name.",
                mine=subject,
                theirs=self._slice(same[0]),
            )
        self._records.insert("slices", record, session=session)

    def _record(self, slice_: Slice) -> dict[str, Any]:
        record = {k: getattr(slice_, k) for k in Slice.__dataclass_fields__ if k not in ("members", "slice_id")}
        members = self._records.put_list(slice_.members)
        more = {"members": members, "n_members": len(slice_.members), "content_hash": slice_.content_hash}
        return {"_id": slice_.slice_id, "dataset": self._dataset, **record, **more}

    def _slice(self, record: dict[str, Any]) -> Slice:
        values = {k: record[k] for k in Slice.__dataclass_fields__ if k in record}
        values["members"] = tuple(self._records.get_list(record["members"]))
        values["slice_id"] = record.get("slice_id", record["_id"])
        return Slice(**values)

    def _change_record(self, change: Change, number: int) -> dict[str, Any]:
        edits = [
            {
                "slice_id": (edit.after or edit.before).slice_id,  # type: ignore[union-attr]
                "before": edit.before.version if edit.before else None,
                "after": edit.after.version if edit.after else None,
            }
            for edit in change.edits
        ]
        return {
            "_id": change.change_id,
            "dataset": self._dataset,
            "number": number,
            "action": change.action,
            "edits": edits,
            "at": change.at,
            "by": change.by,
        }

    def _change(self, record: dict[str, Any]) -> Change:
        edits = tuple(
            Edit(self._version(e["slice_id"], e["before"]), self._version(e["slice_id"], e["after"]))
            for e in record["edits"]
        )
        return Change(record["action"], edits, record["_id"], record["at"], record["by"])

    def _version(self, slice_id: str, version: int | None) -> Slice | None:
        if version is None:
            return None
        record = self._records.get("slice_versions", f"{slice_id}:{version}")
        return None if record is None else self._slice(record)


class Cases:
    """The cases and suites of one dataset; versions are never changed, only added.

    Parameters
    ----------
    records, dataset
        SliceLab's collections and the dataset's name.
    """

    def __init__(self, records: Records, dataset: str) -> None:
        self._records = records
        self._dataset = dataset
        records.ensure_index("cases", ["dataset", "suite", "name", "version"], unique=True)

    def suites(self) -> list[str]:
        """Return the names of the suites, sorted."""
        return sorted({record["suite"] for record in self._records.find("cases", dataset=self._dataset)})

    def all(self, suite: str) -> list[Case]:
        """Return the newest version of each case of a suite, by name; empty where there is no such suite."""
        newest: dict[str, dict[str, Any]] = {}
        for record in self._records.find("cases", dataset=self._dataset, suite=suite):
            if record["version"] > newest.get(record["name"], {"version": 0})["version"]:
                newest[record["name"]] = record
        return [self._case(newest[name]) for name in sorted(newest) if not newest[name]["retired"]]

    def save(self, case: Case, *, expected: int | None = None) -> Case:
        """Store a case as the next version of its name in its suite; return it with that version.

        Parameters
        ----------
        case
            What to store.
        expected
            The version that was edited; None: whatever is the newest.

        Raises
        ------
        ConflictError
            There is another version by now: someone else edited the case first. Nothing was written; the error holds
            both, `mine` and `theirs`.
        """
        version = expected if expected is not None else self._newest(case.suite, case.name)
        mine = replace(case, version=version + 1)
        try:
            if expected is not None and self._newest(case.suite, case.name) != expected:
                raise ConflictError(f"Version {expected} isn't the newest.")
            self._records.insert("cases", self._record(mine))
        except ConflictError as error:
            theirs = self._conflicting(mine)
            shown = "it was retired" if theirs is None else _in_words(theirs)
            raise ConflictError(
                f"The case {case.name!r} of {case.suite!r} was changed meanwhile. Yours: {_in_words(mine)}. "
                f"Theirs: {shown}. Look at both, then edit the newest version.",
                mine=mine,
                theirs=theirs,
            ) from error
        return mine

    def versions(self, suite: str, name: str) -> list[Case]:
        """Return every version of a case, oldest first."""
        records = self._records.find("cases", dataset=self._dataset, suite=suite, name=name)
        return [self._case(r) for r in sorted(records, key=lambda r: r["version"]) if not r["retired"]]

    def _newest(self, suite: str, name: str) -> int:
        same = self._records.find("cases", dataset=self._dataset, suite=suite, name=name)
        return max((record["version"] for record in same), default=0)

    def _conflicting(self, mine: Case) -> Case | None:
        same = [c for c in self.all(mine.suite) if c.name == mine.name]
        return same[0] if same else None

    def retire(self, case: Case) -> None:
        """Take a case out of its suite; its versions stay."""
        last = replace(case, version=case.version + 1)
        self._records.insert("cases", self._record(last) | {"retired": True, "at": now()})

    def _record(self, case: Case) -> dict[str, Any]:
        record = asdict(case) | {"members": self._records.put_list(case.members)}
        return record | {"_id": f"{case.case_id}:{case.version}", "dataset": self._dataset, "retired": False}

    def _case(self, record: dict[str, Any]) -> Case:
        values = {k: record[k] for k in Case.__dataclass_fields__ if k in record}
        values["bar"] = Bar(**record["bar"])
        values["members"] = tuple(self._records.get_list(record["members"]))
        return Case(**values)


def _in_words(case: Case) -> str:
    note = f", note {case.note!r}" if case.note else ""
    return f"version {case.version} by {case.created_by}, {case.bar}, {len(case.members)} units{note}"


class Queues:
    """The relabel queues of one dataset.

    Parameters
    ----------
    records, dataset
        SliceLab's collections and the dataset's name.
    """

    def __init__(self, records: Records, dataset: str) -> None:
        self._records = records
        self._dataset = dataset
        records.ensure_index("queue_items", ["dataset", "queue", "unit"], unique=True, partial={"in_flight": True})
        records.ensure_index("queue_items", ["batch_id"])
        records.ensure_index("queue_history", ["dataset", "queue"], partial={"queue": {"$exists": True}})

    def names(self) -> list[str]:
        """Return the names of the queues, sorted."""
        return sorted({record["queue"] for record in self._records.find("queue_items", dataset=self._dataset)})

    def items(self, queue: str, *, state: str | None = None) -> list[QueueItem]:
        """Return a queue's items, highest priority first."""
        where = {} if state is None else {"state": state}
        found = self._records.find("queue_items", where, dataset=self._dataset, queue=queue)
        items = [_item(record) for record in found]
        return sorted(items, key=lambda item: (-item.priority, item.unit))

    def add(self, items: Sequence[QueueItem]) -> None:
        """Store new items, all or none. Storing the same items again does nothing."""
        for chunk in _chunks(items):

            def write(session: Session, chunk: Sequence[QueueItem] = chunk) -> None:
                self._records.insert_many("queue_items", [self._record(i) for i in chunk], session=session)
                self._records.insert_many("queue_history", [_step(None, i) for i in chunk], session=session)

            self._records.transact(write)

    def move(
        self,
        moves: Sequence[tuple[QueueItem, QueueItem]],
        *,
        with_batch: Batch | None = None,
        decision: str | None = None,
        undoes: str | None = None,
    ) -> None:
        """Store moved items (before, after), each only if it is still as `before` says.

        Parameters
        ----------
        moves
            Items before and after.
        with_batch
            A batch to store in the same transaction.
        decision
            Id under which the history keeps these steps together as one decision of a person (see `last_decision`).
        undoes
            Id of the decision that these steps take back.

        Raises
        ------
        ConflictError
            Somebody moved one of them first; nothing of this call is stored.
        """
        at = time.time_ns()
        told = {k: v for k, v in (("decision", decision), ("undoes", undoes)) if v is not None}
        note = {"dataset": self._dataset, "queue": moves[0][1].queue, "at_ns": at, **told} if told and moves else {}

        def write(session: Session) -> None:
            self._write_moves(moves, session, note)
            if with_batch is not None:
                self._insert_batch(with_batch, at, session)

        self._records.transact(write)

    def history(self, item: QueueItem) -> list[dict[str, Any]]:
        """Return every step of an item, oldest first."""
        return sorted(self._records.find("queue_history", item_id=item.item_id), key=lambda r: int(r["rev"]))

    def last_decision(self, queue: str, *, by: str) -> list[tuple[dict[str, Any], int]]:
        """Return the steps of a person's last decision in a queue that wasn't taken back; none: an empty list.

        With each step comes the `rev` at which its item is now if nothing but decisions that were taken back followed.
        """
        noted = self._records.find("queue_history", dataset=self._dataset, queue=queue, sort="-at_ns")
        undone = {step["undoes"] for step in noted if "undoes" in step}
        mine = [s for s in noted if s["by"] == by and s.get("decision") not in (None, *undone)]
        void: dict[str, list[int]] = defaultdict(list)
        for step in noted:
            if "undoes" in step or step["decision"] in undone:
                void[step["item_id"]].append(_rev(step))
        last = [(step, _rev(step)) for step in mine if step["decision"] == mine[0]["decision"]]
        return [(step, rev + sum(later > rev for later in void[step["item_id"]])) for step, rev in last]

    def batch(self, batch_id: str) -> Batch:
        """Return a batch, or raise `NotFoundError`."""
        record = self._records.get("batches", batch_id)
        if record is None:
            raise NotFoundError(f"Dataset {self._dataset!r} has no batch {batch_id!r}.")
        tasks = sorted(self._records.find("batch_tasks", batch_id=batch_id), key=lambda r: int(r["number"]))
        return _batch(record, tasks)

    def is_out(self, batch_id: str) -> bool:
        """Tell whether a batch of that id went out."""
        return self._records.get("batches", batch_id) is not None

    def batches(self, queue: str) -> list[Batch]:
        """Return the batches of a queue, oldest first."""
        found = self._records.find("batches", dataset=self._dataset, queue=queue)
        return [self.batch(r["_id"]) for r in sorted(found, key=_when("created_at"))]

    def save_return(self, returned: Return, moves: Sequence[tuple[QueueItem, QueueItem]]) -> bool:
        """Store what came back and move its items, all or none; False when that file was taken before."""
        record_id = return_id(returned)
        if self._records.get("returns", record_id) is not None:
            return False
        rows, at = [asdict(row) for row in returned.rows], time.time_ns()

        def write(session: Session) -> None:
            record = {k: v for k, v in asdict(returned).items() if k != "rows"} | {"missing": list(returned.missing)}
            record |= {"_id": record_id, "dataset": self._dataset, "merged_into": None, "at": at}
            self._records.insert("returns", record, session=session)
            documents = [
                {"_id": f"{record_id}:{i}", "return_id": record_id, "number": i, **r} for i, r in enumerate(rows)
            ]
            self._records.insert_many("return_rows", documents, session=session)
            self._write_moves(moves, session)

        self._records.transact(write)
        return True

    def returns(self, queue: str) -> list[Return]:
        """Return what came back for a queue, oldest first."""
        found = self._records.find("returns", dataset=self._dataset, queue=queue)
        return [self._return(r) for r in sorted(found, key=_when("received_at"))]

    def merged_into(self, returned: Return) -> str | None:
        """Return the label field into which a return was merged (None: not yet)."""
        record = self._records.get("returns", return_id(returned))
        return None if record is None else record["merged_into"]

    def mark_merged(
        self,
        returned: Return,
        into: str,
        moves: Sequence[tuple[QueueItem, QueueItem]],
        *,
        session: Session | None = None,
    ) -> None:
        """Note that a return was merged and move its items, all or none; in a transaction that runs, as part of it."""
        record = self._records.get("returns", return_id(returned))
        if record is None:
            raise NotFoundError(f"The return of {returned.file!r} isn't stored; receive it first.")

        def write(session: Session) -> None:
            self._records.update(
                "returns", record["_id"], rev=record["rev"], changes={"merged_into": into}, session=session
            )
            self._write_moves(moves, session)

        if session is None:
            self._records.transact(write)
        else:
            write(session)

    def _write_moves(
        self, moves: Sequence[tuple[QueueItem, QueueItem]], session: Session, note: dict[str, Any] | None = None
    ) -> None:
        """Update each item that is still as it was before, with a line in its history."""
        for before, after in moves:
            changes = {k: v for k, v in self._record(after).items() if k not in ("_id", "rev")}
            self._records.update("queue_items", after.item_id, rev=before.rev, changes=changes, session=session)
        self._records.insert_many("queue_history", [_step(b, a) | (note or {}) for b, a in moves], session=session)

    def _record(self, item: QueueItem) -> dict[str, Any]:
        record = {k: v for k, v in asdict(item).items() if k != "item_id"}
        return {"_id": item.item_id, "dataset": self._dataset, "in_flight": item.state in IN_FLIGHT, **record}

    def _insert_batch(self, batch: Batch, at: int, session: Session) -> None:
        record = {k: v for k, v in asdict(batch).items() if k not in ("tasks", "batch_id")}
        record |= {"_id": batch.batch_id, "classes": list(batch.classes), "n_tasks": len(batch.tasks), "at": at}
        self._records.insert("batches", record, session=session)
        tasks = [
            {"_id": f"{batch.batch_id}:{i}", "batch_id": batch.batch_id, "number": i, "task": asdict(task)}
            for i, task in enumerate(batch.tasks)
        ]
        self._records.insert_many("batch_tasks", tasks, session=session)

    def _return(self, record: dict[str, Any]) -> Return:
        rows = sorted(self._records.find("return_rows", return_id=record["_id"]), key=lambda r: int(r["number"]))
        values = {k: record[k] for k in Return.__dataclass_fields__ if k in record}
        return Return(**values | {"rows": tuple(_row(r) for r in rows), "missing": tuple(record["missing"])})


def return_id(returned: Return) -> str:
    """Id of a return: the same file for the same batch, from the same person, is the same return."""
    whose = f":{hash_value(returned.annotator)[:12]}" if returned.annotator else ""
    return f"{returned.batch_id}:{returned.sha256}{whose}"


def _when(field: str) -> Callable[[dict[str, Any]], tuple[str, int, str]]:
    """Return what records are sorted by: the second in which they were made, then the nanosecond."""
    return lambda record: (record[field], record.get("at", 0), record["_id"])


def _chunks(items: Sequence[QueueItem], size: int = 2000) -> list[Sequence[QueueItem]]:
    """Parts of a long list: a transaction may take a minute and 16 MB."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def _item(record: dict[str, Any]) -> QueueItem:
    values = {k: record[k] for k in QueueItem.__dataclass_fields__ if k in record}
    return QueueItem(**values | {"item_id": record["_id"]})


def _step(before: QueueItem | None, after: QueueItem) -> dict[str, Any]:
    """One line of an item's history."""
    return {
        "_id": f"{after.item_id}:{after.rev}",
        "item_id": after.item_id,
        "from": None if before is None else before.state,
        "to": after.state,
        "at": now() if before is not None else after.added_at,
        "by": actor() if before is not None else after.added_by,
        "batch_id": after.batch_id,
    }


def _rev(step: dict[str, Any]) -> int:
    """Return the `rev` that an item had after a step of its history."""
    return int(step["_id"].rsplit(":", 1)[1])


def _boxes(values: Any) -> tuple[Box, ...]:
    return tuple(Box(**box) for box in values)


def _batch(record: dict[str, Any], tasks: Sequence[dict[str, Any]]) -> Batch:
    values = {k: record[k] for k in Batch.__dataclass_fields__ if k in record}
    schema = record.get("label_schema")
    return Batch(
        **values
        | {
            "batch_id": record["_id"],
            "label_schema": None if schema is None else label_schema(schema),
            "classes": tuple(record["classes"]),
            "tasks": tuple(_task(entry["task"]) for entry in tasks),
        }
    )


def _task(values: dict[str, Any]) -> AnnotationTask:
    lists = {k: tuple(values[k]) for k in ("items", "units", "reasons")}
    boxes: dict[str, Any] = {k: _boxes(values[k]) for k in ("boxes", "predicted_boxes")}
    if values.get("gold_boxes") is not None:
        boxes["gold_boxes"] = _boxes(values["gold_boxes"])
    return AnnotationTask(**values | lists | boxes)


def _row(record: dict[str, Any]) -> ReturnedRow:
    values = {k: record[k] for k in ReturnedRow.__dataclass_fields__ if k in record}
    return ReturnedRow(**values | {"boxes": None if record["boxes"] is None else _boxes(record["boxes"])})
