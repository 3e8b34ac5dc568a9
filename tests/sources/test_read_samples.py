"""Every label format gives the same kind of table."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError, SourceError
from slicelab.sources import detect_format, probe_image, read_categories, read_samples
from tests.sources.conftest import check_books, kinds


def read(*args, **more):
    table, findings, rows_in = read_samples(*args, progress=False, **more)
    check_books(table, findings, rows_in)
    return table, findings, rows_in


def boxes_of(table):
    return sorted(table.boxes[["key", "label", "x", "y", "width", "height"]].itertuples(index=False, name=None))


def test_folder_per_class(folder):
    """The first folder is the class; sizes and hashes are the files'."""
    folder.pictures("cat/1.png", "cat/deep/2.png", "dog/1.png")
    table, findings, rows_in = read(folder.images)
    assert table.task == "classification"
    assert table.classes == ("cat", "dog")
    assert table.samples["label"].to_dict() == {"cat/1.png": "cat", "cat/deep/2.png": "cat", "dog/1.png": "dog"}
    assert table.samples.loc["dog/1.png", "filepath"] == str(folder.images / "dog/1.png")
    assert table.samples.loc["dog/1.png", "sha256"] == probe_image(folder.images / "dog/1.png").sha256
    assert table.samples[["width", "height"]].dtypes.tolist() == [np.dtype("int64")] * 2
    assert (findings, rows_in) == ([], {"samples": 3, "labels": 3})


@pytest.mark.parametrize("form", ["csv", "semicolons", "jsonl", "json", "parquet", "frame"])
def test_tables_of_labels(folder, form):
    """A table in each form: labels by row, other columns as metadata of their type, 'NA' is a class."""
    folder.pictures("a.png", "b.png", "c.png")
    frame = pd.DataFrame(
        {
            "filepath": ["c.png", "a.png", "b.png"],
            "label": ["NA", "None", "é"],
            "age": [3, 4, 5],
            "code": ["01", "02", "x"],
        }
    )
    path = folder.root / f"labels.{'csv' if form == 'semicolons' else form}"
    if form in ("csv", "semicolons"):
        frame.to_csv(path, index=False, sep=";" if form == "semicolons" else ",")
    elif form == "parquet":
        frame.to_parquet(path)
    elif form != "frame":
        frame.to_json(path, orient="records", lines=form == "jsonl")
    table, findings, _ = read(folder.images, frame if form == "frame" else path)
    assert findings == []
    assert table.samples.index.tolist() == ["c.png", "a.png", "b.png"]
    assert table.samples["label"].tolist() == ["NA", "None", "é"]
    assert table.samples["age"].tolist() == [3, 4, 5]
    assert table.samples["code"].tolist() == ["01", "02", "x"]
    assert table.metadata_columns == ["age", "code"]


def test_types_of_metadata(folder):
    """Numbers in a CSV are numbers; in JSON a text stays one; what can't be stored is replaced, also in names."""
    folder.pictures("a.png")
    path = folder.write("l.csv", "filepath,label,n,empty,t\na.png,x,2.5,,2e\n")
    row = read(folder.images, path)[0].samples.iloc[0]
    assert (row["n"], row["t"], pd.isna(row["empty"])) == (2.5, "2e", True)
    path = folder.write("l.json", [{"filepath": "a.png", "label": "x", "n": "2", "s": "a\ud800", "\ud800": 1}])
    row = read(folder.images, path)[0].samples.iloc[0]
    assert (row["n"], row["s"]) == ("2", "a?")
    json.dumps(row.to_dict(), default=int, ensure_ascii=False).encode()


def test_own_keys_and_reserved_names(folder):
    """The user's key is the key; columns whose names are taken get others, with a notice."""
    folder.pictures("a.png", "b.png")
    frame = pd.DataFrame(
        {
            "image": ["a.png", "b.png"],
            "class": ["x", "y"],
            "id": [7, 8],
            "tags": [1, 2],
            "a.b": [3, 4],
            "'label": [5, 6],
        }
    )
    table, findings, _ = read(folder.images, frame)
    assert table.samples.index.tolist() == ["7", "8"]
    assert table.metadata_columns == ["metadata_tags", "a_b", "metadata_label"]
    assert kinds(findings, refused=False) == ["renamed-column"] * 3


def test_absolute_paths_get_keys_below_the_root(folder):
    """A DataFrame of absolute paths: keys are relative to what they share, or to root."""
    folder.pictures("x/a.png", "x/b.png")
    frame = pd.DataFrame({"filepath": [str(folder.images / f"x/{n}.png") for n in "ab"], "label": ["u", "v"]})
    assert read(frame)[0].samples.index.tolist() == ["a.png", "b.png"]
    assert read(frame, root=folder.images)[0].samples.index.tolist() == ["x/a.png", "x/b.png"]
    assert read(folder.images, frame)[0].samples.index.tolist() == ["x/a.png", "x/b.png"]


