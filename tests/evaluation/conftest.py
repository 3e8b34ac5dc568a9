"""Small tables of samples, boxes and predictions, made by hand or by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import BOX_COLUMNS, PREDICTED_BOX_COLUMNS, TEXT, Predictions, SampleTable


def _samples(keys, **columns):
    index = pd.Index(list(keys), name="key", dtype=TEXT)
    return pd.DataFrame({"filepath": "", "sha256": "", "width": 100, "height": 100, **columns}, index=index)


def _detection(labels, predictions, *, keys=None, classes=("cat", "dog"), model="v1"):
    """Boxes as (key, label, x, y, w, h[, crowd]) and (key, label, x, y, w, h, confidence), ids by position."""
    boxes = pd.DataFrame(
        [[row[0], str(i), row[1], *map(float, row[2:6]), bool(row[6:])] for i, row in enumerate(labels)],
        columns=list(BOX_COLUMNS),
    ).astype({"crowd": bool})
    frame = pd.DataFrame(
        [[row[0], str(i), *row[1:2], *map(float, row[2:])] for i, row in enumerate(predictions)],
        columns=list(PREDICTED_BOX_COLUMNS),
    )
    keys = sorted(set(boxes["key"]) | set(frame["key"])) if keys is None else keys
    return (
        SampleTable("detection", _samples(keys), boxes, tuple(classes)),
        Predictions(model, "detection", frame, tuple(classes)),
    )


def _random_detection(seed, *, n_images=40, classes=("cat", "dog", "owl"), crowds=0.15):
    """Images whose predictions are shifted copies of the labels, with wrong classes, repeats and inventions."""
    random = np.random.default_rng(seed)
    labels, predictions = [], []
    for i in range(n_images):
        key = f"image {i:03d}"
        for _ in range(random.integers(0, 8)):
            box = [*random.uniform(0, 70, 2), *random.uniform(5, 40, 2)]
            label = str(random.choice(classes))
            labels.append((key, label, *box, True) if random.random() < crowds else (key, label, *box))
            for _ in range(random.integers(0, 4)):
                moved = np.abs(np.array(box) + random.normal(0, 3, 4))
                said = label if random.random() < 0.8 else str(random.choice(classes))
                predictions.append((key, said, *moved, random.uniform(0, 1)))
        for _ in range(random.integers(0, 4)):
            box = [*random.uniform(0, 70, 2), *random.uniform(5, 40, 2)]
            predictions.append((key, str(random.choice(classes)), *box, random.uniform(0, 1)))
    return _detection(labels, predictions, keys=[f"image {i:03d}" for i in range(n_images)], classes=classes)


def _classification(labels, predicted, *, confidence=None, probabilities=None, classes=None):
    """Labels and predictions by position; the keys are 'k0', 'k1', ...; a prediction None is absent."""
    classes = tuple(sorted({v for v in (*labels, *predicted) if isinstance(v, str)})) if classes is None else classes
    keys = [f"k{i}" for i in range(len(labels))]
    there = [i for i, p in enumerate(predicted) if p is not None]
    confidence = [np.nan] * len(labels) if confidence is None else confidence
    frame = pd.DataFrame(
        {
            "label": pd.Series([predicted[i] for i in there], dtype=TEXT),
            "confidence": np.array([confidence[i] for i in there], dtype=float),
        }
    ).set_index(pd.Index([keys[i] for i in there], name="key", dtype=TEXT))
    given = None if probabilities is None else np.array(probabilities, dtype=np.float32)[there]
    return (
        SampleTable("classification", _samples(keys, label=pd.array(labels, dtype=TEXT)), pd.DataFrame(), classes),
        Predictions("v1", "classification", frame, classes, given),
    )


@pytest.fixture(scope="session")
def detection():
    return _detection


@pytest.fixture(scope="session")
def random_detection():
    return _random_detection


@pytest.fixture(scope="session")
def classification():
    return _classification


def _coco_evaluation(table, predictions, *, keys=None, outside=None):
    """Run pycocotools on the same boxes, ids counted from 1; keys: image ids; outside: label rows to ignore.

    Labels to ignore get an area out of every evaluated range, as COCOeval overwrites `ignore` by `iscrowd`; the
    predictions' own area never matters then, as the range is made to hold them.
    """
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    image = {key: i for i, key in enumerate(sorted(table.samples.index), start=1)}
    category = {label: i for i, label in enumerate(table.classes, start=1)}
    labels = [
        {
            "id": int(b.label_id) + 1,
            "image_id": image[b.key],
            "category_id": category[b.label],
            "bbox": [b.x, b.y, b.width, b.height],
            "area": -1.0 if outside is not None and b.Index in outside else b.width * b.height,
            "iscrowd": int(b.crowd),
        }
        for b in table.boxes.itertuples()
    ]
    found = [
        {
            "image_id": image[p.key],
            "category_id": category[p.label],
            "bbox": [p.x, p.y, p.width, p.height],
            "score": p.confidence,
        }
        for p in predictions.frame.itertuples()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in image.values()],
            "categories": [{"id": i, "name": name} for name, i in category.items()],
            "annotations": labels,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.params.maxDets = [1, 10, 100]
        if keys is not None:
            evaluation.params.imgIds = [image[k] for k in keys]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.fixture(scope="session")
def coco_evaluation():
    return _coco_evaluation
