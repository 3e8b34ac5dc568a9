"""What goes out is read by other people's libraries as it was meant: every row, every label, every box.

pycocotools, Label Studio's converter, pandas and Beautiful Soup are in the development environment. supervision,
datumaro and Labelbox's own package bring an OpenCV of their own or pin others' versions, so they are asked in another
one: that of SLICELAB_READERS (a Python), else one that the slow test makes.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from slicelab.annotation import write_batch
from slicelab.core import AnnotationTask, Batch, Box, InvalidInputError, hash_file

READERS = ("supervision==0.31.2", "datumaro==1.5.2", "pycocotools", "labelbox[data]==5.2.1")
SCRIPT = Path(__file__).with_name("read_independently.py")
CLASSES = (
    *("=cmd|' /C calc'!A0", "+1", "-1", "@sum", "'", '"', 'a,b;"c"', "مرحبا", "עברית", "👩‍🚀", "猫 🐈"),
    *("<b>&amp;", "]]>", "US$cat", "0", "nan", "None", "yes", "a/b\\c", "{x}", "é", "plain", "a: b", "# no comment"),
    *("- list", "[x]"),
)
WORDS = ("deep/er", "with space", "émoji 🐈", "עברית", "=1", "a'b", "UPPER", "dot.dot", "x" * 40)
SETS = [pytest.param(20, id="20"), pytest.param(1000, marks=pytest.mark.slow, id="1000")]


def batches(n, folder, task="detection"):
    """So many images with random label sets, 25 in a batch; each batch has classes of its own."""
    dice = random.Random(n)
    noise = np.random.default_rng(0)
    for number in range(-(-n // 25)):
        classes = tuple(dice.sample(CLASSES, dice.randint(2, 8)))
        tasks = []
        for i in range(min(25, n - 25 * number)):
            width, height = dice.randint(40, 200), dice.randint(40, 200)
            path = folder / f"{number}_{i}.png"
            Image.fromarray(noise.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
            key = f"{dice.choice(WORDS)}/{dice.choice(WORDS)}/{i}.png"
            name = f"{number:02d}{'0' * 30}-{i + 1:05d}"
            about = {"items": (f"i{i}",), "units": (key,), "reasons": ("relabel",)}
            if task == "detection":
                about["boxes"] = tuple(box(dice, classes, width, height, str(m)) for m in range(dice.randint(0, 5)))
            else:
                about["label"] = dice.choice(classes) if dice.random() < 0.9 else None
            tasks.append(AnnotationTask(name, key, str(path), hash_file(path), width, height, **about))
        yield Batch("q", "ds", task, classes, tuple(tasks), batch_id=f"{number:02d}{'0' * 30}")


def box(dice, classes, width, height, label_id):
    w, h = dice.uniform(3, width - 2), dice.uniform(3, height - 2)
    return Box(dice.choice(classes), dice.uniform(0, width - w), dice.uniform(0, height - h), w, h, label_id)


def written(batch, folder, fmt):
    """Write a batch with its pictures; return its folder, and what must be read by file name: boxes, or the label."""
    paths = write_batch(batch, folder, format=fmt, images="copy")
    manifest = next(p for p in paths if p.name == "manifest.json")
    names = {t["slicelab_id"]: t["file"] for t in json.loads(manifest.read_text())["tasks"]}
    if batch.task == "classification":
        return manifest.parent, {names[t.task_id]: t.label for t in batch.tasks}
    return manifest.parent, {
        names[t.task_id]: [[b.label, b.x, b.y, b.width, b.height] for b in t.boxes] for t in batch.tasks
    }


def compare(found, wanted):
    """Rows in = rows out, labels byte for byte, each edge within half a pixel."""
    assert sorted(found) == sorted(wanted)
    for name, boxes in wanted.items():
        assert len(found[name]) == len(boxes)
        left = list(found[name])
        for label, *sides in boxes:
            x, y, w, h = sides
            near = [
                r
                for r in left
                if r[0].encode() == label.encode()
                and max(abs(r[1] - x), abs(r[2] - y), abs(r[1] + r[3] - x - w), abs(r[2] + r[4] - y - h)) <= 0.501
            ]
            assert near, (name, label, sides, left)
            left.remove(near[0])


def compare_labels(found, wanted):
    """Rows in = rows out, labels byte for byte."""
    assert {k: v and v.encode() for k, v in found.items()} == {k: v and v.encode() for k, v in wanted.items()}


def keys_of(batch, folder):
    """The keys (nested paths) of a batch by file name, as its manifest says."""
    tasks = json.loads((folder / "manifest.json").read_text())["tasks"]
    assert [t["key"] for t in tasks] == [t.key for t in batch.tasks]
    return {t["file"]: t["key"] for t in tasks}


@pytest.mark.parametrize("n", SETS)
def test_csv_by_pandas(n, tmp_path):
    """pandas reads every row; a cell is its text without the one apostrophe that keeps it from being a formula."""
    for task in ("detection", "classification"):
        for batch in batches(n, tmp_path, task):
            folder, wanted = written(batch, tmp_path / task, "csv")
            rows = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)
            assert not rows.map(lambda cell: cell.startswith(("=", "+", "-", "@"))).to_numpy().any()
            rows = rows.map(lambda cell: cell.removeprefix("'"))
            assert dict(zip(rows["file"], rows["key"], strict=True)) == keys_of(batch, folder)
            if task == "classification":
                compare_labels({r.file: r.label or None for r in rows.itertuples()}, wanted)
                continue
            found = {file: [] for file in rows["file"]}
            for r in rows[rows["x"] != ""].itertuples():
                found[r.file].append([r.label, float(r.x), float(r.y), float(r.width), float(r.height)])
            compare(found, wanted)


@pytest.mark.parametrize("n", SETS)
def test_json_lines_by_pandas(n, tmp_path):
    """pandas reads every line."""
    for task in ("detection", "classification"):
        for batch in batches(n, tmp_path, task):
            folder, wanted = written(batch, tmp_path / task, "jsonl")
            rows = pd.read_json(folder / "labels.jsonl", lines=True, dtype=False, convert_dates=False)
            assert dict(zip(rows["file"], rows["key"], strict=True)) == keys_of(batch, folder)
            if task == "classification":
                compare_labels(
                    {r.file: r.label if isinstance(r.label, str) else None for r in rows.itertuples()}, wanted
                )
                continue
            names = ("label", "x", "y", "width", "height")
            compare({r.file: [[b[k] for k in names] for b in r.boxes] for r in rows.itertuples()}, wanted)


@pytest.mark.parametrize("n", SETS)
def test_ground_truth_by_pandas(n, tmp_path):
    """pandas reads the augmented manifest; classes are named by the metadata beside the labels."""
    for task in ("detection", "classification"):
        for batch in batches(n, tmp_path, task):
            folder, wanted = written(batch, tmp_path / task, "sagemaker")
            rows = pd.read_json(folder / "input.manifest", lines=True, dtype=False, convert_dates=False)
            assert dict(zip(rows["source-ref"], rows["key"], strict=True)) == keys_of(batch, folder)
            classes = [each["label"] for each in json.loads((folder / "classes.json").read_text())["labels"]]
            found = {}
            for row in rows.to_dict("records"):
                about = row["slicelab-present-metadata"]
                if task == "classification":
                    found[row["source-ref"]] = about["class-name"] if isinstance(about, dict) else None
                    assert not isinstance(about, dict) or classes[int(row["slicelab-present"])] == about["class-name"]
                    continue
                sides = ("left", "top", "width", "height")
                boxes = [(str(b["class_id"]), [b[k] for k in sides]) for b in row["slicelab-present"]["annotations"]]
                assert all(classes[int(number)] == about["class-map"][number] for number, _ in boxes)
                found[row["source-ref"]] = [[about["class-map"][number], *box] for number, box in boxes]
            (compare if task == "detection" else compare_labels)(found, wanted)


@pytest.mark.parametrize("n", SETS)
def test_contact_sheet_by_beautiful_soup(n, tmp_path):
    """An HTML parser finds a figure for every image with its words, its boxes in pixels and nothing that runs."""
    for task in ("detection", "classification"):
        for batch in batches(n, tmp_path, task):
            folder, wanted = written(batch, tmp_path / task, "html")
            page = BeautifulSoup((folder / "contact_sheet.html").read_bytes(), "html.parser")
            assert page.find("script") is None
            assert not [a for tag in page.find_all(True) for a in tag.attrs if a.startswith("on")]
            figures = {f["id"]: f for f in page.find_all("figure")}
            tasks = json.loads((folder / "manifest.json").read_text())["tasks"]
            assert list(figures) == [t["slicelab_id"] for t in tasks]
            shown = [figures[t["slicelab_id"]].find("small").get_text().split(". ", 1)[1] for t in tasks]
            assert shown == [t["key"] for t in tasks]
            found = {}
            for each in tasks:
                figure = figures[each["slicelab_id"]]
                rects = figure.find_all("rect")
                sides = [[float(r[k]) for k in ("x", "y", "width", "height")] for r in rects]
                found[each["file"]] = [[r.title.get_text(), *s] for r, s in zip(rects, sides, strict=True)]
                if task == "classification":
                    said = figure.find("b").get_text()
                    found[each["file"]] = None if said == "\N{EN DASH}" else said
            (compare if task == "detection" else compare_labels)(found, wanted)


@pytest.mark.parametrize("n", SETS)
def test_image_labels_in_coco_by_pycocotools(n, tmp_path):
    """The label of an image is one annotation of its whole frame."""
    from pycocotools.coco import COCO

    for batch in batches(n, tmp_path, "classification"):
        folder, wanted = written(batch, tmp_path, "coco")
        coco = COCO(str(folder / "annotations.json"))
        names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
        found = {Path(image["file_name"]).name: None for image in coco.loadImgs(coco.getImgIds())}
        for row in coco.loadAnns(coco.getAnnIds()):
            (image,) = coco.loadImgs(row["image_id"])
            assert row["bbox"] == [0, 0, image["width"], image["height"]]
            assert found[Path(image["file_name"]).name] is None
            found[Path(image["file_name"]).name] = names[row["category_id"]]
        compare_labels(found, wanted)


@pytest.mark.parametrize("n", SETS)
def test_image_labels_in_label_studio_by_its_own_converter(n, tmp_path):
    """Label Studio's converter gives back the choice of every task."""
    from label_studio_sdk.converter import Converter

    for number, batch in enumerate(batches(n, tmp_path, "classification")):
        folder, wanted = written(batch, tmp_path, "label-studio")
        tasks = json.loads((folder / "tasks.json").read_text())
        for i, task in enumerate(tasks, start=1):
            result = [r for p in task["predictions"] for r in p["result"]]
            task["id"], task["annotations"] = i, [{"id": i, "completed_by": 1, "result": result}]
            task["predictions"] = []
        (tmp_path / "export.json").write_text(json.dumps(tasks))
        out = tmp_path / f"converted{number}"
        converter = Converter(config=(folder / "label_config.xml").read_text(), project_dir=str(tmp_path))
        converter.convert_to_json_min(str(tmp_path / "export.json"), str(out), is_dir=False)
        rows = json.loads((out / "result.json").read_text())
        compare_labels({Path(r["file"]).name: r.get("label") for r in rows}, wanted)


