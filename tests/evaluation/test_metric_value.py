"""Every metric that a bar can be set on, on slices, held against other libraries and hand counts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from slicelab.core import METRICS, InvalidInputError
from slicelab.evaluation import (
    classification_units,
    detection_units,
    mean_average_precision,
    metric_value,
    overall,
    wilson_interval,
)

HERE = (0, 0, 10, 10)
FAR = (60, 60, 10, 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=60).filter(
        lambda rows: any(r[2] for r in rows)
    )
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_classification_equals_scikit_learn(classification, rows):
    """Accuracy and the macro scores over the members' classes are sklearn's on those rows."""
    units = classification_units(*classification([r[0] for r in rows], [r[1] for r in rows]))
    members = [f"k{i}" for i, r in enumerate(rows) if r[2]]
    true = [r[0] for r in rows if r[2]]
    said = [r[1] for r in rows if r[2]]
    options = {"average": "macro", "labels": sorted(set(true)), "zero_division": 0}
    expected = {
        "accuracy": metrics.accuracy_score(true, said),
        "error_rate": 1 - metrics.accuracy_score(true, said),
        "recall": metrics.recall_score(true, said, **options),
        "precision": metrics.precision_score(true, said, **options),
        "f1": metrics.f1_score(true, said, **options),
    }
    for name, value in expected.items():
        found = metric_value(name, units, members=members)
        assert found.value == pytest.approx(value, abs=1e-12)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert (found.n_units, found.n_failures) == (len(members), sum(t != s for t, s in zip(true, said, strict=True)))


def test_unpredicted_samples_lower_recall(classification):
    """A sample without a prediction counts as not found."""
    units = classification_units(*classification(["a", "a", "b", "b"], ["a", None, "b", "b"]))
    assert metric_value("recall", units).value == pytest.approx((0.5 + 1) / 2)
    assert metric_value("precision", units).value == pytest.approx(1.0)
    assert metric_value("accuracy", units).n_failures == 1


@pytest.mark.parametrize("seed", range(5))
def test_macro_detection_equals_scikit_learn(random_detection, seed):
    """Over the member objects' classes: what was labelled against what was predicted, nothing being its own class."""
    table, predictions = random_detection(seed)
    units = detection_units(table, predictions, confidence=0.3)
    objects = units[units["label_id"].notna()]
    members = list(objects.index[objects["label"] != "owl"]) if seed else None
    shown = units if members is None else units[units["key"].isin(set(objects.loc[members, "key"]))]
    mine = shown["label_id"].notna() if members is None else shown.index.isin(members)
    said = shown["box_id"].notna()
    # Recall asks the member objects, precision the predicted boxes on their images. The right class in the wrong place
    # finds nothing.
    named = shown[["label", "prediction"]].astype(object).where(shown[["label", "prediction"]].notna(), "nothing")
    classes = sorted(set(named["label"][mine]))
    found, missed = named.copy(), (shown["outcome"] != "tp") & (named["label"] == named["prediction"])
    found.loc[missed, "prediction"] = "nothing"
    named.loc[missed, "label"] = "nothing"
    more = {"labels": classes, "average": None, "zero_division": 0}
    recall = metrics.recall_score(found["label"][mine], found["prediction"][mine], **more)
    precision = metrics.precision_score(named["label"][said], named["prediction"][said], **more)
    sums = recall + precision
    f1 = np.divide(2 * recall * precision, sums, out=np.zeros_like(sums), where=sums > 0)
    for name, expected in (("macro_recall", recall), ("macro_precision", precision), ("macro_f1", f1)):
        found = metric_value(name, units, members=members)
        assert found.value == pytest.approx(expected.mean()), name
        assert found.low <= found.value <= found.high


def test_shares_carry_wilsons_interval(classification):
    """At the confidence that is asked for."""
    units = classification_units(*classification(["a"] * 10, ["a"] * 7 + ["b"] * 3))
    found = metric_value("accuracy", units, confidence=0.9)
    assert (found.low, found.high) == wilson_interval(7, 10, confidence=0.9, corrected=True)
    found = metric_value("error_rate", units, confidence=0.9)
    assert (found.low, found.high) == wilson_interval(3, 10, confidence=0.9, corrected=True)


