"""Suites go to a file and come back."""

import gzip
import hashlib
import json
import logging
import os
from importlib import resources

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import BOX_COLUMNS, TEXT, Bar, InvalidInputError, SampleTable, Suite, SuiteError
from slicelab.gate import freeze_case, load_suite, make_suite, run_suite, save_suite, suite_hash

SCHEMA = json.loads(resources.files("slicelab.gate").joinpath("suite.schema.json").read_text("utf-8"))

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
pixels = st.floats(0, 4000, allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def bars(draw, metrics):
    metric = draw(st.sampled_from(metrics))
    side = draw(st.sampled_from(["at_least", "at_most"]))
    most = 5 if metric == "false_positives_per_image" else 1
    return Bar(
        metric,
        **{side: draw(st.floats(0, most))},
        confidence=draw(st.sampled_from([0.8, 0.95])),
        strict=draw(st.booleans()),
        min_units=draw(st.integers(0, 500)),
    )


@st.composite
def suites(draw):
    task = draw(st.sampled_from(["classification", "detection"]))
    keys = draw(st.lists(texts.filter(lambda t: "#" not in t), min_size=1, max_size=5, unique=True))
    frame = pd.DataFrame(
        {"filepath": "f", "sha256": [draw(texts) for _ in keys], "width": 7, "height": 9},
        index=pd.Index(keys, name="key", dtype=TEXT),
    )
    rows, units = [], list(keys)
    if task == "classification":
        frame["label"] = [draw(texts) for _ in keys]
    else:
        for key in keys:
            for i in range(draw(st.integers(0, 3))):
                place = [draw(pixels) for _ in range(4)]
                rows.append([key, str(i), draw(texts), *place, False])
                units.append(f"{key}#{i}")
    table = SampleTable(task, frame, pd.DataFrame(rows, columns=list(BOX_COLUMNS)), ("a", "b"))
    metrics = ["accuracy", "f1"] if task == "classification" else ["recall", "map", "false_positives_per_image"]
    name = draw(names)
    cases = [
        freeze_case(
            case,
            suite=name,
            members=draw(st.lists(st.sampled_from(units), min_size=1)),
            table=table,
            bar=draw(bars(metrics)),
            rule=draw(st.none() | texts),
            note=draw(texts),
            provenance=draw(st.dictionaries(texts, json_values, max_size=3)),
        )
        for case in draw(st.lists(names, max_size=3, unique_by=lambda n: n.casefold()))
    ]
    try:
        return make_suite(name, cases, table)
    except InvalidInputError:  # Two names that become one under Unicode's normal form.
        return make_suite(name, cases[:1], table)


def assert_same(a: Suite, b: Suite) -> None:
    assert (a.name, a.task, a.classes, a.cases) == (b.name, b.task, b.classes, b.cases)
    pd.testing.assert_frame_equal(a.samples, b.samples)
    pd.testing.assert_frame_equal(a.boxes, b.boxes)


@settings(max_examples=50, deadline=None)
@given(suite=suites())
def test_what_is_saved_is_loaded(tmp_path_factory, suite):
    """A loaded suite equals the saved one, saves to the same bytes, and its file fits the schema."""
    folder = tmp_path_factory.mktemp("suite")
    path = save_suite(suite, folder / "a.json")
    loaded = load_suite(path)
    assert_same(loaded, suite)
    assert suite_hash(loaded) == suite_hash(suite) == json.loads(path.read_text("utf-8"))["content_hash"]
    assert save_suite(loaded, folder / "b.json").read_bytes() == path.read_bytes()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(path.read_text("utf-8")))
    assert sorted(p.name for p in folder.iterdir()) == ["a.json", "b.json"]


@pytest.fixture
def saved(small, tmp_path):
    """A suite of two cats in a file."""
    suite = small.one_case(small.table({"b.png": "cat", "a.png": "cat"}), Bar("accuracy", at_least=0.5))
    return save_suite(suite, tmp_path / "s.json")


