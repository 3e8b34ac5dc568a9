"""Whose units are not independent is said by the dataset, or by a column that a person names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.lab._discovering import group_names


@pytest.fixture
def units():
    """Two objects of each of three images."""
    return pd.DataFrame(
        {"key": list("aabbcc"), "group_id": list("aabbcc"), "video": ["v", "v", "v", "v", None, None]},
        index=[f"u{i}" for i in range(6)],
    )


def test_the_datasets_own_groups_count_unless_a_column_is_named(units):
    """Without a column the images; with one its values, and the image where there is none."""
    assert group_names(units, None).tolist() == list("aabbcc")
    assert pd.factorize(group_names(units, "video"))[0].tolist() == [0, 0, 0, 0, 1, 1]


def test_a_value_is_never_taken_for_an_image(units):
    """A video that is called as an image whose video is missing is another group."""
    units["video"] = ["c", "c", "c", "c", None, None]
    assert len(set(group_names(units, "video").tolist())) == 2


def test_a_column_that_is_not_there_is_refused(units):
    """The error names the column and those that there are."""
    with pytest.raises(InvalidInputError, match=r"no column 'patient'.*'video'"):
        group_names(units, "patient")


def test_objects_of_an_image_are_one_group(scenes):
    """`discover` and `discover_rules` of a stored detection dataset count images; a named column is taken instead."""
    found = scenes.discover("v3", describe=False, progress=False)
    keys = scenes.units("v3").loc[list(found.ids), "key"]
    same = keys.to_numpy()[:, None] == keys.to_numpy()
    assert ((found.groups[:, None] == found.groups) >= same).all()
    named = scenes.discover("v3", groups="label", describe=False, progress=False)
    assert len(np.unique(named.groups)) <= 2
    for rule in scenes.discover_rules("v3", progress=False):
        held_out = rule.held_out
        assert held_out.n_groups <= held_out.n
        assert rule.q_value >= rule.p_value
