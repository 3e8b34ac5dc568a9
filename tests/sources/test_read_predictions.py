"""Predictions in every format, and every kind of bad row."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError, SampleTable, SourceError
from slicelab.sources import read_predictions, read_predictions_for_suite, read_samples
from slicelab.sources._read_samples import empty_boxes
from tests.sources.conftest import kinds, refusals

NAN, INF = float("nan"), float("inf")


def classified(*keys, classes=("cat", "dog")):
    """A table of samples that needs no files."""
    samples = pd.DataFrame(
        {"filepath": [f"/data/images/{k}" for k in keys], "sha256": "0", "width": 20, "height": 10, "label": "cat"},
        index=pd.Index(keys, name="key"),
    )
    return SampleTable("classification", samples, empty_boxes(), classes)


def detected(*keys, classes=("cat", "dog"), ids=None):
    table = classified(*keys)
    samples = table.samples.drop(columns="label")
    if ids:
        samples["coco_image_id"] = ids
    return SampleTable("detection", samples, empty_boxes(), classes)


def read(source, table, **more):
    predictions, findings, rows_in = read_predictions(source, model="v1", table=table, **more)
    assert rows_in == len(predictions.frame) + len(refusals(findings, "predictions:v1"))
    assert {f.rows for f in findings} <= {"predictions:v1"}
    if predictions.task == "classification":
        assert predictions.frame.index.is_unique
    else:
        assert not predictions.frame.duplicated(["key", "box_id"]).any()
    if predictions.probabilities is not None:
        assert predictions.probabilities.dtype == np.float32
        assert np.allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    return predictions, findings, rows_in


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet", "frame"])
@pytest.mark.parametrize("by", ["key", "filepath", "absolute"])
def test_classification_in_every_form(folder, form, by):
    """Class, confidence and probabilities by key, by relative and by absolute path; columns in the classes' order."""
    refs = {"absolute": ["/data/images/x/b.png", "/data/images/x/a.png"]}.get(by, ["x/b.png", "x/a.png"])
    frame = pd.DataFrame(
        {
            "key" if by == "key" else "filepath": refs,
            "prediction": ["dog", "cat"],
            "confidence": [0.75, 0.6],
            "p_dog": [0.75, 0.4],
            "p_cat": [0.25, 0.6],
        }
    )
    path = folder.root / f"p.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "parquet":
        frame.to_parquet(path)
    elif form != "frame":
        frame.to_json(path, orient="records", lines=form == "jsonl")
    predictions, findings, _ = read(frame if form == "frame" else path, classified("x/a.png", "x/b.png"))
    assert findings == []
    assert predictions.frame.to_dict("index") == {
        "x/b.png": {"label": "dog", "confidence": 0.75},
        "x/a.png": {"label": "cat", "confidence": 0.6},
    }
    assert np.allclose(predictions.probabilities, [[0.25, 0.75], [0.6, 0.4]])
    if form != "frame":
        assert predictions.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_probabilities_or_only_classes():
    """The likeliest class where none is named; no confidence where none is given."""
    table = classified("a", "b")
    predictions, _, _ = read(pd.DataFrame({"key": ["a", "b"], "p_cat": [0.3, 0.9], "p_dog": [0.7, 0.1]}), table)
    assert predictions.frame["label"].tolist() == ["dog", "cat"]
    assert predictions.frame["confidence"].tolist() == pytest.approx([0.7, 0.9])
    predictions, _, _ = read(pd.DataFrame({"key": ["a", "b"], "prediction": ["cat", "dog"]}), table)
    assert predictions.frame["confidence"].isna().all()
    assert predictions.probabilities is None