@pytest.mark.parametrize("n", SETS)
def test_coco_by_pycocotools(n, tmp_path):
    """pycocotools indexes every image and box."""
    from pycocotools.coco import COCO

    for batch in batches(n, tmp_path):
        folder, wanted = written(batch, tmp_path, "coco")
        coco = COCO(str(folder / "annotations.json"))
        names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
        found = {}
        for image in coco.loadImgs(coco.getImgIds()):
            rows = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            found[Path(image["file_name"]).name] = [[names[r["category_id"]], *r["bbox"]] for r in rows]
        compare(found, wanted)


@pytest.mark.parametrize("n", SETS)
def test_label_studio_by_its_own_converter(n, tmp_path):
    """Label Studio's converter makes COCO of what was pushed and submitted as it was."""
    from label_studio_sdk.converter import Converter

    for number, batch in enumerate(batches(n, tmp_path)):
        folder, wanted = written(batch, tmp_path, "label-studio")
        tasks = json.loads((folder / "tasks.json").read_text())
        for i, task in enumerate(tasks, start=1):
            result = [r for p in task["predictions"] for r in p["result"]]
            task["id"], task["annotations"] = i, [{"id": i, "completed_by": 1, "result": result}]
            task["data"]["image"] = f"http://media/{i}.png"
            task["predictions"] = []
        (tmp_path / "export.json").write_text(json.dumps(tasks))
        out = tmp_path / f"converted{number}"
        converter = Converter(config=(folder / "label_config.xml").read_text(), project_dir=str(tmp_path))
        converter.download_resources = False
        converter.convert_to_coco(str(tmp_path / "export.json"), str(out), output_image_dir=str(out), is_dir=False)
        coco = json.loads((out / "result.json").read_text())
        names = {c["id"]: c["name"] for c in coco["categories"]}
        file_of = {f"{i}.png": task["data"]["file"] for i, task in enumerate(tasks, start=1)}
        found = {Path(name).name: [] for name in wanted}
        image_of = {image["id"]: Path(file_of[image["file_name"].rsplit("__")[-1]]).name for image in coco["images"]}
        for row in coco["annotations"]:
            found[image_of[row["image_id"]]].append([names[row["category_id"]], *row["bbox"]])
        compare(found, {Path(name).name: boxes for name, boxes in wanted.items()})


