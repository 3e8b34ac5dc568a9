"""Make `baggage/`: drawn X-ray scans of bags, their COCO labels, and what two really trained detectors find in them.

    python data_samples/make_baggage.py --out data_samples/baggage                  # all of it
    python data_samples/make_baggage.py --out data_samples/baggage --only scans     # pictures and labels
    python data_samples/make_baggage.py --out data_samples/baggage --only v4        # train one detector, let it look
    python data_samples/make_baggage.py --out data_samples/baggage --only hashes    # list the files' hashes again

The detectors are trained on other scans, drawn by other seeds and other recipes; those are not kept. What each recipe
leaves out on purpose is told in SOURCES.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
import scipy
import torch
from baggage_detector import TrainingSet, detect, fit, shrink
from baggage_scans import CATEGORIES, Recipe, Scan, draw_scan
from PIL import Image
from sample_hashes import write_hashes

SEED, SCANS = 20240917, 420
JPEG_QUALITY = 85
WRONG_CLASS, MISSING_BOX, SHIFTED_BOX = 5, 5, 3
LOOKALIKE = {"knife": "scissors", "scissors": "knife", "gun": "knife"}


@dataclass(frozen=True, slots=True)
class Training:
    """How one detector came about."""

    seed: int
    scans: int
    epochs: int
    recipe: Recipe


SHIPPED = Recipe()
TRAININGS = {
    # Hardly any edge-on knives, bottles behind laptops or awkward guns; few dense bags.
    "v3": Training(301, 1100, 12, Recipe(edge_on=0.02, behind_laptop=0.02, awkward_gun=0.12, high_clutter=0.15)),
    # More scans, trained longer, edge-on knives and hidden bottles collected; but nearly all its scissors lie open.
    "v4": Training(
        401, 1400, 14, Recipe(edge_on=0.40, behind_laptop=0.35, awkward_gun=0.25, closed=0.02, machine_b=0.30)
    ),
}


def file_name(index: int) -> str:
    return f"scan_{index + 1:04d}.jpg"


def encode(scan: Scan) -> bytes:
    """Write the scan as the JPEG bytes that are shipped."""
    held = io.BytesIO()
    Image.fromarray(scan.pixels).save(held, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return held.getvalue()


def draw_set(seed: int, count: int, recipe: Recipe) -> list[Scan]:
    """Draw scans 0 ... count - 1 on all processors."""
    draw = partial(draw_scan, seed, recipe=recipe)
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        return list(pool.map(draw, range(count), chunksize=20))


def true_objects(scans: list[Scan]) -> list[dict]:
    """One record per packed object, in scan order."""
    return [
        {
            "image_id": index + 1, "file_name": file_name(index), "category": thing.category,
            "bbox": [round(value, 2) for value in thing.box], "kind": thing.kind, "view": thing.view,
            "edge_on": thing.view == "edge_on", "occluded_by": thing.behind, "turn": thing.turn,
            "overlap": thing.overlap, "contrast": thing.contrast,
        }
        for index, scan in enumerate(scans) for thing in scan.things
    ]  # fmt: skip


def plant_errors(objects: list[dict]) -> tuple[list[dict], list[dict]]:
    """Spoil a few labels on purpose; return the labels as given (with ids from 1) and the list of what was spoilt."""
    rng = np.random.default_rng([SEED, 999_983])
    candidates = [position for position, true in enumerate(objects) if true["category"] in LOOKALIKE]
    spoilt = rng.permutation(candidates)[: WRONG_CLASS + MISSING_BOX + SHIFTED_BOX]
    error = dict.fromkeys(spoilt[:WRONG_CLASS].tolist(), "wrong_class")
    error |= dict.fromkeys(spoilt[WRONG_CLASS : WRONG_CLASS + MISSING_BOX].tolist(), "missing_box")
    error |= dict.fromkeys(spoilt[WRONG_CLASS + MISSING_BOX :].tolist(), "shifted_box")
    given, planted = [], []
    for position, true in enumerate(objects):
        label = dict(true)
        what = error.get(position)
        if what == "wrong_class":
            label["category"] = LOOKALIKE[true["category"]]
        elif what == "shifted_box":
            left, top, wide, tall = true["bbox"]
            label["bbox"] = [round(v, 2) for v in (left + 0.35 * wide, top + 0.2 * tall, 0.6 * wide, 0.75 * tall)]
        if what != "missing_box":
            given.append(label | {"id": len(given) + 1})
        if what:
            told = {"category": label["category"], "bbox": label["bbox"]}
            planted.append({
                "error": what, "image_id": true["image_id"], "file_name": true["file_name"],
                "annotation_id": None if what == "missing_box" else len(given),
                "given": None if what == "missing_box" else told,
                "true": {"category": true["category"], "bbox": true["bbox"]},
            })  # fmt: skip
    return given, planted


def coco_labels(scans: list[Scan], given: list[dict]) -> dict:
    """Build the label file in COCO's detection format."""
    ids = {name: number for number, name in enumerate(CATEGORIES, start=1)}
    versions = {"numpy": np.__version__, "pillow": PIL.__version__, "scipy": scipy.__version__}
    return {
        "info": {"description": "SliceLab baggage: drawn X-ray scans", "version": "1", "drawn_with": versions},
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}],
        "categories": [{"id": ids[name], "name": name, "supercategory": "object"} for name in CATEGORIES],
        "images": [
            {"id": index + 1, "file_name": file_name(index), "width": 320, "height": 240, "license": 1}
            for index in range(len(scans))
        ],
        "annotations": [
            {
                "id": label["id"], "image_id": label["image_id"], "category_id": ids[label["category"]],
                "bbox": label["bbox"], "area": round(label["bbox"][2] * label["bbox"][3], 2),
                "iscrowd": 0, "segmentation": [],
            }
            for label in given
        ],
    }  # fmt: skip