def test_rounded_probabilities_are_normalised():
    """A sum within 0.01 of 1 is divided out, with a notice where it shows."""
    frame = pd.DataFrame({"key": ["a", "b"], "p_cat": [0.3, 0.905], "p_dog": [0.7, 0.1]})
    predictions, findings, _ = read(frame, classified("a", "b"))
    assert predictions.probabilities[1, 0] == pytest.approx(0.905 / 1.005)
    assert kinds(findings, refused=False) == ["renormalised"]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("unknown-image", {"key": "zz"}),
        ("missing-key", {"key": None}),
        ("bad-key", {"key": "\ud800"}),
        ("duplicate-prediction", {"key": "a"}),
        ("unknown-label", {"prediction": "catt"}),
        ("bad-label", {"prediction": "c\x00t"}),
        ("bad-confidence", {"confidence": 1.5}),
        ("bad-confidence", {"confidence": -0.1}),
        ("bad-confidence", {"confidence": INF}),
        ("bad-confidence", {"confidence": "high"}),
        ("bad-probability", {"p_cat": 0.9}),
        ("bad-probability", {"p_cat": NAN}),
        ("bad-probability", {"p_cat": "x"}),
        ("bad-probability", {"p_cat": -0.2, "p_dog": 1.2}),
        ("bad-probability", {"p_cat": INF}),
    ],
)
def test_bad_rows_of_classification(kind, row):
    """A bad row is refused with its kind and line, its neighbours are loaded."""
    good = {"prediction": "cat", "confidence": 0.5, "p_cat": 0.5, "p_dog": 0.5}
    rows = [{"key": "a", **good}, {"key": "b", **good} | row, {"key": "c", **good}]
    frame = pd.DataFrame({n: pd.Series([r[n] for r in rows], dtype=object) for n in rows[0]})
    predictions, findings, rows_in = read(frame, classified("a", "b", "c"))
    assert [(f.kind, f.line) for f in refusals(findings)] == [(kind, 2)]
    assert predictions.frame.index.tolist() == ["a", "c"]
    assert rows_in == 3
    assert kinds(findings, refused=False) == ["unpredicted-image"]


def test_a_row_without_prediction():
    """Neither class nor probabilities: refused."""
    _, findings, _ = read(pd.DataFrame({"key": ["a", "b"], "prediction": ["cat", ""]}), classified("a", "b"))
    assert kinds(findings) == ["missing-label"]


def test_paths_from_another_machine():
    """A beginning that all paths share is taken off, with a notice; a stray row is not matched in a way of its own."""
    table = classified("x/a.png", "x/b.png")
    frame = pd.DataFrame({"filepath": ["C:/elsewhere/x/a.png", "C:/elsewhere/x/b.png"], "prediction": ["cat", "dog"]})
    predictions, findings, _ = read(frame, table)
    assert predictions.frame.index.tolist() == ["x/a.png", "x/b.png"]
    assert kinds(findings, refused=False) == ["matched-by-path"]
    frame["filepath"] = ["x/a.png", "other/x/b.png"]
    _, findings, _ = read(frame, table)
    assert kinds(findings) == ["unknown-image"]


def test_paths_where_keys_are_the_users_own():
    """Samples with own ids are found by file."""
    table = classified("a.png", "b.png")
    table.samples.index = pd.Index(["k1", "k2"], name="key")
    predictions, _, _ = read(pd.DataFrame({"id": [5, 6], "image": ["b.png", "a.png"], "label": ["cat", "dog"]}), table)
    assert predictions.frame["label"].to_dict() == {"k2": "cat", "k1": "dog"}


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"file": ["a"], "prediction": ["cat"]}, "has the columns 'file', 'prediction'"),
        ({"key": ["a"], "predicton": ["cat"]}, "Did you mean 'predicton'"),
        ({"key": ["a"], "p_cat": [1.0]}, "Missing: 'p_dog'"),
        ({"key": ["a"], "p_cat": [1.0], "p_dog": [0.0], "p_fish": [0.0]}, "of no class: 'p_fish'"),
        ({"key": [], "prediction": []}, "no rows"),
    ],
)
def test_tables_that_cannot_be_used(columns, match):
    """Columns that are missing or too many are named."""
    with pytest.raises(SourceError, match=match):
        read(pd.DataFrame(columns), classified("a"))


def result(image=7, category=1, bbox=(1, 2, 3, 4), score=0.5, **more):
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score, **more}


def test_coco_results(folder):
    """Boxes by COCO image id, by key and by file name; classes by id, by name."""
    entries = [result(), result(9, 2), result("b", 2, score=1), result("/data/images/a", "dog"), result(7, label="cat")]
    path = folder.write("p.json", entries)
    predictions, findings, rows_in = read(path, detected("a", "b", ids=[7, 9]), categories={1: "cat", 2: "dog"})
    assert rows_in == 5
    assert predictions.frame[["key", "box_id", "label"]].values.tolist()[:3] == [
        ["a", "0", "cat"],
        ["b", "0", "dog"],
        ["b", "1", "dog"],
    ]
    assert predictions.frame["x"].dtype == np.float64
    assert kinds(findings) == ["unknown-image"]


