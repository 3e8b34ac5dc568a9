"""The ledger: what is written is in it, what is changed is seen, and what is lost comes back."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from slicelab.core import AnnotationTask, Batch, Change, Edit, QueueItem, Slice, StoreError, new_id
from slicelab.store import Ledger, Queues, Slices, audit, connect, rebuild

pytestmark = pytest.mark.mongo


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


def put(i):
    return [{"op": "put", "kind": "slices", "record": {"_id": f"s{i}", "rev": 1, "name": "µ\u2028"}}]


def test_entries_are_chained_and_counted(ledger):
    """Every entry names the one before; the same commit appended again is one entry."""
    for i in range(5):
        ledger.append(put(i), commit=f"c{i}")
    ledger.append(put(4), commit="c4")
    entries = list(ledger.entries())
    assert [e["n"] for e in entries] == [1, 2, 3, 4, 5]
    assert len(ledger.state()) == 5
    assert oct(ledger.path.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("change", ["edit", "drop", "swap", "insert"])
def test_a_changed_ledger_is_refused(ledger, change):
    """A line that was edited, taken out, moved or copied breaks the chain."""
    for i in range(6):
        ledger.append(put(i), commit=f"c{i}")
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    if change == "edit":
        lines[2] = lines[2].replace(b"s2", b"sX")
    elif change == "drop":
        del lines[2]
    elif change == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    else:
        lines.insert(2, lines[1])
    ledger.path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=r"[Ll]ine 3"):
        list(ledger.entries())


def test_half_a_line_is_cut_off(ledger):
    """A write that was killed half way leaves nothing; the chain goes on after the last whole entry."""
    ledger.append(put(0), commit="c0")
    whole = ledger.path.read_bytes()
    ledger.append(put(1), commit="c1")
    for cut in (1, 10, len(ledger.path.read_bytes()) - len(whole) - 1):
        ledger.path.write_bytes(ledger.path.read_bytes()[: len(whole) + cut])
        ledger.append(put(1), commit="c1")
        assert [e["commit"] for e in ledger.entries()] == ["c0", "c1"]


def make(name, n=30):
    """A slice, and a queue with a batch that is out."""
    connection = connect()
    slice_ = Slice(f"dark {name}", tuple(f"u{i}" for i in range(n)))
    Slices(connection.records, name).apply(Change("create", (Edit(None, slice_),)))
    queues = Queues(connection.records, name)
    items = [QueueItem("q", f"u{i}", f"u{i}", "relabel") for i in range(n)]
    queues.add(items)
    batch_id = new_id()
    task = AnnotationTask(f"{batch_id}-00001", "u0", "/x", "", 1, 1, (items[0].item_id,), ("u0",), ("relabel",))
    batch = Batch("q", name, "classification", ("a", "b"), (task,), batch_id=batch_id)
    from slicelab.curation import move_item

    queues.move([(items[0], move_item(items[0], "exported", batch_id=batch_id))], with_batch=batch)
    return connection, slice_, batch


CURATED = ("slices", "slice_versions", "changes", "queue_items", "queue_history", "batches", "batch_tasks", "numbers")


def test_everything_curated_comes_back(tmp_path):
    """All curated collections are dropped; the ledger makes the same records, and work goes on with them."""
    connection, slice_, batch = make("ledger rebuild")
    assert audit(connection).ok
    before = {kind: sorted(connection.records.find(kind), key=lambda r: r["_id"]) for kind in CURATED}
    for kind in (*CURATED, "lists", "cases"):
        connection.database.drop_collection(kind)
    assert not audit(connection).ok
    made = rebuild(connection)
    assert made.made >= 30
    assert made.differing == ()
    assert {kind: sorted(connection.records.find(kind), key=lambda r: r["_id"]) for kind in CURATED} == before
    assert audit(connection).ok
    assert rebuild(connection).made == 0
    assert Slices(connection.records, "ledger rebuild").get(slice_.name).members == slice_.members
    assert Queues(connection.records, "ledger rebuild").batch(batch.batch_id) == batch
    more = Slice("more", ("u1",))
    Slices(connection.records, "ledger rebuild").apply(Change("create", (Edit(None, more),)))
    assert audit(connection).ok


def test_a_record_that_somebody_changed_behind_our_back_is_named(tmp_path):
    """The audit finds what was changed, deleted or added in the database only; rebuild leaves it as it is."""
    connection, *_ = make("ledger behind")
    found = connection.records.find("queue_items", dataset="ledger behind")
    connection.database["queue_items"].update_one({"_id": found[3]["_id"]}, {"$set": {"unit": "other"}})
    problems = audit(connection).problems
    assert any(found[3]["_id"] in p and "differs" in p for p in problems)
    assert rebuild(connection).differing == (f"queue_items {found[3]['_id']!r}",)
    connection.database["queue_items"].update_one({"_id": found[3]["_id"]}, {"$set": {"unit": found[3]["unit"]}})
    assert audit(connection).ok


KILLED = """
import os, signal
from slicelab.store import Ledger, Queues, connect
from slicelab.core import QueueItem
def die(self, writes, *, commit):
    os.kill(os.getpid(), signal.SIGKILL)