@pytest.fixture(scope="module")
def python(tmp_path_factory, request):
    """A Python with the packages of `READERS`."""
    given = os.environ.get("SLICELAB_READERS")
    if given:
        return given
    if "not slow" in request.config.option.markexpr:
        pytest.skip("SLICELAB_READERS names no Python with their packages; the slow tests make one")
    folder = tmp_path_factory.mktemp("readers")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "-q", *READERS], check=True)
    return str(folder / "bin/python")


@pytest.mark.parametrize("n", SETS)
@pytest.mark.parametrize("kind", ["yolo", "voc", "cvat", "labelbox", "cvat-labels", "labelbox-labels"])
def test_files_by_supervision_datumaro_and_labelbox(python, kind, n, tmp_path):
    """supervision reads YOLO and Pascal VOC, datumaro CVAT, Labelbox's package NDJSON; labels of images, too."""
    fmt, of_images, expected = kind.removesuffix("-labels"), kind.endswith("-labels"), {}
    for batch in batches(n, tmp_path, "classification" if of_images else "detection"):
        folder, wanted = written(batch, tmp_path, fmt)
        if fmt == "cvat":  # datumaro calls an image by its name without the ending
            wanted = {Path(file).with_suffix("").as_posix(): each for file, each in wanted.items()}
        expected[f"{kind}={folder}"] = wanted
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, SCRIPT, *expected], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    for name, wanted in expected.items():
        (compare_labels if of_images else compare)(said[name], wanted)


@pytest.mark.parametrize("fmt", ["yolo", "voc"])
def test_formats_of_boxes_refuse_labels_of_images(fmt, tmp_path):
    """YOLO and Pascal VOC have no place for the label of an image: refused in words, nothing written."""
    (batch,) = batches(3, tmp_path, "classification")
    with pytest.raises(InvalidInputError, match="carries boxes only; this batch is of image labels"):
        write_batch(batch, tmp_path / "out", format=fmt)
    assert list((tmp_path / "out").iterdir()) == []
