"""Loading: everything or nothing, twice the same is once, and the dataset holds what the files say."""

import numpy as np
import pandas as pd
import pytest

import slicelab as sl
from slicelab.core import ConflictError, LoadRefusedError, NotFoundError

pytestmark = pytest.mark.mongo


def test_a_load_is_the_files(parts_folder, parts):
    """Labels, predictions, probabilities, metadata and sizes come back as they stand in the files."""
    labels = pd.read_csv(parts_folder / "labels.csv").set_index("filepath")
    samples = parts.table.samples
    assert samples["label"].to_dict() == labels["label"].to_dict()
    assert samples["dark"].to_dict() == labels["dark"].to_dict()
    assert set(zip(samples["width"], samples["height"], strict=True)) == {(32, 24)}
    given = pd.read_csv(parts_folder / "v3.csv").set_index("filepath")
    units = parts.units("v3")
    assert units["prediction"].to_dict() == given["prediction"].to_dict()
    p_true = np.where(labels["label"] == "bolt", given["p_bolt"], given["p_nut"])
    np.testing.assert_allclose(units["loss"], 1 - p_true, atol=1e-5)
    assert parts.dataset.persistent
    assert parts.load_report.ok


def test_outcomes_are_on_the_fiftyone_dataset(parts, scenes):
    """FiftyOne's App can count what evaluate found, for images and for boxes."""
    parts.evaluate("v3")
    assert parts.dataset.count_values("outcome_v3") == parts.units("v3")["outcome"].astype(str).value_counts().to_dict()
    overall = scenes.evaluate("v3")
    assert scenes.dataset.count_values("ground_truth.detections.outcome_v3") == {"tp": 100, "missed": 20}
    assert overall.at["recall", "value"] == pytest.approx(100 / 120)


def test_the_same_load_twice_changes_nothing(load_parts, parts):
    """No duplicates; the report says that all was there."""
    again = load_parts(parts.name)
    assert again.load_report.unchanged == {"samples": 160, "predictions:v3": 160, "predictions:v4": 160}
    assert again.dataset.count() == 160
    assert len(again.table.samples) == 160


def test_new_samples_and_models_are_added(parts_folder):
    """A second load brings what is new, and only that."""
    labels = pd.read_csv(parts_folder / "labels.csv")
    name = "grows"
    lab = sl.load(name, parts_folder / "images", labels[:100], {"v3": parts_folder / "v3.csv"}, progress=False)
    assert (len(lab.table.samples), lab.models) == (100, ["v3"])
    lab = sl.load(name, parts_folder / "images", labels, {"v4": parts_folder / "v4.csv"}, progress=False)
    assert (len(lab.table.samples), lab.models) == (160, ["v3", "v4"])
    assert lab.load_report.unchanged["samples"] == 100
    assert lab.units("v4")["outcome"].ne("unpredicted").all()
    lab = sl.load(name, predictions={"v5": parts_folder / "v4.csv"}, progress=False)
    assert lab.models == ["v3", "v4", "v5"]


def test_a_refused_load_leaves_the_dataset_as_it_was(parts_folder, parts):
    """Other labels, other predictions under a taken name, strict with a bad row: nothing is written."""
    before = parts.table.samples
    labels = pd.read_csv(parts_folder / "labels.csv")
    changed = labels.assign(label=labels["label"].replace("bolt", "screw"))
    with pytest.raises(LoadRefusedError, match=r"other labels for 80.*Nothing was written"):
        sl.load(parts.name, parts_folder / "images", changed, progress=False)
    with pytest.raises(LoadRefusedError, match="other predictions of model 'v3'"):
        sl.load(parts.name, predictions={"v3": parts_folder / "v4.csv"}, progress=False)
    bad = pd.concat([labels, pd.DataFrame([{"filepath": "none.png", "label": "bolt"}])])
    with pytest.raises(LoadRefusedError, match="missing-file") as refused:
        sl.load(parts.name, parts_folder / "images", bad, strict=True, progress=False)
    assert refused.value.report.refused["samples"] == 1
    pd.testing.assert_frame_equal(sl.open(parts.name).table.samples, before)