def test_coco_results_equal_pycocotools(folder):
    """The same boxes as pycocotools loads from the same two files."""
    import contextlib
    import io

    from pycocotools.coco import COCO

    folder.pictures("a.png", "b.png")
    labels = folder.coco()
    rng = np.random.default_rng(1)
    entries = [
        result(int(rng.choice([7, 9])), int(rng.choice([3, 5])), rng.uniform(0.5, 4, 4).tolist(), float(rng.random()))
        for _ in range(30)
    ]
    path = folder.write("p.json", entries)
    table, _, _ = read_samples(folder.images, labels, progress=False)
    predictions, _, _ = read(path, table, categories={3: "cat", 5: "dog"})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(labels))
        loaded = coco.loadRes(str(path))
    expected = [
        (coco.imgs[a["image_id"]]["file_name"], coco.cats[a["category_id"]]["name"], *a["bbox"], a["score"])
        for _, a in sorted(loaded.anns.items())
    ]
    columns = ["key", "label", "x", "y", "width", "height", "confidence"]
    assert list(predictions.frame[columns].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize(("ids", "names"), [((0, 1), ("cat", "dog")), ((1, 2), ("cat", "dog")), ((0,), ("cat",))])
def test_category_ids_that_can_be_told(folder, ids, names):
    """Counting from 0 or from 1 is told by an id that fits only one."""
    path = folder.write("p.json", [result(category=i) for i in ids])
    predictions, _, _ = read(path, detected("a", ids=[7]))
    assert predictions.frame["label"].tolist() == list(names)


@pytest.mark.parametrize("ids", [(1,), (0, 2), (5,)])
def test_category_ids_that_cannot_be_told(folder, ids):
    """Nobody guesses."""
    with pytest.raises(SourceError, match="read_categories"):
        read(folder.write("p.json", [result(category=i) for i in ids]), detected("a", ids=[7]))


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("unknown-image", {"image": 99}),
        ("missing-key", {"image": None}),
        ("unknown-label", {"category": 9}),
        ("unknown-label", {"category": None}),
        ("nan-box", {"bbox": (NAN, 1, 2, 3)}),
        ("infinite-box", {"bbox": (1, 1, INF, 3)}),
        ("inverted-box", {"bbox": (1, 1, -1, 3)}),
        ("box-out-of-frame", {"bbox": (50, 1, 2, 3)}),
        ("bad-box", {"bbox": (1, 1)}),
        ("bad-confidence", {"score": NAN}),
        ("bad-confidence", {"score": None}),
        ("bad-confidence", {"score": 1.2}),
        ("bad-confidence", {"score": "0.5"}),
    ],
)
def test_bad_results(folder, kind, bad):
    """A bad result is refused with its place in the list."""
    path = folder.write("p.json", [result(), result(**bad), result()])
    predictions, findings, _ = read(path, detected("a", ids=[7]), categories={1: "cat"})
    assert [(f.kind, f.line) for f in refusals(findings)] == [(kind, 2)]
    assert len(predictions.frame) == 2


def test_results_that_stick_out(folder):
    """A predicted box that reaches beyond its image stays as it is, with one notice, as COCO's evaluation takes it."""
    path = folder.write("p.json", [result(bbox=(15, 1, 8, 3))])
    predictions, findings, _ = read(path, detected("a", ids=[7]), categories={1: "cat"})
    assert predictions.frame[["x", "width"]].values.tolist() == [[15, 8]]
    assert kinds(findings, refused=False) == ["box-beyond-frame"]


def test_a_detector_that_finds_nothing(folder):
    """An empty list is an answer: no boxes, and a notice that no image has any."""
    predictions, findings, rows_in = read(folder.write("p.json", []), detected("a"))
    assert (len(predictions.frame), rows_in, kinds(findings, refused=False)) == (0, 0, ["unpredicted-image"])


@pytest.mark.parametrize("entry", [5, None, "x", []])
def test_results_that_are_no_objects(folder, entry):
    """A stray value in the list is one refused row."""
    path = folder.write("p.json", [result(), entry])
    _, findings, _ = read(path, detected("a", ids=[7]), categories={1: "cat"})
    assert kinds(findings) == ["malformed-row"]


def test_numbers_without_ids(folder):
    """Image ids mean nothing where the samples have none; own keys that are numbers are keys."""
    path = folder.write("p.json", [result()])
    with pytest.raises(SourceError, match="COCO image ids"):
        read(path, detected("a"), categories={1: "cat"})
    assert len(read(path, detected("7"), categories={1: "cat"})[0].frame) == 1


