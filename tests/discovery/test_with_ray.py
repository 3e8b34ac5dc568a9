"""Slices and neighbours over partitions of vectors: what one machine makes of all of them at once."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import cdist

from slicelab.core import InvalidInputError, SourceError, StateError
from slicelab.discovery import assign_with_ray, nearest_with_ray
from slicelab.discovery._with_ray import _Asked, _neighbours, _placed
from slicelab.partitions import Folder
from slicelab.partitions._transform import _Transformer


def write(place, name, keys, vectors, broken=()):
    """Write a partition as the embedding engine does; the broken have no vector."""
    dim = vectors.shape[1]
    mask = np.isin(keys, broken)
    vectors = np.where(mask[:, None], np.float32(np.nan), vectors)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
    nothing = [("unreadable-image" if b else None) for b in mask]
    table = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "unit": pa.array([f"{key}.png" for key in keys], pa.string()),
            "vector": column,
            "kind": pa.array(nothing, pa.string()),
            "reason": pa.array(nothing, pa.string()),
        }
    )
    Folder(place).write(name, table)


@pytest.fixture
def new(planted, tmp_path):
    """Seven partitions of 500 new pictures, as `embed_with_ray` leaves them: copies, broken ones, one all broken."""
    rng = np.random.default_rng(1)
    vectors = (planted.embeddings[rng.integers(0, 600, 500)] + rng.normal(size=(500, 16)) * 0.3).astype(np.float32)
    vectors[400:450] = vectors[:50]
    keys = np.array([f"k{i:03}" for i in rng.permutation(500)])
    broken = [keys[3], *keys[450:]]
    place = tmp_path / "vectors" / "descriptor"
    for start in range(0, 450, 75):
        write(place, f"p{start:03}", keys[start : start + 75], vectors[start : start + 75], broken)
    write(place, "p450", keys[450:], vectors[450:], broken)
    there = ~np.isin(keys, broken)
    return SimpleNamespace(place=tmp_path / "vectors", keys=keys[there], vectors=vectors[there])


def check_membership(table, new, found):
    """The rows are the memberships of one call for all vectors."""
    whole = found.assign(new.vectors)
    rows = table.to_pandas()
    assert (rows["unit"] == rows["key"] + ".png").all()
    wide = rows[rows["slice"].notna()].pivot(index="key", columns="slice", values="membership")
    wide = wide.reindex(index=new.keys, columns=[c.name for c in found]).fillna(0).to_numpy(np.float32)
    np.testing.assert_array_equal(wide, whole)
    none = rows[rows["slice"].isna()]
    assert set(none["key"]) == set(new.keys[(whole == 0).all(axis=1)])
    assert (none["membership"] == 0).all()
    assert set(rows["key"]) == set(new.keys)


def run_here(new, output, work, model, job="job"):
    """What workers do, done here."""
    source = new.place / "descriptor"
    worker = _Transformer((str(source),), str(output), work, SimpleNamespace(get=lambda: model), job)
    for name in Folder(source).names():
        assert worker(pa.table({"name": [name]})) == name
    return {path.name: path.stat().st_mtime_ns for path in output.glob("*.parquet")}


def test_workers_place_pictures_as_one_call_does(new, found, tmp_path):
    """Bit for bit; what is there stays, what is damaged or of changed vectors is made again."""
    out = tmp_path / "out"
    first = run_here(new, out, _placed, found.reference())
    assert len(first) == 7
    check_membership(pq.read_table(out), new, found)
    assert run_here(new, out, _placed, found.reference()) == first
    (out / "p075.parquet").write_bytes(b"PAR1")
    source = new.place / "descriptor"
    table = pq.read_table(source / "p150.parquet")
    Folder(source).write("p150", table.slice(0, 10))
    again = run_here(new, out, _placed, found.reference())
    assert {name for name in first if again[name] != first[name]} == {"p075.parquet", "p150.parquet"}
    assert len(pq.read_table(out / "p150.parquet").column("key").unique()) == 10
    assert not list(out.glob("*.part"))
    with pytest.raises(SourceError, match="another job"):
        run_here(new, out, _placed, found.reference(), job="other")


def test_workers_find_the_nearest_of_their_partition(new):
    """Sorted by query, distance and key; k of all where there are so many, none of broken pictures."""
    table = pq.read_table(new.place / "descriptor")
    near = _neighbours(_Asked(new.vectors[:3], 20), table).to_pandas()
    every = cdist(new.vectors[:3].astype(float), new.vectors.astype(float))
    expected = [new.keys[np.lexsort((np.argsort(np.argsort(new.keys)), row))[:20]] for row in every]
    assert near["key"].tolist() == np.concatenate(expected).tolist()
    broken = pq.read_table(new.place / "descriptor" / "p450.parquet")
    assert len(_neighbours(_Asked(new.vectors[:3], 20), broken)) == 0


def test_what_cannot_be_placed_is_refused_before_anything_starts(new, found, tmp_path):
    """Other dimensions, no vectors, those of several embedders, foreign outputs, wrong addresses and k."""
    write(tmp_path / "narrow", "p", ["a"], np.zeros((1, 3), np.float32))
    Folder(tmp_path / "labels").write("p", pa.table({"key": ["a"], "label": ["cat"]}))
    write(new.place / "another", "p", ["a"], np.zeros((1, 16), np.float32))
    foreign, surplus = tmp_path / "foreign", tmp_path / "surplus"
    Folder(foreign).write("p000", pa.table({"x": [1]}))
    Folder(surplus).write("gone", pa.table({"x": [1]}))
    (tmp_path / "file").write_text("")
    one = new.place / "descriptor"
    wrong = [
        (InvalidInputError, "16 dimensions; they have 3", {"vectors": tmp_path / "narrow"}),
        (SourceError, r"partition of vectors.*'label'", {"vectors": tmp_path / "labels"}),
        (SourceError, "none", {"vectors": tmp_path / "nothing"}),
        (SourceError, "2 embedders: 'another', 'descriptor'", {"vectors": new.place}),
        (SourceError, "another job, such as 'p000'", {"vectors": one, "output": foreign}),
        (SourceError, "aren't in the source: 'gone'", {"vectors": one, "output": surplus}),
        (SourceError, "can't be written", {"vectors": one, "output": tmp_path / "file" / "out"}),
        (InvalidInputError, "host:port", {"vectors": one, "address": "somewhere"}),
        (StateError, "ray start", {"vectors": one, "address": "127.0.0.1:9"}),
    ]
    for error, message, options in wrong:
        options = {"output": tmp_path / "out"} | options
        with pytest.raises(error, match=message):
            assign_with_ray(found, options.pop("vectors"), progress=False, **options)
    for queries, k, message in ((np.zeros((1, 3)), 1, "dimensions"), (np.zeros((1, 16)), 0, "k=0")):
        with pytest.raises(InvalidInputError, match=message):
            nearest_with_ray(queries, k, one, output=tmp_path / "out", progress=False)


@pytest.mark.slow
def test_a_cluster_places_pictures_as_one_call_does(new, found, tmp_path, connected):
    """The table counts who belongs; a second run touches nothing; another job doesn't mix with it."""
    out = tmp_path / "out"
    counts = assign_with_ray(found, new.place, output=out, address=connected, progress=False)
    check_membership(pq.read_table(out), new, found)
    whole = found.assign(new.vectors)
    assert counts["name"].tolist() == [c.name for c in found]
    assert counts["size"].tolist() == (whole >= 0.5).sum(axis=0).tolist()
    assert counts["of"].tolist() == [len(new.keys)] * 2
    np.testing.assert_allclose(counts["share"], (whole >= 0.5).mean(axis=0))
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = assign_with_ray(found, new.place, output=out, address=connected, progress=False)
    assert again.equals(counts)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times
    with pytest.raises(SourceError, match="another job"):
        nearest_with_ray(new.vectors[:1], 1, new.place, output=out, address=connected, progress=False)


