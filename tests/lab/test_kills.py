"""Kill -9 of the database and of the kernel during load, promote and queue: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import slicelab as sl

pytestmark = pytest.mark.mongo

ROUNDS = [3, pytest.param(10, marks=pytest.mark.slow)]

WORKER = """
import sys
import slicelab as sl

step, name, folder = sys.argv[1:]
say = lambda *words: print(*words, flush=True)
if step == "load":
    number = 0
    while True:
        number += 1
        models = {"v3": folder + "/v3.csv"}
        sl.load(f"{name} {number}", folder + "/images", folder + "/labels.csv", models, progress=False)
        say("ack", f"{name} {number}")
lab = sl.open(name)
units = list(lab.units("v3").index)
say("ready")
number = len(lab.slices())
while True:
    number += 1
    if step == "promote":
        slice_ = lab.create_slice(f"slice {number}", units=units[: number % 20 + 1])
        lab.promote(slice_, bar=sl.Bar("accuracy", at_least=0.5), suite="kills")
        say("ack", slice_.name)
    else:
        queue = lab.queue(f"queue {number % 7} {number}")
        added = queue.add(units[: number % 20 + 1], reason="relabel")
        say("ack", queue.name, added)
"""


def start(step, name, folder):
    command = [sys.executable, "-c", WORKER, step, name, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def mongod_pid():
    import json

    from slicelab.store import home

    while (pid := json.loads((home() / "server.json").read_text())["pid"]) is None:
        time.sleep(0.02)  # it is being started
    return pid


def run_and_kill(step, name, folder, *, victim, seed, rounds):
    """Let a worker work, kill the victim so many times; return what was acknowledged."""
    rng = random.Random(seed)
    acknowledged = []
    done = 0
    worker = None
    while done < rounds:
        if worker is None:
            worker = start(step, name, folder)
        for line in worker.stdout:
            if line.startswith("ack"):
                acknowledged.append(line[4:].strip())
                break
        else:
            raise AssertionError(worker.stderr.read())
        time.sleep(rng.uniform(0, 0.4))
        os.kill(mongod_pid() if victim == "mongod" else worker.pid, signal.SIGKILL)
        done += 1
        if victim == "kernel":
            acknowledged += [line[4:].strip() for line in worker.stdout if line.startswith("ack")]
            worker.wait()
            worker = None
    if worker is not None:
        line = worker.stdout.readline()
        assert line.startswith("ack"), worker.stderr.read()
        os.kill(worker.pid, signal.SIGKILL)
        acknowledged += [row[4:].strip() for row in [line, *worker.stdout] if row.startswith("ack")]
    return acknowledged


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("victim", ["mongod", "kernel"])
def test_promoted_slices_and_cases_survive(load_parts, parts_folder, victim, rounds):
    """Every slice whose case was acknowledged is there with its members, and the next call works."""
    lab = load_parts(f"kill promote {victim} {rounds}", overwrite=True)
    acknowledged = run_and_kill("promote", lab.name, parts_folder, victim=victim, seed=1, rounds=rounds)
    lab = sl.open(lab.name)
    units = list(lab.units("v3").index)
    assert sorted(units) == [f"part_{i:03d}.png" for i in range(160)]
    slices = {s.name: s for s in lab.slices()}
    cases = {c.name: c for c in lab.suite("kills").cases}
    assert len(acknowledged) >= rounds
    for name in acknowledged:
        number = int(name.split()[1])
        assert slices[name].members == tuple(units[: number % 20 + 1]), (units[:5], units[-3:])
        assert cases[name].members == tuple(sorted(slices[name].members))
    lab.create_slice("afterwards", units=units[:1])
    assert lab.suite("kills").run("v3").counts()["invalid"] == 0


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("victim", ["mongod", "kernel"])
def test_queued_items_survive_wholly(load_parts, parts_folder, victim, rounds):
    """Every acknowledged call of add has all its items; a call that was cut off has all or none."""
    lab = load_parts(f"kill queue {victim} {rounds}", overwrite=True)
    acknowledged = run_and_kill("queue", lab.name, parts_folder, victim=victim, seed=2, rounds=rounds)
    lab = sl.open(lab.name)
    sizes = {name: len(lab.queue(name).items()) for name in lab.queues()}
    for row in acknowledged:
        name, added = row.rsplit(" ", 1)
        assert sizes[name] >= int(added)
    for name, size in sizes.items():
        assert size == int(name.split()[2]) % 20 + 1
    assert lab.queue("afterwards").add(list(lab.units("v3").index[:3]), reason="investigate") == 3


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("victim", ["mongod", "kernel"])
def test_loads_are_there_wholly_or_not_at_all(parts_folder, victim, rounds):
    """Every acknowledged load is complete; one that was cut off leaves nothing to see, and can be repeated."""
    name = f"kill load {victim} {rounds}"
    acknowledged = run_and_kill("load", name, parts_folder, victim=victim, seed=3, rounds=rounds)
    models = {"v3": parts_folder / "v3.csv"}
    again = sl.load(f"{name} next", parts_folder / "images", parts_folder / "labels.csv", models, progress=False)
    assert again.load_report.ok
    there = [n for n in sl.datasets() if n.startswith(name)]
    assert set(acknowledged) <= set(there)
    for found in there:
        lab = sl.open(found)
        assert lab.dataset.count("ground_truth") == lab.dataset.count("v3") == 160
    import fiftyone

    assert [n for n in fiftyone.list_datasets() if "loading" in n and name in n] == []