def test_a_table_of_boxes(folder):
    """A row per box; label, numbers and confidence are checked by row."""
    rows = "filepath,label,x,y,w,h,score\na,cat,1,2,3,4,0.5\na,dog,1,2,3,4,\na,cat,x,2,3,4,0.5\nb,cat,0,0,1,1,1\n"
    predictions, findings, _ = read(folder.write("p.csv", rows), detected("a", "b"))
    assert sorted((f.line, f.kind) for f in refusals(findings)) == [(3, "bad-confidence"), (4, "bad-box")]
    assert predictions.frame["box_id"].tolist() == ["0", "0"]


def test_yolo_predictions(folder):
    """Six cells, confidence last; five cells, or a file for no image, are refused."""
    folder.write("pred/x/a.txt", "0 0.5 0.5 0.5 0.4 0.9\n1 0.5 0.5 0.5 0.4\n")
    folder.write("pred/none.txt", "0 0.5 0.5 0.5 0.4 0.9\n")
    predictions, findings, rows_in = read(folder.root / "pred", detected("x/a.png", "x/b.png"))
    assert predictions.frame.drop(columns="box_id").values.tolist() == [["x/a.png", "cat", 5, 3, 10, 4, 0.9]]
    assert sorted(kinds(findings)) == ["bad-confidence", "unknown-image"]
    assert rows_in == 3


def test_without_samples():
    """table=None: any key, the classes that occur."""
    predictions, findings, _ = read(pd.DataFrame({"key": ["q", "r"], "prediction": ["u", "v"]}), None)
    assert (predictions.frame.index.tolist(), predictions.classes, findings) == (["q", "r"], ("u", "v"), [])


def test_sources_that_are_no_predictions(folder):
    """Labels, a folder, or the other task: said so."""
    folder.pictures("a.png")
    for source in (folder.coco(), folder.images, folder.root / "none.csv"):
        with pytest.raises(SourceError):
            read(source, detected("a"))
    with pytest.raises(SourceError, match="x, y, width, height"):
        read(pd.DataFrame({"key": ["a"], "prediction": ["cat"]}), detected("a"))
    with pytest.raises(SourceError, match="for detection"):
        read(folder.write("p.json", [result("a", label="cat")]), classified("a"))
    with pytest.raises(InvalidInputError):
        read(pd.DataFrame({"key": ["a"], "prediction": ["cat"]}), classified("a"), task="detection")


def test_the_gate_reads_the_same(folder):
    """Without images, by keys and sizes alone, the same frame comes out."""
    table = detected("a", "b", ids=[7, 9])
    path = folder.write("p.json", [result(), result(9, 2), result(99), result(bbox=(50, 1, 1, 1))])
    whole, findings, _ = read(path, table, categories={1: "cat", 2: "dog"})
    suite, suite_findings, _ = read_predictions_for_suite(
        path,
        model="v1",
        task="detection",
        classes=table.classes,
        samples=table.samples[["width", "height"]],
        image_ids={7: "a", 9: "b"},
        categories={1: "cat", 2: "dog"},
    )
    pd.testing.assert_frame_equal(whole.frame, suite.frame)
    assert (suite_findings, suite.sha256) == (findings, whole.sha256)


def test_the_gate_imports_nothing_heavy(folder):
    """Reading a CSV and COCO results loads none of the heavy libraries."""
    csv = folder.write("p.csv", "key,prediction\na,cat\n")
    coco = folder.write("p.json", [result("a", label="cat")])
    code = f"""
import sys, pandas as pd
from PIL import Image  # before 13 it loads defusedxml itself
of_pillow = set(sys.modules)
from slicelab.sources import read_predictions_for_suite as read
samples = pd.DataFrame({{"width": [20], "height": [10]}}, index=pd.Index(["a"], name="key"))
for path, task in (({str(csv)!r}, "classification"), ({str(coco)!r}, "detection")):
    found = read(path, model="m", task=task, classes=["cat"], samples=samples, image_ids=None)
    assert len(found[0].frame) == 1, found
heavy = {{"fiftyone", "torch", "sklearn", "umap", "scipy", "pymongo", "cv2", "yaml", "defusedxml"}}
print(sorted(heavy & (set(sys.modules) - of_pillow)), "pyarrow.parquet" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


def test_json_of_a_frame_and_its_file_agree(folder):
    """The same rows as JSON lines and as a DataFrame give the same predictions."""
    rows = [{"key": "a", "label": "cat", "score": 0.25}, {"key": "b", "label": "dog", "score": 1}]
    path = folder.write("p.jsonl", "\n".join(json.dumps(r) for r in rows))
    first, _, _ = read(path, classified("a", "b"))
    second, _, _ = read(pd.DataFrame(rows), classified("a", "b"))
    pd.testing.assert_frame_equal(first.frame, second.frame)
