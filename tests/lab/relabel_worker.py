"""A kernel of its own for the tests of relabelling: does a step and dies where it is told, or works on a queue."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys


def die_at(place: str) -> None:
    """Kill this process with -9 before or after the n-th call of a function: ``module:Class.name n before``."""
    path, nth, when = place.split(" ")
    module, attribute = path.split(":")
    owner = importlib.import_module(module)
    *outer, name = attribute.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), [0]

    def call(*args, **kwargs):
        calls[0] += 1
        if calls[0] == int(nth) and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if calls[0] == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


def step(dataset: str, what: str, folder: str, place: str) -> None:
    """Do one step of the loop; `place` is where to die."""
    import slicelab as sl

    lab = sl.open(dataset)
    queue = lab.queue("round-1")
    returned = queue.returns()[0] if what == "merge" else None
    die_at(place)
    if what == "export":
        queue.export("jsonl", folder, images="none")
    elif what == "receive":
        queue.receive(f"{folder}/back.jsonl")
    else:
        queue.merge(returned, into="gt2")


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
        step(*sys.argv[2:6])
