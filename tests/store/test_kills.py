"""kill -9 of mongod while records are written: whatever was acknowledged is there afterwards, once and wholly."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import pytest

from slicelab.core import ConflictError
from slicelab.store import connect

pytestmark = pytest.mark.mongo

ROUNDS = [5, pytest.param(40, marks=pytest.mark.slow)]


class _Killer:
    """Kills mongod at random moments after a write was acknowledged, and each fourth time while it recovers."""

    def __init__(self, probe, rounds, seed):
        self.probe, self.rounds, self.random = probe, rounds, random.Random(seed)
        self.done = self.acknowledged = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        for number in range(self.rounds):
            before = self.acknowledged
            while self.acknowledged == before and number % 4 != 3:
                time.sleep(0.005)
            time.sleep(self.random.uniform(0.0, 1.0))
            while self.probe.pid() is None:
                time.sleep(0.02)
            self.probe.kill()
            self.done += 1

    def is_busy(self):
        """Tell whether it goes on; called after every acknowledged write."""
        self.acknowledged += 1
        return self.thread.is_alive()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_no_acknowledged_insert_is_lost(home, probe, rounds):
    """Inserts go on through every kill of mongod: each that returned is there once, and none raised."""
    records = connect().records
    killer, acknowledged = _Killer(probe, rounds, seed=1), []
    while killer.is_busy():
        acknowledged.append(records.insert("things", {"_id": f"{len(acknowledged):06d}", "n": len(acknowledged)}))
    assert killer.done == rounds
    assert records.find("things", sort="_id") == acknowledged
    assert len(acknowledged) > rounds


@pytest.mark.parametrize("rounds", ROUNDS)
def test_every_update_counts_once(home, probe, rounds):
    """A counter is raised through every kill: its value and its revision say exactly how often that was."""
    records = connect().records
    record, killer = records.insert("things", {"_id": "counter", "n": 0}), _Killer(probe, rounds, seed=2)
    while killer.is_busy():
        record = records.update("things", "counter", rev=record["rev"], changes={"n": record["n"] + 1})
    assert killer.done == rounds
    assert records.get("things", "counter") == record
    assert record["rev"] == record["n"] + 1


@pytest.mark.parametrize("rounds", ROUNDS)
def test_every_transaction_counts_once_and_wholly(home, probe, rounds):
    """Transactions of four writes go on through every kill: each is there once, none is there in part."""
    records = connect().records
    records.insert("things", {"_id": "sum", "n": 0})
    killer, done = _Killer(probe, rounds, seed=3), 0
    while killer.is_busy():

        def write(session, number=done):
            total = records.get("things", "sum", session=session)
            records.update("things", "sum", rev=total["rev"], changes={"n": total["n"] + 1}, session=session)
            records.insert_many("parts", [{"_id": f"{number}:{i}", "of": number} for i in range(2)], session=session)
            records.append("history", {"of": number}, session=session)
            return number

        assert records.transact(write) == done
        done += 1
    assert killer.done == rounds
    assert records.get("things", "sum")["n"] == done
    assert sorted(r["of"] for r in records.find("history")) == list(range(done))
    assert records.count("parts") == 2 * done


def test_the_oracle_can_fail(home, probe):
    """Control: with MongoDB's default write concern (w=1, no journal) the same kills do lose acknowledged inserts.

    Losing is a matter of chance: up to 12 kills are tried until one loses something.
    """
    connection = connect()
    from pymongo.errors import PyMongoError
    from pymongo.write_concern import WriteConcern

    lost = 0
    for turn in range(12):
        careless = connection.database["careless"].with_options(write_concern=WriteConcern(w=1, j=False))
        acknowledged: list[str] = []
        killer = threading.Timer(0.5, probe.kill)
        killer.start()
        with suppress(PyMongoError):
            while killer.is_alive():
                careless.insert_one({"_id": f"{turn}:{len(acknowledged)}"})
                acknowledged.append(f"{turn}:{len(acknowledged)}")
        killer.join()
        connection.ensure()
        found = {r["_id"] for r in connection.records.find("careless")}
        lost += len(set(acknowledged) - found)
        if lost:
            break
    assert lost > 0


def test_another_change_during_a_kill_is_still_a_conflict(home, probe):
    """An update that meets a kill and someone else's change raises ConflictError; it never overwrites."""
    records = connect().records
    mine = records.insert("things", {"_id": "a", "n": 0})
    theirs = records.update("things", "a", rev=mine["rev"], changes={"n": 1})
    probe.kill()
    with pytest.raises(ConflictError) as caught:
        records.update("things", "a", rev=mine["rev"], changes={"n": 2})
    assert caught.value.theirs == theirs
