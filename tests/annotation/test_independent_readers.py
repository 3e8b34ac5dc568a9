"""What goes out is read by other people's libraries as it was meant: every row, every label, every box.

pycocotools and Label Studio's converter are in the development environment. supervision and datumaro bring an OpenCV
of their own, so they are asked in another one: that of SLICELAB_READERS (a Python), else one that the slow test makes.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicelab.annotation import write_batch
from slicelab.core import AnnotationTask, Batch, Box, hash_file

READERS = ("supervision==0.31.2", "datumaro==1.5.2", "pycocotools")
SCRIPT = Path(__file__).with_name("read_independently.py")
CLASSES = (
    *("=cmd|' /C calc'!A0", "+1", "-1", "@sum", "'", '"', 'a,b;"c"', "مرحبا", "עברית", "👩‍🚀", "猫 🐈"),
    *("<b>&amp;", "]]>", "US$cat", "0", "nan", "None", "yes", "a/b\\c", "{x}", "é", "plain", "a: b", "# no comment"),
    *("- list", "[x]"),
)
WORDS = ("deep/er", "with space", "émoji 🐈", "עברית", "=1", "a'b", "UPPER", "dot.dot", "x" * 40)
SETS = [pytest.param(20, id="20"), pytest.param(1000, marks=pytest.mark.slow, id="1000")]


def batches(n, folder):
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
            boxes = tuple(box(dice, classes, width, height, str(m)) for m in range(dice.randint(0, 5)))
            name = f"{number:02d}{'0' * 30}-{i + 1:05d}"
            about = {"items": (f"i{i}",), "units": (key,), "reasons": ("relabel",), "boxes": boxes}
            tasks.append(AnnotationTask(name, key, str(path), hash_file(path), width, height, **about))
        yield Batch("q", "ds", "detection", classes, tuple(tasks), batch_id=f"{number:02d}{'0' * 30}")


def box(dice, classes, width, height, label_id):
    w, h = dice.uniform(3, width - 2), dice.uniform(3, height - 2)
    return Box(dice.choice(classes), dice.uniform(0, width - w), dice.uniform(0, height - h), w, h, label_id)


def written(batch, folder, fmt):
    """Write a batch with its pictures; return its folder, and what must be read: boxes by file name."""
    paths = write_batch(batch, folder, format=fmt, images="copy")
    manifest = next(p for p in paths if p.name == "manifest.json")
    names = {t["slicelab_id"]: t["file"] for t in json.loads(manifest.read_text())["tasks"]}
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
    """A Python with supervision and datumaro."""
    given = os.environ.get("SLICELAB_READERS")
    if given:
        return given
    if "not slow" in request.config.option.markexpr:
        pytest.skip("SLICELAB_READERS names no Python with supervision and datumaro; the slow tests make one")
    folder = tmp_path_factory.mktemp("readers")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "-q", *READERS], check=True)
    return str(folder / "bin/python")


@pytest.mark.parametrize("n", SETS)
@pytest.mark.parametrize("fmt", ["yolo", "voc", "cvat"])
def test_files_by_supervision_and_datumaro(python, fmt, n, tmp_path):
    """supervision reads YOLO and Pascal VOC, datumaro CVAT."""
    expected = {}
    for batch in batches(n, tmp_path):
        folder, wanted = written(batch, tmp_path, fmt)
        expected[f"{fmt}={folder}"] = wanted
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, SCRIPT, *expected], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    for name, wanted in expected.items():
        if fmt == "cvat":  # datumaro calls an image by its name without the ending
            wanted = {Path(file).with_suffix("").as_posix(): boxes for file, boxes in wanted.items()}
        compare(said[name], wanted)