@pytest.fixture
def scene(detection):
    """Three images: two cats (one found, with a repeat), a dog taken for a cat, and nothing (but a cat is said)."""
    table, predictions = detection(
        [("i", "cat", *HERE), ("i", "cat", *FAR), ("j", "dog", *HERE)],
        [("i", "cat", *HERE, 0.9), ("i", "cat", 1, 0, 10, 10, 0.8), ("j", "cat", *HERE, 0.7), ("k", "cat", *HERE, 0.6)],
        keys=["i", "j", "k", "empty"],
    )
    return table, predictions, detection_units(table, predictions, confidence=0.0)


@pytest.mark.parametrize(
    ("name", "members", "value", "n_units", "n_failures"),
    [
        ("recall", None, 1 / 3, 3, 2),
        ("accuracy", None, 1 / 3, 3, 2),
        ("error_rate", None, 2 / 3, 3, 2),
        ("precision", None, 1 / 4, 4, 3),
        ("f1", None, 2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4), 3, 2),
        ("recall", ["i#0"], 1.0, 1, 0),
        ("recall", ["i"], 1 / 2, 2, 1),
        ("recall", ["i", "j#2"], 1 / 3, 3, 2),
        ("precision", ["i#1"], 1 / 2, 2, 1),
        ("f1", ["i#0"], 2 * 1 * 0.5 / 1.5, 1, 0),
        ("false_positives_per_image", ["i", "j", "k", "empty"], 3 / 4, 4, 3),
        ("false_positives_per_image", ["empty"], 0.0, 1, 0),
        ("false_positives_per_image", ["i#0"], 1.0, 1, 1),
        ("false_positives_per_image", ["k#pred:v1:3"], 1.0, 1, 1),
        ("false_positives_per_image", ["k#pred:v2:9"], 1.0, 1, 1),
    ],
)
def test_detection_by_hand(scene, name, members, value, n_units, n_failures):
    """Objects, images and spurious boxes (which stand for their image) as members."""
    found = metric_value(name, scene[2], members=members)
    assert found.value == pytest.approx(value)
    assert (found.n_units, found.n_failures) == (n_units, n_failures)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("name", ["ap50", "map"])
def test_average_precision_is_recomputed_on_the_slice(random_detection, name):
    """The value of a slice is mean_average_precision of its objects, and lies in its interval."""
    table, predictions = random_detection(3)
    units = detection_units(table, predictions)
    members = units.index[units["label"] == "cat"][::2]
    found = metric_value(name, units, members=members, boxes=table.boxes, predicted=predictions.frame)
    alone = mean_average_precision(table.boxes, predictions.frame, classes=table.classes, members=members)
    assert found.value == pytest.approx(getattr(alone, name), abs=1e-12)
    assert 0 < found.low < found.value < found.high < 1
    assert found.n_units == len(members)
    again = metric_value(name, units, members=members[::-1], boxes=table.boxes, predicted=predictions.frame)
    assert again == found


def test_average_precision_needs_its_boxes(scene):
    """The error names them."""
    with pytest.raises(InvalidInputError, match="boxes="):
        metric_value("map", scene[2])


def test_members_that_are_gone_are_refused(scene, classification):
    """An object that its image doesn't have is no image without objects."""
    with pytest.raises(InvalidInputError, match="i#77"):
        metric_value("recall", scene[2], members=["i#77"])
    with pytest.raises(InvalidInputError, match="k9"):
        metric_value("accuracy", classification_units(*classification(["a"], ["a"])), members=["k9"])


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_judge_has_no_value(detection, classification, name):
    """NaN with interval NaN: neither 0 nor 1 nor an error."""
    table, predictions = detection([], [], keys=["i"])
    units = detection_units(table, predictions)
    if name == "top5":
        with pytest.raises(InvalidInputError, match="whole images"):
            metric_value(name, units, members=[], boxes=table.boxes, predicted=predictions.frame)
        return
    found = metric_value(name, units, members=[], boxes=table.boxes, predicted=predictions.frame)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert (found.n_units, found.n_failures) == (0, 0)
    if name not in ("false_positives_per_image", "ap50", "map") and not name.startswith("macro"):
        units = classification_units(*classification([None], ["a"]))
        assert np.isnan(metric_value(name, units).value)


@pytest.mark.parametrize("name", ["false_positives_per_image", "ap50", "map"])
def test_metrics_of_boxes_are_refused_for_whole_images(classification, name):
    """The error says which metrics there are."""
    with pytest.raises(InvalidInputError, match="accuracy"):
        metric_value(name, classification_units(*classification(["a"], ["a"])))


