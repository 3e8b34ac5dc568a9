"""SliceLab's own collections: what goes in comes out, and nobody's change is lost."""

from __future__ import annotations

import math
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicelab.core import ConflictError, InvalidInputError, StoreError, hash_value, new_id
from slicelab.store import _records, connect

pytestmark = pytest.mark.mongo


@pytest.fixture
def records(shared_home):
    """The records of the database that all tests of this file share."""
    return connect().records


@pytest.fixture
def kind():
    """A kind of records that no other test uses."""
    return f"k{new_id()[:12]}"


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
NAMES = TEXT.filter(lambda name: name not in ("", "$ref", "_id", "rev", "_op"))
TOP = NAMES.filter(lambda name: "." not in name and not name.startswith("$"))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(NAMES, v, max_size=4), max_leaves=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=st.dictionaries(TOP, VALUES, max_size=5))
def test_any_json_comes_back_equal(records, record):
    """Whatever JSON is inserted or set in an update is read back with the same values, types and order."""
    stored = records.insert("anything", {"_id": new_id(), **record})
    other = records.insert("anything", {"_id": new_id()})
    if record:
        other = records.update("anything", other["_id"], rev=1, changes=record)
    for one in (stored, other):
        found = records.get("anything", one["_id"])
        assert repr({name: found[name] for name in record}) == repr(record)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [1, -math.inf],
        {"a": math.nan},
        "a\0b",
        {"a\0": 1},
        "\ud800",
        {"\udfff": 1},
        2**63,
        {1: 2},
        {1, 2},
        b"x",
        object(),
        np.array([1]),
        np.float64("nan"),
    ],
)
def test_what_json_can_not_hold_is_refused(records, kind, value):
    """NaN, infinity, NUL, lone surrogates, huge integers and other types raise InvalidInputError and write nothing."""
    kept = records.insert(kind, {"_id": "kept"})
    with pytest.raises(InvalidInputError):
        records.insert(kind, {"_id": "new", "value": value})
    with pytest.raises(InvalidInputError):
        records.update(kind, "kept", rev=1, changes={"value": value})
    assert records.find(kind) == [kept]


def test_deep_nesting_is_refused_not_a_crash(records, kind):
    """A value nested deeper than the database can keep raises InvalidInputError."""
    deep: list = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(InvalidInputError, match="deep"):
        records.insert(kind, {"_id": "a", "deep": deep})


@pytest.mark.parametrize("name", ["", "$set", "a.b", 1])
def test_field_names_that_mean_something_to_the_database_are_refused(records, kind, name):
    """A top-level name with '.' or a leading '$', an empty one and a number raise InvalidInputError."""
    with pytest.raises(InvalidInputError):
        records.insert(kind, {"_id": "a", name: 1})


@pytest.mark.parametrize("kind", ["", "A", "a.b", "$x", "system.users", "x" * 99, "a\0"])
def test_odd_kinds_are_refused(records, kind):
    """A kind that isn't lower-case letters, digits and '_' raises InvalidInputError."""
    with pytest.raises(InvalidInputError, match="kind"):
        records.find(kind)


