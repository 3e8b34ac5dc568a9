"""SliceLab's own collections: durable records; a change that someone else made first is never overwritten."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from slicelab.core import (
    ConflictError,
    InvalidInputError,
    StoreError,
    canonical,
    hash_value,
    new_id,
    visible,
)
from slicelab.store._ledger import CURATED, LISTS, OUTBOX, Ledger
from slicelab.store._notice import waiting_notice
from slicelab.store._processes import Process, is_alive, this_process

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

T = TypeVar("T")
Record = dict[str, Any]
"""A JSON object with `_id` (str) and `rev` (int, 1 when inserted, one more with every update)."""

LIST_ITEMS = 50_000
LIST_BYTES = 8 * 2**20
_OUTBOX_WRITES = 1000
_TRANSACTION_SECONDS = 90
_TRY_AGAIN = ("TransientTransactionError", "UnknownTransactionCommitResult")
_DUPLICATE = 11000
_MAX_INT = 2**63
_TOKEN = "_op"  # noqa: S105
_MAX_DEPTH = 90


class Link(Protocol):
    """A connection, as far as records need one."""

    client: MongoClient[Any]
    database: Database[Any]

    def run(self, operation: Callable[[], T]) -> T:
        """Do something with the database; when the connection breaks, connect again and do it again."""

    def end_abandoned(self) -> None:
        """End the transactions that killed processes have left open."""


class Records:
    """The records of one database, by kind ("slices", "cases", ...): one collection for each.

    Every write is on the disk when the call returns. A call whose connection breaks is done again, and counts once.

    Parameters
    ----------
    connection
        The connection that they are kept through.
    ledger
        Where every write of a curated kind is noted as well, before the call returns.
    """

    def __init__(self, connection: Link, ledger: Ledger) -> None:
        self._connection = connection
        self.ledger = ledger
        self._listed: set[str] = set()
        self._writes = threading.local()

    def insert(self, kind: str, record: Mapping[str, Any], *, session: ClientSession | None = None) -> Record:
        """Insert a record; doing so again is a no-op.

        Parameters
        ----------
        kind
            The collection: lower-case letters, digits and '_'.
        record
            JSON values; `_id` is a text that the caller made (see `core.new_id`). `rev` becomes 1 unless given.
        session
            That of `transact`; None: a write of its own.

        Returns
        -------
        The record as it is stored.

        Raises
        ------
        ConflictError
            A record of this `_id` has other content, or a unique index holds one of its values already.
        InvalidInputError
            It holds NaN, infinity, NUL, a lone surrogate, or something that isn't JSON.
        """
        new = _insertable(record)
        if session is None and kind in CURATED:
            return self.transact(lambda own: self._insert(kind, new, own))
        return self._do(lambda: self._insert(kind, new, session), session)

    def insert_many(
        self, kind: str, records: Sequence[Mapping[str, Any]], *, session: ClientSession | None = None
    ) -> None:
        """Insert records, all or none; doing so again is a no-op (see `insert`)."""
        if session is None:
            self.transact(lambda own: self.insert_many(kind, records, session=own))
            return
        new = {record["_id"]: record for record in map(_insertable, records)}
        collection = self._collection(kind)
        for stored in map(_plain, collection.find({"_id": {"$in": list(new)}}, session=session)):
            _check_same(kind, new.pop(stored["_id"]), stored)
        self._write_new(kind, list(new.values()), session)
        self._note("put", kind, list(new.values()))

    def append(self, kind: str, record: Mapping[str, Any], *, session: ClientSession | None = None) -> Record:
        """Insert a record of history, which is never changed; an `_id` is made where it has none."""
        return self.insert(kind, {"_id": new_id(), **record}, session=session)

    def get(self, kind: str, id: str, *, session: ClientSession | None = None) -> Record | None:  # noqa: A002
        """Return the record of that id, None where there is none."""
        return self._do(lambda: self._read(kind, id, session), session)

    def find(
        self,
        kind: str,
        /,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Sequence[str] = (),
        limit: int = 0,
        session: ClientSession | None = None,
        **equal: Any,
    ) -> list[Record]:
        """Return the records whose fields equal the given values.

        Parameters
        ----------
        where
            A MongoDB filter besides, like ``{"version": {"$gt": 3}}``. Never put untrusted values in as dicts.
        sort
            Field names, "-" before one for descending order.
        limit
            The largest number of records; 0: all.
        **equal
            Field = value.

        Examples
        --------
        >>> records.find("slices", dataset="bags", sort="name")  # doctest: +SKIP
        """
        order = _order(sort)

        def read() -> list[Record]:
            cursor = self._collection(kind).find(_filter(where, equal), session=session, limit=limit)
            return [_plain(r) for r in (cursor.sort(order) if order else cursor)]

        return self._do(read, session)

    def count(
        self,
        kind: str,
        /,
        where: Mapping[str, Any] | None = None,
        *,
        session: ClientSession | None = None,
        **equal: Any,
    ) -> int:
        """Return how many records match, exactly (see `find`)."""
        found = _filter(where, equal)
        return self._do(lambda: self._collection(kind).count_documents(found, session=session), session)

    def update(
        self,
        kind: str,
        id: str,  # noqa: A002
        *,
        rev: int,
        changes: Mapping[str, Any],
        session: ClientSession | None = None,
    ) -> Record:
        """Set fields of a record that is still at `rev`; it is then at `rev` + 1.

        Parameters
        ----------
        changes
            Top-level field = new value.

        Returns
        -------
        The record as it is stored now.

        Raises
        ------
        ConflictError
            It is at another `rev` or deleted: `mine` holds the changes, `theirs` the record (None: deleted).
        """
        new = _checked(changes)
        wrong = [name for name in new if name in ("_id", "rev", _TOKEN) or "." in name]
        if wrong:
            raise InvalidInputError(f"These fields of a record can't be set: {', '.join(map(repr, wrong))}.")
        new[_TOKEN] = new_id()
        if session is None and kind in CURATED:
            return self.transact(lambda own: self._update(kind, id, rev, new, own))
        return self._do(lambda: self._update(kind, id, rev, new, session), session)

    def delete(
        self,
        kind: str,
        id: str,  # noqa: A002
        *,
        rev: int | None = None,
        session: ClientSession | None = None,
    ) -> None:
        """Delete a record; nothing happens when it is deleted already.

        Parameters
        ----------
        rev
            Delete it only if it is still at this `rev`; None: whatever it holds.

        Raises
        ------
        ConflictError
            It is at another `rev`.
        """
        if session is None and kind in CURATED:
            self.transact(lambda own: self.delete(kind, id, rev=rev, session=own))
            return
        match = {"_id": id} if rev is None else {"_id": id, "rev": rev}

        def remove() -> None:
            if self._collection(kind).delete_one(match, session=session).deleted_count:
                self._note("delete", kind, [{"_id": id}])
            else:
                theirs = self._read(kind, id, session)
                if theirs is not None:
                    raise _conflict(kind, id, rev, {"deleted": True}, theirs)

        self._do(remove, session)

    def next_number(self, name: str, *, session: ClientSession | None = None) -> int:
        """Return 1, 2, 3, ... for a name: never the same number twice. In a transaction there are no gaps."""
        from pymongo import ReturnDocument

        def count() -> int:
            found = self._collection("numbers").find_one_and_update(
                {"_id": name},
                {"$inc": {"last": 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            self._note("put", "numbers", [found])
            return int(found["last"])

        if session is None:
            return self.transact(lambda own: self.next_number(name, session=own))
        return count()

    def settle(self) -> int:
        """Put into the ledger what killed processes had written to the database only; return how many commits.

        What a process that lives has yet to note is left to it.
        """
        found = [r for r in self.find(OUTBOX, sort=["at", "commit", "part"]) if not _is_noting(r)]
        commits = list(dict.fromkeys(r["commit"] for r in found))
        for commit in commits:
            self._settle(commit, [r for r in found if r["commit"] == commit])
        return len(commits)

    def _settle(self, commit: str, parts: Sequence[Record]) -> None:
        writes = [write for part in sorted(parts, key=lambda p: int(p["part"])) for write in part["writes"]]
        self.ledger.append(writes, commit=commit)
        ids = [part["_id"] for part in parts]
        self._connection.run(lambda: self._collection(OUTBOX).delete_many({"_id": {"$in": ids}}))

    def restore(self, kind: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Insert records of the ledger as they were, all or none; they aren't noted again."""
        self._attempt_until_done(lambda session: self._write_new(kind, [dict(r) for r in records], session), new_id())

    def _note(self, op: str, kind: str, records: Sequence[Record]) -> None:
        """Remember what the transaction at work has written of a curated kind."""
        if kind in CURATED:
            self._writes.now = [
                *getattr(self._writes, "now", []),
                *({"op": op, "kind": kind, "record": _plain(record)} for record in records),
            ]

    def _post(self, commit: str, session: ClientSession) -> list[Record]:
        """Leave the writes of this transaction for the ledger, in the same transaction."""
        writes = list(getattr(self._writes, "now", []))
        if not writes:
            return []
        me = this_process()
        common = {"commit": commit, "at": time.time_ns(), "owner": [me.pid, me.started]}
        parts = [
            {"_id": f"{commit}:{n}", "part": n, "writes": writes[i : i + _OUTBOX_WRITES], **common}
            for n, i in enumerate(range(0, len(writes), _OUTBOX_WRITES))
        ]
        self._collection(OUTBOX).insert_many([dict(p) for p in parts], session=session)
        return parts

    def transact(self, write: Callable[[ClientSession], T]) -> T:
        """Do several writes wholly or not at all.

        Parameters
        ----------
        write
            Gets the session, which it passes to every call as `session=`. It may be called several times (others wrote
            the same records, the connection broke), but its writes happen once; so it must do nothing else.
            An error that it raises takes all its writes back.

        Returns
        -------
        What `write` returned.

        Notes
        -----
        The database ends a transaction after 60 s; write large lists (`put_list`) before it, they are harmless alone.
        """
        commit = new_id()
        parts: list[Record] = []

        def noted(session: ClientSession) -> T:
            self._writes.now = []
            written = write(session)
            parts[:] = self._post(commit, session)
            return written

        written = self._attempt_until_done(noted, commit)
        if parts:
            self._settle(commit, parts)
        return written

    def _attempt_until_done(self, write: Callable[[ClientSession], T], marker: str) -> T:
        result: list[T] = []
        notice, began = waiting_notice("Waiting for another process that writes the same records"), time.monotonic()
        tried, waited = 0, 0.0
        while waited < _TRANSACTION_SECONDS:
            if self._connection.run(lambda: self._attempt(write, marker, result)):
                with suppress(StoreError):  # one left behind does no harm
                    self._connection.run(lambda: self._collection("transactions").delete_one({"_id": marker}))
                return result[-1]
            tried += 1
            if tried % 10 == 0:
                self._connection.run(self._connection.end_abandoned)
            time.sleep(min(0.005 * tried, 0.2))
            waited = time.monotonic() - began
            notice(waited)
        raise StoreError(
            f"Another process kept the same records locked for {_TRANSACTION_SECONDS} s. Nothing was written. "
            "Try again when it is done."
        )

    def ensure_index(
        self,
        kind: str,
        fields: str | Sequence[str],
        *,
        unique: bool = False,
        partial: Mapping[str, Any] | None = None,
    ) -> None:
        """Make an index over fields if it isn't there ("-" before a name: descending).

        Parameters
        ----------
        unique
            No two records may have the same values; a write that would make it so raises ConflictError.
        partial
            A MongoDB filter: only records that match are in the index.
        """
        keys = _order(fields)
        options: dict[str, Any] = {"partialFilterExpression": dict(partial)} if partial else {}
        self._do(lambda: self._collection(kind).create_index(keys, unique=unique, **options), None)

    def put_list(self, values: Sequence[str], *, journal: bool = True) -> str:
        """Keep a list of texts of any length; return its SHA-256, under which `get_list` finds it."""
        texts = _checked({"values": list(values)})["values"]
        if not all(isinstance(v, str) for v in texts):
            raise InvalidInputError("A list that is kept holds texts only.")
        sha = hash_value(texts)
        parts = list(_parts(texts))

        def write() -> None:
            lists = self._collection("lists")
            kept = {r["_id"] for r in lists.find({"sha": sha}, {"_id": 1})}
            for number, part in enumerate(parts):
                name = f"{sha}:{number}"
                if name not in kept:
                    record = {"_id": name, "sha": sha, "part": number, "values": part}
                    lists.replace_one({"_id": name}, record, upsert=True)

        self._do(write, None)
        if journal and sha not in self._listed:
            self.ledger.append(
                [{"op": "put", "kind": LISTS, "record": {"_id": sha, "values": texts}}], commit=f"list {sha}"
            )
            self._listed.add(sha)
        return sha

    def get_list(self, sha: str, *, session: ClientSession | None = None) -> list[str]:
        """Return the list that `put_list` kept under this hash, in its order.

        Raises
        ------
        StoreError
            There is none, or it isn't whole.
        """

        def read() -> list[str]:
            found = self._collection("lists").find({"sha": sha}, session=session).sort("part", 1)
            return [value for part in found for value in part["values"]]

        values = self._do(read, session)
        if hash_value(values) != sha:
            raise StoreError(f"The database holds no whole list {sha!r}. Restore the database from a backup.")
        return values

    def _do(self, operation: Callable[[], T], session: ClientSession | None) -> T:
        """Run it, again if the connection breaks; within a transaction `transact` sees to that."""
        return operation() if session is not None else self._connection.run(operation)

    def _collection(self, kind: str) -> Collection[Record]:
        if not re.fullmatch("[a-z][a-z0-9_]{0,60}", kind):
            raise InvalidInputError(f"A kind of records is lower-case letters, digits and '_'; got {kind!r}.")
        return self._connection.database[kind]

    def _read(self, kind: str, id: str, session: ClientSession | None) -> Record | None:  # noqa: A002
        found = self._collection(kind).find_one({"_id": id}, session=session)
        return None if found is None else _plain(found)

    def _insert(self, kind: str, new: Record, session: ClientSession | None) -> Record:
        from pymongo.errors import DuplicateKeyError

        if session is not None:
            self.insert_many(kind, [new], session=session)
            return new
        try:
            self._collection(kind).insert_one(dict(new))
        except DuplicateKeyError as error:
            stored = self._read(kind, new["_id"], None)
            if stored is None:
                raise _taken(kind, new, error.details) from error
            _check_same(kind, new, stored)
        return new

    def _write_new(self, kind: str, new: list[Record], session: ClientSession) -> None:
        """Insert within a transaction, which a duplicate `_id` would end: so those are looked for before."""
        from pymongo.errors import BulkWriteError

        try:
            if new:
                self._collection(kind).insert_many(new, session=session)
        except BulkWriteError as error:
            wrong = (error.details or {}).get("writeErrors") or [{}]
            if wrong[0].get("code") != _DUPLICATE:
                raise
            raise _taken(kind, wrong[0].get("op", {}), wrong[0]) from error

    def _update(self, kind: str, id: str, rev: int, new: Record, session: ClientSession | None) -> Record:  # noqa: A002
        from pymongo import ReturnDocument
        from pymongo.errors import DuplicateKeyError

        collection = self._collection(kind)
        mine = {k: v for k, v in new.items() if k != _TOKEN}
        try:
            stored: Record | None = collection.find_one_and_update(
                {"_id": id, "rev": rev},
                {"$set": new, "$inc": {"rev": 1}},
                return_document=ReturnDocument.AFTER,
                session=session,
            )
        except DuplicateKeyError as error:
            raise _taken(kind, mine, error.details) from error
        if stored is None:
            theirs = collection.find_one({"_id": id}, session=session) or {}
            # Where the token is ours, the connection broke after this very update was made.
            if theirs.get(_TOKEN) != new[_TOKEN]:
                raise _conflict(kind, id, rev, mine, _plain(theirs) or None)
            stored = theirs
        self._note("put", kind, [stored])
        return _plain(stored)

    def _attempt(self, write: Callable[[ClientSession], T], marker: str, result: list[T]) -> bool:
        """Try the transaction once; tell whether it is committed, False: it should be tried again."""
        from pymongo.errors import ConnectionFailure, PyMongoError
        from pymongo.read_concern import ReadConcern

        markers = self._collection("transactions")
        if result and markers.find_one({"_id": marker}):  # the answer to an earlier commit was lost
            return True
        with self._connection.client.start_session() as session:
            session.start_transaction(
                read_concern=ReadConcern("snapshot"), write_concern=self._connection.database.write_concern
            )
            try:
                result.append(write(session))
                markers.insert_one({"_id": marker}, session=session)
                session.commit_transaction()
            except ConnectionFailure:
                raise  # `Connection.run` connects again and comes back here
            except PyMongoError as error:
                if any(error.has_error_label(label) for label in _TRY_AGAIN):
                    return False
                raise
        return True


