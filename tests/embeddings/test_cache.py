"""The vector cache: durable, shared, and blind to damage."""

from __future__ import annotations

import logging
import multiprocessing

import numpy as np
import pytest

from slicelab.core import InvalidInputError
from slicelab.embeddings import VectorCache


def keep(folder, rows, identity="e-1", **options):
    with VectorCache(folder, **options).writer(identity) as writer:
        for key, value in rows.items():
            writer.put(key, np.full(4, value, np.float32))


def values(folder, keys, identity="e-1"):
    return {key: float(vector[0]) for key, vector in VectorCache(folder).find(identity, keys).items()}


def test_what_was_kept_is_found_by_its_identity_only(tmp_path):
    """Vectors come back bit for bit, and not under another embedder's identity."""
    keep(tmp_path, {"a": 0.1, "b": 2})
    found = VectorCache(tmp_path).find("e-1", ["b", "a", "missing"])
    assert set(found) == {"a", "b"}
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], np.full(4, 0.1, np.float32))
    assert values(tmp_path, ["a"], "e-2") == {}


def test_full_shards_are_written_before_the_end(tmp_path):
    """Every flush_rows vectors are on disk while the run still goes on."""
    with VectorCache(tmp_path, flush_rows=2).writer("e-1") as writer:
        for key in "abc":
            writer.put(key, np.zeros(4, np.float32))
        assert set(values(tmp_path, "abc")) == {"a", "b"}
    assert set(values(tmp_path, "abc")) == {"a", "b", "c"}


def test_time_writes_too(tmp_path):
    """With flush_seconds over, one vector is enough."""
    with VectorCache(tmp_path, flush_seconds=0.0).writer("e-1") as writer:
        writer.put("a", np.zeros(4, np.float32))
        assert set(values(tmp_path, "a")) == {"a"}


def test_an_interrupted_run_keeps_what_it_had(tmp_path):
    """Ctrl-C inside the block flushes, and goes on up."""

    def run():
        with VectorCache(tmp_path).writer("e-1") as writer:
            writer.put("a", np.zeros(4, np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert set(values(tmp_path, "a")) == {"a"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "pickle", "lengths", "nan"])
def test_a_damaged_shard_is_left_out_and_told(tmp_path, caplog, damage):
    """Whatever is wrong with one shard, the others are read and the log names it."""
    keep(tmp_path, {"a": 1})
    (shard,) = (tmp_path / "e-1").glob("*.npz")
    content = shard.read_bytes()
    if damage == "cut":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        at = content.index(np.full(4, 1, np.float32).tobytes())
        shard.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    elif damage == "empty":
        shard.write_bytes(b"")
    elif damage == "text":
        shard.write_text("hello")
    elif damage == "pickle":
        np.savez(shard, keys=np.array(["a"], "S"), vectors=np.array([{"x": 1}], dtype=object))
    elif damage == "lengths":
        np.savez(shard, keys=np.array(["a", "b"], "S"), vectors=np.zeros((1, 4), np.float32))
    else:
        np.savez(shard, keys=np.array(["a"], "S"), vectors=np.full((1, 4), np.nan, np.float32))
    keep(tmp_path, {"b": 2})
    with caplog.at_level(logging.WARNING, "slicelab"):
        assert values(tmp_path, ["a", "b"]) == {"b": 2.0}
    assert shard.name in caplog.text


def test_half_written_files_are_no_shards(tmp_path):
    """What a killed process left beside is not read."""
    keep(tmp_path, {"a": 1})
    (tmp_path / "e-1" / "x.part").write_bytes(b"PK half")
    assert values(tmp_path, ["a"]) == {"a": 1.0}


def _process(folder, number):
    keep(folder, {f"{number}-{i}": number for i in range(30)}, flush_rows=3)


def test_two_processes_write_at_once(tmp_path):
    """Nothing that either wrote is lost."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_process, args=(tmp_path, n)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expected = {f"{n}-{i}": float(n) for n in (1, 2) for i in range(30)}
    assert values(tmp_path, list(expected)) == expected


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path, caplog):
    """The run goes on without the cache."""
    (tmp_path / "cache").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, "slicelab"):
        keep(tmp_path / "cache", {"a": 1, "b": 2, "c": 3}, flush_rows=1)
    assert caplog.text.count("can't be kept") == 1


@pytest.mark.parametrize("identity", ["", "../up", "a/b", ".hidden", "x" * 121, "a b"])
def test_an_identity_cannot_leave_the_folder(tmp_path, identity):
    """An identity is a plain name."""
    with pytest.raises(InvalidInputError, match="identity"):
        VectorCache(tmp_path).find(identity, ["a"])
