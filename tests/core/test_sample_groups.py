"""Groups of images: the same text for the same value, and an image without one by itself."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from slicelab.core import TEXT, group_codes, sample_groups


def groups(values):
    index = pd.Index([f"k{i}" for i in range(len(values))], name="key", dtype=TEXT)
    return sample_groups(pd.DataFrame({"video": values}, index=index), "video").tolist()


@pytest.mark.parametrize(
    "values",
    [
        [3, 3, 10],
        [3.0, 3.0, 10.0],
        ["3", "3", "10"],
        np.array([3, 3, 10], object),
        pd.array([3, 3, 10], dtype="Int64"),
        pd.read_csv(io.StringIO("video\n3\n3\n10\n"))["video"].to_numpy(),
    ],
)
def test_whole_numbers_read_the_same_in_every_type(values):
    """Integers, floats, texts and nullable integers name the same groups."""
    assert groups(values) == ["3", "3", "10"]


@pytest.mark.parametrize("values", [[3, None, 3], pd.array([3, None, 3], dtype="Int64"), [3.0, np.nan, 3.0]])
def test_a_missing_value_is_a_group_of_its_own(values):
    """It is named by its image; the others don't change for it."""
    assert groups(values) == ["3", "k1", "3"]


def test_other_values_keep_their_words():
    """Broken numbers, booleans with and without a missing one, and texts that look like numbers."""
    assert groups([0.5, 1e300, -2.0]) == ["0.5", str(int(1e300)), "-2"]
    assert groups([True, False, True]) == ["True", "False", "True"]
    assert groups(np.array([True, None, False], object)) == ["True", "k1", "False"]
    assert groups(["007", "7", "7.0"]) == ["007", "7", "7.0"]


def test_no_two_groups_are_called_the_same_by_chance():
    """An image without a value isn't put into a group that is called like its key, nor into another image's."""
    index = pd.Index(["a", "a'", "b", "c"], name="key", dtype=TEXT)
    found = sample_groups(pd.DataFrame({"g": [None, None, "a", "a"]}, index=index), "g")
    assert found["b"] == found["c"] == "a"
    assert found.nunique() == 3


def test_a_unit_without_a_group_is_of_its_image():
    """A missing `group_id` is the image's own group, as everywhere; units of one image stay together."""
    units = pd.DataFrame({"key": ["a", "a", "b", "c"], "group_id": [None, None, "v", "v"]}, index=list("wxyz"))
    assert group_codes(units).tolist() == [0, 0, 1, 1]
    assert group_codes(units.drop(columns="group_id")).tolist() == [0, 0, 1, 2]
