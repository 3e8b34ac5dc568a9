"""Embedding on a Ray cluster of two nodes on this machine: equal vectors, a killed worker, a killed driver, scaling.

Both nodes share the machine's processors, so what two workers gain over one says little of two machines; it is told all
the same. The descriptor is the embedder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from slicelab.core import hash_file
from slicelab.embeddings import DescriptorEmbedder, EmbedResult, ImageItem, VectorCache, embed_images, embed_with_ray
from tests.benchmarks.performance.measure import ROOT

COUNT = int(os.environ.get("SLICELAB_BENCH_COUNT", "20000"))
SIZE = min(1024, max(64, COUNT // 20 // 64 * 64))
"""Pictures per partition, a multiple of the batch size."""


def run(rounds: int) -> str:
    """Measure, and return the table; `rounds` is how often one and two workers are measured."""
    folder = Path(tempfile.mkdtemp(prefix="slicelab-ray-"))
    try:
        return _run(folder, COUNT, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, count: int, rounds: int) -> str:
    items = _draw(folder / "images", count)
    lines = [f"{count:,} pictures of 32 x 32, partitions of {SIZE:,}, two nodes of one CPU each.", ""]
    lines += [
        "| run | wall s | pictures computed | vectors equal to the local engine's |",
        "| --- | ---: | ---: | --- |",
    ]
    began = time.perf_counter()
    cache = VectorCache(folder / "cache-local")
    local = embed_images(items, embedder=DescriptorEmbedder(), cache=cache, progress=False, workers=1)
    lines.append(f"| local engine | {time.perf_counter() - began:.1f} | {local.computed:,} | |")
    with _cluster() as address:
        for number in range(rounds):
            for workers in (1, 2):
                name = f"scale-{workers}-{number}"
                result, took = _timed(lambda w=workers, n=name: embed(items, folder, n, address, workers=w))
                lines.append(_line(f"Ray, {workers} worker{'s'[: workers - 1]}", took, result, local))
        lines.append(_with_a_killed_worker(items, folder, address, local))
        lines.append(_with_a_killed_driver(items, folder, address, local))
    return "\n".join(lines)


@contextmanager
def _cluster() -> Iterator[str]:
    import ray

    from tests.ray_cluster import two_nodes

    if "SLICELAB_TEST_RAY" in os.environ:
        address = os.environ["SLICELAB_TEST_RAY"]
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        yield address
        ray.shutdown()
        return
    with two_nodes() as address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        yield address
        ray.shutdown()


def embed(items: list[ImageItem], folder: Path, name: str, address: str, **options: int) -> EmbedResult:
    """Embed on the cluster, with a cache and an output of that name."""
    return embed_with_ray(
        items,
        embedder=DescriptorEmbedder(),
        cache=VectorCache(folder / f"cache-{name}"),
        output=folder / f"out-{name}",
        address=address,
        partition_size=SIZE,
        progress=False,
        **options,
    )


def _with_a_killed_worker(items: list[ImageItem], folder: Path, address: str, local: EmbedResult) -> str:
    output = folder / "out-worker"
    before: dict[str, int] = {}

    def kill() -> None:
        while len(before) < 3:
            time.sleep(0.05)
            before.update(written(output))
        workers = [p for p in psutil.process_iter(["cmdline"]) if "MapWorker" in " ".join(p.info["cmdline"] or [])]
        workers[0].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    result, took = _timed(lambda: embed(items, folder, "worker", address))
    after = written(output)
    kept = sum(after[name] == at for name, at in before.items())
    note = f"Ray, a worker killed after {len(before)} partitions ({kept} of them untouched, {len(after)} in the end)"
    return _line(note, took, result, local)


def _with_a_killed_driver(items: list[ImageItem], folder: Path, address: str, local: EmbedResult) -> str:
    output = folder / "out-driver"
    code = "from tests.benchmarks.performance import ray; ray.drive(*__import__('sys').argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    driver = subprocess.Popen([sys.executable, "-c", code, str(folder), address], env=environment, cwd=ROOT)
    while len(written(output)) < 3:
        if driver.poll() is not None:
            raise RuntimeError("The driver ended before it could be killed.")
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(5)
    there = len(written(output))
    result, took = _timed(lambda: embed(items, folder, "driver", address))
    return _line(f"Ray, driver killed and started again ({there} partitions were there)", took, result, local)


def drive(folder: str, address: str) -> None:
    """Be the driver that is killed."""
    embed(_items(Path(folder) / "images"), Path(folder), "driver", address)


def written(output: Path) -> dict[str, int]:
    """Return the partitions with when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}


def _timed(call: Callable[[], EmbedResult]) -> tuple[EmbedResult, float]:
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def _line(what: str, took: float, result: EmbedResult, local: EmbedResult) -> str:
    if result.units != local.units:
        equal = "NO: other units"
    elif np.array_equal(result.vectors, local.vectors):
        equal = "bit for bit"
    else:
        apart = np.linalg.norm(result.vectors - local.vectors, axis=1) / np.linalg.norm(local.vectors, axis=1)
        equal = f"within {apart.max():.1g} of their length"
    return f"| {what} | {took:.1f} | {result.computed:,} | {equal} |"


def _draw(folder: Path, count: int) -> list[ImageItem]:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for start in range(0, count, 1000):
        pixels = random.integers(0, 256, (min(1000, count - start), 32, 32, 3), dtype=np.uint8)
        for i, picture in enumerate(pixels, start):
            Image.fromarray(picture).save(folder / f"{i:06}.bmp")
    return _items(folder)


def _items(folder: Path) -> list[ImageItem]:
    return [ImageItem(path.stem, str(path), hash_file(path)) for path in sorted(folder.iterdir())]
