"""What surrounds a box, on boxes worked by hand."""

import numpy as np
import pandas as pd
import pytest

from slicelab.evaluation import SURROUNDINGS, detection_units, surroundings

NAN = float("nan")


def _units(*rows):
    """Units of rows (unit, key, is it labelled, x, y, width, height)."""
    table = pd.DataFrame(
        [(key, f"l{i}" if labelled else NAN, *box) for i, (_, key, labelled, *box) in enumerate(rows)],
        columns=["key", "label_id", "x", "y", "width", "height"],
        index=[row[0] for row in rows],
    )
    return table.astype({"x": float, "y": float, "width": float, "height": float})


def _around(*rows, size=(100, 200)):
    return surroundings(_units(*rows), [size] * len(rows))


def test_a_box_alone():
    """Area, aspect and centre are shares of the image's own width and height; nothing crowds or covers it."""
    table = _around(("u", "i", True, 10, 20, 40, 10))
    assert tuple(table.columns) == SURROUNDINGS
    assert table.index.tolist() == ["u"]
    # 40 x 10 of 100 x 200; the middle at (30, 25).
    assert table.loc["u"].to_dict() == pytest.approx(
        {
            "area_share": 0.02,
            "aspect": 4.0,
            "centre_x": 0.3,
            "centre_y": 0.125,
            "crowding": 0.0,
            "occlusion": 0.0,
        }
    )
    assert (table.dtypes == np.float64).all()


def test_sizes_are_those_of_every_units_own_image():
    """The same box in two images of different size."""
    units = _units(("a", "i", True, 0, 0, 10, 10), ("b", "j", True, 0, 0, 10, 10))
    table = surroundings(units, [(10, 20), (100, 100)])
    assert table["area_share"].tolist() == pytest.approx([0.5, 0.01])
    assert table["centre_y"].tolist() == pytest.approx([0.25, 0.05])


def test_occlusion_is_the_largest_share_that_one_other_covers():
    """Shares are of the box itself, so they differ between two that overlap; two others don't add up."""
    table = _around(
        ("large", "i", True, 0, 0, 40, 40),
        ("small", "i", True, 30, 0, 20, 20),  # 10 x 20 of it in the large one
        ("inside", "i", True, 0, 10, 10, 10),  # all of it in the large one
        ("apart", "i", True, 80, 80, 10, 10),
        ("touching", "i", True, 40, 20, 10, 10),  # shares an edge only
    )
    assert table["occlusion"].to_dict() == pytest.approx(
        {"large": 200 / 1600, "small": 0.5, "inside": 1.0, "apart": 0.0, "touching": 0.0}
    )
    assert table["crowding"].tolist() == [4.0] * 5


def test_boxes_of_other_images_don_t_count():
    """Crowding and occlusion are of one image, wherever its rows stand in the frame."""
    table = _around(
        ("a", "i", True, 0, 0, 10, 10),
        ("b", "j", True, 0, 0, 10, 10),
        ("c", "i", True, 0, 5, 10, 10),
    )
    assert table["crowding"].to_dict() == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert table["occlusion"].to_dict() == pytest.approx({"a": 0.5, "b": 0.0, "c": 0.5})


def test_a_predicted_box_stands_among_the_labelled_ones():
    """A predicted box sees all labelled boxes; it crowds and covers nothing itself, not even another predicted one."""
    table = _around(
        ("labelled", "i", True, 0, 0, 10, 10),
        ("predicted", "i", False, 5, 0, 10, 10),
        ("again", "i", False, 5, 0, 10, 10),
    )
    assert table["crowding"].to_dict() == {"labelled": 0.0, "predicted": 1.0, "again": 1.0}
    assert table["occlusion"].to_dict() == pytest.approx({"labelled": 0.0, "predicted": 0.5, "again": 0.5})


def test_a_box_covered_by_its_twin():
    """Two labels at the same place cover each other."""
    assert _around(("a", "i", True, 5, 5, 9, 9), ("b", "i", True, 5, 5, 9, 9))["occlusion"].tolist() == [1.0, 1.0]


def test_a_unit_without_a_box_has_no_surroundings():
    """Everything is NaN for it, and nothing changes for the others of its image."""
    table = _around(
        ("a", "i", True, 0, 0, 10, 10),
        ("none", "i", False, NAN, NAN, NAN, NAN),
        ("b", "i", True, 0, 5, 10, 10),
    )
    assert table.loc["none"].isna().all()
    assert table.loc[["a", "b"], "crowding"].tolist() == [1.0, 1.0]
    assert table.loc[["a", "b"], "occlusion"].tolist() == pytest.approx([0.5, 0.5])


def test_no_units_have_an_empty_table():
    """No rows give no rows, with all columns."""
    table = surroundings(_units(), np.zeros((0, 2)))
    assert table.shape == (0, len(SURROUNDINGS))


def test_detection_units_are_taken_as_they_are(detection):
    """Labels and spurious boxes of detection_units, in one image of 100 x 100."""
    units = detection_units(
        *detection(
            [("i", "cat", 0, 0, 10, 10), ("i", "dog", 0, 8, 10, 10)],
            [("i", "cat", 0, 0, 10, 10, 0.9), ("i", "cat", 50, 50, 20, 10, 0.8)],
        ),
        confidence=0.0,
    )
    table = surroundings(units, [(100, 100)] * len(units))
    assert table.loc["i#0"].tolist() == pytest.approx([0.01, 1.0, 0.05, 0.05, 1.0, 0.2])
    assert table.loc["i#pred:v1:1"].tolist() == pytest.approx([0.02, 2.0, 0.6, 0.55, 2.0, 0.0])
