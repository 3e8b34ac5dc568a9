"""What lets a verdict be doubted is told: edited files, half a prediction file, a sidecar that is a bomb."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from slicelab.core import Bar, InvalidInputError, SuiteError
from slicelab.gate import load_suite, run_suite, save_suite, write_json, write_junit, write_markdown
from slicelab.views import report_html


@pytest.fixture
def folder(small, tmp_path):
    """A suite that forty right images pass, whose bar was lowered by hand."""
    path = save_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.99)), tmp_path / "release.json")
    path.write_text(path.read_text("utf-8").replace('"at_least": 0.99', '"at_least": 0.5'), "utf-8")
    rows = [f"{k},cat,0.9" for k in small.cats.samples.index]
    (tmp_path / "v4.csv").write_text("\n".join(["key,label,confidence", *rows]))
    return tmp_path


def gate(folder, *options):
    from typer.testing import CliRunner

    from slicelab.cli._main import app

    suite, predictions = (str(folder / name) for name in ("release.json", "v4.csv"))
    return CliRunner().invoke(app, ["gate", suite, "--predictions", predictions, *options])


def test_an_edited_suite_is_told_in_every_report(small, folder):
    """Text, JUnit, JSON, Markdown and HTML say that it was edited, and which hash it has."""
    report = run_suite(load_suite(folder / "release.json"), small.right(small.cats, 40))
    writers = (write_junit, write_json, write_markdown)
    texts = [str(report), report_html(report), *(w(report, folder / "x").read_text("utf-8") for w in writers)]
    for text in texts:
        assert "was edited by hand or merged" in text
        assert report.content_hash[:12] in text
    assert len(report.content_hash) == 64


def test_strict_refuses_an_edited_suite(folder):
    """Exit code 2 instead of 0, and JUnit has an error, so that no reader of it takes the suite for passed."""
    assert gate(folder).exit_code == 0
    assert gate(folder, "--strict", "--junit", str(folder / "x.xml")).exit_code == 2
    root = ET.parse(folder / "x.xml").getroot()
    assert (root.get("tests"), root.get("errors")) == ("2", "1")
    assert "edited by hand" in root.find(".//error").get("message")


def test_pytest_refuses_it_when_strict(folder):
    """Without strict there is a warning, with it the case fails."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "release.json"]
    command += ["--slicelab-predictions", "v4.csv"]
    done, strict = (
        subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True)
        for more in ([], ["--slicelab-strict"])
    )
    assert done.returncode == 0
    assert "PytestWarning: The suite file was edited by hand" in done.stdout
    assert strict.returncode == 1
    assert "can't be judged: The suite file was edited by hand" in strict.stdout


def test_an_untouched_suite_has_no_warnings(small, tmp_path):
    path = save_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), tmp_path / "s.json")
    report = run_suite(load_suite(path), small.right(small.cats, 40))
    assert (report.warnings, report.edited, report.exit_code(strict=True)) == ((), False, 0)
    assert report.content_hash == json.loads(path.read_text("utf-8"))["content_hash"]


# Half of the predictions.


@pytest.fixture
def half(small):
    """Twenty images of a cat each; predictions on the first ten only, all right."""
    keys = [f"{i:02}" for i in range(20)]
    table = small.detection_table(keys, small.boxes([(k, "1", "cat", 0) for k in keys]))
    return table, small.detections([(k, "1", "cat", 0, 0.9) for k in keys[:10]])


@pytest.mark.parametrize(
    ("least", "verdict", "told"),
    [
        (None, "pass", "10 of 20 images have a predicted box."),
        (0.5, "pass", "10 of 20 images have a predicted box."),
        (0.51, "inconclusive", "10 of 20 images have a predicted box. The bar wants one on a share of at least 0.51."),
    ],
)
def test_images_without_a_box_are_told(small, half, tmp_path, least, verdict, told):
    """Precision passes on half of the images, in words; with a least share of its own the bar isn't reached."""
    table, said = half
    suite = small.one_case(table, Bar("precision", at_least=0.6, min_predicted=least))
    report = run_suite(load_suite(save_suite(suite, tmp_path / "s.json")), said)
    result = report.results[0]
    assert (result.verdict, result.n_predicted, result.n_images) == (verdict, 10, 20)
    assert told in result.reason
    writers = (write_junit, write_json, write_markdown)
    texts = [report_html(report), *(w(report, tmp_path / "x").read_text("utf-8") for w in writers)]
    assert all("10 of 20 images have a predicted box" in text for text in texts)
    assert "10 of 20 images" in str(report)


def test_a_share_of_images_is_asked_of_comparisons_too(small, half):
    """A bar that is another model's value doesn't pass by images that nobody looked at."""
    table, said = half
    suite = small.one_case(table, Bar("precision", no_worse_than="v3", margin=0.1, min_predicted=0.9))
    result = run_suite(suite, said, against=replace(said, model="v3")).results[0]
    assert result.verdict == "inconclusive"
    assert "The bar wants one on a share of at least 0.9" in result.reason


@pytest.mark.parametrize(("least", "verdict"), [(None, "invalid"), (0.0, "pass"), (0.1, "invalid")])
def test_a_case_without_any_box(small, least, verdict):
    """Nothing predicted on any of its images: a wrong file, unless the bar says that nothing has to be found."""
    table = small.detection_table(["a", "b"], small.boxes([("b", "1", "cat", 0)]))
    bar = Bar("false_positives_per_image", at_most=0.5, strict=False, min_predicted=least)
    said = small.detections([("b", "1", "cat", 0, 0.9)])
    result = run_suite(small.one_case(table, bar, ["a"]), said).results[0]
    assert result.verdict == verdict
    if verdict == "invalid":
        assert "hold none of the case's 1 images" in result.reason
        assert "set the bar's min_predicted to 0" in result.reason


def test_a_least_share_is_for_boxes(small):
    with pytest.raises(InvalidInputError, match="min_predicted= is for detection"):
        small.one_case(small.cats, Bar("accuracy", at_least=0.5, min_predicted=0.9))
    with pytest.raises(InvalidInputError, match="min_predicted must be a number from 0 to 1"):
        Bar("recall", at_least=0.5, min_predicted=9)


# A sidecar that fills the memory.


def test_a_bomb_is_not_decompressed(small, tmp_path):
    """A sidecar of some 100 kB that would become 100 MB is refused by its size, before it is read as JSON."""
    suite = small.one_case(small.table({"a.png": "cat"}), Bar("accuracy", at_least=0.5))
    path = save_suite(suite, tmp_path / "s.json", sidecar=True)
    side = next(tmp_path.glob("*.gz"))
    bomb = gzip.compress(gzip.decompress(side.read_bytes()) + b" " * 100_000_000, mtime=0)
    sha256 = hashlib.sha256(bomb).hexdigest()
    name = f"s.{sha256[:12]}.members.json.gz"
    (tmp_path / name).write_bytes(bomb)
    document = json.loads(path.read_text("utf-8"))
    document["sidecar"] = {"file": name, "sha256": sha256}
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(SuiteError, match="holds more than it may"):
        load_suite(path)
