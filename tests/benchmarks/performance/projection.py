"""From opening a dataset to its maps, beside FiftyOne's brain; how good the maps are, beside umap-learn; and growth.

    SLICELAB_BENCH_CIFAR10=folder python -m tests.benchmarks.performance projection --rounds 5

Both sides have the samples in a database of their own, which starts with them, and the embeddings in a file. Both run
once before that, so that what they keep of numba's compilation is there. Each has one BLAS thread: threads that wait
for each other burn CPU seconds on a busy machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.performance.measure import Comparison, Steps, compare, homes, python

ROWS, DIMENSIONS = 10_000, 512
SEED = 51
SEEDS = (51, 52, 53)
GROWTH = (50_000, 100_000)
SETS = ("digits", "cifar10", "hard")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
FIRST, MAP, SECOND = "open to first map", "open to UMAP map", "second UMAP map"
GOALS = {FIRST: "10 x", MAP: "4 x", SECOND: "1.8 x"}


def run(rounds: int) -> str:
    """Run all of it and return the tables."""
    with tempfile.TemporaryDirectory() as folder:
        environment = homes(folder)
        sides = {"slicelab": python("projection:ours", folder), "brain": python("projection:brain", folder)}
        for prepare in ("prepare_ours", "prepare_brain"):
            subprocess.run(python(f"projection:{prepare}", folder), env=os.environ | environment, check=True)
        waits = compare(sides, rounds=rounds, warm=1, environment=environment)
    return "\n".join(
        [
            f"### {ROWS:,} x {DIMENSIONS}, embeddings given",
            "",
            f'Peer: `compute_visualization(method="umap", seed={SEED})`, from its own start to its map.',
            "",
            _goals(waits),
            "",
            waits.table(against="brain", beside={FIRST: MAP}),
            "",
            *_quality(),
            "",
            *_growth(max(1, rounds // 2)),
        ]
    )


def _goals(waits: Comparison) -> str:
    reached = [
        f"{step} {waits.ratio('slicelab', 'brain', step, MAP if step == FIRST else step):.1f} x (goal {goal})"
        for step, goal in GOALS.items()
    ]
    return "CPU seconds of the peer by our own: " + ", ".join(reached) + "."


# -- sides: each function here runs in a process of its own ---------------------------------------------------------


def prepare_ours(folder: str) -> None:
    """Load the samples with one model's predictions, and keep the embeddings."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    import slicelab as sl
    from tests.benchmarks.performance.quality import hard

    embeddings, classes = hard(ROWS, DIMENSIONS)
    np.save(f"{folder}/embeddings.npy", embeddings)
    images = Path(folder, "images")
    images.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{i:05d}.png" for i in range(ROWS)]
    for i, name in enumerate(names):
        pixels = np.full((8, 8, 3), (i % 256, i // 256, 90), dtype=np.uint8)
        Image.fromarray(pixels).save(images / name)
    labels = pd.DataFrame({"filepath": names, "label": [f"class{c}" for c in classes]})
    wrong = rng.random(ROWS) < 0.1
    predictions = pd.DataFrame(
        {"filepath": names, "prediction": labels["label"], "confidence": rng.uniform(0.5, 1, ROWS)}
    )
    predictions.loc[wrong, "prediction"] = "class0"
    lab = sl.load("bench", images, labels, {"v1": predictions}, progress=False)
    lab.embed(embeddings, progress=False)


def ours(folder: str) -> None:
    """Open the dataset in a running loop, as a notebook does; explore it; wait for UMAP's map; make another."""
    steps = Steps()
    asyncio.run(_look(steps))
    import numpy as np

    from slicelab.discovery import project

    embeddings = np.load(f"{folder}/embeddings.npy")
    with steps.timed(SECOND):
        project(embeddings, random_state=SEED)
    steps.write()


async def _look(steps: Steps) -> None:
    import slicelab as sl

    lab = sl.open("bench")
    explorer = lab.explore("v1")
    explorer.to_html()  # the still page that the cell's output has beside the widget
    steps.mark(FIRST)
    while explorer.notice.work:
        await asyncio.sleep(0.05)
    steps.mark(MAP)
    if explorer.notice.kind == "error" or not lab.has_map():
        raise SystemExit(explorer.notice.details)
    steps.value("fiftyone", "fiftyone" in sys.modules)
    forget: Any = lab._vectors
    units, points = forget.load("map of default")
    forget.save("map of default", units, points, identity="of the last round")


def prepare_brain(folder: str) -> None:
    """Add the same samples to a dataset of FiftyOne's own."""
    import fiftyone as fo

    dataset = fo.Dataset("bench", persistent=True)
    samples = [fo.Sample(filepath=str(path)) for path in sorted(Path(folder, "images").iterdir())]
    dataset.add_samples(samples, progress=False)


def brain(folder: str) -> None:
    """Load the dataset and compute UMAP's visualization from the embeddings, twice."""
    steps = Steps()
    import fiftyone as fo
    import fiftyone.brain as fob
    import numpy as np

    dataset = fo.load_dataset("bench")
    embeddings = np.load(f"{folder}/embeddings.npy")

    def compute(key: str) -> None:
        fob.compute_visualization(
            dataset, embeddings=embeddings, method="umap", num_dims=2, seed=SEED, brain_key=key, verbose=False
        )

    compute("first")
    steps.mark(MAP)
    with steps.timed(SECOND):
        compute("second")
    dataset.delete_brain_runs()
    steps.write()


def judged(side: str, name: str) -> None:
    """Lay a data set out with some seeds and measure each map."""
    from tests.benchmarks.performance import quality

    steps = Steps()
    found = getattr(quality, name)()
    if found is not None:
        embeddings, classes = found
        maps = [_laid_out(side, embeddings, seed) for seed in SEEDS]
        steps.value("judged", [quality.judge(embeddings, points, classes) for points in maps])
    steps.write()


def _laid_out(side: str, embeddings: Any, seed: int) -> Any:
    if side == "slicelab":
        from slicelab.discovery import project

        return project(embeddings, random_state=seed)
    import umap

    return umap.UMAP(random_state=seed, n_jobs=1).fit_transform(embeddings)


def grown(n: int) -> None:
    """Project n rows."""
    from slicelab.discovery import project
    from slicelab.discovery._neighbours import nearest_all
    from tests.benchmarks.performance.quality import hard

    steps = Steps()
    embeddings, _ = hard(n, DIMENSIONS)
    project(embeddings[:100])  # what is loaded once
    with steps.timed("project"):
        project(embeddings)
    found, _ = nearest_all(embeddings, 15)
    steps.value("recall", _recall(embeddings, found))
    steps.write()


def _recall(embeddings: Any, found: Any, queries: int = 300) -> float:
    import numpy as np

    rows = np.random.default_rng(0).choice(len(embeddings), queries, replace=False)
    distances = (embeddings**2).sum(axis=1) - 2 * embeddings[rows] @ embeddings.T
    distances[np.arange(queries), rows] = -np.inf
    exact = np.argpartition(distances, found.shape[1] - 1, axis=1)[:, : found.shape[1]]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found[rows], strict=True)]))