def test_refused_rows_are_counted(parts_folder):
    """Rows in = loaded + refused, and the reasons stand in the report."""
    labels = pd.read_csv(parts_folder / "labels.csv")
    bad = pd.concat([labels, pd.DataFrame([{"filepath": "none.png", "label": "bolt"}])])
    predictions = pd.read_csv(parts_folder / "v3.csv")
    predictions.loc[3, ["p_bolt", "p_nut"]] = 0.9
    predictions.loc[5, "filepath"] = "elsewhere.png"
    lab = sl.load("counted", parts_folder / "images", bad, {"v3": predictions}, overwrite=True, progress=False)
    report = lab.load_report
    assert report.rows_in == {"samples": 161, "labels": 161, "predictions:v3": 160}
    assert report.loaded == {"samples": 160, "labels": 160, "predictions:v3": 158}
    assert len(report.frame().query("refused")) == sum(report.refused.values())
    lines = repr(report).splitlines()
    assert lines[0] == "samples: 161 rows in, 160 loaded, 1 refused"
    assert any("notice unpredicted-image x 1; first: 2 of 160 samples have no prediction: " in line for line in lines)
    assert lab.dataset.count() == 160
    assert (lab.units("v3")["outcome"] == "unpredicted").sum() == 2


def test_detection_comes_back_in_pixels(scenes_folder, scenes):
    """Boxes are those of the COCO file, to a millionth of a pixel, with its ids."""
    import json

    coco = json.loads((scenes_folder / "labels.json").read_text())
    names = {i["id"]: i["file_name"] for i in coco["images"]}
    given = {(names[a["image_id"]], str(a["id"])): a["bbox"] for a in coco["annotations"]}
    boxes = scenes.table.boxes
    assert len(boxes) == len(given)
    for row in boxes.itertuples():
        assert [row.x, row.y, row.width, row.height] == pytest.approx(given[row.key, row.label_id], abs=1e-6)


def test_nothing_there_is_said_with_a_hint(parts):
    """Unknown dataset, model, slice: the message names the closest."""
    with pytest.raises(NotFoundError, match=r"no dataset 'part'"):
        sl.open("part")
    with pytest.raises(NotFoundError, match=r"model 'v33'.*Did you mean 'v3'"):
        parts.units("v33")
    with pytest.raises(NotFoundError, match=r"no slice"):
        parts.slice("missing")
    with pytest.raises(NotFoundError, match=r"embed\(\) first"):
        parts.embeddings("other")


def test_a_dataset_of_that_name_made_by_fiftyone_is_not_touched(load_parts):
    """A name that FiftyOne has already isn't taken over."""
    import fiftyone as fo

    own = fo.Dataset("mine", persistent=True)
    with pytest.raises(ConflictError, match="there already"):
        load_parts("mine")
    assert fo.load_dataset("mine").count() == own.count() == 0


def test_a_fiftyone_dataset_is_brought_over(parts, scenes):
    """A dataset with its own field names becomes a lab with the same labels and predictions."""
    lab = sl.load("from fiftyone", dataset=parts.dataset, prediction_fields={"old": "v3"}, progress=False)
    assert lab.table.samples["label"].to_dict() == parts.table.samples["label"].to_dict()
    assert lab.units("old")["outcome"].tolist() == parts.units("v3")["outcome"].tolist()
    lab = sl.load("boxes from fiftyone", dataset=scenes.dataset, prediction_fields={"old": "v3"}, progress=False)
    assert lab.units("old")["outcome"].value_counts().to_dict() == {"tp": 100, "missed": 20}


def test_overwrite_replaces(load_parts, load_scenes):
    """overwrite=True puts the new dataset in the place of the old one, also of another task."""
    load_parts("replaced")
    lab = load_scenes("replaced", overwrite=True)
    assert (lab.info.task, len(lab.table.samples)) == ("detection", 60)