def test_lists_of_files_and_labels(folder):
    """A list of files with a list of labels."""
    folder.pictures("a.png", "b.png")
    files = [folder.images / "b.png", folder.images / "a.png"]
    table, findings, _ = read(files, ["x", "y"])
    assert table.samples["label"].to_dict() == {"b.png": "x", "a.png": "y"}
    table, findings, _ = read(pd.Series([str(f) for f in files]))
    assert table.samples["label"].isna().all()
    assert kinds(findings, refused=False) == ["unlabelled-image"]
    with pytest.raises(InvalidInputError, match="2 images and 1 labels"):
        read(files, ["x"])


def test_coco_equals_pycocotools(folder):
    """The boxes, names, crowds and images are those that pycocotools loads from the same file."""
    from pycocotools.coco import COCO

    folder.pictures("a.png", "b.png", "c.png")
    images = [
        {"id": i, "file_name": f"{n}.png", "width": 20, "height": 10, "license": 4}
        for i, n in ((7, "a"), (9, "b"), (2, "c"))
    ]
    rng = np.random.default_rng(3)
    annotations = [
        {
            "id": 100 + i,
            "image_id": int(rng.choice([7, 9])),
            "category_id": int(rng.choice([3, 5])),
            "bbox": [*rng.uniform(0, 4, 2).tolist(), *rng.uniform(0.5, 6, 2).tolist()],
            "iscrowd": int(i % 5 == 0),
            "area": 1.0,
        }
        for i in range(40)
    ]
    path = folder.coco(images=images, annotations=annotations)
    table, findings, rows_in = read(folder.images, path)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    expected = sorted(
        (
            coco.imgs[a["image_id"]]["file_name"],
            str(a["id"]),
            coco.cats[a["category_id"]]["name"],
            *a["bbox"],
            bool(a["iscrowd"]),
        )
        for a in coco.anns.values()
    )
    assert sorted(table.boxes.itertuples(index=False, name=None)) == expected
    assert table.samples["coco_image_id"].to_dict() == {"a.png": 7, "b.png": 9, "c.png": 2}
    assert table.samples["license"].tolist() == [4, 4, 4]
    assert table.classes == ("cat", "dog")
    assert read_categories(path) == {3: "cat", 5: "dog"}
    assert (findings, rows_in) == ([], {"samples": 3, "labels": 40})


def test_coco_without_annotations(folder):
    """No list of annotations: images without objects, and a notice."""
    folder.pictures("a.png")
    path = folder.write("labels.json", {"images": [{"id": 1, "file_name": "a.png"}]})
    table, findings, _ = read(folder.images, path)
    assert (len(table.samples), len(table.boxes), kinds(findings, refused=False)) == (1, 0, ["no-annotations"])


VOC = """<annotation><filename>{name}</filename><size><width>20</width><height>10</height><depth>3</depth></size>
{objects}</annotation>"""
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def voc(folder, name, *objects, file=None):
    body = "".join(OBJECT.format(*o) for o in objects)
    return folder.write(f"voc/{name}.xml", VOC.format(name=file or f"{name}.png", objects=body))


def test_voc_counts_from_one_and_includes_the_last_pixel(folder):
    """The whole image is (1, 1, width, height); one pixel is (5, 6, 5, 6)."""
    folder.pictures("a.png", "b.png")
    voc(folder, "a", ("cat", 1, 1, 20, 10), ("dog", 5, 6, 5, 6))
    voc(folder, "b")
    table, findings, _ = read(folder.images, folder.root / "voc")
    assert boxes_of(table) == [("a.png", "cat", 0, 0, 20, 10), ("a.png", "dog", 4, 5, 1, 1)]
    assert table.samples.index.tolist() == ["a.png", "b.png"]
    assert findings == []


def test_voc_finds_images_by_path_name_or_stem(folder):
    """The XML's own path first, then its <filename>, with or without suffix."""
    folder.pictures("x/1.png", "y/1.png", "z/other.jpg", "z/third.png")
    voc(folder, "x/1")
    voc(folder, "y/1")
    voc(folder, "q", file="other.jpg")
    voc(folder, "r", file="third")
    table, findings, _ = read(folder.images, folder.root / "voc")
    assert sorted(table.samples.index) == ["x/1.png", "y/1.png", "z/other.jpg", "z/third.png"]
    assert findings == []


