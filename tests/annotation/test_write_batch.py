"""Batches on disk: whole, the same every time, and readable by others."""

import csv
import hashlib
import json
import re
import zipfile
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring
from pycocotools.coco import COCO

from slicelab.annotation import EXPORT_FORMATS, read_return, write_batch
from slicelab.core import Box, InvalidInputError, MediaError, StateError

TASKS = ("classification", "detection")


def with_images(batch, folder):
    """The batch with real files: two of them have the same name in different folders."""
    tasks = []
    for n, task in enumerate(batch.tasks):
        path = folder / f"source{n}.bin"
        path.write_bytes(b"picture %d" % n)
        key = f"ï nest/{n}/é =.JPG"
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        tasks.append(replace(task, key=key, filepath=str(path), sha256=sha256))
    return replace(batch, tasks=tuple(tasks))


@pytest.mark.parametrize(
    ("task", "fmt"), [(t, f) for t in TASKS for f in EXPORT_FORMATS if t == "detection" or f not in ("yolo", "voc")]
)
def test_the_same_batch_gives_the_same_bytes(batch_of, fmt, task, tmp_path):
    """Two exports of one batch are equal byte for byte, images and zips included."""
    batch = with_images(batch_of(task), tmp_path)
    one = write_batch(batch, tmp_path / "one", format=fmt, images="copy")
    two = write_batch(batch, tmp_path / "two", format=fmt, images="copy")
    assert [p.name for p in one] == [p.name for p in two]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.parametrize("fmt", EXPORT_FORMATS)
