"""A small data set with two models, in a database that all tests of this folder share."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import slicelab as sl

CLASSES = ("bolt", "nut")


def draw(folder, n=160, seed=0):
    """Write n pictures of two classes in two tones; the first model fails on dark nuts, the second on none of them."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(n):
        label, dark = CLASSES[i % 2], (i // 2) % 4 == 0
        picture = np.full((24, 32, 3), 40 if dark else 190, np.uint8)
        picture[6:18, 8:24] = (250, 60, 60) if label == "bolt" else (60, 60, 250)
        picture = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        name = f"part_{i:03d}.png"
        Image.fromarray(picture).save(folder / "images" / name)
        fails = label == "nut" and dark
        rows.append(
            {"filepath": name, "label": label, "dark": dark, "line": "A" if i < n // 2 else "B", "fails": fails}
        )
    frame = pd.DataFrame(rows)
    frame[["filepath", "label", "dark", "line"]].to_csv(folder / "labels.csv", index=False)
    for model, wrong in (("v3", frame["fails"]), ("v4", frame.index % 40 == 5)):
        right = np.where(wrong, 0.1, 0.9)
        p_bolt = np.where(frame["label"] == "bolt", right, 1 - right)
        prediction = np.where(p_bolt > 0.5, "bolt", "nut")
        confidence = np.maximum(p_bolt, 1 - p_bolt)
        table = pd.DataFrame({"filepath": frame["filepath"], "prediction": prediction, "confidence": confidence})
        table["p_bolt"], table["p_nut"] = p_bolt, 1 - p_bolt
        table.to_csv(folder / f"{model}.csv", index=False)
    return folder


def draw_boxes(folder, n=60, seed=0):
    """Write n scenes with two boxes each as COCO; the first model misses small nuts."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations, results = [], [], {"v3": [], "v4": []}
    for i in range(1, n + 1):
        picture = rng.integers(90, 110, (96, 128, 3)).astype(np.uint8)
        images.append({"id": i, "file_name": f"scene_{i:03d}.png", "width": 128, "height": 96})
        for place, category in ((8, 1), (72, 2)):
            side = 14 if i % 3 == 0 else 30
            x, y = place + int(rng.integers(0, 10)), 20 + int(rng.integers(0, 20))
            picture[y : y + side, x : x + side] = (220, 40, 40) if category == 1 else (40, 40, 220)
            box = {"image_id": i, "category_id": category, "bbox": [x, y, side, side]}
            annotations.append(
                box | {"id": len(annotations) + 1, "area": side * side, "iscrowd": 0, "segmentation": []}
            )
            if not (category == 2 and side == 14):
                results["v3"].append(box | {"score": 0.9})
            results["v4"].append(box | {"score": 0.8})
        Image.fromarray(picture).save(folder / "images" / f"scene_{i:03d}.png")
    categories = [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(coco))
    for model, boxes in results.items():
        (folder / f"{model}.json").write_text(json.dumps(boxes))
    return folder


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory):
    """Files of the classification set."""
    return draw(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory):
    """Files of the detection set."""
    return draw_boxes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def load_parts(parts_folder):
    """Load the classification set under a name."""

    def load(name, **more):
        models = {m: parts_folder / f"{m}.csv" for m in ("v3", "v4")}
        return sl.load(name, parts_folder / "images", parts_folder / "labels.csv", models, progress=False, **more)

    return load


@pytest.fixture(scope="session")
def load_scenes(scenes_folder):
    """Load the detection set under a name."""

    def load(name, **more):
        models = {m: scenes_folder / f"{m}.json" for m in ("v3", "v4")}
        return sl.load(name, scenes_folder / "images", scenes_folder / "labels.json", models, progress=False, **more)

    return load


@pytest.fixture(scope="module")
def parts(load_parts, request):
    """A lab of the classification set, new for each test file."""
    lab = load_parts(f"parts {request.module.__name__}", overwrite=True)
    lab.embed(progress=False)
    return lab


@pytest.fixture(scope="module")
def scenes(load_scenes, request):
    """A lab of the detection set, new for each test file."""
    lab = load_scenes(f"scenes {request.module.__name__}", overwrite=True)
    lab.embed(progress=False)
    return lab