def edit(path, change):
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def test_a_new_member_is_a_small_diff(small, tmp_path):
    """One member and its sample more are two new lines; besides, the hashes and the last commas change."""
    table = small.table({f"{i}.png": "cat" for i in range(5)})
    few = small.one_case(table, Bar("accuracy", at_least=0.5), [f"{i}.png" for i in range(4)])
    many = small.one_case(table, Bar("accuracy", at_least=0.5))
    a = save_suite(few, tmp_path / "a.json").read_text("utf-8").splitlines()
    b = save_suite(many, tmp_path / "b.json").read_text("utf-8").splitlines()
    assert len(b) == len(a) + 2
    assert {line for line in b if '"4.png"' in line} <= set(b) - set(a)


def test_a_hand_edited_bar_is_logged(saved, caplog):
    """A file whose hash doesn't match is read, with a warning that it was edited."""
    edit(saved, lambda d: d["cases"][0]["bar"].update(at_least=0.1))
    with caplog.at_level(logging.WARNING, "slicelab"):
        assert load_suite(saved).cases[0].bar.at_least == 0.1
    assert "edited by hand" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(schema_version=5), "newer SliceLab"),
        (lambda d: d.update(schema_version="1"), "schema_version"),
        (lambda d: d.update(schema_version=True), "schema_version"),
        (lambda d: d.update(format="coco"), "isn't a suite"),
        (lambda d: d.update(task="segmentation"), "task"),
        (lambda d: d.update(name="a\u202eb"), "name of the suite"),
        (lambda d: d.update(owner="me"), "unknown field 'owner'"),
        (lambda d: d.pop("samples"), "'samples'"),
        (lambda d: d.update(boxes=[{}]), "boxes must be empty"),
        (lambda d: d["samples"][1].update(width="32"), r"samples\[1\]\.width"),
        (lambda d: d["samples"][1].update(width=0), r"samples\[1\]\.width"),
        (lambda d: d["samples"][1].update(width=2**40), r"samples\[1\]\.width"),
        (lambda d: d["samples"][1].update(label=3), r"samples\[1\]\.label"),
        (lambda d: d["samples"].append(d["samples"][0]), "key of a sample"),
        (lambda d: d["cases"][0].update(members="a.png"), r"cases\[0\]\.members"),
        (lambda d: d["cases"][0].update(members=["a.png", "a.png"]), r"cases\[0\]: Every member"),
        (lambda d: d["cases"].append(d["cases"][0]), "name of a case"),
        (lambda d: d["cases"][0]["bar"].update(at_least=1.5), r"cases\[0\]: The bar"),
        (lambda d: d["cases"][0]["bar"].update(at_most=0.5), "exactly one"),
        (lambda d: d["cases"][0]["bar"].update(at_lest=0.5), "Did you mean 'at_least'"),
        (lambda d: d["cases"][0]["bar"].update(strict="no"), r"cases\[0\]\.bar\.strict"),
        (lambda d: d["cases"][0]["bar"].update(metric="map"), "doesn't fit classification"),
        (lambda d: d["cases"][0].update(version=0), r"cases\[0\]\.version"),
        (lambda d: d["cases"][0].update(name="\ud800"), r"cases\[0\]\.name"),
        (lambda d: d.update(cases=[3]), r"cases\[0\] must be an object; got 3"),
    ],
)
def test_a_malformed_file_says_where(saved, change, told):
    """Every wrong field is a `SuiteError` that names the file, the place and what stands there."""
    edit(saved, change)
    with pytest.raises(SuiteError, match=told) as error:
        load_suite(saved)
    assert str(saved) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe\x00",
        b'{"format": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"x": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_no_suite_is_refused(tmp_path, content):
    """Broken, hostile or other JSON is a `SuiteError`, never a crash."""
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(SuiteError):
        load_suite(path)


def test_a_missing_file_is_told(tmp_path):
    """No such file is a `SuiteError` with its name."""
    with pytest.raises(SuiteError, match="nowhere"):
        load_suite(tmp_path / "nowhere.json")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_edit_loads_or_is_told(tmp_path_factory, small, data):
    """Whatever value is put at whatever place, loading gives a suite or a `SuiteError`."""
    suite = small.one_case(small.detection_table(["a"], small.boxes([("a", "1", "cat", 0)])), Bar("map", at_least=0.5))
    path = save_suite(suite, tmp_path_factory.mktemp("edit") / "s.json")
    document = place = json.loads(path.read_text("utf-8"))
    key = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(json_values)
    path.write_text(json.dumps(document), "utf-8")
    try:
        loaded = load_suite(path)
    except SuiteError:
        return
    assert_same(load_suite(save_suite(loaded, path)), loaded)


