"""One connection per process to the database of a SliceLab folder, or to the one that the user named."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slicelab.core import (
    DatabaseUnavailableError,
    InvalidInputError,
    NewerSchemaError,
    SliceLabError,
    StoreError,
    WrongDatabaseError,
    hash_value,
)
from slicelab.store import _watch
from slicelab.store._abandoned import client_name, end_abandoned
from slicelab.store._fiftyone import database_name, prepare_fiftyone, repoint_fiftyone, user_uri
from slicelab.store._home import home, read_json, write_json
from slicelab.store._ledger import Ledger
from slicelab.store._records import Records
from slicelab.store._server import Server

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Of the collections in SliceLab's database. A newer stamp is refused, an older one is read."""

_ANSWER_SECONDS = 5
_PING_SECONDS = 2
_TRUST_SECONDS = 1.0
_TRIES = 3
_FAREWELL_SECONDS = 0.5


def connect() -> Connection:
    """Return this process's connection, opened at the first call; a forked child opens its own.

    It goes to the replica set that the user named with FIFTYONE_DATABASE_URI, else to SliceLab's own mongod, which is
    started if it doesn't run.

    Raises
    ------
    DatabaseUnavailableError
        It doesn't answer within 5 s, or SliceLab's own doesn't start.
    NoMongodError
        No mongod runs on this machine.
    WrongDatabaseError
        It isn't the database that this SliceLab folder has used so far.
    NewerSchemaError
        A newer SliceLab wrote it; nothing was touched.
    """
    named = user_uri()
    key = (str(home()), named or "")
    with _lock:
        found = _connections.get(key)
        if found is None:
            found = _connections[key] = Connection(home(), named)
    found.ensure()
    found.settle()
    return found


