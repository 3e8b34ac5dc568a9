"""Cases and suites copy what they are judged by."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicelab.core import Bar, InvalidInputError, hash_rows, hash_value
from slicelab.gate import case_hash, freeze_case, make_suite

BAR = Bar("accuracy", at_least=0.5)
RECALL = Bar("recall", at_least=0.5)


@pytest.fixture
def belts(small):
    """Two images: one with two objects and a crowd, one empty."""
    boxes = small.boxes([("a.jpg", "1", "cat", 0), ("a.jpg", "2", "dog", 50), ("a.jpg", "3", "cat", 90)])
    boxes["crowd"] = [False, False, True]
    return small.detection_table(["a.jpg", "b.jpg"], boxes)


def hash_of(table, members):
    return case_hash(members, samples=table.samples, boxes=table.boxes, task=table.task, group=table.group)


def test_the_hash_is_that_of_the_rows(small, belts):
    """The hash is that of four `core.hash_rows`: members, labels by image, media, groups; written out by hand here."""

    def whole(members, labels, groups):
        media = [[key, f"sha of {key}"] for key, _ in labels]
        parts = {"membership": members, "labels": labels, "media": media, "groups": groups}
        return hash_value({name: hash_rows(rows) for name, rows in parts.items()})

    table = small.table({"x": "cat", "y": "dog"})
    assert hash_of(table, ["x", "y"]) == whole(["x", "y"], [["y", "dog"], ["x", "cat"]], [["x", None], ["y", None]])
    grouped = replace(table, samples=table.samples.assign(video=[1.0, np.nan]), group="video")
    assert hash_of(grouped, ["y", "x"]) == whole(["x", "y"], [["y", "dog"], ["x", "cat"]], [["x", "1"], ["y", None]])
    boxes = [["1", "cat", [0.0, 0.0, 10.0, 10.0], False], ["2", "dog", [50.0, 0.0, 10.0, 10.0], False]]
    boxes.append(["3", "cat", [90.0, 0.0, 10.0, 10.0], True])
    on_a, on_b = ["a.jpg", hash_value(boxes)], ["b.jpg", hash_value([])]
    assert hash_of(belts, ["a.jpg#1"]) == whole(["a.jpg#1"], [on_a], [["a.jpg", None]])
    groups = [["a.jpg", None], ["b.jpg", None]]
    assert hash_of(belts, ["b.jpg", "a.jpg#1"]) == whole(["a.jpg#1", "b.jpg"], [on_a, on_b], groups)


def test_the_old_hash_is_that_of_the_members_rows(small, belts):
    """Schema 1: `core.hash_rows` over unit id, label, box and media of the members alone."""

    def old(table, members):
        return case_hash(members, samples=table.samples, boxes=table.boxes, task=table.task, schema_version=1)

    rows = [["y", "dog", None, "sha of y"], ["x", "cat", None, "sha of x"]]
    assert old(small.table({"x": "cat", "y": "dog"}), ["x", "y"]) == hash_rows(rows)
    objects = [["a.jpg#1", "cat", [0.0, 0.0, 10.0, 10.0], "sha of a.jpg"]]
    assert old(belts, ["a.jpg#1"]) == hash_rows(objects)
    image = ["b.jpg", [], None, "sha of b.jpg"]
    assert old(belts, ["b.jpg", "a.jpg#1"]) == hash_rows([image, *objects])


@given(order=st.permutations(range(6)), repeats=st.lists(st.integers(0, 5), max_size=3))
def test_order_and_repeats_change_nothing(small, order, repeats):
    """The hash and the frozen members depend on which units there are, not on their order."""
    keys = [f"{i}.png" for i in range(6)]
    table = small.table(dict.fromkeys(keys, "cat"))
    shuffled = small.table({keys[i]: "cat" for i in order})
    members = [keys[i] for i in (*order, *repeats)]
    case = freeze_case("c", suite="s", members=members, table=shuffled, bar=BAR)
    assert case.members == tuple(keys)
    assert case.content_hash == hash_of(table, keys)


@pytest.mark.parametrize("change", ["label", "media", "box", "other box"])
def test_the_hash_notices(belts, change):
    """Another label, another image, a moved box or (for an image) any other box give another hash."""
    before = hash_of(belts, ["a.jpg#1", "a.jpg"])
    if change == "label":
        belts.boxes.loc[0, "label"] = "dog"
    elif change == "media":
        belts.samples.loc["a.jpg", "sha256"] = "other"
    elif change == "box":
        belts.boxes.loc[0, "x"] = 0.02
    else:
        belts.boxes.loc[2, "x"] = 95.0
    assert hash_of(belts, ["a.jpg#1", "a.jpg"]) != before


def test_less_than_a_hundredth_of_a_pixel_is_nothing(belts):
    """Boxes are compared at 0.01 px, and -0.0 is 0.0."""
    before = hash_of(belts, ["a.jpg#1"])
    belts.boxes.loc[0, "x"] = -0.004
    assert hash_of(belts, ["a.jpg#1"]) == before


def test_a_spurious_box_stands_for_its_image(belts):
    """A predicted box belongs to one model, so its sample becomes the member, once."""
    members = ["b.jpg#pred:v3:7", "b.jpg#pred:v3:8", "a.jpg#1"]
    case = freeze_case("c", suite="s", members=members, table=belts, bar=RECALL)
    assert case.members == ("a.jpg#1", "b.jpg")


@pytest.mark.parametrize("member", ["nowhere.jpg", "a.jpg#9", "a.jpg#3", "z.jpg#pred:v3:1"])
def test_a_member_that_cant_be_judged_is_refused(belts, member):
    """Unknown samples, unknown objects and crowd boxes are named in the error."""
    with pytest.raises(InvalidInputError, match=r"can't be judged.*(nowhere|a\.jpg#9|a\.jpg#3|z\.jpg)"):
        freeze_case("c", suite="s", members=["a.jpg#1", member], table=belts, bar=RECALL)


def test_an_unlabelled_sample_is_refused(small):
    """Without a label there is nothing to be judged by."""
    with pytest.raises(InvalidInputError, match="'y'"):
        freeze_case("c", suite="s", members=["x", "y"], table=small.table({"x": "cat", "y": None}), bar=BAR)


@pytest.mark.parametrize(("metric", "task"), [("map", "classification"), ("ap50", "classification")])
def test_the_metric_must_fit_the_task(small, metric, task):
    """The error lists the metrics that are possible."""
    with pytest.raises(InvalidInputError, match=f"doesn't fit {task}.*accuracy"):
        freeze_case("c", suite="s", members=["x"], table=small.table({"x": "cat"}), bar=Bar(metric, at_least=0.5))


@pytest.mark.parametrize(("name", "members"), [("c", []), ("", ["x"]), ("a\x00b", ["x"]), ("c", "x")])
def test_nothing_nameless_or_empty(small, name, members):
    """A case has a usable name and at least one member, given as a list."""
    with pytest.raises(InvalidInputError):
        freeze_case(name, suite="s", members=members, table=small.table({"x": "cat"}), bar=BAR)


def test_a_sample_that_looks_like_an_object_is_refused(small):
    """A sample called like an object's id would make members ambiguous."""
    table = small.detection_table(["a", "a#1"], small.boxes([("a", "1", "cat", 0)]))
    with pytest.raises(InvalidInputError, match="at the same time"):
        freeze_case("c", suite="s", members=["a#1"], table=table, bar=RECALL)