def write_json(value: object, path: Path) -> None:
    """One line per entry of the top-level lists, so that a change of one label is a change of one line."""

    def rows(entries: list) -> str:
        return "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]"

    if isinstance(value, dict):
        written = {key: rows(part) if isinstance(part, list) else json.dumps(part) for key, part in value.items()}
        parts = [f"{json.dumps(key)}: {part}" for key, part in written.items()]
        text = "{\n" + ",\n".join(parts) + "\n}"
    else:
        text = rows(value)
    path.write_text(text + "\n", encoding="utf-8")


def make_scans(out: Path) -> None:
    """Draw and write pictures, labels, metadata and the list of planted label errors."""
    scans = draw_set(SEED, SCANS, SHIPPED)
    (out / "images").mkdir(parents=True, exist_ok=True)
    for index, scan in enumerate(scans):
        (out / "images" / file_name(index)).write_bytes(encode(scan))
    given, planted = plant_errors(true_objects(scans))
    write_json(coco_labels(scans, given), out / "labels.json")
    write_json(planted, out / "planted_label_errors.json")
    facts = [{"file_name": file_name(index), **scan.facts} for index, scan in enumerate(scans)]
    pd.DataFrame(facts).to_csv(out / "scans.csv", index=False, lineterminator="\n")
    columns = ["id", "file_name", "category", "kind", "view", "edge_on", "occluded_by", "turn", "overlap", "contrast"]
    pd.DataFrame(given)[columns].to_csv(out / "objects.csv", index=False, lineterminator="\n")
    print(f"drew {len(scans)} scans with {len(given)} labels, {len(planted)} of the objects labelled wrongly")


def training_set(seed: int, count: int, recipe: Recipe) -> TrainingSet:
    """Draw a training set; it passes through JPEG as the shipped scans do."""
    scans = draw_set(seed, count, recipe)
    pictures = [shrink(np.asarray(Image.open(io.BytesIO(encode(scan))))) for scan in scans]
    boxes = [np.array([t.box for t in scan.things], dtype=np.float32).reshape(-1, 4) for scan in scans]
    for box in boxes:
        box[:, 2:] += box[:, :2]
    categories = [np.array([CATEGORIES.index(t.category) for t in scan.things], dtype=int) for scan in scans]
    return TrainingSet(torch.from_numpy(np.stack(pictures)), boxes, categories)


def make_predictions(out: Path, version: str) -> None:
    """Train one detector from nothing and write what it finds in the shipped scans, as COCO results."""
    torch.set_num_threads(1)  # sums in one order: the same weights on every run
    plan = TRAININGS[version]
    data = training_set(plan.seed, plan.scans, plan.recipe)
    model = fit(data, categories=len(CATEGORIES), epochs=plan.epochs, seed=plan.seed)
    results = []
    for picture in sorted((out / "images").glob("*.jpg")):
        for category, box, score in detect(model, np.asarray(Image.open(picture))):
            image_id = int(picture.stem.removeprefix("scan_"))
            results.append({"image_id": image_id, "category_id": category + 1, "bbox": box, "score": score})
    write_json(results, out / f"predictions_{version}.json")
    print(f"{version}: {len(results)} predicted boxes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=["scans", "hashes", *TRAININGS], help="do only this part")
    wanted = parser.parse_args()
    if wanted.only in (None, "scans"):
        make_scans(wanted.out)
    for version in TRAININGS:
        if wanted.only in (None, version):
            make_predictions(wanted.out, version)
    print(f"wrote {write_hashes(wanted.out)}")


if __name__ == "__main__":
    main()
