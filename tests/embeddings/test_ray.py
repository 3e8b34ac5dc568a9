"""Embedding on a Ray cluster of two nodes: the local engine's vectors, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from slicelab.core import InvalidInputError, MissingExtraError, SourceError, StateError, hash_file
from slicelab.embeddings import (
    DescriptorEmbedder,
    ImageItem,
    VectorCache,
    embed_images,
    embed_with_ray,
    load_embedder,
)

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "data_samples" / "digits" / "images"


@pytest.fixture(scope="module")
def digits():
    """Two hundred pictures."""
    return [ImageItem(path.stem, str(path), hash_file(path)) for path in sorted(IMAGES.glob("*.png"))[:200]]


@pytest.fixture(scope="module")
def local(digits, tmp_path_factory):
    """What the local engine makes of them."""
    cache = VectorCache(tmp_path_factory.mktemp("local"))
    return embed_images(digits, embedder=DescriptorEmbedder(), cache=cache, batch_size=16, progress=False)


def embed(items, tmp_path, address, *, cache="cache", **options):
    options = {"embedder": DescriptorEmbedder(), "partition_size": 32, "batch_size": 16, "progress": False} | options
    output = options.pop("output", tmp_path / "out")
    return embed_with_ray(items, cache=VectorCache(tmp_path / cache), output=output, address=address, **options)


def files(tmp_path):
    """Partitions by name, with when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_no_cluster_there_is_told_at_once(digits, tmp_path, address):
    """The message names the address and what to start."""
    with pytest.raises(StateError, match=r"answers at .*ray start"):
        embed(digits[:2], tmp_path, address)


def test_wrong_requests_are_refused_before_anything_starts(digits, tmp_path, monkeypatch):
    """Address, partition size, folders, URLs, an output that can't be written, and Ray itself missing."""
    (tmp_path / "file").write_text("")
    wrong = [
        (InvalidInputError, "host:port", {"address": "somewhere"}),
        (InvalidInputError, "partition_size", {"partition_size": 0}),
        (InvalidInputError, "absolute", {"media": {"images": "/mnt/images"}}),
        (InvalidInputError, "nothing", {"output": "nothing://bucket"}),
        (SourceError, "can't be written", {"output": tmp_path / "file" / "out"}),
    ]
    for error, message, options in wrong:
        with pytest.raises(error, match=message):
            embed(digits[:2], tmp_path, options.pop("address", None), **options)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"slicelab\[ray\]"):
        embed(digits[:2], tmp_path, None)


def test_a_worker_writes_whole_partitions_and_none_twice(digits, local, tmp_path):
    """What runs on a worker, run here: the local vectors in a file; nothing twice; broken ones are tried again."""
    from slicelab.embeddings._partitions import Partitions
    from slicelab.embeddings._ray import _Describer, _Job, _table

    job = _Job(DescriptorEmbedder, str(tmp_path / "out"), local.identity, {}, 16, "cpu")
    partitions = Partitions(tmp_path / "out", local.identity)
    missing = ImageItem("late", str(tmp_path / "late.png"), "")
    for items, again in ((digits[:32], False), ([*digits[32:40], missing], True)):
        times = []
        for _ in range(2):
            name = _Describer(job, DescriptorEmbedder.dim, 1)(_table(items))
            times.append(files(tmp_path)[f"{name}.parquet"])
        assert (times[0] != times[1]) == again
        there = partitions.read(name)
        rows = [there.vectors[item.key] for item in items if item is not missing]
        np.testing.assert_array_equal(
            rows, local.vectors[[local.units.index(i.unit) for i in items if i is not missing]]
        )
        assert there.broken.keys() == ({missing.key} if again else set())
    with pytest.raises(ValueError, match="464"):
        _Describer(job, 3, 1)(_table(digits[40:42]))


@pytest.mark.slow
def test_vectors_are_those_of_the_local_engine(digits, local, tmp_path, connected):
    """Bit for bit, in order; partitions are Parquet with units and vectors; nothing is left half-written."""
    result = embed(digits, tmp_path, connected)
    assert (result.units, result.identity) == (local.units, local.identity)
    np.testing.assert_array_equal(result.vectors, local.vectors)
    assert (result.computed, result.cached, result.failed) == (200, 0, [])
    assert len(files(tmp_path)) == 7
    table = pq.read_table(tmp_path / "out" / local.identity)
    assert sorted(table.column("unit").to_pylist()) == sorted(local.units)
    assert not list((tmp_path / "out").rglob("*.part"))
    again = embed(digits, tmp_path, connected)
    assert (again.computed, again.cached) == (0, 200)
    np.testing.assert_array_equal(again.vectors, local.vectors)


@pytest.mark.slow
def test_partitions_that_are_there_are_not_computed_again(digits, local, tmp_path, connected):
    """With two of seven partitions gone, one damaged and no cache, these three and new pictures are computed."""
    embed(digits[:192], tmp_path, connected)
    before = files(tmp_path)
    gone = sorted((tmp_path / "out").rglob("*.parquet"))[:3]
    gone[0].unlink()
    gone[1].unlink()
    gone[2].write_bytes(gone[2].read_bytes()[:500])
    result = embed(digits, tmp_path, connected, cache="other")
    assert (result.computed, result.cached) == (3 * 32 + 8, 3 * 32)
    np.testing.assert_array_equal(result.vectors, local.vectors)
    untouched = before.keys() - {path.name for path in gone}
    assert {name: files(tmp_path)[name] for name in untouched} == {name: before[name] for name in untouched}


