"""Partitions in folders and under URLs, and what comes back from a worker."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from slicelab.core import InvalidInputError, SourceError
from slicelab.partitions import Folder, partition_vectors
from slicelab.partitions._deal import _Worker
from slicelab.partitions._transform import _Transformer


@pytest.mark.parametrize("url", [False, True])
def test_what_is_written_is_read(url, tmp_path):
    """A folder and a URL alike: names and folders sorted, absent and damaged ones None, nothing half-written."""
    place = "memory://test-partitions" if url else tmp_path / "out"
    folder = Folder(place)
    assert (folder.names(), folder.folders(), folder.read("a"), folder.content("a")) == ([], [], None, None)
    table = pa.table({"x": [1, 2]})
    for name in ("b", "a"):
        folder.write(name, table)
    folder.below("deep").write("c", table)
    assert (folder.names(), folder.folders()) == (["a", "b"], ["deep"])
    assert Folder(place).read("b").equals(table)
    folder.check_writable()
    assert folder.names() == ["a", "b"]
    path = f"{folder._root}/a.parquet"
    folder._fs.pipe_file(path, folder.content("b")[:50])
    assert folder.read("a") is None


def test_an_unknown_kind_of_place_is_refused():
    """The message has the URL."""
    with pytest.raises(InvalidInputError, match="nothing://bucket"):
        Folder("nothing://bucket")


@pytest.mark.parametrize(
    ("error", "name", "words"),
    [(SourceError("no rows."), "SourceError", "no rows."), (KeyError("x"), "StateError", "KeyError: 'x'.")],
)
def test_a_workers_error_comes_back_with_its_class(error, name, words):
    """Ours as it is, others by name; an answer has neither."""

    def fail(task):
        raise error

    (row,) = _Worker(lambda threads: fail, 1)(pa.table({"x": [1, 2]})).to_pylist()
    assert row == {"answer": "", "rows": 2, "problem": words, "error": name}
    (row,) = _Worker(lambda threads: lambda task: f"{threads}", 4)(pa.table({"x": [1, 2]})).to_pylist()
    assert row == {"answer": "4", "rows": 2, "problem": None, "error": None}


def test_a_damaged_or_absent_source_is_named(tmp_path):
    """With the partition, and where it was looked for."""
    Folder(tmp_path / "in").write("a", pa.table({"x": [1]}))
    (tmp_path / "in" / "a.parquet").write_bytes(b"PAR1")
    nothing = SimpleNamespace(get=lambda: None)
    worker = _Transformer((str(tmp_path / "in"),), str(tmp_path / "out"), lambda model, table: table, nothing, "job")
    with pytest.raises(SourceError, match="no Parquet file"):
        worker(pa.table({"name": ["a"]}))
    with pytest.raises(SourceError, match=r"no partition 'b' in .*on worker"):
        worker(pa.table({"name": ["b"]}))
    assert Folder(tmp_path / "out").names() == []


def test_a_broken_picture_has_no_vector():
    """Whether its row holds NaN or null, as older partitions do."""
    place = pa.array(np.array([1, 2, np.nan, np.nan], np.float32))
    said = {"key": ["a", "b"], "unit": ["a", "b"], "kind": [None, "missing-image"], "reason": [None, "gone"]}
    for mask in (None, pa.array([False, True])):
        table = pa.table(said | {"vector": pa.FixedSizeListArray.from_arrays(place, 2, mask=mask)})
        keys, _, rows = partition_vectors(table)
        assert (keys, rows.tolist()) == (["a"], [[1, 2]])


def test_vectors_that_are_not_finite_are_refused():
    """As are columns that aren't vectors."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.array([1, np.nan], np.float32)), 2)
    table = pa.table({"key": ["a"], "unit": ["a"], "vector": rows, "kind": [None], "reason": [None]})
    with pytest.raises(SourceError, match="aren't finite"):
        partition_vectors(table)
    with pytest.raises(SourceError, match="'key', 'unit'"):
        partition_vectors(table.select(["key", "unit"]))
