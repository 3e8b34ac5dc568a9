"""Every kind of bad input to `read_samples`: a finding per row, or a typed error for the whole."""

import os

import pandas as pd
import pytest

from slicelab.core import InvalidInputError, SourceError
from slicelab.sources import read_samples
from tests.sources.conftest import check_books, kinds, refusals
from tests.sources.test_probe_images import bomb
from tests.sources.test_read_samples import read, voc

NAN, INF = float("nan"), float("inf")


def note(i, box, *, image=7, category=3, **more):
    return {"id": i, "image_id": image, "category_id": category, "bbox": box, **more}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("nan-box", {"bbox": [1, 1, NAN, 2]}),
        ("infinite-box", {"bbox": [1, 1, INF, 2]}),
        ("infinite-box", {"bbox": [-INF, 1, 2, 2]}),
        ("inverted-box", {"bbox": [5, 5, -2, 2]}),
        ("inverted-box", {"bbox": [5, 5, 2, 0]}),
        ("box-out-of-frame", {"bbox": [30, 5, 2, 2]}),
        ("box-out-of-frame", {"bbox": [15, 5, 7, 2]}),
        ("bad-box", {"bbox": [1, 2, 3]}),
        ("bad-box", {"bbox": None}),
        ("nan-box", {"bbox": [1, 2, "3", 4]}),
        ("nan-box", {"bbox": [1, 2, 10**30, 4]}),
        ("unknown-label", {"category_id": 99}),
        ("unknown-label", {"category_id": None}),
        ("unknown-image", {"image_id": 1234}),
        ("unknown-image", {"image_id": [1]}),
        ("duplicate-id", {"id": 1}),
        ("bad-id", {"id": "a#b"}),
    ],
)
def test_bad_coco_annotations(folder, kind, bad):
    """One bad annotation is refused with its kind; its neighbours are loaded."""
    folder.pictures("a.png", "b.png")
    path = folder.coco(annotations=[note(1, [1, 1, 4, 4]), note(2, [1, 1, 4, 4]) | bad, note(3, [2, 2, 4, 4], image=9)])
    table, findings, rows_in = read(folder.images, path)
    assert kinds(refusals(findings)) == [kind]
    assert table.boxes["label_id"].tolist() == ["1", "3"]
    assert rows_in == {"samples": 2, "labels": 3}


@pytest.mark.parametrize("entry", [None, 5, "x", []])
def test_coco_entries_that_are_no_objects(folder, entry):
    """A number among the images and among the annotations is one refusal each."""
    folder.pictures("a.png")
    path = folder.coco(images=[{"id": 7, "file_name": "a.png"}, entry], annotations=[entry, note(1, [1, 1, 4, 4])])
    _, findings, rows_in = read(folder.images, path)
    assert kinds(findings) == ["malformed-row", "malformed-row"]
    assert rows_in == {"samples": 2, "labels": 2}


def test_boxes_that_stick_out_are_cut_on_request(folder):
    """clip_boxes cuts at the frame with a notice; up to 1 px is always cut."""
    folder.pictures("a.png", "b.png")
    path = folder.coco(annotations=[note(1, [15, 5, 7, 2]), note(2, [-0.5, 9, 4, 1.5]), note(3, [0, 0, 20.005, 5])])
    table, findings, _ = read(folder.images, path, clip_boxes=True)
    assert table.boxes[["x", "y", "width", "height"]].values.tolist() == [[15, 5, 5, 2], [0, 9, 3.5, 1], [0, 0, 20, 5]]
    assert kinds(findings, refused=False) == ["clipped-box", "clipped-box"]
    table, findings, _ = read(folder.images, path)
    assert table.boxes["label_id"].tolist() == ["2", "3"]
    assert kinds(findings) == ["box-out-of-frame"]