class Connection:
    """A live connection; it heals itself when mongod is killed under it. Made by `connect`.

    Parameters
    ----------
    home
        SliceLab's folder.
    named
        The address that the user gave; None: SliceLab's own mongod.

    Attributes
    ----------
    uri : str
        The address with its password, for FiftyOne.
    client : pymongo.MongoClient
    database : pymongo.database.Database
        SliceLab's collections; writes are journaled and on the majority, reads see only such writes.
    samples : pymongo.database.Database
        FiftyOne's own collections; its writes are journaled and on the majority too.
    records : Records
    """

    client: MongoClient[dict[str, Any]]
    database: Database[dict[str, Any]]
    samples: Database[dict[str, Any]]

    def __init__(self, home: Path, named: str | None) -> None:
        self.home = home
        ledger = "ledger.jsonl" if named is None else f"ledger-{hash_value(named)[:12]}.jsonl"
        self.records = Records(self, Ledger(home / ledger))
        self.uri = named or ""
        self.is_open = False
        self.feeds_fiftyone = False
        self._named = named
        self._server = None if named else Server(home)
        self._mutex = threading.RLock()
        self._checked = 0.0
        self._owner = 0
        self._settled = 0

    @property
    def is_own(self) -> bool:
        """True for SliceLab's own mongod, False for the user's database."""
        return self._named is None

    def ensure(self) -> None:
        """Return when the database answers: cheap, and mongod is started again if it is gone.

        Raises
        ------
        DatabaseUnavailableError
            It doesn't answer.
        """
        if self.is_open and self._owner == os.getpid():
            gone = self._server is not None and not self._server.is_alive()
            if not gone and (time.monotonic() - self._checked < _TRUST_SECONDS or self._answers()):
                return
        self.recover()

    def recover(self) -> None:
        """Connect again, starting SliceLab's own mongod if it is gone, and check that it is the same database."""
        from pymongo.errors import PyMongoError

        with self._mutex:
            if self._owner != os.getpid():
                self._adopt()
            try:
                self._reconnect()
            except PyMongoError as error:
                self._drop_if_new()
                raise self._unavailable(error) from error
            except SliceLabError:
                self._drop_if_new()
                raise
            self.is_open = True
            self._checked = time.monotonic()

    def run(self, operation: Callable[[], T]) -> T:
        """Do something with the database; when the connection breaks, connect again and do it again.

        Parameters
        ----------
        operation
            Must be the same when done again. It asks this connection for `database` itself, each time.

        Raises
        ------
        DatabaseUnavailableError
            The connection broke three times.
        StoreError
            The database refused; InvalidInputError when a document is too large for it.
        """
        from pymongo.errors import ConnectionFailure, DocumentTooLarge, PyMongoError

        self.ensure()
        try:
            return self._repeated(operation)
        except ConnectionFailure as error:
            raise self._unavailable(error) from error
        except DocumentTooLarge as error:
            raise InvalidInputError(
                f"A record is larger than the 16 MB that the database takes ({error}). Keep long lists of ids with "
                "`Records.put_list` and store the hash it returns."
            ) from error
        except PyMongoError as error:
            raise StoreError(f"The database refused: {error}.") from error

    def _repeated(self, operation: Callable[[], T]) -> T:
        """Do something; while the connection breaks, connect again and do it again, three times in all."""
        from pymongo.errors import ConnectionFailure

        for _ in range(_TRIES - 1):
            try:
                return operation()
            except ConnectionFailure:
                self.recover()
        return operation()

    def end_abandoned(self) -> None:
        """End the transactions that killed processes have left open in SliceLab's own mongod."""
        if self.is_own:
            end_abandoned(self.client)

    def settle(self) -> None:
        """Put into the ledger what processes that were killed before had written to the database only; done once."""
        if self._settled != os.getpid():
            self.records.settle()
            self._settled = os.getpid()

    def prepare_fiftyone(self) -> None:
        """Make FiftyOne use this database; call it before using FiftyOne.

        FiftyOne isn't imported. Its usage tracking and progress bars are switched off, and for SliceLab's own mongod
        its notice about old MongoDB versions. Variables that the user has set stay.

        Raises
        ------
        AlreadyConnectedError
            In this process FiftyOne is connected to another database.
        """
        self.ensure()
        prepare_fiftyone(self.uri, own=self.is_own)
        self.feeds_fiftyone = True

    def close(self) -> None:
        """Leave the database; the last process to leave stops SliceLab's own mongod."""
        with self._mutex:
            if self._owner == os.getpid() and self.is_open:
                self.is_open = False
                if self.feeds_fiftyone:
                    repoint_fiftyone(self.uri, None)
                self.client.close()
                if self._server is not None:
                    self._server.leave()

    def _adopt(self) -> None:
        """Make this connection the running process's own: it is new, or its process was forked."""
        self._owner = os.getpid()
        self.is_open = self.feeds_fiftyone = False
        self._server = None if self._named else Server(self.home)

    def _reconnect(self) -> None:
        """Connect; again where SliceLab's own mongod is killed meanwhile."""
        from pymongo.errors import ConnectionFailure

        for tried in range(1, _TRIES + 1):
            try:
                uri = self._named or self._attach()
                if not self.is_open or uri != self.uri:
                    self._open(uri)
                self._check_replica_set()
                self._check_identity()
                self.end_abandoned()
                return
            except ConnectionFailure:
                if tried == _TRIES or self._server is None or self._server.is_alive():
                    raise

    def _attach(self) -> str:
        if self._server is None:
            raise StoreError("This connection goes to a database that SliceLab doesn't run.")
        self._server.attach()
        return self._server.uri()

    def _open(self, uri: str) -> None:
        import pymongo
        from pymongo import MongoClient
        from pymongo.read_concern import ReadConcern
        from pymongo.write_concern import WriteConcern

        before, self.uri = self.uri, uri
        if self.is_open:
            with pymongo.timeout(_FAREWELL_SECONDS):  # the server of the old address may not listen any more
                self.client.close()
        self.client = MongoClient(
            uri,
            appname=client_name(),
            serverSelectionTimeoutMS=_ANSWER_SECONDS * 1000,
            connectTimeoutMS=_ANSWER_SECONDS * 1000,
            socketTimeoutMS=20_000,
        )
        name = os.environ.get("FIFTYONE_DATABASE_NAME") or "fiftyone"
        self.database = self.client.get_database(
            f"{name}_slicelab", write_concern=WriteConcern(w="majority", j=True), read_concern=ReadConcern("majority")
        )
        self.samples = self.client.get_database(database_name(), write_concern=WriteConcern(w="majority", j=True))
        if self.feeds_fiftyone and before != uri:
            repoint_fiftyone(before, uri)

    def _drop_if_new(self) -> None:
        """After a connect that failed: don't count this process as a user of mongod."""
        if not self.is_open and self._server is not None:
            self._server.leave()

    def _answers(self) -> bool:
        import pymongo
        from pymongo.errors import PyMongoError

        with contextlib.suppress(PyMongoError), pymongo.timeout(_PING_SECONDS):
            self.client.admin.command("ping")
            self._checked = time.monotonic()
            return True
        return False

    def _check_replica_set(self) -> None:
        """Refuse a server that has no transactions."""
        import pymongo

        if self.is_own:
            return
        with pymongo.timeout(_ANSWER_SECONDS):
            said = self.client.admin.command("hello")
        if "setName" not in said and said.get("msg") != "isdbgrid":
            raise StoreError(
                f"The MongoDB at {_place(self.uri)!r} (FIFTYONE_DATABASE_URI) is a standalone server, which has no "
                "transactions. Make it a replica set of one: start its mongod with `--replSet rs0`, run "
                '`mongosh --eval "rs.initiate()"` once, and add `?replicaSet=rs0` to the address. Or unset '
                "FIFTYONE_DATABASE_URI: SliceLab then runs its own database."
            )

    def _check_identity(self) -> None:
        """Refuse a database that isn't the one of this folder, or that a newer SliceLab wrote."""
        if self.is_own:
            options = self.client.admin.command("getCmdLineOpts")["parsed"]
            path = options.get("storage", {}).get("dbPath", "")
            if Path(path).resolve() != (self.home / "db").resolve():
                raise WrongDatabaseError(
                    f"The database that answers keeps its files in {path!r}, not in {str(self.home / 'db')!r}. "
                    "Close the other program that runs it, or set SLICELAB_HOME to its folder."
                )
        place = "own" if self.is_own else f"{_place(self.uri)}/{self.database.name}"
        known = read_json(self.home / "workspace.json").get("databases", {}).get(place)
        meta = self.database["meta"].find_one({"_id": "workspace"})
        stamp = (meta or {}).get("schema_version", 0)
        if stamp > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"The database was written by a newer SliceLab (its schema is {stamp}, this one knows "
                f"{SCHEMA_VERSION}); nothing was touched. Upgrade slicelab: `pip install --upgrade slicelab`."
            )
        if known and (meta or {}).get("uuid") != known:
            found = f"is {meta['uuid']}" if meta else "is new and empty"
            raise WrongDatabaseError(
                f"The database at {_place(self.uri)!r} isn't the one this SliceLab folder has used: it {found}, but "
                f"{str(self.home / 'workspace.json')!r} names {known}. Put the right database back; or, to go on with "
                "this one, delete that entry from the file."
            )
        if not known:
            self._remember(place, meta or self._found())

    def _found(self) -> dict[str, Any]:
        """Stamp a new database; the process that is first wins."""
        from pymongo import ReturnDocument

        return self.database["meta"].find_one_and_update(
            {"_id": "workspace"},
            {"$setOnInsert": {"uuid": uuid.uuid4().hex, "schema_version": SCHEMA_VERSION}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )

    def _remember(self, place: str, meta: dict[str, Any]) -> None:
        path = self.home / "workspace.json"
        with _watch.server_lock(self.home):
            workspace = read_json(path)
            databases = {**workspace.get("databases", {}), place: meta["uuid"]}
            write_json(path, {**workspace, "databases": databases})

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        reason = str(error).split(", Timeout:")[0][:300]
        if self.is_own:
            advice = f"`slicelab doctor` checks the usual causes; the log is {str(self.home / 'mongod.log')!r}."
        else:
            advice = "Start that server, or correct FIFTYONE_DATABASE_URI."
        return DatabaseUnavailableError(f"The database at {_place(self.uri)!r} doesn't answer: {reason}. {advice}")


def _place(uri: str) -> str:
    """Return the hosts of an address: no user, password or options."""
    return re.split("[/?]", re.sub(r"^[\w+]+://", "", uri.rsplit("@", 1)[-1]))[0]


_connections: dict[tuple[str, str], Connection] = {}
_lock = threading.Lock()


def _new_locks() -> None:
    """In a forked child: no thread is left that would release the locks."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for connection in _connections.values():
        connection._mutex = threading.RLock()


def _close_all() -> None:
    for connection in _connections.values():
        connection.close()


os.register_at_fork(after_in_child=_new_locks)
atexit.register(_close_all)