@pytest.mark.slow
def test_a_cluster_finds_the_nearest_of_all(new, tmp_path, connected):
    """Those of all pairs, equally near ones by key."""
    near = nearest_with_ray(new.vectors[:9], 12, new.place, output=tmp_path / "near", address=connected, progress=False)
    every = cdist(new.vectors[:9].astype(float), new.vectors.astype(float))
    expected = [new.keys[np.lexsort((np.argsort(np.argsort(new.keys)), row))[:12]] for row in every]
    assert near["key"].tolist() == np.concatenate(expected).tolist()
    assert near["query"].tolist() == np.repeat(np.arange(9), 12).tolist()
    np.testing.assert_allclose(near["distance"], np.sort(every, axis=1)[:, :12].ravel(), rtol=1e-12)


@pytest.mark.slow
def test_a_partition_that_cannot_be_read_is_named(new, found, tmp_path, connected):
    """The worker's words come as an error of the same class."""
    write(new.place / "descriptor", "p999", ["z"], np.zeros((1, 5), np.float32))
    with pytest.raises(SourceError, match=r"'p999' can't be used: its vectors have 5 dimensions"):
        assign_with_ray(found, new.place, output=tmp_path / "out", address=connected, progress=False)


def slow(reference):
    """The same, with a second for each partition; a local class, so that it travels by value."""

    class Slow:
        embeddings, names, hash = reference.embeddings, reference.names, reference.hash

        def assign(self, rows):
            time.sleep(1)
            return reference.assign(rows)

    return Slow()


@pytest.mark.slow
def test_a_killed_worker_costs_its_partition(new, found, tmp_path, connected, monkeypatch):
    """kill -9 in the middle: the same memberships; what was finished before isn't touched."""
    out, seen = tmp_path / "out", {}

    def files():
        return {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}

    def kill_one():
        while len(files()) < 2:
            time.sleep(0.05)
        workers = [p for p in psutil.process_iter(["cmdline"]) if "MapWorker" in " ".join(p.info["cmdline"] or [])]
        seen["before"], seen["killed"] = files(), workers[0].pid
        workers[0].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with monkeypatch.context() as patch:
        patch.setattr(found, "reference", lambda: slow(type(found).reference(found)))
        assign_with_ray(found, new.place, output=out, address=connected, progress=False)
    killer.join(10)
    assert not psutil.pid_exists(seen["killed"])
    assert 2 <= len(seen["before"]) < 7
    after = files()
    assert {name: after[name] for name in seen["before"]} == seen["before"]
    check_membership(pq.read_table(out), new, found)