@pytest.mark.parametrize("names", ["{0: cat, 1: dog}", "[cat, dog]"])
@pytest.mark.parametrize("by", ["yaml", "folder", "classes.txt"])
def test_yolo(folder, names, by):
    """Shares of the image become pixels; an image without a file has no objects."""
    folder.pictures("train/a.png", "train/b.png", "val/c.png")
    folder.write("labels/train/a.txt", "0 0.5 0.5 0.5 0.4\n\n1 0.25 0.5 0.1 0.2\n")
    folder.write("labels/val/c.txt", "")
    if by == "classes.txt":
        folder.write("labels/classes.txt", "cat\ndog\n")
    else:
        folder.write("data.yaml", f"path: .\ntrain: images/train\nnames: {names}\n")
    table, findings, rows_in = read(folder.images, folder.root / ("data.yaml" if by == "yaml" else "labels"))
    assert table.classes == ("cat", "dog")
    assert [(k, n) for k, n, *_ in boxes_of(table)] == [("train/a.png", "cat"), ("train/a.png", "dog")]
    assert np.allclose([b[2:] for b in boxes_of(table)], [(5, 3, 10, 4), (4, 4, 2, 2)])
    assert table.boxes["label_id"].tolist() == ["1", "3"]
    assert (findings, rows_in) == ([], {"samples": 3, "labels": 2})


def test_yolo_from_the_folder_above(folder):
    """images/ and labels/ side by side, given as the folder that holds both."""
    folder.pictures("a.png")
    folder.write("labels/a.txt", "1 0.5 0.5 1 1\n")
    yaml = folder.write("data.yaml", "names: [cat, dog]")
    table, _, _ = read(folder.root, yaml)
    assert boxes_of(table) == [("images/a.png", "dog", 0, 0, 20, 10)]


def test_a_table_of_boxes(folder):
    """One row per box; a row without box and label says that the image has none."""
    folder.pictures("a.png", "b.png")
    rows = "filepath,label,x,y,width,height,iscrowd\na.png,cat,1,2,3,4,1\nb.png,,,,,,\na.png,dog,0,0,20,10,0\n"
    table, findings, rows_in = read(folder.images, folder.write("labels.csv", rows))
    assert boxes_of(table) == [("a.png", "cat", 1, 2, 3, 4), ("a.png", "dog", 0, 0, 20, 10)]
    assert table.boxes["crowd"].tolist() == [True, False]
    assert table.samples.index.tolist() == ["a.png", "b.png"]
    assert (findings, rows_in) == ([], {"samples": 2, "labels": 2})


def test_the_order_of_classes_is_kept(folder):
    """Given classes are the classes, also those that no label names."""
    folder.pictures("a.png")
    frame = pd.DataFrame({"filepath": ["a.png"], "label": ["b"]})
    assert read(folder.images, frame, classes=["c", "b", "a"])[0].classes == ("c", "b", "a")


def test_notices_do_not_refuse(folder):
    """A lying suffix, a wrong size in the labels, an image that isn't listed: loaded, and told."""
    folder.pictures("a.png", "extra.png")
    (folder.images / "a.png").rename(folder.images / "a.jpg")
    path = folder.coco(images=[{"id": 1, "file_name": "a.jpg", "width": 10, "height": 20}])
    table, findings, _ = read(folder.images, path)
    assert len(table.samples) == 1
    assert sorted(kinds(findings, refused=False)) == ["misnamed-file", "size-mismatch", "unlisted-image"]


def test_detection_without_labels(folder):
    """task="detection" and no labels: images with no boxes."""
    folder.pictures("x/a.png")
    table, _, _ = read(folder.images, task="detection")
    assert (table.task, len(table.samples), len(table.boxes)) == ("detection", 1, 0)
    assert "label" not in table.samples


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "x", "csv"),
        ("a.tsv", "x", "csv"),
        ("a.jsonl", "{}", "jsonl"),
        ("a.parquet", b"x", "parquet"),
        ("a.json", ' {"images": []}', "coco"),
        ("a.json", '[{"image_id": 1}]', "coco-results"),
        ("a.json", "[]", "coco-results"),
        ("a.json", '[{"filepath": "x"}]', "json"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', "jsonl"),
        ("data.yaml", "names: []", "yolo"),
        ("d/labels/1.txt", "", "yolo"),
        ("d/1.xml", "", "voc"),
        ("d/1.png", "", "folder"),
    ],
)
def test_formats_are_told(folder, name, content, expected):
    """By suffix, by how JSON begins, by what a folder holds."""
    path = folder.write(name, content)
    assert detect_format(folder.root / "d" if name.startswith("d/") else path) == expected


@pytest.mark.parametrize("name", ["none.csv", "a.docx"])
def test_formats_that_are_not_read(folder, name):
    """Nothing there, or nothing that is read, is a SourceError with the name."""
    folder.write("a.docx", "x")
    with pytest.raises(SourceError, match=name):
        detect_format(folder.root / name)
