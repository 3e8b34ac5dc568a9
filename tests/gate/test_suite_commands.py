"""`slicelab suite diff` and `slicelab suite explain` on files alone."""

import pytest
from typer.testing import CliRunner

from slicelab.cli import app
from slicelab.core import Bar
from slicelab.gate import save_suite


@pytest.fixture
def files(small, tmp_path):
    """Two suites, of which the second has other labels and another bar, and the predictions of two models."""
    keys = list(small.cats.samples.index)
    relabelled = small.table({k: "dog" if i < 8 else "cat" for i, k in enumerate(keys)})
    save_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.7)), tmp_path / "old.json")
    save_suite(small.one_case(relabelled, Bar("accuracy", at_least=0.8)), tmp_path / "new.json")
    for name, n_right in (("v3", 40), ("v4", 36)):
        rows = [f"{k},{'cat' if i < n_right else 'dog'},0.9" for i, k in enumerate(keys)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["key,label,confidence", *rows]))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["suite", *map(str, arguments)])


def test_diff_tells_bars_and_labels(files):
    """Exit code 1 and a line for each thing that differs; 0 where nothing does."""
    done = run("diff", files / "old.json", files / "new.json")
    assert done.exit_code == 1
    assert "~ case 'c': bar accuracy >= 0.7 (confidence 0.95) -> accuracy >= 0.8 (confidence 0.95)" in done.output
    assert "~ case 'c': 8 members labelled otherwise" in done.output
    same = run("diff", files / "old.json", files / "old.json")
    assert (same.exit_code, same.output.strip()) == (0, "no difference")


def test_explain_tells_labels_from_the_model(files):
    """The case's fall from 1 to 0.7: 8 of 40 labels changed, 4 of 40 predictions did."""
    runs = ["--before-predictions", files / "v3.csv", "--predictions", files / "v4.csv"]
    done = run("explain", files / "old.json", files / "new.json", *runs)
    assert done.exit_code == 0
    assert done.output.strip() == "c: pass 1 -> inconclusive 0.7: labels -0.2, predictions -0.1"
    missing = run("explain", files / "old.json", files / "new.json", *runs, "--case", "d")
    assert missing.exit_code != 0
