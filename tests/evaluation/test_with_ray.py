"""Outcomes over partitions: those of all tables at once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from slicelab.core import TEXT, InvalidInputError, SourceError
from slicelab.evaluation import classification_units, detection_units, evaluate_with_ray
from slicelab.evaluation._detection_units import best_confidence
from slicelab.evaluation._with_ray import _Asked, _evaluated, _levels
from slicelab.partitions import Folder
from slicelab.partitions._transform import _Transformer

PARTS = 5


def write(folder, frame, part):
    """Write rows by the number of their partition; each partition has a file, with rows or without."""
    for i in range(PARTS):
        rows = frame[np.asarray(part) == i].reset_index(drop=True)
        Folder(folder).write(f"part-{i}", pa.Table.from_pandas(rows, preserve_index=False))


def run_here(data, output, asked):
    """What workers do, done here; return all units."""
    worker = _Transformer(
        (str(data.labels), str(data.predictions)), str(output), _evaluated, SimpleNamespace(get=lambda: asked), "job"
    )
    for name in Folder(data.labels).names():
        worker(pa.table({"name": [name]}))
    return read(output)


def read(output):
    return pd.concat([pd.read_parquet(path) for path in sorted(output.glob("*.parquet"))]).set_index("unit")


def same(units, whole):
    """Every unit is there once with the same values, to the last bit."""
    assert sorted(units.index) == sorted(whole.index)
    units = units.loc[whole.index]
    assert list(units) == list(whole)
    for column in whole:
        mine, theirs = units[column].to_numpy(object), whole[column].to_numpy(object)
        nothing = pd.isna(theirs)
        np.testing.assert_array_equal(pd.isna(mine), nothing, err_msg=column)
        np.testing.assert_array_equal(mine[~nothing], theirs[~nothing], err_msg=column)


@pytest.fixture
def boxes(random_detection, tmp_path):
    """Labelled and predicted boxes of 40 images in five partitions, the last of them without any image."""
    table, predictions = random_detection(3)
    frame = predictions.frame.assign(box_id=predictions.frame.groupby("key").cumcount().astype(str))
    whole = detection_units(table, replace(predictions, frame=frame))
    part = {key: i % (PARTS - 1) for i, key in enumerate(table.samples.index)}
    empty = pd.DataFrame({"key": table.samples.index.difference(table.boxes["key"])})
    labels = pd.concat([table.boxes, empty], ignore_index=True).astype({"crowd": "boolean"})
    write(tmp_path / "boxes" / "labels", labels, labels["key"].map(part))
    write(tmp_path / "boxes" / "predictions", frame.drop(columns="box_id"), frame["key"].map(part))
    return SimpleNamespace(
        labels=tmp_path / "boxes" / "labels", predictions=tmp_path / "boxes" / "predictions", whole=whole
    )


@pytest.fixture
def classes(tmp_path):
    """Labels and predictions of 100 images in five partitions; some unlabelled, some unpredicted, one part wholly."""
    from slicelab.core import Predictions, SampleTable

    rng = np.random.default_rng(0)
    keys = pd.Index([f"k{i:02}" for i in range(100)], name="key", dtype=TEXT)
    label = rng.choice(np.array(["cat", "dog", None], dtype=object), 100, p=[0.5, 0.4, 0.1])
    samples = pd.DataFrame({"label": pd.Series(label, index=keys, dtype=TEXT)})
    said = pd.DataFrame({"label": rng.choice(["cat", "dog"], 100), "confidence": rng.uniform(0.5, 1, 100)}, index=keys)
    part = np.arange(100) % PARTS
    there = (part != 2) & (rng.random(100) < 0.9)
    table = SampleTable("classification", samples, pd.DataFrame(), ("cat", "dog"))
    predictions = Predictions("v1", "classification", said[there].astype({"label": TEXT}), ("cat", "dog"))
    write(tmp_path / "classes" / "labels", samples.reset_index(), part)
    write(tmp_path / "classes" / "predictions", said[there].reset_index(), part[there])
    whole = classification_units(table, predictions)
    return SimpleNamespace(
        labels=tmp_path / "classes" / "labels", predictions=tmp_path / "classes" / "predictions", whole=whole
    )


def test_workers_judge_boxes_as_one_call_does(boxes, tmp_path):
    """Crowds, images without boxes and partitions without images among them."""
    asked = _Asked("detection", "v1", 0.5, boxes.whole.attrs["confidence"])
    same(run_here(boxes, tmp_path / "out", asked), boxes.whole)
    assert {"tp", "missed", "spurious", "duplicate", "misclassified"} <= set(boxes.whole["outcome"])


def test_the_confidence_of_all_partitions_is_chosen(boxes):
    """What workers count adds up to what the F1 of all boxes is highest at."""
    asked = _Asked("detection", "v1", 0.5, None)
    pairs = [
        (Folder(boxes.labels).read(f"part-{i}"), Folder(boxes.predictions).read(f"part-{i}")) for i in range(PARTS)
    ]
    rows = pd.concat([_levels(asked, *pair).to_pandas() for pair in pairs])
    levels = rows.dropna().groupby("confidence", as_index=False).sum()
    assert best_confidence(levels, rows["labelled"].sum()) == boxes.whole.attrs["confidence"]
    alone = [best_confidence(_levels(asked, *pair).to_pandas().dropna(), 1) for pair in pairs]
    assert alone[-1] == 0
    assert boxes.whole.attrs["confidence"] not in (0, alone[0])


def test_workers_judge_classes_as_one_call_does(classes, tmp_path):
    """Also where nothing was predicted in a partition, whose columns have the types of the others."""
    units = run_here(classes, tmp_path / "out", _Asked("classification", "v1", 0.5, None))
    same(units, classes.whole)
    assert {"correct", "wrong", "unpredicted"} == set(classes.whole["outcome"])
    assert len({str(Folder(tmp_path / "out").read(f"part-{i}").schema.types) for i in range(PARTS)}) == 1


def test_labels_say_of_which_group_an_image_is():
    """For boxes and classes, the same text for whole numbers in any type; without one the image is by itself."""
    keys = ["a", "a", "b", "c"]
    place = {"x": [0.0, 20.0, 0.0, 0.0], "y": [0.0] * 4, "width": [9.0] * 4, "height": [9.0] * 4}
    boxes = pa.table({"key": keys, "label": ["cat"] * 4, **place, "group": [7.0, 7.0, 7.0, None]})
    said = pa.table(SAID_BOX | {"key": ["c"]})
    units = _evaluated(_Asked("detection", "v1", 0.5, 0.3), boxes, said).to_pandas().set_index("unit")
    assert units.groupby("key")["group_id"].unique().map(list).to_dict() == {"a": ["7"], "b": ["7"], "c": ["c"]}
    classes = pa.table({"key": ["a", "b"], "label": ["cat", "cat"], "group": [7, 8]})
    units = _evaluated(_Asked("classification", "v1", 0.5, None), classes, pa.table(SAID)).to_pandas()
    assert units["group_id"].tolist() == ["7", "8"]


def test_changed_predictions_are_judged_again(classes, tmp_path):
    """Of five partitions only the one whose predictions changed."""
    asked = _Asked("classification", "v1", 0.5, None)
    run_here(classes, tmp_path / "out", asked)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    table = Folder(classes.predictions).read("part-3")
    Folder(classes.predictions).write("part-3", table.slice(1))
    run_here(classes, tmp_path / "out", asked)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"part-3.parquet"}


LABEL = {"key": ["a"], "label": ["cat"]}
BOX = {**LABEL, "x": [1.0], "y": [1.0], "width": [2.0], "height": [2.0]}
SAID = {"key": ["a"], "prediction": ["cat"], "confidence": [0.5]}
SAID_BOX = {**SAID, "x": [1.0], "y": [1.0], "width": [2.0], "height": [2.0]}


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ({"key": ["a"]}, SAID, "lack the columns 'label'"),
        ({**LABEL, "x": [1.0]}, SAID, "lack the columns 'y', 'width', 'height'"),
        ({"key": ["a", "a"], "label": ["cat", "dog"]}, SAID, "these are twice: 'a'"),
        ({"key": [1], "label": ["cat"]}, SAID, "must be texts.*1"),
        ({"key": [None], "label": ["cat"]}, SAID, "must be texts"),
        (LABEL, {"key": ["a"], "confidence": [0.5]}, "no column for the predicted class"),
        (LABEL, SAID | {"confidence": [1.5]}, "confidence must be from 0 to 1"),
        (LABEL, SAID | {"key": ["b"]}, "aren't among its labels: 'b'"),
        (BOX | {"width": [0.0]}, SAID_BOX, "above 0; 1 have none, on 'a'"),
        (BOX | {"label": [None]}, SAID_BOX, "a labelled box needs a label"),
        (BOX | {"x": ["left"]}, SAID_BOX, "must be numbers"),
        (BOX | {"label_id": ["a#1"]}, SAID_BOX, "without '#'"),
        (
            {k: v * 2 for k, v in BOX.items()} | {"label_id": ["1", "2"], "group": ["g", "h"]},
            SAID_BOX,
            "one group only; of several are 'a'",
        ),
        (BOX, SAID, "for classification, the samples are for detection"),
    ],
)
def test_what_is_not_right_names_itself(labels, predictions, message):
    """Rows aren't left out in silence: a partition with a bad one is an error."""
    task = "detection" if "width" in labels else "classification"
    asked = _Asked(task, "v1", 0.5, 0.3)
    with pytest.raises(SourceError, match=message):
        _evaluated(asked, pa.table(labels), pa.table(predictions))


