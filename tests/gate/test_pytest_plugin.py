"""Suite files as tests, in pytest processes of their own."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from slicelab.core import Bar
from slicelab.gate import freeze_case, make_suite, save_suite


@pytest.fixture
def folder(small, tmp_path):
    keys = list(small.cats.samples.index)
    bars = {"night/passes": Bar("accuracy", at_least=0.5), "fails": Bar("accuracy", at_least=0.99),
            "undecided": Bar("accuracy", at_least=0.9)}  # fmt: skip
    cases = [freeze_case(n, suite="s", members=keys, table=small.cats, bar=b) for n, b in bars.items()]
    save_suite(make_suite("s", cases, small.cats), tmp_path / "release.json")
    rows = [f"{k},{'cat' if i < 36 else 'dog'},0.9" for i, k in enumerate(keys)]
    (tmp_path / "v4.csv").write_text("\n".join(["key,label,confidence", *rows]))
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    return tmp_path


def run(folder, *options):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=."]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_test_per_case(folder, workers):
    """One passes, one fails in words, one is skipped; the same under xdist; JUnit as pytest writes it."""
    done = run(folder, ".", "--slicelab-predictions", "v4.csv", "--junitxml=x.xml", *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
    for words in ("accuracy >= 0.99", "value     0.9", "interval  0.754 to 0.9675 at 95%", "36.png"):
        assert words in done.stdout
    assert "the 4 worst of 4 failing units" in done.stdout
    suite = ET.parse(folder / "x.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    names = {p.get("name") for p in suite.iter("property")}
    assert {"verdict", "bar", "value", "interval", "content_hash"} <= names


def test_strict_fails_the_undecided(folder):
    done = run(folder, "release.json", "--slicelab-predictions", "v4.csv", "--slicelab-strict")
    assert "2 failed, 1 passed" in done.stdout


def test_predictions_that_cannot_be_read_fail_in_one_line(folder):
    done = run(folder, "release.json", "--slicelab-predictions", "v5.csv")
    assert done.returncode == 1
    assert "The suite can't be judged" in done.stdout
    assert "Traceback" not in done.stdout