@pytest.mark.slow
def test_broken_pictures_are_told_as_the_local_engine_tells_them(digits, tmp_path, connected):
    """Each with its finding; the rest have vectors, and the next run tries only the broken ones again."""
    text = tmp_path / "text.png"
    text.write_text("no picture")
    changed = ImageItem("changed", digits[5].filepath, "0" * 64)
    outside = ImageItem("outside", digits[6].filepath, digits[6].sha256, (500.0, 500.0, 10.0, 10.0))
    items = [digits[0], ImageItem("text", str(text), ""), changed, outside, *digits[1:40]]
    here = embed_images(
        items, embedder=DescriptorEmbedder(), cache=VectorCache(tmp_path / "local"), batch_size=16, progress=False
    )
    for computed in (40, 0):
        result = embed(items, tmp_path, connected, cache=f"cache-{computed}")
        assert (result.units, result.failed) == (here.units, here.failed)
        assert result.computed == computed
        np.testing.assert_allclose(result.vectors, here.vectors, rtol=0, atol=1e-5 * np.linalg.norm(here.vectors[0]))
    assert {f.kind for f in here.failed} == {"unreadable-image", "changed-image", "unusable-box"}


@pytest.mark.slow
def test_workers_find_pictures_elsewhere(digits, local, tmp_path, connected):
    """`media` puts a folder or URL in the folder's place; without it the reason says what to do."""
    moved = [ImageItem(i.unit, f"/nowhere/digits/{Path(i.filepath).name}", i.sha256) for i in digits[:20]]
    lost = embed(moved, tmp_path, connected)
    assert lost.units == []
    assert "worker" in lost.failed[0].reason
    assert "media={" in lost.failed[0].reason
    for place in (f"file://{IMAGES}", str(IMAGES)):
        found = embed(
            moved, tmp_path, connected, media={"/nowhere/digits": place}, cache=place[:4], output=tmp_path / place[:4]
        )
        np.testing.assert_array_equal(found.vectors, local.vectors[:20])


@pytest.mark.slow
def test_weights_are_loaded_from_their_path_or_sent(digits, tmp_path, connected):
    """A TorchScript file is read by each worker, a module travels; both give the local vectors."""
    import torch

    from slicelab.embeddings import ModuleEmbedder

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1))
    path = tmp_path / "net.pt"
    torch.jit.script(net.eval()).save(str(path))
    sent, loaded = ModuleEmbedder(net, size=32), load_embedder(path, size=32)
    for embedder, make in ((sent, None), (loaded, lambda: load_embedder(path, size=32))):
        here = embed_images(
            digits[:64], embedder=embedder, cache=VectorCache(tmp_path / "local"), batch_size=16, progress=False
        )
        result = embed(digits[:64], tmp_path, connected, embedder=embedder, make=make)
        assert result.computed == 64
        bound = 1e-5 * np.linalg.norm(here.vectors, axis=1, keepdims=True)
        assert (np.abs(result.vectors - here.vectors) <= bound).all()
    with pytest.raises(InvalidInputError, match="pass the path"):
        embed(digits[:4], tmp_path, connected, embedder=loaded, output=tmp_path / "other", cache="other")


@pytest.mark.slow
def test_other_weights_on_a_worker_are_an_error(digits, tmp_path, connected):
    """What a worker loads must be what the driver has; the error is ours, and says where."""

    class Other(DescriptorEmbedder):
        identity = "another"

    with pytest.raises(StateError, match="embedder is another"):
        embed(digits[:4], tmp_path, connected, make=Other)
    assert files(tmp_path) == {}


def slow(seconds):
    """The descriptor, slowed down; a local class, so that it travels by value."""

    class Slow(DescriptorEmbedder):
        def embed(self, batch):
            time.sleep(seconds)
            return super().embed(batch)

    return Slow()


@pytest.mark.slow
def test_a_killed_worker_costs_its_partition(digits, local, tmp_path, connected):
    """kill -9 in the middle: the same vectors; what was finished before isn't touched."""
    seen = {}

    def kill_one():
        while len(files(tmp_path)) < 2:
            time.sleep(0.05)
        workers = [p for p in psutil.process_iter(["cmdline"]) if "MapWorker" in " ".join(p.info["cmdline"] or [])]
        seen["before"] = files(tmp_path)
        seen["killed"] = workers[0].pid
        workers[0].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    result = embed(digits, tmp_path, connected, embedder=slow(1.0))
    killer.join(10)
    assert not psutil.pid_exists(seen["killed"])
    assert 2 <= len(seen["before"]) < 7
    np.testing.assert_array_equal(result.vectors, local.vectors)
    after = files(tmp_path)
    assert len(after) == 7
    assert {name: after[name] for name in seen["before"]} == seen["before"]


DRIVER = """
import sys, time
from tests.embeddings import test_ray as t
from pathlib import Path
items = [t.ImageItem(p.stem, str(p), t.hash_file(p)) for p in sorted(t.IMAGES.glob("*.png"))[:200]]
t.embed(items, Path(sys.argv[1]), sys.argv[2], embedder=t.slow(1.0))
"""


@pytest.mark.slow
def test_a_killed_driver_goes_on_when_it_is_started_again(digits, local, tmp_path, connected):
    """kill -9 of the driver: the next run computes only what isn't there."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path), connected]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    driver = subprocess.Popen(command, env=environment, cwd=ROOT)
    while len(files(tmp_path)) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(3)  # until the cluster has ended the driver's workers
    there = len(files(tmp_path))
    assert 2 <= there < 7
    result = embed(digits, tmp_path, connected)
    assert result.computed + result.cached == 200
    assert result.cached >= 32 * there - 24  # all of those partitions, the short last one perhaps among them
    np.testing.assert_array_equal(result.vectors, local.vectors)