def test_wrong_requests_are_refused_before_anything_starts(boxes, classes, tmp_path):
    """No partitions, not the same ones, no confidence for boxes, numbers out of range."""

    def evaluate(data, **options):
        options = {"model": "v1", "output": tmp_path / "out", "progress": False, "confidence": 0.5} | options
        evaluate_with_ray(data.labels, options.pop("predictions", data.predictions), **options)

    Folder(tmp_path / "few").write("part-0", pa.table(SAID))
    wrong = [
        (SourceError, "in one of them only: 'part-1', 'part-2'", {"predictions": tmp_path / "few"}),
        (InvalidInputError, "from 0 to 1", {"confidence": 2.0}),
        (InvalidInputError, "above 0.1", {"iou": 0.05}),
        (InvalidInputError, "model", {"model": ""}),
    ]
    for error, message, options in wrong:
        with pytest.raises(error, match=message):
            evaluate(boxes, **options)
    with pytest.raises(SourceError, match="no partitions of labels"):
        evaluate(SimpleNamespace(labels=tmp_path / "none", predictions=classes.predictions))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["boxes", "classes"])
def test_a_cluster_judges_as_one_call_does(kind, request, tmp_path, connected):
    """The units are the same, and the counts are theirs."""
    data = request.getfixturevalue(kind)
    counts = evaluate_with_ray(
        data.labels,
        data.predictions,
        model="v1",
        output=tmp_path / "out",
        address=connected,
        progress=False,
    )
    assert counts.attrs.get("confidence") == data.whole.attrs.get("confidence")
    same(read(tmp_path / "out"), data.whole)
    by = ["label", "prediction", "outcome"]
    expected = data.whole.value_counts(by, dropna=False)
    assert counts["units"].sum() == len(data.whole)
    found = counts.set_index(by)["units"]
    assert {tuple(map(str, k)): n for k, n in found.items()} == {tuple(map(str, k)): n for k, n in expected.items()}
