"""The audit ledger: every curated write once more, in a hash-chained file beside the database.

One line per commit: what was written, when and by whom, the hash of the line before, and its own. A line that anybody
changed, took out or put in between breaks the chain. The writes of a commit wait in the database (`OUTBOX`, in the same
transaction) until they are in the file, so a process that is killed between both loses nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from slicelab.core import StoreError, actor, canonical, hash_value, now

CURATED = frozenset(
    (
        *("slices", "slice_versions", "changes", "cases", "runs", "numbers"),
        *("queue_items", "queue_history", "batches", "batch_tasks", "returns", "return_rows"),
        *("label_versions", "label_schemas"),
    )
)
OUTBOX = "outbox"
LISTS = "lists"
_START = "0" * 64

Write = dict[str, Any]
"""`op` ("put" or "delete"), `kind`, `record` (the whole record as it is now; its `_id` alone where it is deleted)."""


@dataclass(frozen=True)
class Audit:
    """What a check of the ledger found.

    Parameters
    ----------
    entries, records
        Lines in the file, and curated records that they leave.
    problems
        What is wrong, in words; empty: the chain is whole.
    """

    entries: int
    records: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        head = f"{self.entries} entries, {self.records} curated records"
        return head + (": whole" if self.ok else "".join(f"\n  {p}" for p in self.problems))


class Ledger:
    """The ledger of one database.

    Parameters
    ----------
    path
        The file; made with mode 0600 by the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, writes: Sequence[Write], *, commit: str) -> None:
        """Append what one commit wrote; it is on the disk when this returns. A commit that is the last stays once."""
        with self._locked() as stream:
            n, before, last = _tail(stream)
            if last == commit:
                return
            entry = {"n": n + 1, "at": now(), "by": actor(), "commit": commit, "writes": list(writes), "before": before}
            line = canonical(entry | {"hash": hash_value(entry)}) + b"\n"
            stream.seek(0, os.SEEK_END)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield every entry, oldest first, or raise `StoreError` at the first that the chain doesn't hold."""
        before, n = _START, 0
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                n += 1
                entry = _parsed(line)
                said = None if entry is None else entry.pop("hash", None)
                if entry is None or said != hash_value(entry):
                    raise StoreError(f"Line {number} of the ledger {self.path} is not as it was written.")
                if entry.get("before") != before or entry.get("n") != n:
                    raise StoreError(
                        f"Before line {number} of the ledger {self.path} entries are missing, or too many."
                    )
                before = said
                yield entry

    def state(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the curated records that the ledger leaves, by kind and id.

        Two processes that wrote the same record may have noted it in the other order, and what a killed one had
        written comes late: of several states of a record the highest `rev` counts.
        """
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in self.entries():
            for write in entry["writes"]:
                place = (write["kind"], write["record"]["_id"])
                if write["op"] == "delete":
                    found.pop(place, None)
                elif _age(write["record"]) >= _age(found.get(place, {})):
                    found[place] = write["record"]
        return found

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Open the file for one process at a time."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream


def _age(record: dict[str, Any]) -> int:
    """Return what grows with every write of a record: its `rev`, or the last number of a count."""
    return int(record.get("rev", record.get("last", 0)))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and line.endswith(b"\n") else None


def _tail(stream: BinaryIO) -> tuple[int, str, str]:
    """Return number, hash and commit of the last entry; half a line at the end (a killed write) is cut off."""
    end = stream.seek(0, os.SEEK_END)
    size, tail = 4096, b""
    while end:
        start = max(0, end - size)
        stream.seek(start)
        tail = stream.read(end - start)
        if not tail.endswith(b"\n"):
            cut = tail.rfind(b"\n")
            if cut < 0 and start > 0:
                size *= 4
                continue
            end = start + cut + 1
            stream.truncate(end)
            continue
        if tail.count(b"\n") > 1 or start == 0:
            break
        size *= 4
    if not end:
        return 0, _START, ""
    entry = _parsed(tail.rstrip(b"\n").rsplit(b"\n", 1)[-1] + b"\n")
    if entry is None:
        raise StoreError("The last line of the audit ledger is damaged. Run `slicelab audit verify`.")
    return entry["n"], entry["hash"], entry["commit"]
