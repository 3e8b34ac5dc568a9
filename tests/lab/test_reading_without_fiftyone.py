"""What is stored is read from the database itself: looking at a dataset doesn't wait for FiftyOne's import."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import slicelab as sl
from slicelab.core import NotFoundError
from slicelab.store import connect

pytestmark = pytest.mark.mongo

LOOK = """
import sys
import slicelab as sl

lab = sl.open(sys.argv[1])
units = lab.units("v3")
points = lab.project()
lab.embeddings()
explorer = lab.explore("v3")
lab.thumbnails(list(units.index[:2]))
assert len(units) >= len(points) > 0
print("fiftyone" in sys.modules)
assert lab.dataset.count() == len(lab.table.samples)
print("fiftyone" in sys.modules)
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=dict(os.environ)
    )


@pytest.mark.parametrize("kind", ["parts", "scenes"])
def test_looking_imports_no_fiftyone(kind, request):
    """Units, vectors, map, explorer and pictures of what is stored come without FiftyOne; `lab.dataset` brings it."""
    lab = request.getfixturevalue(kind)
    lab.evaluate("v3")
    lab.project()
    done = run(LOOK, lab.name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "True"]


def test_tables_are_what_fiftyone_reads(parts, scenes):
    """Every column of the tables holds what FiftyOne's own reading gives for its field."""
    for lab in (parts, scenes):
        view, table = lab.dataset.sort_by("_id"), lab.table
        paths = ["key", "filepath", "sha256", "metadata.width", "metadata.height", *table.metadata_columns]
        columns = [table.samples.index, *(table.samples[p.removeprefix("metadata.")] for p in paths[1:])]
        for path, column in zip(paths, columns, strict=True):
            assert list(column) == view.values(path), path
    assert list(parts.table.samples["label"]) == parts.dataset.sort_by("_id").values("ground_truth.label")
    size = scenes.table.samples.loc[scenes.table.boxes["key"], ["width", "height"]].to_numpy()
    corners = scenes.table.boxes[["x", "y", "width", "height"]].to_numpy() / np.hstack([size, size])
    view = scenes.dataset.sort_by("_id")
    stored = np.array(view.values("ground_truth.detections.bounding_box", unwind=True)).reshape(-1, 4)
    assert np.allclose(corners, stored, atol=1e-6)
    assert list(scenes.table.boxes["label_id"]) == view.values("ground_truth.detections.label_id", unwind=True)
    predictions = parts._datasets.read_predictions(parts.name, "v3")
    logits = np.stack(parts.dataset.sort_by("_id").values("v3.logits"))
    assert np.array_equal(predictions.probabilities, np.exp(logits).astype(np.float32))


def test_edits_in_fiftyone_are_read(load_parts):
    """A label that was changed, a label that was cleared and a prediction without logits are read as they are."""
    lab = load_parts("edited", overwrite=True)
    dataset = lab.dataset
    first, second = list(dataset.sort_by("_id").limit(2))
    first.ground_truth.label = "nut"
    first.v3.logits = None
    first.save()
    second.ground_truth = None
    second.v3.confidence = None
    second.save()
    lab = sl.open("edited")
    labels = lab.table.samples["label"]
    assert labels.iloc[0] == "nut"
    assert pd.isna(labels.iloc[1])
    predictions = lab._datasets.read_predictions("edited", "v3")
    assert predictions.probabilities is None
    assert np.isnan(predictions.frame["confidence"].iloc[1])


def test_samples_deleted_in_fiftyone_are_named(load_parts):
    """A dataset whose samples were deleted in FiftyOne says so, with the remedy."""
    lab = load_parts("gone", overwrite=True)
    import fiftyone

    fiftyone.delete_dataset("gone")
    with pytest.raises(NotFoundError, match="deleted outside SliceLab"):
        sl.open("gone").units("v3")
    assert "gone" in sl.datasets()
    assert connect().samples["datasets"].find_one({"name": lab.name}) is None
