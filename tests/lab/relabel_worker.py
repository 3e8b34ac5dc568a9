"""A kernel of its own for the tests of relabelling: works on a queue, or does a step in which somebody is killed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable


def strike_at(place: str, blow: Callable[[], None]) -> None:
    """Deal a blow before or after the n-th call of a function: ``module:Class.name n before``; n+: each from there."""
    path, nth, when = place.split(" ")
    module, attribute = path.split(":")
    owner = importlib.import_module(module)
    *outer, name = attribute.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), [0]
    first, again = int(nth.rstrip("+")), nth.endswith("+")

    def call(*args, **kwargs):
        calls[0] += 1
        now = calls[0] >= first if again else calls[0] == first
        if now and when == "before":
            blow()
        result = real(*args, **kwargs)
        if now and when == "after":
            blow()
        return result

    setattr(owner, name, call)


def kill_kernel() -> None:
    """Kill this process with -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_mongod() -> None:
    """Kill the database with -9 and see it dead."""
    import psutil

    from slicelab.store import home

    while (pid := json.loads((home() / "server.json").read_text()).get("pid")) is None:
        time.sleep(0.01)  # it is being started
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def step(dataset: str, what: str, folder: str, place: str, victim: str) -> None:
    """Do one step of the loop; `place` is where the victim dies. Print how often it did, and the error, if any."""
    import slicelab as sl

    lab = sl.open(dataset)
    queue = lab.queue("round-1")
    returned = queue.returns()[0] if what == "merge" else None
    blows = []

    def blow() -> None:
        blows.append(place)
        kill_kernel() if victim == "kernel" else kill_mongod()

    strike_at(place, blow)
    error = None
    try:
        if what == "export":
            queue.export("jsonl", folder, images="none")
        elif what == "receive":
            queue.receive(f"{folder}/back.jsonl")
        else:
            queue.merge(returned, into="gt2")
    except sl.SliceLabError as refusal:
        error = f"{type(refusal).__name__}: {refusal}"
    print(json.dumps({"blows": len(blows), "error": error}), flush=True)


def work(dataset: str, n: int, seed: int) -> None:
    """Move items of a queue n times, at random, from what was read a moment ago; print what came of it."""
    from slicelab.core import TRANSITIONS, ConflictError
    from slicelab.curation import move_item
    from slicelab.store import Queues, connect

    queues, dice = Queues(connect().records, dataset), random.Random(seed)
    applied, conflicts, steps = 0, 0, []
    seen = queues.items("busy")
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(n):
        if turn % 4 == 0:
            seen = queues.items("busy")
        item = dice.choice(seen)
        ways = [s for s in TRANSITIONS[item.state] if s != "merged"]
        after = move_item(item, dice.choice(ways), batch_id=item.batch_id or "b")
        try:
            queues.move([(item, after)])
        except ConflictError:
            conflicts += 1
            continue
        applied += 1
        steps.append([after.item_id, after.rev, after.state])
        seen = [after if i.item_id == after.item_id else i for i in seen]
    print(json.dumps({"applied": applied, "conflicts": conflicts, "steps": steps}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        step(*sys.argv[2:7])
