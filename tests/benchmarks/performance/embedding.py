"""How near to the machine's matrix product a ResNet-18 runs on the CPU, in our pipeline and in a plain loop.

The net is written here (random weights): no vision package is needed. CPU seconds of the process, interleaved; shares
are of the float32 matrix product in the same round. Beside it, how fast JPEGs are read: whole, as Pillow does,
and as much of them as the net needs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from slicelab.core import hash_file
from slicelab.embeddings import ImageItem, ModuleEmbedder, VectorCache, embed_images
from slicelab.embeddings._decode import decoded
from tests.benchmarks.performance.measure import spread

GFLOP = 3.64
"""Per picture of 224 x 224: twice the multiply-adds of ResNet-18 without its last layer."""
BATCH, BATCHES = 64, 8
_SIDE = 2048
_LARGE = 24


def resnet18() -> Any:
    """Return a net of ResNet-18's shape, without its last layer, in evaluation mode."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
            self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
            shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.shortcut = nn.Identity() if before == after else shortcut

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.norm1(self.conv1(x)))
            return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))

    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks: list[nn.Module] = []
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        blocks += [Block(before, after, stride), Block(after, after, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def run(rounds: int) -> str:
    """Measure, and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), rounds)


def _run(folder: Path, rounds: int) -> str:
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    items, random = [], np.random.default_rng(1)
    for i in range(BATCHES * BATCH):
        path = folder / f"{i}.jpg"
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
        items.append(ImageItem(str(i), str(path), hash_file(path)))
    embedder = ModuleEmbedder(resnet18())
    quick, net, matrix = embedder.quickened(), resnet18(), torch.randn(_SIDE, _SIDE)
    tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).contiguous()

    def pipeline() -> None:
        with tempfile.TemporaryDirectory() as cache:
            embed_images(items, embedder=embedder, cache=VectorCache(cache), device="cpu", progress=False)

    work = BATCH * GFLOP
    sides: dict[str, tuple[float, Callable[[], object]]] = {
        f"matrix product {_SIDE} x {_SIDE}, float32": (
            10 * 2 * _SIDE**3 / 1e9,
            lambda: [matrix @ matrix for _ in range(10)],
        ),
        "plain loop: net(x) in inference_mode": (work, lambda: net(tensor)),
        f"forward of {BATCH} as embed_images runs it": (work, lambda: quick.embed(pixels)),
        f"embed_images whole, {BATCHES * BATCH} JPEG of 640 x 480": (BATCHES * work, pipeline),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        for name, (gflop, call) in sides.items():
            began = time.process_time()
            with torch.inference_mode():
                call()
            if number >= 0:
                rates[name].append(gflop / (time.process_time() - began))
    peak, *_ = rates.values()
    lines = [f"ResNet-18 at batch {BATCH}, {torch.get_num_threads()} threads. GFLOP per CPU second.", ""]
    lines += ["| what | GFLOP per CPU s, median (min to max) | share of the matrix product |", "| --- | ---: | ---: |"]
    for name, rate in rates.items():
        shares = [100 * own / best for own, best in zip(rate, peak, strict=True)]
        lines.append(f"| {name} | {spread(rate, 1)} | {spread(shares, 0)} % |")
    return "\n".join([*lines, "", *_decoding(folder, rounds)])


def _decoding(folder: Path, rounds: int) -> list[str]:
    """Return the lines on pictures of 1920 x 1080, from file to 224 x 224."""
    random, embedder = np.random.default_rng(2), ModuleEmbedder(resnet18())
    paths = [folder / f"large-{i}.jpg" for i in range(_LARGE)]
    for path in paths:
        coarse = Image.fromarray(random.integers(0, 256, (90, 160, 3), np.uint8))
        noise = random.normal(0, 8, (1080, 1920, 3))
        pixels = np.clip(np.asarray(coarse.resize((1920, 1080), Image.Resampling.BICUBIC)) + noise, 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
    items = [ImageItem(str(i), str(path), "") for i, path in enumerate(paths)]

    def pillow() -> None:
        for path in paths:
            with Image.open(path) as image:
                np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))

    def ours() -> None:
        for _ in decoded(items, embedder.prepare, ahead=2 * BATCH, at_least=embedder.at_least):
            pass

    times: dict[str, list[float]] = {"Pillow, whole": [], "as embed_images reads them": []}
    for number in range(-1, rounds):
        for name, call in zip(times, (pillow, ours), strict=True):
            began = time.process_time()
            call()
            if number >= 0:
                times[name].append(1000 * (time.process_time() - began) / _LARGE)
    size = sum(path.stat().st_size for path in paths) / _LARGE / 1000
    gain = [one / other for one, other in zip(*times.values(), strict=True)]
    lines = [f"JPEG of 1920 x 1080, {size:.0f} kB, to 224 x 224: {spread(gain, 1)} times sooner.", ""]
    lines += ["| what | CPU ms a picture |", "| --- | ---: |"]
    return [*lines, *(f"| {name} | {spread(values, 1)} |" for name, values in times.items())]
