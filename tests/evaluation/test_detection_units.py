"""Units of detection: matching and TIDE's types of error, on cases worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import BOX_UNIT_COLUMNS, UNIT_COLUMNS, InvalidInputError
from slicelab.evaluation import confusion, detection_units

# Boxes 10 high: shifting one by s of its width 10 gives IoU (10 - s) / (10 + s).
HERE = (0, 0, 10, 10)
IOU_60 = (2.5, 0, 10, 10)
IOU_25 = (6, 0, 10, 10)
IOU_5 = (9, 0, 10, 10)
FAR = (60, 60, 10, 10)


def _outcomes(units):
    return units["outcome"].to_dict()


@pytest.mark.parametrize(
    ("box", "said", "label_outcome", "box_outcome"),
    [
        (HERE, "cat", "tp", None),
        (IOU_60, "cat", "tp", None),
        (IOU_60, "dog", "misclassified", None),
        (IOU_25, "cat", "mislocalised", None),
        (IOU_25, "dog", "missed", "spurious"),
        (IOU_5, "cat", "missed", "spurious"),
        (FAR, "cat", "missed", "spurious"),
    ],
)
def test_one_label_and_one_prediction(detection, box, said, label_outcome, box_outcome):
    """Each of TIDE's cases with one box on either side, its IoU worked by hand."""
    units = detection_units(*detection([("i", "cat", *HERE)], [("i", said, *box, 0.75)]))
    expected = {"i#0": label_outcome} | ({"i#pred:v1:0": box_outcome} if box_outcome else {})
    assert _outcomes(units) == expected


def test_rows_hold_what_is_known_of_the_label_and_the_prediction(detection):
    """Columns, losses, IoUs and boxes of each kind of row."""
    made = detection(
        [("i", "cat", *HERE), ("i", "dog", 30, 0, 10, 10), ("i", "cat", 0, 30, 10, 10)],
        [("i", "cat", *IOU_60, 0.75), ("i", "dog", 36, 0, 10, 10, 0.5), ("i", "dog", *FAR, 0.25)],
    )
    units = detection_units(*made, confidence=0.0)
    assert list(units.columns) == [*UNIT_COLUMNS, *BOX_UNIT_COLUMNS]
    assert _outcomes(units) == {"i#0": "tp", "i#1": "mislocalised", "i#2": "missed", "i#pred:v1:2": "spurious"}
    np.testing.assert_allclose(units["loss"], [0.25, 1 - 0.5 * 0.25, 1.0, 0.25])
    np.testing.assert_allclose(units["iou"], [0.6, 0.25, np.nan, 0.0])
    np.testing.assert_allclose(units["confidence"], [0.75, 0.5, np.nan, 0.25])
    assert units["failure"].tolist() == [False, True, True, True]
    assert units["label"].isna().tolist() == [False, False, False, True]
    assert units["label_id"].isna().tolist() == [False, False, False, True]
    assert units["box_id"].fillna("-").tolist() == ["0", "1", "-", "2"]
    assert units[["x", "y", "width", "height"]].to_numpy().tolist()[3] == list(map(float, FAR))
    assert units[["x", "y", "width", "height"]].to_numpy().tolist()[0] == list(map(float, HERE))


def test_a_second_box_on_a_matched_label_is_a_duplicate(detection):
    """The more confident box matches, though the other lies better."""
    units = detection_units(
        *detection([("i", "cat", *HERE)], [("i", "cat", *HERE, 0.5), ("i", "cat", *IOU_60, 0.75)]), confidence=0.0
    )
    assert _outcomes(units) == {"i#0": "tp", "i#pred:v1:0": "duplicate"}
    assert units.loc["i#0", "box_id"] == "1"


def test_a_duplicate_does_not_excuse_a_neighbour(detection):
    """A repeat on a matched label that grazes another label leaves that one missed."""
    made = detection(
        [("i", "cat", *HERE), ("i", "cat", 7, 0, 10, 10)], [("i", "cat", *HERE, 0.9), ("i", "cat", 1, 0, 10, 10, 0.8)]
    )
    units = detection_units(*made, confidence=0.0)
    assert _outcomes(units) == {"i#0": "tp", "i#1": "missed", "i#pred:v1:1": "duplicate"}