def test_the_manifest_names_every_file_and_sample(batch_of, fmt, tmp_path):
    """manifest.json holds each file's hash and says which copy is which sample."""
    batch = with_images(batch_of("detection"), tmp_path)
    paths = write_batch(batch, tmp_path / "out", format=fmt, images="copy")
    manifest = json.loads(next(p for p in paths if p.name == "manifest.json").read_bytes())
    root = next(p for p in paths if p.name == "manifest.json").parent
    others = {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
    assert manifest["files"] == {k: v for k, v in others.items() if k != "manifest.json"}
    assert [(t["slicelab_id"], t["key"], t["sha256"]) for t in manifest["tasks"]] == [
        (t.task_id, t.key, t.sha256) for t in batch.tasks
    ]
    names = [t["file"] for t in manifest["tasks"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", n) and n.endswith(".JPG") for n in names)
    if fmt == "cvat":
        with zipfile.ZipFile(root / "cvat.zip") as archive:
            assert sorted(archive.namelist()) == sorted(["annotations.xml", *(f"images/{n}" for n in names)])
            copies = [archive.read(f"images/{n}") for n in names]
    else:
        below = {"yolo": "images/train", "voc": "JPEGImages"}.get(fmt, "images")
        copies = [(root / below / n).read_bytes() for n in names]
    assert copies == [b"picture %d" % n for n in range(3)]
    assert not any(str(tmp_path) in p.read_text() for p in paths if p.suffix in (".json", ".xml", ".csv"))


@pytest.mark.parametrize("fmt", EXPORT_FORMATS)
def test_nothing_is_left_when_an_image_fails(batch_of, fmt, tmp_path):
    """A changed or missing image stops the export, is named, and leaves no folder behind."""
    batch = with_images(batch_of("detection"), tmp_path)
    (tmp_path / "source1.bin").write_bytes(b"something else")
    (tmp_path / "source2.bin").unlink()
    with pytest.raises(MediaError, match=r"nest/1/.*changed.*nest/2/.*not there"):
        write_batch(batch, tmp_path / "out", format=fmt, images="copy")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_is_not_overwritten(batch_of, tmp_path):
    """The second export into the same folder is refused and changes nothing."""
    batch = batch_of("classification")
    before = [p.read_bytes() for p in write_batch(batch, tmp_path, format="csv")]
    with pytest.raises(StateError, match="there already"):
        write_batch(batch, tmp_path, format="csv")
    assert [p.read_bytes() for p in sorted(tmp_path.rglob("*.*")) if p.is_file()] == before


def test_a_folder_that_can_not_be_made_is_a_clear_error(batch_of, tmp_path):
    """A file in the place of the folder is refused in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be written"):
        write_batch(batch_of("classification"), tmp_path / "file", format="csv")


@pytest.mark.parametrize("fmt", EXPORT_FORMATS)
@pytest.mark.parametrize("bad", ["a\x00b", "a\x0bb", "tab\there", "line\nbreak", "a\x85b", "\ud800", "\uffff"])
def test_characters_that_files_can_not_carry_are_refused(batch_of, fmt, bad, tmp_path):
    """Control characters and half surrogates in a class stop the export before anything is written."""
    with pytest.raises(InvalidInputError, match="characters"):
        write_batch(batch_of("classification", classes=("ok", bad)), tmp_path, format=fmt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": ()}, "no tasks"),
        ({"classes": ("cat", "cat")}, "occur again"),
        ({"classes": ()}, "needs classes"),
        ({"classes": ("dog",)}, "isn't among the classes"),
        ({"classes": ("cat", "slicelab_reviewed")}, "rename"),
        ({"classes": ("cat", "x" * 257)}, "257 characters"),
    ],
)
def test_batches_that_can_not_come_back_are_refused(batch_of, change, words, tmp_path):
    """A batch without tasks, with doubtful classes or labels outside them doesn't go out."""
    with pytest.raises(InvalidInputError, match=words):
        write_batch(replace(batch_of("classification"), **change), tmp_path, format="csv")


@pytest.mark.parametrize("side", [float("nan"), float("inf"), 0.0, -1.0])
def test_broken_boxes_do_not_go_out(batch_of, side, tmp_path):
    """A box that is no box stops the export."""
    with pytest.raises(InvalidInputError, match="finite sides"):
        write_batch(batch_of("detection", boxes=(Box("cat", 1, 1, side, 5, "a"),)), tmp_path, format="coco")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "media", "https://a b", ""])
def test_odd_media_addresses_are_refused(batch_of, url, tmp_path):
    """Only addresses that an annotation server can fetch are taken."""
    with pytest.raises(InvalidInputError, match="media_url"):
        write_batch(batch_of("classification"), tmp_path, format="label-studio", media_url=url)


@pytest.mark.parametrize("task", TASKS)
def test_coco_is_read_by_pycocotools(batch_of, exported, task, tmp_path):
    """pycocotools loads images, categories and boxes as they are; a crowd's mask covers its box."""
    batch = batch_of(task, boxes=(Box("cat", 10.25, 20, 30, 40, "a"), Box("dog", 5, 6, 7, 8, "b", crowd=True)))
    coco = COCO(str(exported(batch, tmp_path, "coco")))
    assert [i["file_name"] for i in coco.loadImgs(coco.getImgIds())] == [t.key for t in batch.tasks]
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    assert list(names) == [1, 2, 3]
    for n, each in enumerate(batch.tasks, start=1):
        found = coco.loadAnns(coco.getAnnIds(imgIds=n))
        if task == "classification":
            assert [(names[a["category_id"]], a["bbox"]) for a in found] == [(each.label, [0, 0, 200, 100])]
            continue
        assert [(names[a["category_id"]], *a["bbox"]) for a in found] == [
            (b.label, b.x, b.y, b.width, b.height) for b in each.boxes
        ]
        crowd = next(a for a in found if a["iscrowd"])
        expected = np.zeros((100, 200), dtype=np.uint8)
        expected[6:14, 5:12] = 1
        np.testing.assert_array_equal(coco.annToMask(crowd), expected)
    assert min(coco.getAnnIds()) == 1


@pytest.mark.parametrize(
    "box",
    [
        Box("cat", 0, 0, 200, 100, "a", crowd=True),
        Box("cat", 0, 0, 200, 50, "a", crowd=True),
        Box("cat", 150, 0, 50, 100, "a", crowd=True),
        Box("cat", 150, 60, 50, 40, "a", crowd=True),
    ],
)
def test_crowds_at_the_border_have_whole_masks(batch_of, exported, box, tmp_path):
    """The run lengths of a crowd sum up to the image, also where it touches the border."""
    coco = COCO(str(exported(batch_of("detection", 1, boxes=(box,)), tmp_path, "coco")))
    expected = np.zeros((100, 200), dtype=np.uint8)
    expected[box.y : box.y + box.height, box.x : box.x + box.width] = 1
    np.testing.assert_array_equal(coco.annToMask(coco.loadAnns([1])[0]), expected)


def test_csv_holds_no_formula(batch_of, exported, tmp_path):
    """No text cell starts with a sign that a spreadsheet runs."""
    classes = ("=1+1", "+1", "-1", "@x", "\uff1d1", "'=1")
    batch = batch_of("classification", 6, classes, keys=[f"={n}.jpg" for n in range(6)])
    batch = replace(
        batch, tasks=tuple(replace(t, label=c, instruction="\t=2") for t, c in zip(batch.tasks, classes, strict=True))
    )
    with exported(batch, tmp_path, "csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    cells = [c for row in rows for c in row.values()]
    assert not any(c.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for c in cells)
    assert [r["label"][1:] for r in rows] == list(classes)


@pytest.mark.parametrize("task", TASKS)
def test_cvat_has_the_documented_shape(batch_of, exported, task, tmp_path):
    """annotations.xml is what CVAT's loader asks for: version, labels, images from 0, all edges, occluded."""
    batch = batch_of(task)
    root = fromstring(exported(batch, tmp_path, "cvat").read_bytes())
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    assert [n.text for n in root.findall("meta/task/labels/label/name")] == [*batch.classes, "slicelab_reviewed"]
    images = root.findall("image")
    assert [i.get("id") for i in images] == ["0", "1", "2"]
    for image, each in zip(images, batch.tasks, strict=True):
        assert (image.get("name"), image.get("width"), image.get("height")) == (each.key, "200", "100")
        for box, ours in zip(image.findall("box"), each.boxes, strict=True):
            assert {"label", "source", "occluded", "xtl", "ytl", "xbr", "ybr", "z_order"} <= set(box.attrib)
            assert all(re.fullmatch(r"\d+\.\d\d", box.get(e)) for e in ("xtl", "ytl", "xbr", "ybr"))
            assert float(box.get("xbr")) == pytest.approx(ours.x + ours.width, abs=0.005)
            marks = {a.get("name"): a.text for a in box.findall("attribute")}
            assert marks == {"slicelab_id": each.task_id, "label_id": ours.label_id, "sha256": each.sha256}
        assert [t.get("label") for t in image.findall("tag")] == ([] if each.label is None else [each.label])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("copied", [True, False])
def test_label_studio_has_the_documented_shape(batch_of, task, copied, tmp_path):
    """Tasks have data and predictions whose controls, values and labels the configuration defines; ids are unique."""
    batch = with_images(batch_of(task), tmp_path)
    paths = write_batch(batch, tmp_path / "out", format="label-studio", images="copy" if copied else "none")
    config = fromstring(next(p for p in paths if p.name == "label_config.xml").read_bytes())
    tasks = json.loads(next(p for p in paths if p.name == "tasks.json").read_bytes())
    controls = {c.get("name"): c for c in config if c.get("toName")}
    wanted = {c.get("value")[1:] for c in config if (c.get("value") or "").startswith("$")}
    ids = []
    for each, ours in zip(tasks, batch.tasks, strict=True):
        assert set(each) == {"data", "predictions"}
        assert wanted <= set(each["data"])
        assert (each["data"]["slicelab_id"], each["data"]["sha256"]) == (ours.task_id, ours.sha256)
        address = parse_qs(urlsplit(each["data"]["image"]).query)["d"][0]
        assert (tmp_path / "out" / address).is_file() if copied else address == ours.key
        for result in (r for p in each["predictions"] for r in p["result"]):
            control = controls[result["from_name"]]
            assert (control.get("toName"), control.tag.lower()) == (result["to_name"], result["type"])
            assert set(result["value"][result["type"]]) <= {o.get("value") for o in control}
            assert all(0 <= result["value"].get(k, 0) <= 100 for k in ("x", "y", "width", "height"))
            ids.append(result["id"])
    assert len(set(ids)) == len(ids) == sum(len(t.boxes) + (t.label is not None) for t in batch.tasks)


def test_label_studio_shows_no_task_data_for_a_class(batch_of, exported, tmp_path):
    """A class that looks like one of Label Studio's variables keeps its name as what is returned."""
    path = exported(batch_of("classification", classes=("$image", "$5")), tmp_path, "label-studio")
    options = fromstring((path.parent / "label_config.xml").read_bytes()).findall("Choices/Choice")
    assert [o.get("alias") for o in options] == ["$image", "$5"]
    assert not any(re.search(r"\$\w", o.get("value")) for o in options)


def test_media_url_is_put_before_the_name(batch_of, exported, tmp_path):
    """With media_url tasks name the server's address, quoted."""
    path = exported(
        batch_of("classification", 1, keys=["a b/ä.jpg"]), tmp_path, "label-studio", media_url="https://m/x/"
    )
    assert json.loads(path.read_bytes())[0]["data"]["image"] == "https://m/x/a%20b/%C3%A4.jpg"


@pytest.mark.parametrize("fmt", [f for f in EXPORT_FORMATS if f not in ("yolo", "voc")])
def test_copies_come_back_by_their_safe_names(batch_of, fmt, tmp_path):
    """A file that lost our ids and hashes is still matched by the names under which the images went out."""
    batch = with_images(batch_of("classification"), tmp_path)
    paths = write_batch(batch, tmp_path / "out", format=fmt, images="copy")
    manifest = json.loads(next(p for p in paths if p.name == "manifest.json").read_bytes())
    back = tmp_path / "back.csv"
    rows = [f"images/{t['file']},dog,yes" for t in reversed(manifest["tasks"])]
    back.write_text("\n".join(["file,label,reviewed", *rows]))
    returned = read_return(back, batch)
    assert [(r.matched_by, r.task_id) for r in returned.matched] == [("name", t.task_id) for t in batch.tasks[::-1]]
