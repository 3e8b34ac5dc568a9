"""Checking the ledger against itself and against the database, and making the database's curated records from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slicelab.core import ConflictError, StoreError, canonical
from slicelab.store._ledger import CURATED, LISTS, Audit

if TYPE_CHECKING:
    from slicelab.store._connection import Connection

_SHOWN = 10
_AT_ONCE = 2000


@dataclass(frozen=True)
class Rebuilt:
    """What `rebuild` did: records made, records that were there, and those that are there with other content."""

    made: int
    present: int
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.made} curated records made, {self.present} were there already"
        return text + "".join(f"\n  left as it is, differs: {name}" for name in self.differing[:_SHOWN])


def audit(connection: Connection) -> Audit:
    """Check that the ledger's chain is whole and that the database holds what it says."""
    records, ledger = connection.records, connection.records.ledger
    records.settle()
    try:
        entries = sum(1 for _ in ledger.entries())
        state = ledger.state()
    except StoreError as error:
        return Audit(0, 0, (str(error),))
    problems: list[str] = []
    for kind in sorted(CURATED):
        stored = {r["_id"]: r for r in records.find(kind)}
        said = {id_: r for (k, id_), r in state.items() if k == kind}
        problems += [f"{kind} {i!r} is in the ledger, but not in the database" for i in said if i not in stored]
        problems += [f"{kind} {i!r} is in the database, but not in the ledger" for i in stored if i not in said]
        problems += [
            f"{kind} {i!r} differs between ledger and database"
            for i in said
            if i in stored and canonical(said[i]) != canonical(stored[i])
        ]
    if len(problems) > _SHOWN:
        problems = [*problems[:_SHOWN], f"... and {len(problems) - _SHOWN} more"]
    return Audit(entries, sum(kind != LISTS for kind, _ in state), tuple(problems))


def rebuild(connection: Connection) -> Rebuilt:
    """Make every curated record of the ledger that the database lacks; what is there is never touched.

    Raises
    ------
    StoreError
        The ledger's chain is broken; nothing was written.
    """
    records = connection.records
    state = records.ledger.state()
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (kind, _), record in state.items():
        by_kind[kind].append(record)
    for record in by_kind.pop(LISTS, []):
        records.put_list(record["values"], journal=False)
    made = present = 0
    differing: list[str] = []
    for kind, wanted in by_kind.items():
        stored = {r["_id"]: r for r in records.find(kind)}
        missing = [r for r in wanted if r["_id"] not in stored]
        for record in wanted:
            if record["_id"] in stored:
                same = canonical(stored[record["_id"]]) == canonical(record)
                present += same
                differing += [] if same else [f"{kind} {record['_id']!r}"]
        for start in range(0, len(missing), _AT_ONCE):
            try:
                records.restore(kind, missing[start : start + _AT_ONCE])
            except ConflictError as error:
                raise StoreError(f"The {kind} can't be rebuilt: {error}") from error
        made += len(missing)
    return Rebuilt(made, present, tuple(differing))
