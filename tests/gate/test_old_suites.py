"""Files that older versions wrote are read with the meaning that they had, and every report says so."""

from dataclasses import replace
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from slicelab.core import SuiteError
from slicelab.gate import explain_change, freeze_case, load_suite, make_suite, run_suite, save_suite
from tests.gate.test_suite_file import SCHEMA

FOLDER = Path(__file__).parent / "old_suites"


@pytest.fixture
def found(small):
    """As the verdicts below were made, by the version that wrote the files."""
    rows = [("a", "1", "cat", 0, 0.9), ("b", "1", "cat", 0, 0.8), ("b", "2", "dog", 100, 0.7)]
    return small.detections([*rows, ("c", "1", "dog", 20, 0.6), ("c", "2", "cat", 80, 0.95)])


@pytest.mark.parametrize("name", ["detection.json", "detection_large.json"])
def test_values_are_those_of_the_version_that_wrote_it(found, name):
    """One confidence for all cases, the best over the suite's images; an image without boxes was judged."""
    report = run_suite(load_suite(FOLDER / name), found)
    assert {r.case.name: r.value for r in report.results} == {
        "recall": pytest.approx(2 / 3),
        "precision": 1.0,
        "images": pytest.approx(1 / 3),
        "unseen": 0.0,
        "map": pytest.approx(0.5),
    }
    assert {r.confidence for r in report.results} == {report.provenance["confidence"]} == {0.8}
    assert report.operating_points["v4"].source == "old suite"
    assert any("older version (schema 2) and holds no operating points" in w for w in report.warnings)
    assert any("5 cases were frozen by an older version" in w for w in report.warnings)
    assert all(warning in str(report) for warning in report.warnings)


@pytest.mark.parametrize("name", ["detection.json", "classification.json", "detection_large.json"])
def test_it_is_saved_as_it_was(tmp_path, name):
    """The same bytes, sidecar or not; the schema describes both."""
    import json

    loaded = load_suite(FOLDER / name)
    again = save_suite(loaded, tmp_path / name, sidecar="large" in name)
    assert again.read_bytes() == (FOLDER / name).read_bytes()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(again.read_text("utf-8")))


def test_classification_has_nothing_to_warn_of(small):
    """What its cases are judged by was frozen whole before, too."""
    report = run_suite(load_suite(FOLDER / "classification.json"), small.right(small.cats, 40))
    assert (report.results[0].verdict, report.warnings) == ("pass", ())


def test_members_labels_are_still_verified(found, tmp_path):
    """An old case is invalid where a member's label changed, and isn't where another label on the image did."""
    text = (FOLDER / "detection.json").read_text("utf-8")
    path = tmp_path / "s.json"
    verdicts = []
    for label_id in ("1", "2"):
        line = next(line for line in text.splitlines() if f'"key": "a", "label_id": "{label_id}"' in line)
        other = line.replace('"label": "cat"', '"label": "x"').replace('"label": "dog"', '"label": "x"')
        path.write_text(text.replace(line, other), "utf-8")
        verdicts.append(run_suite(load_suite(path), found).results[1].verdict)
    assert verdicts == ["invalid", "pass"]


def test_a_change_on_an_image_without_boxes_is_explained(small, found):
    """The image "unseen" had no predicted box, which older versions judged; a box that finds it is the whole change."""
    suite = load_suite(FOLDER / "detection.json")
    case = next(case for case in suite.cases if case.name == "unseen")
    box = suite.boxes[suite.boxes["key"] == case.members[0].split("#")[0]].iloc[0]
    rows = [(box["key"], "9", box["label"], box["x"], 0.99)]
    seen = replace(found, frame=pd.concat([found.frame, small.detections(rows).frame], ignore_index=True))
    explained = explain_change("unseen", before=(suite, found), after=(suite, seen), confidence=0.8)
    assert (explained.before.value, explained.after.value) == (0.0, 1.0)
    assert explained.shares == {"predictions": pytest.approx(1.0)}


def test_a_case_frozen_now_does_not_fit(small, found):
    """An old suite can't say what the new hash covers: made anew, it can."""
    old = load_suite(FOLDER / "detection.json")
    table = small.detection_table(["a"], small.boxes([("a", "1", "cat", 0)]))
    case = freeze_case("new", suite="old", members=["a#1"], table=table, bar=old.cases[0].bar)
    with pytest.raises(ValueError, match="make_suite"):
        save_suite(replace(old, cases=(*old.cases, case)), FOLDER / "never.json")
    assert make_suite("old", [case], table).schema_version == 4


def test_fields_of_the_new_schema_are_unknown_in_an_old_file(tmp_path):
    text = (FOLDER / "detection.json").read_text("utf-8")
    path = tmp_path / "s.json"
    path.write_text(text.replace('"schema_version": 2', '"schema_version": 2, "others": 0.3'), "utf-8")
    with pytest.raises(SuiteError, match="unknown field 'others'"):
        load_suite(path)
