"""SliceLab's own mongod: a one-member replica set on loopback, shared by every process of this user.

Processes attach to it and leave it; the last one stops it. `_watch` holds the locks that make this safe.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from slicelab.core import DatabaseUnavailableError, StoreError
from slicelab.store import _watch
from slicelab.store._home import private_folder, read_json, secret, write_json
from slicelab.store._mongod import find_mongod
from slicelab.store._notice import waiting_notice

if TYPE_CHECKING:
    from pymongo import MongoClient

logger = logging.getLogger("slicelab")

REPLICA_SET = "slicelab"
USER = "slicelab"
HOST = "127.0.0.1"
_PRIMARY_SECONDS = 120
_SILENT_SECONDS = 4
_DYING_SECONDS = 5
_PORT_IN_USE = "exit 48"
_LOG_BYTES = 16 * 2**20
_AUTHENTICATION_FAILED = 18


class Server:
    """The mongod of one SliceLab folder, as seen by this process.

    Parameters
    ----------
    home
        SliceLab's folder; the database is in its `db`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = 0
        self._pid = 0
        self._client_lock: int | None = None

    def uri(self, *, timeout_ms: int = 60_000) -> str:
        """Return the address with user and password; durable writes, `timeout_ms` for one answer of the server."""
        options = {
            "authSource": "admin",
            "replicaSet": REPLICA_SET,
            "w": "majority",
            "journal": "true",
            "serverSelectionTimeoutMS": 5000,
            "connectTimeoutMS": 5000,
            "socketTimeoutMS": timeout_ms,
        }
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"mongodb://{USER}:{self._password()}@{HOST}:{self.port}/?{query}"

    def attach(self) -> None:
        """Count this process as a user of mongod, and start it unless it runs; afterwards it takes writes.

        Raises
        ------
        NoMongodError
            There is no mongod that runs on this machine.
        DatabaseUnavailableError
            It didn't start; the message holds the last lines of its log.
        """
        with _watch.server_lock(
            self.home, waiting=waiting_notice("Waiting for another process that starts the database")
        ):
            if self._client_lock is None:
                self._client_lock = _watch.take(self.home / "clients.lock", fcntl.LOCK_SH)
            try:
                self._ensure_watch()  # first: should we be killed while we start mongod, it stops it
                self._find_or_start()
                while not self._becomes_primary():  # it died meanwhile
                    self._find_or_start()
            except BaseException:
                self._release()
                raise

    def leave(self) -> None:
        """Count this process no longer as a user of mongod; the last one stops it."""
        if self._client_lock is None or not self.home.is_dir():
            return
        with _watch.server_lock(self.home):
            self._release()
            if _watch.is_free(self.home / "clients.lock") and not _watch.stop(self.home):
                logger.warning("The database didn't stop within %d s; it ends by itself.", _watch.STOP_SECONDS)

    def is_alive(self) -> bool:
        """Tell whether the mongod to which this process attached is there still (without asking it anything)."""
        try:
            return bool(psutil.Process(self._pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def _release(self) -> None:
        if self._client_lock is not None:
            _watch.drop(self._client_lock)
            self._client_lock = None

    def _password(self) -> str:
        return secret(self.home / "password", digits=64)

    def _find_or_start(self) -> None:
        state = read_json(self.home / "server.json")
        pid = _watch.mongod_pid(self.home)
        began = time.monotonic()
        while pid and not psutil.pid_exists(pid) and time.monotonic() - began < _DYING_SECONDS:
            time.sleep(0.02)
            pid = _watch.mongod_pid(self.home)
        if pid is None:
            self._start()
        elif state.get("pid") != pid:  # its starter was killed before it could note the port
            if not _watch.stop(self.home):
                raise StoreError(
                    f"The database folder {str(self.home / 'db')!r} is in use by a mongod (pid {pid}) that can't be "
                    "stopped from here, perhaps of another container or user. Stop it, or set SLICELAB_HOME to another "
                    "folder."
                )
            self._start()
        state = read_json(self.home / "server.json")
        self.port, self._pid = int(state["port"]), int(state["pid"])

    def _start(self) -> None:
        private_folder(self.home / "db")
        secret(self.home / "keyfile", digits=128)
        _limit_log(self.home / "mongod.log")
        mongod = find_mongod()
        workspace = read_json(self.home / "workspace.json")
        port = _free_port(workspace.get("port"))
        for _attempt in range(5):
            write_json(self.home / "workspace.json", {**workspace, "port": port})
            state = {"port": port, "command": self._command(mongod.path, port)}
            problem = _watch.launch(self.home, state, waiting=waiting_notice("Starting the database"))
            if not problem:
                return
            if not problem.startswith(_PORT_IN_USE):
                break
            port = _free_port(None)
        raise DatabaseUnavailableError(
            f"The database didn't start ({problem}). The last lines of {str(self.home / 'mongod.log')!r}:\n"
            f"{_last_errors(self.home / 'mongod.log')}\nMend what they name; `slicelab doctor` checks the usual causes."
        )

    def _command(self, mongod: Path, port: int) -> list[str]:
        cache = os.environ.get("SLICELAB_CACHE_GB", "1")
        return [
            *(str(mongod), "--dbpath", str(self.home / "db"), "--port", str(port), "--bind_ip", HOST),
            *("--nounixsocket", "--replSet", REPLICA_SET, "--keyFile", str(self.home / "keyfile")),
            *("--wiredTigerCacheSizeGB", cache, "--oplogSize", "256"),
            *("--logpath", str(self.home / "mongod.log"), "--logappend", "--quiet", "--fork"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]

    def _ensure_watch(self) -> None:
        if not _watch.is_free(self.home / "watch.lock"):
            return
        grace = os.environ.get("SLICELAB_WATCH_GRACE", "10")
        quiet = subprocess.DEVNULL
        command = [sys.executable, "-I", "-S", _watch.__file__, str(self.home), grace]
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False, timeout=60)

    def _becomes_primary(self) -> bool:
        """Give the replica set its user and address, and wait until it takes writes; False: it died meanwhile."""
        from pymongo.errors import ConnectionFailure

        notice, began, heard = waiting_notice("Waiting for the database to recover"), time.monotonic(), time.monotonic()
        with self._direct(password=False) as client:
            while self.is_alive():
                try:
                    said = client.admin.command("hello")
                    heard = time.monotonic()
                    if said.get("isWritablePrimary"):
                        self._ensure_user(client)
                        return True
                    if not said.get("setName"):
                        self._configure(client)
                except ConnectionFailure:
                    if time.monotonic() - heard > _SILENT_SECONDS and self.is_alive():
                        raise
                notice(time.monotonic() - began)
                if time.monotonic() - began > _PRIMARY_SECONDS:
                    raise DatabaseUnavailableError(
                        f"The database started but took no writes within {_PRIMARY_SECONDS} s. Its log is "
                        f"{str(self.home / 'mongod.log')!r}; `slicelab doctor` checks the usual causes."
                    )
                time.sleep(0.02)
        return False

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        """Make the replica set at the first start; give it this port when it was started on another one."""
        from pymongo.errors import OperationFailure

        address = f"{HOST}:{self.port}"
        new = {
            "_id": REPLICA_SET,
            "members": [{"_id": 0, "host": address}],
            "settings": {"electionTimeoutMillis": 1000},
        }
        try:
            client.admin.command("replSetInitiate", new)
        except OperationFailure:  # it exists: known, or needs the password
            with contextlib.suppress(OperationFailure), self._direct(password=True) as known:
                config = known.local["system.replset"].find_one()
                if config and config["members"][0]["host"] != address:
                    config["members"][0]["host"] = address
                    config["version"] += 1
                    known.admin.command("replSetReconfig", config, force=True)

    def _ensure_user(self, client: MongoClient[dict[str, Any]]) -> None:
        """Create the user if there is none: until then, and only then, mongod lets loopback do so."""
        from pymongo.errors import OperationFailure

        password = self._password()
        try:
            with self._direct(password=True) as known:
                known.admin.command("ping")
                return
        except OperationFailure as error:
            if error.code != _AUTHENTICATION_FAILED:
                raise
        try:
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
        except OperationFailure as error:
            raise StoreError(
                f"The database doesn't take the password in {str(self.home / 'password')!r}. Put the file back that "
                "belongs to this database."
            ) from error

    def _direct(self, *, password: bool) -> MongoClient[dict[str, Any]]:
        from pymongo import MongoClient

        login: dict[str, Any] = {"username": USER, "password": self._password()} if password else {}
        return MongoClient(
            HOST,
            self.port,
            directConnection=True,
            serverSelectionTimeoutMS=1000,
            connectTimeoutMS=1000,
            socketTimeoutMS=5000,
            w=1,
            **login,
        )


def _free_port(wanted: int | None) -> int:
    """Return the wanted port where it is free, else any free one."""
    for port in (wanted, 0) if wanted else (0,):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise DatabaseUnavailableError("No port on 127.0.0.1 is free for the database. Close some programs and try again.")


def _limit_log(path: Path) -> None:
    """Keep one older log when the log has grown."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))


def _last_errors(path: Path) -> str:
    """Return the last lines of the log that tell of an error or a fatal end (else the last lines)."""
    if not path.exists():
        return "(there is no log)"
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 65_536))
        lines = stream.read().decode(errors="replace").splitlines()
    grave = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    return "\n".join(line[:400] for line in (grave or lines)[-5:])