def _is_noting(part: Record) -> bool:
    """Tell whether the process that left this for the ledger is another one that lives: it notes it itself."""
    pid, started = part.get("owner") or (0, 0.0)
    return pid not in (0, this_process().pid) and is_alive(Process(int(pid), float(started)))


def _insertable(record: Mapping[str, Any]) -> Record:
    new = _checked({"rev": 1, **record})
    if not isinstance(new.get("_id"), str) or not new["_id"]:
        raise InvalidInputError(f"A record needs an '_id', a non-empty text; got {new.get('_id')!r}.")
    return new


def _checked(record: Any) -> Record:
    """Return a copy in JSON's own types, or raise `InvalidInputError` for what the database can't keep as it is."""
    if not isinstance(record, Mapping):
        raise InvalidInputError(f"A record must be a dict; got {type(record).__name__}.")
    for name in record:
        if not name or not isinstance(name, str) or name.startswith("$") or "." in name:
            raise InvalidInputError(f"A field of a record is a text without '.' and a leading '$'; got {name!r}.")
    return {_text(name, name): _json(value, name, 1) for name, value in record.items()}


def _json(value: Any, place: str, depth: int) -> Any:
    """Check and copy one value; `place` says where it stands."""
    if depth > _MAX_DEPTH:
        raise InvalidInputError(f"{place[:80]!r}: nested more than {_MAX_DEPTH} deep.")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, int):
        return _whole(value, place)
    if isinstance(value, float):
        return _finite(value, place)
    if isinstance(value, Mapping):
        return {_field(k, place): _json(v, f"{place}.{k}", depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise InvalidInputError(f"{place!r}: a record holds JSON values only; got {type(value).__name__}.")


def _text(value: str, place: str) -> str:
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidInputError(f"{place!r}: the text holds NUL or half a character: {value[:80]!r}. Remove it.")
    return str(value)


def _field(name: Any, place: str) -> str:
    if not isinstance(name, str) or name == "$ref":  # this one means a reference to MongoDB's clients
        raise InvalidInputError(f"{place!r}: a field's name must be a text other than '$ref'; got {name!r}.")
    return _text(name, place)


def _whole(value: int, place: str) -> int:
    if not -_MAX_INT <= value < _MAX_INT:
        raise InvalidInputError(f"{place!r}: a whole number must fit 64 bits; got {value!r}. Keep it as a text.")
    return int(value)


def _finite(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise InvalidInputError(f"{place!r}: a number must be finite; got {value!r}. Use None for 'unknown'.")
    return float(value)


def _plain(record: Record) -> Record:
    """Return it without what only this file needs."""
    return {k: v for k, v in record.items() if k != _TOKEN}


def _order(fields: str | Sequence[str]) -> list[tuple[str, int]]:
    names = [fields] if isinstance(fields, str) else fields
    return [(name.removeprefix("-"), -1 if name.startswith("-") else 1) for name in names]


def _filter(where: Mapping[str, Any] | None, equal: Mapping[str, Any]) -> Record:
    return {**(where or {}), **{name: {"$eq": value} for name, value in equal.items()}}


def _parts(values: list[str]) -> Iterator[list[str]]:
    """Cut a list so that each part fits a document; the same list is always cut the same."""
    part: list[str] = []
    size = 0
    for value in values:
        size += 4 * len(value) + 16
        if part and (len(part) == LIST_ITEMS or size > LIST_BYTES):
            yield part
            part, size = [], 4 * len(value) + 16
        part.append(value)
    yield part


def _conflict(kind: str, id: str, rev: int | None, mine: Record, theirs: Record | None) -> ConflictError:  # noqa: A002
    found = "it is deleted" if theirs is None else f"it is at rev {theirs.get('rev')}"
    return ConflictError(
        f"Someone else changed this one of the {kind} ({id!r}) first: you had rev {rev}, now {found}. Nothing was "
        "written. Reload and try again.",
        mine,
        theirs,
    )


def _check_same(kind: str, mine: Record, theirs: Record) -> None:
    if canonical(mine) != canonical(theirs):
        raise ConflictError(
            f"One of the {kind} with the id {mine['_id']!r} is there already, with other content. Nothing was written. "
            "Reload and try again.",
            mine,
            theirs,
        )


def _taken(kind: str, mine: Record, details: Mapping[str, Any] | None) -> ConflictError:
    values = (details or {}).get("keyValue", {})
    shown = ", ".join(f"{name} = {visible(str(value))!r}" for name, value in values.items())
    return ConflictError(f"Another of the {kind} has {shown} already. Choose another value.", mine)
