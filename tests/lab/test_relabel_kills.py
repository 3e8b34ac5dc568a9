"""Kill -9 of kernel and database at each write step of export, receive and merge: before or after, never between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import slicelab as sl
from slicelab.core import QueueItem, StateError
from slicelab.store import Queues, audit, connect

pytestmark = pytest.mark.mongo

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(sl.__file__).parents[1])}
WORKER = Path(__file__).with_name("relabel_worker.py")
INSERT = "slicelab.store._records:Records.insert_many"
UPDATE = "slicelab.store._records:Records.update"
LABELS = "slicelab.store._bulk:BulkWriter.set_labels"
POST = "slicelab.store._records:Records._post"
COMMITTED = "slicelab.store._records:Records._settle"
LEDGER = "slicelab.store._ledger:Ledger.append"
STEPS = {
    # hidden files, then one transaction: items, history, batch, tasks, outbox; then the ledger, and the files' name
    "export": [
        *("slicelab.annotation._write_batch:_fill 1 before", "slicelab.annotation._write_batch:_write 2 after"),
        *("pathlib:Path.rename 1 before", "pathlib:Path.rename 1 after"),
        *(f"{UPDATE} 1 after", f"{UPDATE} 3 after", f"{INSERT} 1 after", f"{INSERT} 2 after", f"{INSERT} 3 after"),
        *(f"{POST} 1 after", f"{COMMITTED} 1 before", f"{LEDGER} 1 after"),
        *("pathlib:Path.rename 2 before", "pathlib:Path.rename 2 after"),
    ],
    "receive": [
        *(f"{INSERT} 1 before", f"{INSERT} 1 after", f"{INSERT} 2 after", f"{UPDATE} 1 after", f"{UPDATE} 3 after"),
        *(f"{INSERT} 3 after", f"{POST} 1 after", f"{COMMITTED} 1 before", f"{LEDGER} 1 after"),
    ],
    "merge": [
        *(f"{UPDATE} 1 before", f"{UPDATE} 1 after", "slicelab.store._datasets:declare_labels 1 after"),
        *(f"{LABELS} 1 before", f"{LABELS} 1 after", f"{UPDATE} 2 after"),
        *(f"{INSERT} 1 after", f"{UPDATE} 3 after", f"{UPDATE} 4 after", f"{UPDATE} 5 after", f"{INSERT} 2 after"),
        *(f"{POST} 1 after", f"{COMMITTED} 1 before", f"{LEDGER} 1 after"),
    ],
}
IN_DEFAULT = {
    "export": [f"{INSERT} 2 after", "pathlib:Path.rename 2 before"],
    "receive": [f"{UPDATE} 3 after", f"{COMMITTED} 1 before"],
    "merge": [f"{LABELS} 1 after", f"{COMMITTED} 1 before"],
}
MONGOD_IN_DEFAULT = {"export": [], "receive": [f"{POST} 1 after"], "merge": [f"{COMMITTED} 1 before"]}


def places(in_default):
    """Return every step and place; those that aren't in the default run are marked as slow."""
    return [
        pytest.param(what, place, marks=[] if place in in_default[what] else pytest.mark.slow, id=f"{what} {place}")
        for what, its_places in STEPS.items()
        for place in its_places
    ]


def state(name):
    """Return everything that export, receive and merge change."""
    lab = sl.open(name)
    queue = lab.queue("round-1")
    return {
        "items": queue.counts(),
        "history": Counter(r["to"] for i in queue.items() for r in lab._queues.history(i)),
        "batches": len(queue.batches()),
        "tasks": sum(len(b.tasks) for b in queue.batches()),
        "returns": len(queue.returns()),
        "merged": [lab._queues.merged_into(r) for r in queue.returns()],
        "truth": (lab.info.label_field, list(lab.info.label_fields)),
        "field": lab.dataset.has_field("gt2"),
        "labels": Counter(lab.table.samples["label"]),
        "versions": len(lab._datasets.label_versions(name, "gt2")),
    }


def prepare(load_parts, folder, name, what):
    """Bring a dataset to where the step comes next."""
    lab = load_parts(name, overwrite=True)
    queue = lab.queue("round-1")
    queue.add([f"part_{i:03d}.png" for i in range(6)], reason="relabel")
    if what != "export":
        exported = queue.export("jsonl", folder, images="none")
        path = next(p for p in exported.paths if p.name == "labels.jsonl")
        rows = [json.loads(line) | {"label": "bolt", "reviewed": True} for line in path.read_text().splitlines()]
        (folder / "back.jsonl").write_text("\n".join(map(json.dumps, rows)))
    if what == "merge":
        queue.receive(folder / "back.jsonl")
    return queue


def do(queue, what, folder):
    if what == "export":
        queue.export("jsonl", folder, images="none")
    elif what == "receive":
        queue.receive(folder / "back.jsonl")
    else:
        queue.merge(queue.returns()[0], into="gt2")