connection = connect()
Ledger.append = die
Queues(connection.records, "ledger killed").add([QueueItem("q", "u1", "u1", "relabel")])
"""


def test_what_a_killed_process_left_is_put_in_later():
    """Killed between database and ledger: the next look puts it in, once."""
    connection = connect()
    done = subprocess.run([sys.executable, "-c", KILLED], env=os.environ | {"PYTHONPATH": os.getcwd()}, check=False)
    assert done.returncode == -signal.SIGKILL
    (item,) = Queues(connection.records, "ledger killed").items("q")
    assert connection.records.count("outbox") == 1
    assert audit(connection).ok
    assert connection.records.count("outbox") == 0
    assert ("queue_items", item.item_id) in connection.records.ledger.state()


CONNECT = "from slicelab.store import connect; connect()"


def test_the_next_connection_notes_what_a_killed_process_left():
    """Nobody has to ask for an audit: the next process that connects puts it in, and a living one's is left to it."""
    connection, environment = connect(), os.environ | {"PYTHONPATH": os.getcwd()}
    name = "ledger next"
    killed = KILLED.replace("ledger killed", name)
    assert subprocess.run([sys.executable, "-c", killed], env=environment, check=False).returncode < 0
    (item,) = Queues(connection.records, name).items("q")
    assert ("queue_items", item.item_id) not in connection.records.ledger.state()
    subprocess.run([sys.executable, "-c", CONNECT], env=environment, check=True)
    assert connection.records.count("outbox") == 0
    assert ("queue_items", item.item_id) in connection.records.ledger.state()
    me = psutil.Process()
    pending = {"_id": "c:0", "commit": "c", "part": 0, "at": 0, "writes": [], "owner": [me.pid, me.create_time()]}
    connection.database["outbox"].insert_one(pending)
    subprocess.run([sys.executable, "-c", CONNECT], env=environment, check=True)
    assert connection.records.count("outbox") == 1
    connection.database["outbox"].delete_one({"_id": "c:0"})


def test_of_two_states_of_a_record_the_later_counts(ledger):
    """What two processes noted in the other order leaves the record as the database has it."""
    for rev in (1, 3, 2):
        ledger.append([{"op": "put", "kind": "slices", "record": {"_id": "s", "rev": rev}}], commit=f"c{rev}")
    ledger.append([{"op": "put", "kind": "numbers", "record": {"_id": "n", "last": 2}}], commit="n2")
    ledger.append([{"op": "put", "kind": "numbers", "record": {"_id": "n", "last": 1}}], commit="n1")
    assert ledger.state()["slices", "s"]["rev"] == 3
    assert ledger.state()["numbers", "n"]["last"] == 2


def test_the_command_line_verifies(run_cli):
    """Exit code 0 for a whole ledger, 1 and the line for a broken one."""
    connection, *_ = make("ledger cli")
    good = run_cli("audit", "verify")
    assert (good.returncode, "whole" in good.stdout) == (0, True), good.stdout + good.stderr
    path = connection.records.ledger.path
    whole = path.read_bytes()
    entry = json.loads(whole.splitlines()[0])
    path.write_bytes(whole.replace(entry["at"].encode(), b"2001" + entry["at"][4:].encode(), 1))
    bad = run_cli("audit", "verify")
    assert (bad.returncode, "Line 1 of the ledger" in bad.stdout) == (1, True), bad.stdout + bad.stderr
    path.write_bytes(whole)
    assert run_cli("rebuild").returncode == 0
