"""A detector's operating point is kept with the model, and whatever judges the model heeds it."""

import json
from dataclasses import replace

import numpy as np
import pytest

import slicelab as sl
from slicelab.core import InvalidInputError
from slicelab.evaluation import detection_units
from slicelab.gate import case_hash, load_suite, read_predictions, run_suite


@pytest.fixture(scope="module")
def predictions(scenes_folder, tmp_path_factory):
    """All boxes at confidences from 0.3 to 1, and false alarms from 0 to 0.5."""
    random = np.random.default_rng(0)
    coco = json.loads((scenes_folder / "labels.json").read_text())
    boxes = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.3 + i * 0.005}
        for i, a in enumerate(random.permutation(coco["annotations"]).tolist())
    ]
    boxes += [
        {
            "image_id": i,
            "category_id": 1 + i % 2,
            "bbox": [50, 70, 12, 12],
            "score": round(float(random.random()) / 2, 3),
        }
        for i in range(1, 61)
    ]
    path = tmp_path_factory.mktemp("said") / "m.json"
    path.write_text(json.dumps(boxes))
    return path


@pytest.fixture
def lab(scenes_folder, predictions, request):
    models = {"m": predictions, "v4": scenes_folder / "v4.json"}
    images, labels = scenes_folder / "images", scenes_folder / "labels.json"
    # Slices and suites outlive a dataset: each test has its own name.
    return sl.load(f"points {request.node.name}"[:60], images, labels, models, progress=False, overwrite=True)


def add_case(lab, bar, suite="s", n=40):
    units = lab.units("m")
    kept = lab.create_slice("some", units=units.index[units["label_id"].notna()][:n].tolist())
    return lab.promote(kept, bar=bar, suite=suite)


def test_it_is_kept_and_heeded(lab, scenes_folder, predictions, tmp_path):
    """Found once by F1, then given: units, suite, its file and another kernel agree on it."""
    add_case(lab, sl.Bar("recall", at_least=0.2))
    best = detection_units(lab.table, lab._units.predictions("m")).attrs["confidence"]
    assert lab.info.models["m"]["confidence"] == best == lab.units("m").attrs["confidence"]
    assert lab.info.models["m"]["confidence_by"] == "f1"
    before = lab.suite("s").run("m").results[0]
    figures = lab.evaluate("m", confidence=0.6)
    assert figures.attrs["confidence"] == 0.6
    again = sl.open(lab.name)
    assert again.info.models["m"] == lab.info.models["m"] | {"confidence": 0.6, "confidence_by": "given"}
    report = again.suite("s").run("m", against="v4")
    after = report.result("some")
    assert (before.confidence, after.confidence) == (best, 0.6)
    assert after.value < before.value
    assert again.units("m")["outcome"].value_counts()["tp"] == round(figures.loc["recall", "value"] * 120)
    assert "m: confidence 0.6, as it stands in the suite" in str(report)
    loaded = load_suite(again.suite("s").save(tmp_path / "s.json", others=0.25))
    assert loaded.operating_points == {"m": 0.6, "v4": 0.8}
    assert loaded.others == 0.25
    filed = run_suite(loaded, read_predictions(loaded, f"m={predictions}"))
    assert (filed.results[0].value, filed.results[0].hashes["confidence"]) == (after.value, after.hashes["confidence"])
    assert run_suite(loaded, read_predictions(loaded, f"new={predictions}")).operating_points["new"].confidence == 0.25


def test_per_class_and_back(lab):
    """One number per class, with one for the others; "f1" finds the best anew."""
    lab.evaluate("m", confidence={"bolt": 0.7, "*": 0.35})
    units = lab.units("m")
    found = units[units["outcome"] == "tp"]
    assert found.loc[found["label"] == "bolt", "confidence"].min() >= 0.7
    assert found.loc[found["label"] == "nut", "confidence"].min() < 0.6
    assert lab.evaluate("m").attrs["confidence"] == {"*": 0.35, "bolt": 0.7}
    best = detection_units(lab.table, lab._units.predictions("m")).attrs["confidence"]
    assert lab.evaluate("m", confidence="f1").attrs["confidence"] == best


def test_what_cannot_be_is_refused_and_nothing_is_kept(lab):
    """Numbers out of range, classes that there aren't, predicted classes without a number, other words."""
    before = lab.info.models["m"]
    wrong = [
        (1.5, "from 0 to 1"),
        ({"bolt": 0.5}, "not for 'nut'"),
        ({"blot": 0.5, "*": 0.4}, "Did you mean 'bolt'"),
        ("best", "from 0 to 1"),
        ("F1", 'or "f1"'),
    ]
    for confidence, told in wrong:
        with pytest.raises(InvalidInputError, match=told):
            lab.evaluate("m", confidence=confidence)
    assert lab.info.models["m"] == before


def test_what_a_person_gave_stays_when_the_dataset_is_replaced(lab, scenes_folder, predictions):
    """The deployment threshold belongs to the model's name; what F1 gave is found anew."""
    lab.evaluate("m", confidence=0.6)
    lab.evaluate("v4")
    images, labels = scenes_folder / "images", scenes_folder / "labels.json"
    models = {"m": predictions, "v4": scenes_folder / "v4.json"}
    again = sl.load(lab.name, images, labels, models, progress=False, overwrite=True)
    assert (again.info.confidence("m"), again.info.confidence("v4")) == (0.6, None)


def test_classification_has_none(parts):
    with pytest.raises(InvalidInputError, match="every prediction counts"):
        parts.evaluate("v3", confidence=0.5)


def test_labels_beside_the_members_make_a_case_invalid_until_it_is_frozen_again(lab):
    """A merge takes the other objects of the members' images out: the case says so instead of another precision."""
    units = lab.units("m")
    bolts = lab.create_slice("bolts", units=units.index[units["label"] == "bolt"][:20].tolist())
    lab.promote(bolts, bar=sl.Bar("precision", at_least=0.3), suite="s")
    assert lab.suite("s").run("m").results[0].verdict == "pass"
    boxes = lab.table.boxes
    members = set(bolts.members)
    kept = boxes[(boxes["key"] + "#" + boxes["label_id"]).isin(members)]
    changed = dict(iter(kept.groupby("key")))
    lab._datasets.write_label_version(lab.name, "gt2", labels={}, boxes=changed, provenance={})
    found = lab.suite("s").run("m").results[0]
    assert (found.verdict, "labels (members' or others'" in found.reason) == ("invalid", True)
    assert [c.version for c in lab.suite("s").refreeze()] == [2]
    assert lab.suite("s").run("m").results[0].verdict != "invalid"
    assert lab.suite("s").refreeze() == []


def test_a_case_of_an_older_version_is_read_and_frozen_whole_on_request(lab):
    """It is judged, with a warning, until `refreeze` makes a version of it that covers all."""
    case = add_case(lab, sl.Bar("recall", at_least=0.2))
    table = lab.table
    old = case_hash(case.members, samples=table.samples, boxes=table.boxes, task=table.task, schema_version=1)
    lab._cases.save(replace(case, content_hash=old, hashes={}, schema_version=1))
    report = lab.suite("s").run("m")
    assert report.results[0].verdict == "pass"
    assert "1 cases were frozen by an older version" in " ".join(report.warnings)
    assert [c.schema_version for c in lab.suite("s").refreeze()] == [2]
    assert lab.suite("s").run("m").warnings == ()