def strike(name, what, folder, place, victim):
    """Do the step in a kernel of its own in which the victim dies at the place; return what the kernel said."""
    command = [sys.executable, str(WORKER), "step", name, what, str(folder), place, victim]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if victim == "kernel":
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
        return None
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_after(name, what, folder, before):
    """What is there is the state before the step, which then can be done, or the state after it; nothing else."""
    queue = sl.open(name).queue("round-1")
    left = state(name)
    was = left == before
    if was:
        do(queue, what, folder)
        left = state(name)
    assert left["items"] == {{"export": "exported", "receive": "returned", "merge": "merged"}[what]: 6}
    assert (left["batches"], left["tasks"]) == (1, 6)
    assert left["returns"] == (what != "export")
    assert left["merged"] == {"export": [], "receive": [None], "merge": ["gt2"]}[what]
    assert left["truth"][0] == ("gt2" if what == "merge" else "ground_truth")
    assert (left["field"], left["versions"]) == (what == "merge", what == "merge")
    assert left["labels"]["bolt"] == (83 if what == "merge" else 80)
    assert set(left["history"].values()) == {6}
    connect().records.settle()
    found = audit(connect())
    assert found.ok, str(found)
    assert connect().records.count("outbox") == 0
    if what == "export":
        check_files(queue, folder)
    return was


def check_files(queue, folder):
    """Once somebody exports there again, the files of each batch that is out are there, and of no other."""
    with pytest.raises(StateError, match="nothing to export"):
        queue.export("jsonl", folder, images="none")
    left = list(folder.iterdir())
    assert [p.name for p in left if p.name.startswith(".")] == []
    manifests = [json.loads((p / "manifest.json").read_text()) for p in left]
    assert [m["batch_id"] for m in manifests] == [b.batch_id for b in queue.batches()]
    assert set(manifests[0]["files"]) == {p.name for p in left[0].iterdir()} - {"manifest.json"}


@pytest.mark.parametrize(("what", "place"), places(IN_DEFAULT))
def test_before_or_after(load_parts, tmp_path, what, place):
    """What a kernel that is killed there leaves is the state before the step or after it, and the step can be done."""
    name = f"kill {what} {place}"
    prepare(load_parts, tmp_path, name, what)
    before = state(name)
    strike(name, what, tmp_path, place, "kernel")
    check_after(name, what, tmp_path, before)


@pytest.mark.parametrize(("what", "place"), places(MONGOD_IN_DEFAULT))
def test_database_killed(load_parts, tmp_path, what, place):
    """Kill -9 of mongod there: the step is done all the same, or refused in words; never half."""
    name = f"mongod {what} {place}"
    prepare(load_parts, tmp_path, name, what)
    before = state(name)
    said = strike(name, what, tmp_path, place, "mongod")
    assert said["blows"] == 1
    was = check_after(name, what, tmp_path, before)
    assert said["error"] is not None or not was  # what was acknowledged is there


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "place"),
    [
        *[("export", f"{INSERT} 2+ after"), ("export", f"{COMMITTED} 1+ before"), ("export", f"{LEDGER} 1+ after")],
        *[("receive", f"{UPDATE} 1+ after"), ("receive", f"{COMMITTED} 1+ before")],
        *[("merge", "slicelab.store._bulk:BulkWriter.set_labels 1+ before"), ("merge", f"{UPDATE} 3+ after")],
    ],
)
def test_database_that_dies_each_time(load_parts, tmp_path, what, place):
    """A database that is killed whenever the step comes there is told in words; what is left is before or after."""
    name = f"dying {what} {place}"
    prepare(load_parts, tmp_path, name, what)
    before = state(name)
    said = strike(name, what, tmp_path, place, "mongod")
    was = check_after(name, what, tmp_path, before)
    if said["error"] is None:
        assert not was
    else:
        assert said["error"].startswith("DatabaseUnavailableError: The database at")


def test_two_kernels_on_one_queue(load_parts):
    """2 x 500 moves of 20 items: each is applied or a conflict, and every applied one is in the history, once."""
    name, n = "two kernels", 500
    load_parts(name, overwrite=True)
    queues = Queues(connect().records, name)
    queues.add([QueueItem("busy", f"u{i}", f"u{i}", "relabel") for i in range(20)])
    start = [sys.executable, str(WORKER), "work", name, str(n)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    kernels = [subprocess.Popen([*start, str(seed)], **pipes) for seed in (1, 2)]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    said = [json.loads(kernel.communicate()[0]) for kernel in kernels]
    assert [s["applied"] + s["conflicts"] for s in said] == [n, n]
    assert all(s["conflicts"] > 0 for s in said)
    steps = {(item, rev): state for s in said for item, rev, state in s["steps"]}
    assert len(steps) == sum(s["applied"] for s in said)
    items = queues.items("busy")
    assert sum(i.rev - 1 for i in items) == len(steps)
    for item in items:
        history = queues.history(item)
        assert [h["rev"] for h in history] == [1] * len(history)
        told = [(h["_id"].split(":")[1], h["to"]) for h in history]
        assert sorted(int(rev) for rev, _ in told) == list(range(1, item.rev + 1))
        assert {int(rev): to for rev, to in told if rev != "1"} == {
            rev: to for (item_id, rev), to in steps.items() if item_id == item.item_id
        }
    assert audit(connect()).ok