def test_an_unknown_metric_is_refused_with_a_hint(scene):
    """Did you mean."""
    with pytest.raises(InvalidInputError, match="recall"):
        metric_value("recal", scene[2])


def test_perfect_slices_of_few_images_are_not_certain(detection):
    """No metric calls three perfect images proof: a strict bar of 0.95 stays open."""
    keys = ["i", "j", "k"]
    table, predictions = detection([(k, "cat", *HERE) for k in keys], [(k, "cat", *HERE, 0.9) for k in keys])
    units = detection_units(table, predictions)
    for name in ("accuracy", "recall", "precision", "f1", "ap50", "map"):
        found = metric_value(name, units, boxes=table.boxes, predicted=predictions.frame)
        assert found.value == pytest.approx(1.0)
        assert found.low < 0.5
        assert found.high == pytest.approx(1.0)
    assert metric_value("false_positives_per_image", units).high > 1


def test_images_without_objects_add_no_certainty(detection):
    """Three objects that are found, among 500 images on which there is nothing: the intervals are those of three."""
    keys, empty = ["i", "j", "k"], [f"{i}" for i in range(500)]
    labels, boxes = [(k, "cat", *HERE) for k in keys], [(k, "cat", *HERE, 0.9) for k in keys]
    few, many = detection(labels, boxes), detection(labels, boxes, keys=[*keys, *empty])
    for name in ("recall", "precision", "f1", "macro_f1", "ap50", "map", "ece"):
        values = []
        for table, predictions in (few, many):
            units, told = detection_units(table, predictions), {"boxes": table.boxes, "predicted": predictions.frame}
            values.append(metric_value(name, units, members=list(table.samples.index), **told))
        assert values[0].n_groups == values[1].n_groups == 3
        assert values[1].high - values[1].low > 0.7, name
        if name != "ece":
            assert values[1].low == pytest.approx(values[0].low)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from([m for m in METRICS if m != "top5"]))
def test_the_order_of_rows_changes_nothing(random_detection, seed, name):
    """Values and intervals don't depend on the order of units, members or boxes."""
    table, predictions = random_detection(seed, n_images=6)
    units = detection_units(table, predictions)
    members = list(units.index[::2])
    one = metric_value(name, units, members=members, boxes=table.boxes, predicted=predictions.frame)
    other = metric_value(
        name,
        units.sample(frac=1, random_state=seed),
        members=members[::-1],
        boxes=table.boxes.sample(frac=1, random_state=seed),
        predicted=predictions.frame.sample(frac=1, random_state=seed),
    )
    np.testing.assert_equal(vars(one), vars(other))


def test_overall_of_classification(classification):
    """Accuracy, error rate and macro F1, each with its interval and number of units."""
    table = overall(classification_units(*classification(["a", "b", "b"], ["a", "b", "a"])))
    assert table.index.tolist() == ["accuracy", "error_rate", "f1"]
    assert table["value"].tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    assert table["n"].tolist() == [3, 3, 3]
    assert ((table["low"] < table["value"]) & (table["value"] < table["high"])).all()


def test_overall_of_detection(random_detection):
    """Operating point and average precision, over every image, also those without a box."""
    table, predictions = random_detection(5)
    units = detection_units(table, predictions)
    found = overall(
        units,
        boxes=table.boxes,
        predicted=predictions.frame,
        classes=table.classes,
        keys=[*table.samples.index, "without boxes"],
    )
    assert found.index.tolist() == ["precision", "recall", "f1", "false_positives_per_image", "map", "ap50"]
    assert found.loc["map", "value"] == pytest.approx(
        mean_average_precision(table.boxes, predictions.frame, classes=table.classes).map
    )
    wrong = units["box_id"].notna() & (units["outcome"] != "tp")
    assert found.loc["false_positives_per_image", "value"] == pytest.approx(wrong.sum() / 41)
    assert "map" not in overall(units).index


def test_the_room_loads_no_heavy_library():
    """The gate imports it; numpy and pandas are all that it may cost."""
    code = (
        "import sys, slicelab.evaluation\n"
        "heavy = {'fiftyone', 'torch', 'umap', 'sklearn', 'scipy', 'pymongo', 'pycocotools'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