# -- tables ---------------------------------------------------------------------------------------------------------


def _quality() -> list[str]:
    lines = [
        f"### Quality, beside umap-learn on the same embeddings; median of {len(SEEDS)} seeds",
        "",
        "| data | map | trustworthiness@15 | 15-NN kept | ARI, HDBSCAN | ARI, k-means |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name in SETS:
        sides = {side: python("projection:judged", side, name) for side in ("slicelab", "umap-learn")}
        for side, noted in compare(sides, rounds=1, environment=ONE_THREAD).values.items():
            judged = noted[0].get("judged")
            if not isinstance(judged, list):
                lines.append(f"| {name} | {side} | not measured: SLICELAB_BENCH_CIFAR10 names no folder | | | |")
                continue
            middle = [statistics.median(one[kind] for one in judged) for kind in judged[0]]
            lines.append(f"| {name} | {side} | " + " | ".join(f"{value:.4f}" for value in middle) + " |")
    return lines


def _growth(rounds: int) -> list[str]:
    sides = {f"{n:,} rows": python("projection:grown", n) for n in GROWTH}
    result = compare(sides, rounds=rounds, environment=ONE_THREAD)
    fewer, more = result.steps
    ratio = statistics.median(result.steps[more]["project"].cpu) / statistics.median(result.steps[fewer]["project"].cpu)
    recall = ", ".join(f"{noted[0]['recall']:.3f}" for noted in result.values.values())
    return [
        f"### Growth, {DIMENSIONS} dimensions",
        "",
        result.table(),
        "",
        f"CPU seconds of {more} by those of {fewer}: {ratio:.2f}. Share of the 15 nearest neighbours found: {recall}.",
    ]