def test_duplicate_image_ids(folder):
    """An id for two files: neither is loaded, nor what is drawn on them. The same entry twice: the first stays."""
    folder.pictures("a.png", "b.png")
    images = [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]
    table, findings, _ = read(folder.images, folder.coco(images=images, annotations=[note(1, [1, 1, 4, 4])]))
    assert kinds(findings) == ["duplicate-image-id", "duplicate-image-id", "refused-image"]
    assert len(table.samples) == 0
    table, findings, _ = read(folder.images, folder.coco(images=images[:1] * 2, annotations=[note(1, [1, 1, 4, 4])]))
    assert kinds(findings) == ["duplicate-image-id"]
    assert len(table.boxes) == 1


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "x/../../secret.png", ".."])
def test_names_that_lead_out_of_the_folder(folder, name):
    """The file is not opened, its annotations are refused with it."""
    folder.pictures("a.png")
    folder.write("secret.png", (folder.images / "a.png").read_bytes())
    images = [{"id": 7, "file_name": name}, {"id": 9, "file_name": "a.png"}]
    table, findings, _ = read(folder.images, folder.coco(images=images, annotations=[note(1, [1, 1, 4, 4])]))
    assert kinds(findings) == ["outside-root", "refused-image"]
    assert table.samples.index.tolist() == ["a.png"]


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("missing-file", "none.png", None),
        ("empty-file", "x.png", b""),
        ("not-an-image", "x.png", b"text"),
        ("truncated-image", "x.png", "cut"),
        ("too-large-image", "x.png", "bomb"),
        ("bad-path", "x\x00.png", None),
        ("bad-path", "y" * 5000, None),
        ("bad-path", "\ud800.png", None),
        ("missing-path", "", None),
        ("missing-path", None, None),
        ("bad-path", ["a.png"], None),
        ("unreadable-file", "sub", "folder"),
        ("duplicate-path", "./a.png", None),
    ],
)
def test_bad_files_of_a_table(folder, kind, name, content):
    """A bad file costs its own row, and that row's label is counted too."""
    folder.pictures("a.png", "z.png")
    if content == "cut":
        data = (folder.images / "a.png").read_bytes()
        folder.write("images/x.png", data[: len(data) // 2])
    elif content == "bomb":
        bomb(folder.images / "x.png")
    elif content == "folder":
        (folder.images / "sub").mkdir()
    elif content is not None:
        folder.write(f"images/{name}", content)
    frame = pd.DataFrame({"filepath": pd.Series(["a.png", name, "z.png"], dtype=object), "label": ["u", "v", "w"]})
    table, findings, rows_in = read(folder.images, frame)
    assert [f.kind for f in refusals(findings)] == [kind, "refused-image"]
    assert findings[0].line == 2 or any(f.line == 2 for f in refusals(findings))
    assert table.samples.index.tolist() == ["a.png", "z.png"]
    assert rows_in == {"samples": 3, "labels": 3}


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("bad-label", "x" * 257),
        ("bad-label", "a\x00b"),
        ("bad-label", "ev\u202eil"),
        ("bad-label", "\ud800"),
        ("bad-label", ["list"]),
        ("unknown-label", "catt"),
    ],
)
def test_bad_labels(folder, kind, label):
    """The label is refused with its line; the image stays, unlabelled."""
    folder.pictures("a.png", "b.png")
    frame = pd.DataFrame({"filepath": ["a.png", "b.png"], "label": pd.Series(["cat", label], dtype=object)})
    table, findings, _ = read(folder.images, frame, classes=["cat", "dog"])
    (found,) = refusals(findings)
    assert (found.kind, found.rows, found.line, found.item) == (kind, "labels", 2, "b.png")
    assert table.samples["label"].isna().tolist() == [False, True]
    if kind == "unknown-label":
        assert "Did you mean 'cat'?" in found.reason


@pytest.mark.parametrize(
    ("kind", "keys"), [("duplicate-key", ["k", "k"]), ("missing-key", ["k", ""]), ("bad-key", ["k", "a\nb"])]
)
def test_bad_keys(folder, kind, keys):
    """Own keys must be there, usable and unique; the later one is refused."""
    folder.pictures("a.png", "b.png")
    frame = pd.DataFrame({"filepath": ["a.png", "b.png"], "label": ["x", "y"], "key": keys})
    table, findings, _ = read(folder.images, frame)
    assert kinds(findings) == [kind, "refused-image"]
    assert table.samples.index.tolist() == ["k"]


def test_names_equal_but_for_their_normal_form(folder):
    """Two files whose names look the same have one key: the later is refused."""
    folder.pictures("caf\u00e9.png", "cafe\u0301.png")
    table, findings, _ = read(folder.images)
    assert table.samples.index.tolist() == ["caf\u00e9.png"]
    assert kinds(findings) == ["duplicate-key"]


def test_folder_of_bad_files(folder):
    """In a folder per class every bad file is one sample and one label, also one whose name is not UTF-8."""
    folder.pictures("cat/a.png")
    folder.write("images/cat/empty.png", b"")
    folder.write("images/dog/text.jpg", "text")
    with open(os.fsencode(folder.images) + b"/cat/\xff.png", "wb") as stream:
        stream.write(b"x")
    (folder.images / "cat" / "broken.png").symlink_to("nowhere")
    table, findings, rows_in = read(folder.images)
    assert sorted(f.kind for f in refusals(findings, "samples")) == [
        "empty-file",
        "missing-file",
        "non-utf8-name",
        "not-an-image",
    ]
    assert rows_in == {"samples": 5, "labels": 4}
    assert table.samples.index.tolist() == ["cat/a.png"]