def test_saving_is_whole_or_not_at_all(small, saved, tmp_path):
    """A suite that can't be written leaves the old file as it was, and nothing beside it."""
    before = saved.read_bytes()
    table = small.table({"a.png": "cat"})
    suite = small.one_case(table, Bar("accuracy", at_least=0.5), provenance={"p": np.inf})
    with pytest.raises(InvalidInputError, match="provenance"):
        save_suite(suite, saved)
    assert saved.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.json"]


@settings(max_examples=30, deadline=None)
@given(suite=suites())
def test_a_sidecar_holds_the_same_suite(tmp_path_factory, suite):
    """With a sidecar the same suite comes back, the same bytes are written, and the file fits the schema."""
    folder = tmp_path_factory.mktemp("suite")
    path = save_suite(suite, folder / "a.json", sidecar=True)
    loaded = load_suite(path)
    assert_same(loaded, suite)
    assert suite_hash(loaded) == suite_hash(suite)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    save_suite(loaded, path, sidecar=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert len(before) == 2
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(path.read_text("utf-8")))
    save_suite(loaded, path)
    assert [p.name for p in folder.iterdir()] == ["a.json"]


def test_large_suites_have_a_sidecar(small, tmp_path):
    """Above 10,000 members and samples the suite's own file stays small, and the verdicts are the same."""
    table = small.table({f"{i:05}.png": "cat" for i in range(6000)})
    suite = small.one_case(table, Bar("accuracy", at_least=0.5))
    path = save_suite(suite, tmp_path / "s.json")
    assert path.stat().st_size < 2000
    whole = save_suite(suite, tmp_path / "whole.json", sidecar=False)
    said = small.right(table, 4000)
    one, other = (run_suite(load_suite(p), said).results[0] for p in (path, whole))
    assert (
        (one.verdict, one.value, one.hashes)
        == (other.verdict, other.value, other.hashes)
        == ("pass", 2 / 3, one.hashes)
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path, side: side.unlink(), "can't be read"),
        (lambda path, side: side.write_bytes(side.read_bytes()[:-1]), "isn't the file that the suite was saved with"),
        (lambda path, side: edit(path, lambda d: d["sidecar"].update(file="../x.json")), "beside the suite"),
        (lambda path, side: edit(path, lambda d: d.update(sidecar=None)), "beside the suite"),
        (lambda path, side: forge(path, side, lambda d: d["samples"]["width"].append(3)), "differ in length"),
        (lambda path, side: forge(path, side, lambda d: d["samples"].update(width=[1, True])), r"samples\[1\]\.width"),
        (lambda path, side: forge(path, side, lambda d: d["samples"].update(key=["a", "a"])), "key of a sample"),
        (lambda path, side: forge(path, side, lambda d: d["samples"].pop("label")), "no field 'label'"),
        (lambda path, side: forge(path, side, lambda d: d["members"].append([])), "can't be read"),
        (lambda path, side: forge(path, side, lambda d: d["members"].__setitem__(0, [3])), r"cases\[0\]\.members"),
        (lambda path, side: forge(path, side, lambda d: d.pop("boxes")), "can't be read"),
    ],
)
def test_a_sidecar_that_does_not_belong_is_told(small, tmp_path, change, told):
    """Missing, cut off, somebody else's, or made by hand: an error, never other members."""
    suite = small.one_case(small.table({"a.png": "cat", "b.png": "cat"}), Bar("accuracy", at_least=0.5))
    path = save_suite(suite, tmp_path / "s.json", sidecar=True)
    change(path, next(tmp_path.glob("*.gz")))
    with pytest.raises(SuiteError, match=told):
        load_suite(path)


def forge(path, side, change):
    """Change what is in a sidecar, and the hash that the suite tells of it."""
    document = json.loads(gzip.decompress(side.read_bytes()))
    change(document)
    side.write_bytes(gzip.compress(json.dumps(document).encode()))
    edit(path, lambda d: d["sidecar"].update(sha256=hashlib.sha256(side.read_bytes()).hexdigest()))
