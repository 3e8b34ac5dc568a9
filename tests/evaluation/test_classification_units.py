"""Units of classification: outcomes, failures, losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import UNIT_COLUMNS, InvalidInputError
from slicelab.evaluation import classification_units, confusion


def test_every_labelled_sample_is_a_unit_with_its_outcome(classification):
    """Right, wrong and absent predictions are told apart; samples without a label are no units."""
    units = classification_units(*classification(["a", "b", "a", None, "b"], ["a", "a", None, "b", "b"]))
    assert list(units.columns) == list(UNIT_COLUMNS)
    assert units.index.name == "unit"
    assert units["outcome"].to_dict() == {"k0": "correct", "k1": "wrong", "k2": "unpredicted", "k4": "correct"}
    assert units["failure"].tolist() == [False, True, True, False]
    assert units["failure"].dtype == bool
    assert units["prediction"].isna().tolist() == [False, False, True, False]


def test_loss_comes_from_the_probability_of_the_true_label(classification):
    """With probabilities the loss is 1 - p(label), also where the prediction is wrong."""
    made = classification(
        ["a", "b"], ["a", "a"], confidence=[0.7, 0.6], probabilities=[[0.75, 0.25], [0.625, 0.375]], classes=("a", "b")
    )
    assert classification_units(*made)["loss"].tolist() == [0.25, 0.625]


def test_loss_without_probabilities_comes_from_the_confidence(classification):
    """Right: 1 - c. Wrong: c. Without a confidence: 0 or 1. Without a prediction: 1."""
    made = classification(
        ["a", "a", "a", "a", "a"], ["a", "b", "a", "b", None], confidence=[0.75, 0.75, np.nan, np.nan, 0.5]
    )
    units = classification_units(*made)
    assert units["loss"].tolist() == [0.25, 0.75, 0.0, 1.0, 1.0]
    assert np.isnan(units.loc["k4", "confidence"])


def test_a_label_that_the_model_does_not_know_is_lost_wholly(classification):
    """A true class without a probability column has probability 0."""
    table, predictions = classification(["z"], ["a"], confidence=[0.25], probabilities=[[1.0]], classes=("a",))
    assert classification_units(table, predictions)["loss"].tolist() == [1.0]


def test_no_predictions_at_all_leave_every_unit_unpredicted(classification):
    """An empty predictions frame is an answer, not an error."""
    units = classification_units(*classification(["a", "b"], [None, None]))
    assert units["outcome"].tolist() == ["unpredicted"] * 2
    assert units["failure"].all()


def test_predictions_for_other_samples_are_left_out(classification):
    """Only the table's samples are units."""
    table, predictions = classification(["a", "b", "a"], ["a", "b", "b"])
    units = classification_units(replace(table, samples=table.samples.iloc[:1]), predictions)
    assert units.index.tolist() == ["k0"]


def test_detection_input_is_refused_with_the_way_out(classification, detection):
    """The error names the function for boxes."""
    _, boxes = detection([], [])
    with pytest.raises(InvalidInputError, match=r"detection_units\(\)"):
        classification_units(classification(["a"], ["a"])[0], boxes)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_the_order_of_rows_changes_nothing(classification, rows, seed):
    """Units, as a set, don't depend on the order of samples or predictions."""
    table, predictions = classification([r[0] for r in rows], [r[1] for r in rows], confidence=[0.5] * len(rows))
    shuffled = classification_units(
        replace(table, samples=table.samples.sample(frac=1, random_state=seed)),
        replace(predictions, frame=predictions.frame.sample(frac=1, random_state=seed + 1)),
    )
    pd.testing.assert_frame_equal(
        classification_units(table, predictions).sort_index(), shuffled.sort_index(), check_like=False
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=60))
def test_confusion_equals_scikit_learn(classification, rows):
    """Counts of what was taken for what are those of sklearn.metrics.confusion_matrix."""
    from sklearn.metrics import confusion_matrix

    true, said = [r[0] for r in rows], [r[1] for r in rows]
    counts = confusion(classification_units(*classification(true, said)))
    labels = sorted({*true, *said})
    assert counts.index.tolist() == labels == counts.columns.tolist()
    np.testing.assert_array_equal(counts.to_numpy(), confusion_matrix(true, said, labels=labels))


def test_confusion_shows_unpredicted_samples_in_a_column_of_their_own(classification):
    """The row of a class sums to its labels."""
    counts = confusion(classification_units(*classification(["a", "a", "b"], ["a", None, "a"])))
    assert counts.columns.tolist() == ["a", "b", "(unpredicted)"]
    assert counts.loc["a"].tolist() == [1, 0, 1]
    assert counts.loc["b"].tolist() == [1, 0, 0]
