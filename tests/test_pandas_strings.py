"""Texts mean the same, whatever pandas makes of them by default."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import slicelab

ROOT = Path(slicelab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


@pytest.fixture(scope="module", params=["on", "off"])
def paths(request, tmp_path_factory):
    """What comes out with pandas 3's texts and with pandas 2's.

    Two perfect boxes on each of three images and a spurious one; four images, one without a prediction, one unlabelled.
    """
    script = Path(__file__).with_name("core_paths.py")
    command = [sys.executable, str(script), str(tmp_path_factory.mktemp("paths")), request.param]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_perfect_detectors_recall_is_one(paths):
    """Boxes without a label aren't labelled objects: recall 6 of 6, precision 6 of 7, in a suite as well."""
    found = paths["detection"]
    assert found["outcomes"] == {"tp": 6, "spurious": 1}
    assert found["recall"] == 1.0
    assert found["precision"] == pytest.approx(6 / 7)
    assert found["case"] == [1.0, 6, False]


def test_what_is_missing_stays_missing(paths):
    """The spurious box has neither label nor label id, the unpredicted image no prediction: NaN, not a text."""
    assert paths["detection"]["missing"] == {"label": 1, "prediction": 0, "label_id": 1, "box_id": 0, "group_id": 0}
    assert paths["classification"]["missing"] == {"a": False, "b": False, "c": True}
    assert paths["classification"]["unlabelled"] == {"a": False, "b": False, "c": False, "d": True}
    assert paths["classification"]["rule"] == ["c"]


def test_classification_counts_what_was_said(paths):
    """One right, one wrong, one silent: a third is right."""
    assert paths["classification"]["outcomes"] == {"a": "correct", "b": "wrong", "c": "unpredicted"}
    assert paths["classification"]["accuracy"] == pytest.approx(1 / 3)


def test_a_missing_group_is_a_group_of_its_own(paths):
    """An image without a site is named by its key, not "nan"."""
    assert paths["classification"]["groups"] == {"a": "north", "b": "b", "c": "north", "d": "south"}


def test_text_columns_are_asked_for_by_one_name():
    """No `astype(str)`, `astype("str")` or dtype "str": they depend on pandas' version and settings, `TEXT` doesn't."""
    calls = [(p, n) for p in MODULES for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.Call)]
    assert [f"{p}:{n.lineno}: {ast.unparse(n)}" for p, n in calls if _asks_for_str(n)] == []


def _asks_for_str(call):
    casts = isinstance(call.func, ast.Attribute) and call.func.attr == "astype"
    asked = [*(call.args if casts else ()), *(k.value for k in call.keywords if k.arg == "dtype")]
    quoted = [n for value in asked for n in ast.walk(value) if isinstance(n, ast.Constant) and n.value == "str"]
    return quoted or any(isinstance(value, ast.Name) and value.id == "str" for value in asked)
