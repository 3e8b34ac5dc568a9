"""Average precision, held against pycocotools and against values worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import InvalidInputError
from slicelab.evaluation import mean_average_precision
from slicelab.evaluation._mean_average_precision import rank_predictions

HERE = (0, 0, 10, 10)
FAR = (60, 60, 10, 10)


def _map(table, predictions, **options):
    return mean_average_precision(table.boxes, predictions.frame, classes=table.classes, **options)


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools_on_all_images(random_detection, coco_evaluation, seed):
    """mAP, AP50 and the AP of every class, with crowds, are those of COCOeval."""
    table, predictions = random_detection(seed)
    ours = _map(table, predictions, keys=table.samples.index)
    theirs = coco_evaluation(table, predictions)
    np.testing.assert_allclose([ours.map, ours.ap50], theirs.stats[:2], atol=1e-9)
    precision = theirs.eval["precision"][:, :, :, 0, 2]
    np.testing.assert_allclose(ours.per_class["ap"], precision.mean(axis=(0, 1)), atol=1e-9)
    np.testing.assert_allclose(ours.per_class["ap50"], precision[0].mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools_on_some_images(random_detection, coco_evaluation, seed):
    """keys= recomputes on those images alone."""
    table, predictions = random_detection(seed)
    keys = sorted(table.samples.index)[::3]
    ours = _map(table, predictions, keys=keys)
    theirs = coco_evaluation(table, predictions, keys=keys)
    np.testing.assert_allclose([ours.map, ours.ap50], theirs.stats[:2], atol=1e-9)
    assert ours.map != pytest.approx(_map(table, predictions).map, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools_on_a_slice_of_objects(random_detection, coco_evaluation, seed):
    """Labels outside the slice are ignored as COCO ignores those outside an area range."""
    table, predictions = random_detection(seed)
    members = table.boxes[~table.boxes["crowd"]].sample(frac=0.3, random_state=seed)
    keys = sorted(set(members["key"]))
    ours = _map(table, predictions, members=list(members["key"] + "#" + members["label_id"]))
    theirs = coco_evaluation(table, predictions, keys=keys, outside=set(table.boxes.index) - set(members.index))
    np.testing.assert_allclose([ours.map, ours.ap50], theirs.stats[:2], atol=1e-9)
    assert ours.per_class["n_labels"].sum() == len(members)


def test_equals_pycocotools_with_more_boxes_than_count(detection, coco_evaluation):
    """Of more than 100 boxes of a class on an image the 100 most confident count."""
    labels = [("i", "cat", 12 * n, 0, 10, 10) for n in range(150)]
    boxes = [("i", "cat", 12 * n, n % 4, 10, 10, (n * 37 % 150) / 150) for n in range(150)]
    made = detection(labels, boxes)
    ours, theirs = _map(*made), coco_evaluation(*made)
    np.testing.assert_allclose([ours.map, ours.ap50], theirs.stats[:2], atol=1e-9)
    assert ours.per_class.loc["cat", "n_predictions"] == 100


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([("i", "cat", *HERE, 0.9), ("i", "cat", *FAR, 0.8)], 1.0),
        ([("i", "cat", *HERE, 0.9)], 51 / 101),  # recall reaches one half: 51 of the 101 points
        ([("i", "cat", 0, 30, 10, 10, 0.9), ("i", "cat", *HERE, 0.8), ("i", "cat", *FAR, 0.7)], 2 / 3),
        ([("i", "cat", *HERE, 0.9), ("i", "cat", *HERE, 0.8)], 51 / 101),  # the repeat comes after
        ([("i", "dog", *HERE, 0.9)], 0.0),
        ([], 0.0),
    ],
)
def test_hand_worked_cases(detection, boxes, expected):
    """Two cats, and what is said of them."""
    result = _map(*detection([("i", "cat", *HERE), ("i", "cat", *FAR)], boxes))
    assert result.map == pytest.approx(expected)
    assert result.ap50 == pytest.approx(expected)
    assert np.isnan(result.per_class.loc["dog", "ap"])


def test_localisation_counts_at_high_thresholds_only(detection):
    """A box of IoU 0.6 is right at 0.50, 0.55 and 0.60: 3 thresholds of 10."""
    result = _map(*detection([("i", "cat", *HERE)], [("i", "cat", 2.5, 0, 10, 10, 0.9)]))
    assert result.ap50 == pytest.approx(1.0)
    assert result.map == pytest.approx(0.3)


def test_a_slice_without_labels_has_no_value(detection):
    """Where there is nothing to find, average precision is NaN, not 0."""
    result = _map(*detection([], [("i", "cat", *HERE, 0.9)]))
    assert np.isnan(result.map)
    assert np.isnan(result.ap50)


def test_a_model_that_fails_on_a_slice_only_scores_low_there(detection):
    """The value of a slice is recomputed: 1 on the cats, 0 on the dogs."""
    table, predictions = detection([("i", "cat", *HERE), ("i", "dog", *FAR)], [("i", "cat", *HERE, 0.9)])
    assert _map(table, predictions, members=["i#0"]).map == pytest.approx(1.0)
    assert _map(table, predictions, members=["i#1"]).map == pytest.approx(0.0)
    assert _map(table, predictions).map == pytest.approx(0.5)


def test_boxes_without_confidence_or_columns_are_refused(detection):
    """The error says which."""
    table, predictions = detection([("i", "cat", *HERE)], [("i", "cat", *HERE, np.nan)])
    with pytest.raises(InvalidInputError, match="confidence"):
        _map(table, predictions)
    with pytest.raises(InvalidInputError, match="label_id"):
        mean_average_precision(table.boxes.drop(columns="label_id"), predictions.frame, classes=table.classes)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_nothing(random_detection, seed):
    """Shuffled labels and predictions give the same number to the last bit, ties of confidence included."""
    table, predictions = random_detection(seed, n_images=8)
    frame = predictions.frame.assign(confidence=predictions.frame["confidence"].round(1))
    one = mean_average_precision(table.boxes, frame, classes=table.classes)
    other = mean_average_precision(
        table.boxes.sample(frac=1, random_state=seed), frame.sample(frac=1, random_state=seed), classes=table.classes
    )
    pd.testing.assert_frame_equal(one.per_class, other.per_class, check_exact=True)


@pytest.mark.parametrize("seed", range(3))
def test_weighting_images_equals_copying_them(random_detection, detection, coco_evaluation, seed):
    """An image drawn w times counts as w copies of it do in pycocotools."""
    table, predictions = random_detection(seed, n_images=12, crowds=0.0)
    keys = sorted(table.samples.index)
    weights = np.random.default_rng(seed).integers(0, 4, len(keys))
    copied_labels, copied_boxes = [], []
    for key, weight in zip(keys, weights, strict=True):
        for copy in range(weight):
            for b in table.boxes[table.boxes["key"] == key].itertuples():
                copied_labels.append((f"{key} copy {copy}", b.label, b.x, b.y, b.width, b.height))
            for p in predictions.frame[predictions.frame["key"] == key].itertuples():
                copied_boxes.append((f"{key} copy {copy}", p.label, p.x, p.y, p.width, p.height, p.confidence))
    theirs = coco_evaluation(*detection(copied_labels, copied_boxes, classes=table.classes))
    ranked = rank_predictions(table.boxes, predictions.frame, classes=table.classes, keys=keys)
    ours = ranked.average_precision(weights[None].astype(float))
    assert np.nanmean(ours) == pytest.approx(theirs.stats[0], abs=1e-9)