@pytest.mark.parametrize(
    ("kind", "xml"),
    [
        ("malformed-file", "<annotation><object>"),
        ("malformed-file", ""),
        ("malformed-file", "<other/>"),
        ("malformed-file", '<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>'),
        ("malformed-file", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation>&x;</annotation>'),
        ("missing-file", "<annotation><filename>none.png</filename></annotation>"),
        ("missing-file", "<annotation><filename>../../etc/hostname</filename></annotation>"),
    ],
)
def test_bad_voc_files(folder, kind, xml):
    """One bad XML file is one refused sample that names the file; entities are not read."""
    folder.pictures("a.png")
    voc(folder, "a", ("cat", 1, 1, 5, 5))
    folder.write("voc/z.xml", xml)
    table, findings, rows_in = read(folder.images, folder.root / "voc")
    (found,) = refusals(findings)
    assert (found.kind, found.rows) == (kind, "samples")
    assert found.file.endswith("z.xml")
    assert rows_in == {"samples": 2, "labels": 1}
    assert len(table.boxes) == 1


def test_voc_with_no_file_that_can_be_read(folder):
    """All files malformed: the folder as a whole can't be used."""
    folder.pictures("a.png")
    folder.write("voc/a.xml", "<annotation>")
    with pytest.raises(SourceError, match=r"a\.xml"):
        read(folder.images, folder.root / "voc")


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("bad-box", ("cat", "x", 1, 5, 5)),
        ("bad-box", ("cat", "", 1, 5, 5)),
        ("inverted-box", ("cat", 9, 1, 5, 5)),
        ("nan-box", ("cat", "nan", 1, 5, 5)),
        ("infinite-box", ("cat", 1, 1, "inf", 5)),
        ("box-out-of-frame", ("cat", 1, 1, 25, 5)),
        ("missing-label", (" ", 1, 1, 5, 5)),
    ],
)
def test_bad_voc_objects(folder, kind, row):
    """A bad object is one refused label."""
    folder.pictures("a.png")
    voc(folder, "a", ("cat", 1, 1, 5, 5), row)
    table, findings, _ = read(folder.images, folder.root / "voc")
    assert kinds(findings) == [kind]
    assert len(table.boxes) == 1


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("bad-box", "0 0.5 0.5 0.2"),
        ("bad-box", "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9"),
        ("bad-box", "0 a b c d"),
        ("unknown-label", "7 0.5 0.5 0.2 0.2"),
        ("unknown-label", "-1 0.5 0.5 0.2 0.2"),
        ("unknown-label", "0.5 0.5 0.5 0.2 0.2"),
        ("nan-box", "0 nan 0.5 0.2 0.2"),
        ("infinite-box", "0 0.5 0.5 inf 0.2"),
        ("inverted-box", "0 0.5 0.5 -0.2 0.2"),
        ("box-out-of-frame", "0 50 50 20 20"),
    ],
)
def test_bad_yolo_rows(folder, kind, line):
    """A bad row is one refused label, with its line."""
    folder.pictures("a.png")
    folder.write("labels/a.txt", f"1 0.5 0.5 0.5 0.5\n{line}\n")
    folder.write("data.yaml", "names: [cat, dog]")
    table, findings, _ = read(folder.images, folder.root / "data.yaml")
    assert [(f.kind, f.line) for f in refusals(findings)] == [(kind, 2)]
    assert len(table.boxes) == 1