def test_invalid_unicode_is_refused(small):
    """A file name that isn't UTF-8 can't be hashed or written: a typed error says which."""
    table = small.table({"x": "cat"})
    named = replace(table, samples=table.samples.set_axis(pd.Index(["\udc80"], dtype=object)))
    with pytest.raises(InvalidInputError, match="Unicode"):
        freeze_case("c", suite="s", members=["\udc80"], table=named, bar=BAR)


def test_a_suite_holds_what_its_members_need(small, belts):
    """Only the members' samples are copied, with every box on them."""
    case = freeze_case("c", suite="s", members=["a.jpg#2"], table=belts, bar=RECALL)
    suite = make_suite("s", [case], belts)
    assert suite.samples.index.tolist() == ["a.jpg"]
    assert list(suite.samples.columns) == ["sha256", "width", "height"]
    assert suite.boxes["label_id"].tolist() == ["1", "2", "3"]
    labelled = make_suite("s", [], small.table({"x": "cat"}))
    assert labelled.samples.empty
    assert list(labelled.samples.columns) == ["sha256", "width", "height", "label"]


def test_names_in_a_suite_are_unique_and_its_own(small):
    """Two cases of one name, and a case of another suite, are refused."""
    table = small.table({"x": "cat"})
    case = freeze_case("c", suite="s", members=["x"], table=table, bar=BAR)
    with pytest.raises(InvalidInputError, match="'c'"):
        make_suite("s", [case, case], table)
    with pytest.raises(InvalidInputError, match="belongs to the suite 's'"):
        make_suite("other", [case], table)


def test_keys_may_hold_a_hash_sign(small):
    """In classification '#' and '#pred:' are parts of a key like any other."""
    table = small.table({"a#1": "cat", "b#pred:v1:2": "dog"})
    case = freeze_case("c", suite="s", members=list(table.samples.index), table=table, bar=BAR)
    assert set(case.members) == set(table.samples.index)
    assert make_suite("s", [case], table).samples.index.tolist() == sorted(table.samples.index)
    assert pd.api.types.is_integer_dtype(make_suite("s", [case], table).samples["width"])
    assert np.array_equal(make_suite("s", [case], table).samples["label"], ["cat", "dog"])