def test_one_prediction_explains_one_label(detection):
    """Of two labels under one box of another class the one it covers most is misclassified, the other missed."""
    made = detection([("i", "cat", *HERE), ("i", "cat", 1, 0, 10, 10)], [("i", "dog", 0.25, 0, 10, 10, 0.9)])
    assert _outcomes(detection_units(*made)) == {"i#0": "misclassified", "i#1": "missed"}


def test_a_label_is_misclassified_rather_than_mislocalised(detection):
    """A wrong class in the right place explains a label before a right class in the wrong place."""
    made = detection([("i", "cat", *HERE)], [("i", "cat", *IOU_25, 0.9), ("i", "dog", *HERE, 0.8)])
    units = detection_units(*made, confidence=0.0)
    assert _outcomes(units) == {"i#0": "misclassified", "i#pred:v1:0": "spurious"}


def test_predictions_on_a_crowd_are_left_out_and_the_crowd_is_no_unit(detection):
    """Crowds take any number of boxes of their class, by the share of the box that they cover; not of others."""
    made = detection(
        [("i", "cat", 0, 0, 50, 50, True)],
        [("i", "cat", 0, 0, 10, 10, 0.9), ("i", "cat", 20, 20, 5, 5, 0.8), ("i", "dog", 0, 0, 10, 10, 0.7)],
    )
    assert _outcomes(detection_units(*made, confidence=0.0)) == {"i#pred:v1:2": "spurious"}


def test_a_label_is_preferred_to_a_crowd(detection):
    """A box that lies in a crowd and on a label matches the label."""
    made = detection([("i", "cat", 0, 0, 50, 50, True), ("i", "cat", *HERE)], [("i", "cat", *IOU_60, 0.9)])
    assert _outcomes(detection_units(*made)) == {"i#1": "tp"}


def test_images_do_not_mix(detection):
    """A box on one image says nothing of a label in the same place on another."""
    units = detection_units(*detection([("i", "cat", *HERE)], [("j", "cat", *HERE, 0.9)]), confidence=0.0)
    assert _outcomes(units) == {"i#0": "missed", "j#pred:v1:0": "spurious"}


def test_predictions_on_images_outside_the_table_are_left_out(detection):
    """A suite's table holds some of the images only."""
    table, predictions = detection([("i", "cat", *HERE)], [("i", "cat", *HERE, 0.9), ("z", "cat", *HERE, 0.9)])
    table = replace(table, samples=table.samples.loc[["i"]])
    assert _outcomes(detection_units(table, predictions)) == {"i#0": "tp"}


def test_the_threshold_is_where_f1_is_highest(detection):
    """Of the confidences .9 (right), .6 (right), .5 (wrong) and .4 (right, but late) F1 is highest at .4 or .6.

    By hand, with 3 labels: from .9: 2/4; .6: 4/5; .5: 4/6; .4: 6/7.
    """
    labels = [("i", "cat", 20 * n, 0, 10, 10) for n in range(3)]
    boxes = [("i", "cat", 0, 0, 10, 10, 0.9), ("i", "cat", 20, 0, 10, 10, 0.6), ("i", "cat", 0, 60, 10, 10, 0.5)]
    units = detection_units(*detection(labels, boxes))
    assert units.attrs["confidence"] == 0.6
    late = [*boxes, ("i", "cat", 40, 0, 10, 10, 0.4)]
    units = detection_units(*detection(labels, late))
    assert units.attrs["confidence"] == 0.4
    assert (units["outcome"] == "tp").sum() == 3


def test_boxes_of_equal_confidence_stay_together(detection):
    """A threshold can't part a right box from a wrong one of the same confidence."""
    made = detection([("i", "cat", *HERE)], [("i", "cat", *HERE, 0.5), ("i", "cat", *FAR, 0.5)])
    units = detection_units(*made)
    assert units.attrs["confidence"] == 0.5
    assert _outcomes(units) == {"i#0": "tp", "i#pred:v1:1": "spurious"}


def test_a_given_threshold_leaves_lower_boxes_out(detection):
    """A label whose only box is below the threshold is missed."""
    made = detection([("i", "cat", *HERE)], [("i", "cat", *HERE, 0.5)])
    assert _outcomes(detection_units(*made, confidence=0.51)) == {"i#0": "missed"}
    assert _outcomes(detection_units(*made, confidence=0.5)) == {"i#0": "tp"}