def test_numpy_numbers_become_plain_ones(records, kind):
    """numpy scalars are kept as Python's int, float and bool."""
    records.insert(kind, {"_id": "a", "i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True)})
    found = records.get(kind, "a")
    assert (found["i"], found["f"], found["b"]) == (3, 0.5, True)
    assert type(found["b"]) is bool


def test_the_same_insert_twice_is_one_record(records, kind):
    """Inserting an equal record again changes nothing; with other content it raises ConflictError with both."""
    first = records.insert(kind, {"_id": "a", "x": [1, {"y": None}]})
    assert records.insert(kind, {"x": [1, {"y": None}], "_id": "a"}) == first
    with pytest.raises(ConflictError) as caught:
        records.insert(kind, {"_id": "a", "x": 2})
    assert caught.value.mine["x"] == 2
    assert caught.value.theirs == first
    assert records.count(kind) == 1


def test_an_update_needs_the_revision(records, kind):
    """An update at the stored revision raises it by one; at any other it raises ConflictError and changes nothing."""
    records.insert(kind, {"_id": "a", "x": 1})
    second = records.update(kind, "a", rev=1, changes={"x": 2})
    assert second == {"_id": "a", "x": 2, "rev": 2}
    with pytest.raises(ConflictError, match="rev 1") as caught:
        records.update(kind, "a", rev=1, changes={"x": 3})
    assert caught.value.mine == {"x": 3}
    assert caught.value.theirs == second
    with pytest.raises(ConflictError, match="deleted") as caught:
        records.update(kind, "nobody", rev=1, changes={"x": 3})
    assert caught.value.theirs is None
    assert records.get(kind, "a") == second


@pytest.mark.parametrize("name", ["_id", "rev", "_op"])
def test_bookkeeping_fields_can_not_be_set(records, kind, name):
    """An update can't set the id or the revision."""
    records.insert(kind, {"_id": "a"})
    with pytest.raises(InvalidInputError):
        records.update(kind, "a", rev=1, changes={name: "x"})


def test_a_delete_needs_the_revision_too(records, kind):
    """A delete at another revision raises ConflictError; deleting what is deleted is a no-op."""
    records.insert(kind, {"_id": "a"})
    with pytest.raises(ConflictError):
        records.delete(kind, "a", rev=7)
    records.delete(kind, "a", rev=1)
    records.delete(kind, "a", rev=1)
    records.insert(kind, {"_id": "b"})
    records.delete(kind, "b")
    assert records.find(kind) == []


def test_find_filters_sorts_and_limits(records, kind):
    """`find` returns the records with the given values in the given order, and `count` their number."""
    for i in range(6):
        records.insert(kind, {"_id": str(i), "group": i % 2, "n": -i, "kind": "x"})
    assert [r["_id"] for r in records.find(kind, group=0, sort="n")] == ["4", "2", "0"]
    assert [r["_id"] for r in records.find(kind, sort=["group", "-n"], limit=4)] == ["0", "2", "4", "1"]
    assert [r["_id"] for r in records.find(kind, {"n": {"$lt": -3}}, kind="x", sort="_id")] == ["4", "5"]
    assert (records.count(kind), records.count(kind, group=1), records.count(kind, group=7)) == (6, 3, 0)


def test_a_dict_as_a_value_is_not_an_operator(records, kind):
    """A value given by keyword is compared, never run as a query operator."""
    records.insert(kind, {"_id": "a", "name": "x"})
    assert records.find(kind, name={"$ne": ""}) == []


def test_a_unique_index_refuses_the_second(records, kind):
    """Where a unique index holds the values, insert, update and transactions raise ConflictError, writing nothing."""
    records.ensure_index(kind, ["dataset", "name"], unique=True, partial={"deleted": False})
    records.ensure_index(kind, ["dataset", "name"], unique=True, partial={"deleted": False})
    records.insert(kind, {"_id": "a", "dataset": "d", "name": "knives", "deleted": False})
    records.insert(kind, {"_id": "old", "dataset": "d", "name": "knives", "deleted": True})
    other = records.insert(kind, {"_id": "b", "dataset": "d", "name": "forks", "deleted": False})
    double = {"_id": "c", "dataset": "d", "name": "knives", "deleted": False}
    with pytest.raises(ConflictError, match="knives"):
        records.insert(kind, double)
    with pytest.raises(ConflictError, match="knives"):
        records.update(kind, "b", rev=1, changes={"name": "knives"})
    with pytest.raises(ConflictError, match="knives"):
        records.transact(lambda s: records.insert(kind, double, session=s))
    with pytest.raises(ConflictError, match="knives"):
        records.insert_many(kind, [{"_id": "d"}, double])
    assert records.get(kind, "b") == other
    assert records.count(kind) == 3


def test_insert_many_is_all_or_nothing(records, kind):
    """Many records are inserted at once or, where one clashes, none; the same again is a no-op."""
    many = [{"_id": str(i), "n": i} for i in range(500)]
    records.insert_many(kind, many)
    records.insert_many(kind, many)
    assert records.count(kind) == 500
    with pytest.raises(ConflictError):
        records.insert_many(kind, [{"_id": "new"}, {"_id": "3", "n": 4}])
    assert records.get(kind, "new") is None
    records.insert_many(kind, [])


def test_numbers_count_up(records, kind):
    """`next_number` gives 1, 2, 3, ...; a transaction that fails takes its number back."""
    assert [records.next_number(kind) for _ in range(3)] == [1, 2, 3]

    def fail(session):
        records.next_number(kind, session=session)
        raise KeyError

    with pytest.raises(KeyError):
        records.transact(fail)
    assert records.transact(lambda s: records.next_number(kind, session=s)) == 4


def test_a_transaction_writes_all_or_nothing(records, kind):
    """All writes of a transaction are there afterwards, or, when it raises, none; it sees its own writes."""
    records.insert(kind, {"_id": "a", "x": 1})

    def both(session):
        records.update(kind, "a", rev=1, changes={"x": 2}, session=session)
        records.append(kind, {"_id": "b"}, session=session)
        assert records.get(kind, "b") is None
        return records.count(kind, session=session)

    assert records.transact(both) == 2
    assert records.get(kind, "a")["x"] == 2

    def fail(session):
        records.update(kind, "a", rev=2, changes={"x": 3}, session=session)
        records.delete(kind, "b", rev=1, session=session)
        records.update(kind, "b", rev=9, changes={}, session=session)

    with pytest.raises(ConflictError):
        records.transact(fail)
    assert [r.get("x") for r in records.find(kind, sort="_id")] == [2, None]
    assert records.count("transactions") == 0


def test_long_lists(records, monkeypatch):
    """A list of any length comes back equal and in order under the SHA-256 of its JSON; again is a no-op."""
    monkeypatch.setattr(_records, "LIST_ITEMS", 1000)
    for values in ([], ["a"], ["b", "a", "b"], [f"img/{i}é.jpg" for i in range(2500)], ["x"] * 1000):
        sha = records.put_list(values)
        assert sha == hash_value(values)
        parts = records.count("lists", sha=sha)
        assert records.put_list(tuple(values)) == sha
        assert records.count("lists", sha=sha) == parts == max(1, math.ceil(len(values) / 1000))
        assert records.get_list(sha) == values
    with pytest.raises(InvalidInputError):
        records.put_list(["a", 1])
    with pytest.raises(InvalidInputError):
        records.put_list(["\ud800"])


def test_a_list_of_long_texts_fits_the_database(records):
    """Parts of a list stay below the 16 MB of a document, also where the texts are long."""
    values = [f"{i}" + "界" * 2000 for i in range(6000)]
    assert records.get_list(records.put_list(values)) == values


def test_a_list_that_is_not_whole_is_refused(records):
    """A missing or damaged list raises StoreError instead of giving a shorter one."""
    sha = records.put_list(["a", "b"])
    with pytest.raises(StoreError):
        records.get_list("0" * 64)
    connect().database["lists"].update_one({"_id": f"{sha}:0"}, {"$set": {"values": ["a"]}})
    with pytest.raises(StoreError):
        records.get_list(sha)


def test_a_record_too_large_is_refused(records, kind):
    """A record above 16 MB raises InvalidInputError that names `put_list`."""
    with pytest.raises(InvalidInputError, match="put_list"):
        records.insert(kind, {"_id": "a", "x": "x" * (17 * 2**20)})


INCREMENT = """
import sys
from slicelab.core import ConflictError
from slicelab.store import connect

records, kind, applied, conflicts = connect().records, sys.argv[1], 0, 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    counter = records.get(kind, "counter")
    try:
        records.update(kind, "counter", rev=counter["rev"], changes={"n": counter["n"] + 1})
        applied += 1
    except ConflictError as error:
        assert error.theirs["rev"] > counter["rev"]
        conflicts += 1
print(applied, conflicts)
"""


def test_two_processes_lose_no_update(records, kind, python):
    """Two processes count up together: applied + conflicts = attempted, and the counter says what was applied."""
    records.insert(kind, {"_id": "counter", "n": 0})
    both = [python(INCREMENT, kind) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    results = [process.communicate() for process in both]
    counts = [tuple(map(int, said.split())) for said, problem in results]
    assert all(applied + conflicts == 100 for applied, conflicts in counts)
    assert records.get(kind, "counter")["n"] == sum(applied for applied, _ in counts)
    assert records.get(kind, "counter")["rev"] == 1 + sum(applied for applied, _ in counts)


TRANSFER = """
import sys
from slicelab.core import new_id
from slicelab.store import connect

records, kind = connect().records, sys.argv[1]
def move(session):
    a, b = records.get(kind, "a", session=session), records.get(kind, "b", session=session)
    records.update(kind, "a", rev=a["rev"], changes={"n": a["n"] - 1}, session=session)
    records.update(kind, "b", rev=b["rev"], changes={"n": b["n"] + 1}, session=session)
    records.append(kind, {"_id": new_id(), "moved": 1}, session=session)
for _ in range(int(sys.argv[2])):
    records.transact(move)
"""


def test_two_processes_in_transactions(records, kind, python):
    """Two processes that move the same numbers in transactions repeat until each is done: all 2 x 40 count once."""
    records.insert_many(kind, [{"_id": "a", "n": 100}, {"_id": "b", "n": 0}])
    both = [python(TRANSFER, kind, 40) for _ in range(2)]
    for process in both:
        _, problem = process.communicate()
        assert process.returncode == 0, problem
    assert (records.get(kind, "a")["n"], records.get(kind, "b")["n"]) == (20, 80)
    assert records.count(kind, moved=1) == 80


HALF = """
import sys
from slicelab.store import connect

records, kind, step = connect().records, sys.argv[1], int(sys.argv[2])
def stop(number):
    if number == step:
        print("here", flush=True)
        sys.stdin.readline()
def write(session):
    stop(0)
    records.update(kind, "a", rev=1, changes={"n": 1}, session=session)
    stop(1)
    records.insert(kind, {"_id": "b"}, session=session)
    stop(2)
    records.delete(kind, "c", rev=1, session=session)
    stop(3)
records.transact(write)
"""


@pytest.mark.parametrize("step", range(4))
def test_a_process_killed_within_a_transaction_leaves_nothing_half_done(records, kind, python, step):
    """Killed with -9 before, between or after the writes of a transaction: none of them is there."""
    before = [records.insert(kind, {"_id": "a", "n": 0}), records.insert(kind, {"_id": "c"})]
    process = python(HALF, kind, step)
    assert process.stdout.readline() == "here\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert records.find(kind, sort="_id") == before
    began = time.monotonic()  # what it had locked is free again: the next transaction isn't held up
    records.transact(lambda s: records.update(kind, "a", rev=1, changes={"n": 5}, session=s))
    assert records.get(kind, "a")["n"] == 5
    assert time.monotonic() - began < 30
