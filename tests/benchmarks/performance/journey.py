"""From files to candidate slices, beside the same through FiftyOne's public calls, its brain and HDBSCAN.

10,000 images with labels, one model's predictions and embeddings of 512 dimensions: load, evaluate, store the
embeddings, project, find groups. Every round is two fresh processes, each with a database of its own that starts with
it. Our side hashes the pictures as well and tests its groups on held-out units; HDBSCAN's clusters are only counted.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.performance.measure import Steps, compare, homes, python

ROWS, DIMENSIONS, CLASSES = 10_000, 512, 10
WHOLE = "files to candidate slices"
GOAL = 3


def run(rounds: int) -> str:
    """Run both sides in turn and return the table."""
    with tempfile.TemporaryDirectory() as folder:
        environment = homes(folder)
        subprocess.run(python("journey:prepare", folder), env=os.environ | environment, check=True)
        sides = {"slicelab": python("journey:ours", folder), "fiftyone": python("journey:peer", folder)}
        result = compare(sides, rounds=rounds, warm=1, environment=environment)
    return "\n".join(
        [
            f"### {WHOLE}, {ROWS:,} images",
            "",
            f"CPU seconds of the peer by our own: {result.ratio('slicelab', 'fiftyone', WHOLE):.1f} x (goal {GOAL} x).",
            "",
            result.table(against="fiftyone"),
        ]
    )


# -- sides: each function here runs in a process of its own ---------------------------------------------------------


def prepare(folder: str) -> None:
    """Draw the pictures; write labels, predictions and embeddings. Two groups of every class fail often."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    rng = np.random.default_rng(0)
    images = Path(folder, "images")
    images.mkdir()
    names = [f"{i:05d}.png" for i in range(ROWS)]
    for i, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), (i % 256, i // 256, 90), dtype=np.uint8)).save(images / name)
    label, group = rng.integers(0, CLASSES, ROWS), rng.integers(0, 12, ROWS)
    places = (rng.normal(size=(CLASSES, 12, 24)) * 2)[label, group] + rng.normal(size=(ROWS, 24))
    embeddings = places @ rng.normal(size=(24, DIMENSIONS)) + rng.normal(size=(ROWS, DIMENSIONS))
    np.save(f"{folder}/embeddings.npy", np.maximum(embeddings, 0).astype(np.float32))
    wrong = rng.random(ROWS) < np.where(group < 2, 0.5, 0.05)
    frame = pd.DataFrame({"filepath": names, "label": [f"class{one}" for one in label]})
    frame.to_csv(f"{folder}/labels.csv", index=False)
    said = (label + np.where(wrong, 1, 0)) % CLASSES
    frame = pd.DataFrame({"filepath": names, "prediction": [f"class{one}" for one in said]})
    frame.assign(confidence=rng.uniform(0.3, 1, ROWS)).to_csv(f"{folder}/predictions.csv", index=False)


def ours(folder: str) -> None:
    """Load, evaluate, store, project and discover."""
    steps = Steps()
    import numpy as np

    import slicelab as sl

    predictions = {"v1": f"{folder}/predictions.csv"}
    with steps.timed("load"):
        lab = sl.load("bench", f"{folder}/images", f"{folder}/labels.csv", predictions, progress=False, overwrite=True)
    with steps.timed("evaluate"):
        lab.evaluate("v1")
    with steps.timed("store embeddings"):
        lab.embed(np.load(f"{folder}/embeddings.npy"))
    with steps.timed("project"):
        lab.project(random_state=os.getpid(), progress=False)  # a seed of which no map is kept
    with steps.timed("find groups"):
        found = lab.discover("v1", describe=False, progress=False)
    steps.mark(WHOLE)
    steps.value("groups", len(found))
    steps.write()


def peer(folder: str) -> None:
    """Do the same by FiftyOne's public calls, its brain, and HDBSCAN on the map."""
    steps = Steps()
    import fiftyone as fo
    import fiftyone.brain as fob
    import numpy as np
    import pandas as pd
    from sklearn.cluster import HDBSCAN

    labels = pd.read_csv(f"{folder}/labels.csv")
    predictions = pd.read_csv(f"{folder}/predictions.csv")
    with steps.timed("load"):
        dataset = fo.Dataset("bench", persistent=True, overwrite=True)
        columns = (labels["filepath"], labels["label"], predictions["prediction"], predictions["confidence"])
        samples: list[Any] = [
            fo.Sample(
                filepath=f"{folder}/images/{name}",
                ground_truth=fo.Classification(label=label),
                v1=fo.Classification(label=said, confidence=confidence),
            )
            for name, label, said, confidence in zip(*columns, strict=True)
        ]
        dataset.add_samples(samples, progress=False)
        del samples  # those that live on are read again at every call
        dataset.compute_metadata(progress=False, num_workers=1)
    with steps.timed("evaluate"):
        dataset.evaluate_classifications("v1", gt_field="ground_truth", eval_key="v1_right", progress=False)
    with steps.timed("store embeddings"):
        dataset.add_sample_field("embedding", fo.VectorField)
        dataset.set_values("embedding", list(np.load(f"{folder}/embeddings.npy")), progress=False)
    with steps.timed("project"):
        result = fob.compute_visualization(
            dataset, embeddings="embedding", method="umap", num_dims=2, seed=51, brain_key="map", verbose=False
        )
    with steps.timed("find groups"):
        found = HDBSCAN(min_cluster_size=50, min_samples=10, copy=True).fit_predict(result.points)
        right = pd.Series(dataset.values("v1_right"))
        failing = (~right.astype(bool)).groupby(found).mean().sort_values(ascending=False)
    steps.mark(WHOLE)
    steps.value("groups", len(failing))
    steps.write()