def test_nothing_on_either_side_gives_an_empty_frame(detection):
    """Empty tables are no error, and the columns are there."""
    units = detection_units(*detection([], [], keys=["i"]))
    assert len(units) == 0
    assert list(units.columns) == [*UNIT_COLUMNS, *BOX_UNIT_COLUMNS]
    assert units.attrs["confidence"] == 0.0


@pytest.mark.parametrize("bad", [{"iou": 0.05}, {"iou": 1.5}, {"confidence": -1.0}])
def test_values_out_of_range_are_refused(detection, bad):
    """Thresholds must be shares, and a match must be above background."""
    with pytest.raises(InvalidInputError):
        detection_units(*detection([], [], keys=["i"]), **bad)


def test_a_box_without_confidence_is_refused(detection):
    """Matching needs an order; the error names the image."""
    with pytest.raises(InvalidInputError, match="'i'"):
        detection_units(*detection([("i", "cat", *HERE)], [("i", "cat", *HERE, np.nan)]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_nothing(random_detection, seed):
    """Units, as a set, and the threshold don't depend on the order of images, labels or predictions."""
    table, predictions = random_detection(seed, n_images=8)
    shuffled = detection_units(
        replace(
            table,
            samples=table.samples.sample(frac=1, random_state=seed),
            boxes=table.boxes.sample(frac=1, random_state=seed + 1),
        ),
        replace(predictions, frame=predictions.frame.sample(frac=1, random_state=seed + 2)),
    )
    units = detection_units(table, predictions)
    pd.testing.assert_frame_equal(units.sort_index(), shuffled.sort_index())
    assert units.attrs == shuffled.attrs


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), confidence=st.sampled_from([None, 0.0, 0.3, 0.7]))
def test_every_label_and_every_prediction_is_accounted_for_once(random_detection, seed, confidence):
    """Each labelled box is one row; each kept prediction stands in one row, unless a crowd took it."""
    table, predictions = random_detection(seed, n_images=10)
    units = detection_units(table, predictions, confidence=confidence)
    plain = table.boxes[~table.boxes["crowd"]]
    assert units["label_id"].dropna().tolist() == plain["label_id"].tolist()
    assert units.index.is_unique
    used = units["box_id"].dropna()
    assert used.is_unique
    kept = predictions.frame[predictions.frame["confidence"] >= units.attrs["confidence"]]
    left_out = kept[~kept["box_id"].isin(used)]
    crowded = table.boxes[table.boxes["crowd"]][["key", "label"]].drop_duplicates()
    assert len(left_out.merge(crowded, on=["key", "label"])) == len(left_out)
    assert (units["failure"] == (units["outcome"] != "tp")).all()
    assert units["loss"].between(0, 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_matches_equal_pycocotools(random_detection, coco_evaluation, seed):
    """Which labels are found at IoU 0.5, with every prediction kept, is what COCOeval says."""
    table, predictions = random_detection(seed, crowds=0.0)
    units = detection_units(table, predictions, confidence=0.0)
    found = set(units.index[units["outcome"] == "tp"])
    evaluation = coco_evaluation(table, predictions)
    key_of = dict(enumerate(sorted(table.samples.index), start=1))
    theirs = {
        f"{key_of[image['image_id']]}#{int(label) - 1}"
        for image in evaluation.evalImgs
        if image is not None and image["aRng"] == [0, 1e10]
        for label, box in zip(image["gtIds"], image["gtMatches"][0], strict=True)
        if box > 0
    }
    assert found == theirs


def test_confusion_of_boxes_keeps_each_kind_apart(detection):
    """The row of a class sums to its labels; boxes without a label have rows of their own."""
    made = detection(
        [("i", "cat", *HERE), ("i", "cat", 0, 30, 10, 10), ("i", "dog", 30, 0, 10, 10), ("i", "dog", 30, 30, 10, 10)],
        [
            ("i", "cat", *HERE, 0.9),
            ("i", "cat", *IOU_60, 0.8),
            ("i", "dog", 0, 30, 10, 10, 0.9),
            ("i", "dog", 36, 0, 10, 10, 0.9),
            ("i", "dog", *FAR, 0.9),
        ],
    )
    counts = confusion(detection_units(*made, confidence=0.0))
    assert counts.index.tolist() == ["cat", "dog", "(background)", "(duplicate)"]
    assert counts.columns.tolist() == ["cat", "dog", "(missed)", "(mislocalised)"]
    assert counts.to_numpy().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