def test_yolo_labels_without_image(folder):
    """Labels of an image that isn't there are refused one by one."""
    folder.pictures("a.png")
    folder.write("labels/b.txt", "0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n")
    _, findings, rows_in = read(folder.images, folder.write("data.yaml", "names: [cat, dog]"))
    assert kinds(findings) == ["unknown-image", "unknown-image"]
    assert rows_in == {"samples": 1, "labels": 2}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.png,cat,one,2,3,4", "bad-box"),
        ("a.png,cat,nan,2,3,4", "nan-box"),
        ("a.png,cat,,2,3,4", "nan-box"),
        ("a.png,,1,2,3,4", "missing-label"),
        (",cat,1,2,3,4", "missing-path"),
        ("none.png,cat,1,2,3,4", "refused-image"),
    ],
)
def test_bad_rows_of_a_table_of_boxes(folder, row, kind):
    """A bad box is refused with its line in the file."""
    folder.pictures("a.png")
    path = folder.write("labels.csv", f"filepath,label,x,y,width,height\na.png,dog,1,2,3,4\n\n{row}\n")
    table, findings, _ = read(folder.images, path)
    assert [(f.kind, f.line) for f in refusals(findings, "labels")] == [(kind, 4)]
    assert len(table.boxes) == 1


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("l.csv", "", "empty"),
        ("l.csv", "  \n\n", "empty"),
        ("l.csv", "filepath,label\na.png,x\na.png,x,y\n", "line 3"),
        ("l.csv", b"filepath,label\na.png,\xff\n", "line 2.*UTF-8"),
        ("l.csv", 'filepath,label\na.png,"x\n', "string"),
        ("l.csv", "filepath,label\na,b,c\nd,e,f\n", "more cells|line 2"),
        ("l.csv", "path,path,label\na,b,c\n", "again: 'path'"),
        ("l.csv", "file_path,label\na.png,x\n", r"It has the columns 'file_path', 'label'.*Did you mean 'file_path'"),
        ("l.csv", "filepath,lable\na.png,x\n", "Did you mean 'lable'"),
        ("l.jsonl", '{"filepath": "a.png"}\n{"filepath": \n', "line 2"),
        ("l.jsonl", '{"filepath": "a.png"}\n[1]\n', "line 2"),
        ("l.jsonl", '{"a": 1},{"a": 2}\n', "line 1"),
        ("l.parquet", b"PAR1 nonsense", "Parquet"),
        ("l.json", '{"images": [}', "line 1"),
        ("l.json", '{"images": 5}', "list 'images'"),
        ("l.json", '{"images": []}', "empty"),
        ("l.json", '{"image": []}', "Did you mean 'image'"),
        ("l.json", "[" * 100_000, "JSON"),
        ("l.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "predictions"),
        ("l.json", '{"images": [{}], "annotations": [{}]}', "categories"),
        ("l.json", '{"images": [{}], "categories": [{"id": "x"}]}', "category"),
        ("l.json", '{"images": [{}], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "stands for"),
        ("data.yaml", "names: [", "line"),
        ("data.yaml", "nc: 3", "names"),
        ("data.yaml", "!!python/object/apply:os.getcwd []", "YAML"),
        ("l.docx", "x", "can't be told"),
    ],
)
def test_files_that_cannot_be_used_as_a_whole(folder, name, content, match):
    """A SourceError that names the file and says where and why."""
    folder.pictures("a.png")
    (folder.root / "labels").mkdir()
    path = folder.write(name, content)
    with pytest.raises(SourceError, match=match) as error:
        read_samples(folder.images, path, progress=False)
    assert name in str(error.value)


def test_other_folders_that_cannot_be_used(folder):
    """No images, splits instead of classes, no file of labels, no names of classes."""
    with pytest.raises(SourceError, match="no images"):
        read(folder.images)
    folder.pictures("train/cat/a.png", "val/cat/a.png")
    with pytest.raises(SourceError, match="splits"):
        read(folder.images)
    with pytest.raises(SourceError, match="no file or folder"):
        read(folder.images, folder.root / "none.csv")
    folder.write("labels/a.txt", "0 0.5 0.5 1 1")
    with pytest.raises(SourceError, match="classes"):
        read(folder.images, folder.root / "labels")


def test_arguments_that_do_not_go_together(folder):
    """Misuse is InvalidInputError."""
    folder.pictures("a.png", "b.png")
    frame = pd.DataFrame({"filepath": ["a.png"], "label": ["x"]})
    for args, more in [
        ((frame, frame), {}),
        ((None, None), {}),
        (([], None), {}),
        ((folder.images, frame), {"task": "segmentation"}),
        ((folder.images, frame), {"classes": ["x", "x"]}),
        ((folder.images, folder.coco()), {"task": "classification"}),
        ((["a.png"], "labels.csv"), {}),
        ((folder.images, 5), {}),
    ]:
        with pytest.raises(InvalidInputError):
            read_samples(*args, progress=False, **more)


def test_everything_at_once_still_adds_up(folder):
    """Many bad rows together: each is counted once, and the good ones are there."""
    folder.pictures("a.png", "b.png", "c.png")
    folder.write("images/b.png", b"")
    images = [
        {"id": i, "file_name": n} for i, n in enumerate(["a.png", "b.png", "../c.png", "none.png", "a.png", "c.png"])
    ]
    boxes = [[1, 1, 4, 4], [NAN, 1, 4, 4], [1, 1, -4, 4], [99, 1, 4, 4], [1], None]
    annotations = [note(10 * i + j, b, image=i) for i in range(7) for j, b in enumerate(boxes)]
    table, findings, rows_in = read_samples(
        folder.images, folder.coco(images=images, annotations=annotations), progress=False
    )
    check_books(table, findings, rows_in)
    assert rows_in == {"samples": 6, "labels": 42}
    assert table.samples.index.tolist() == ["a.png", "c.png"]
    assert table.boxes["label_id"].tolist() == ["0", "50"]
