"""The command line: every step with its exit code, and errors in one line."""

import json

import pytest
from typer.testing import CliRunner

from slicelab.cli import app

FOUND = "1 taken for 2, slant <= -0.21"
"""The ones with a foot: named by what they are taken for and by the rule that describes them."""


def test_every_command_has_help_with_an_example(run_cli):
    """`--help` of each command ends with a line that can be typed."""
    commands = ["load", "datasets", "evaluate", "embed", "discover", "demo", "doctor", "lab", "gate"]
    commands += [f"slice {c}" for c in ("list", "create", "rename", "merge", "delete", "undo", "redo", "promote")]
    commands += [f"suite {c}" for c in ("list", "run", "save", "diff", "explain")]
    commands += [f"queue {c}" for c in ("list", "add", "suggest", "batches", "export", "receive", "push", "pull")]
    commands += [f"queue {c}" for c in ("agreement", "decide", "review", "accept", "reject", "ask-again")]
    commands += [f"queue {c}" for c in ("export-again", "merge", "step-back", "explain")]
    commands += [f"schema {c}" for c in ("define", "show")]
    commands += [f"partitions {c}" for c in ("assign", "evaluate")]
    for command in commands:
        shown = CliRunner().invoke(app, [*command.split(), "--help"])
        assert shown.exit_code == 0, command
        assert "Example: slicelab " + command in " ".join(shown.output.split()), command


@pytest.fixture
def server():
    """Holds the database open, so that no command starts and stops one of its own (tests/store does that)."""
    import slicelab

    slicelab.datasets()


@pytest.mark.mongo
def test_the_loop_by_command_line(run_cli, samples, tmp_path, server):
    """load, evaluate, embed, discover, slice, promote, suite, gate, queue: each does its step and says so.

    Some run as processes; what the others have in common with them (start, exit codes) needs no second look.
    """
    digits = samples / "digits"
    models = [x for m in ("cnn", "cnn_small") for x in ("--predictions", f"{m}={digits / f'predictions_{m}.csv'}")]

    def apart(*arguments):
        done = run_cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def well(*arguments):
        done = CliRunner().invoke(app, list(map(str, arguments)))
        assert done.exit_code == 0, done.exception or done.output
        return done.output

    loaded = apart("load", "cli", "--images", digits / "images", "--labels", digits / "labels.csv", *models)
    assert "samples: 1797 rows in, 1797 loaded, 0 refused" in loaded
    assert "accuracy" in well("evaluate", "cli", "cnn")
    assert "1797 units" in well("embed", "cli", "--source", digits / "embeddings_cnn.npy")
    found = well("discover", "cli", "cnn", "--promote", "1", "--leads", "--csv", tmp_path / "found.csv")
    assert FOUND in found
    assert found.count("  lead: ") == 10
    assert (tmp_path / "found.csv").read_text().startswith("name,status")
    well("slice", "create", "cli", "fours", "--rule", 'label == "4"')
    well("slice", "rename", "cli", "fours", "class/4")
    assert "undid" in well("slice", "undo", "cli")
    assert "fours" in apart("slice", "list", "cli")
    well("slice", "promote", "cli", "fours", "--bar", "accuracy >= 0.9", "--suite", "release")
    well("slice", "promote", "cli", FOUND, "--bar", "accuracy >= 0.9", "--suite", "release")
    suite = tmp_path / "release.json"
    well("suite", "save", "cli", "release", suite)
    assert "fours" in well("suite", "list", "cli")
    done = run_cli("suite", "run", "cli", "release", "cnn", "--html", tmp_path / "pictures.html")
    assert done.returncode == 1
    assert "data:image/jpeg" in (tmp_path / "pictures.html").read_text()
    files = ["--junit", tmp_path / "r.xml", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html"]
    gate = ["gate", suite, "--predictions", digits / "predictions_cnn.csv", *files]
    done = run_cli(*gate, "--against", digits / "predictions_cnn_small.csv", SLICELAB_HOME="/nonexistent/home")
    assert (done.returncode, "fail" in done.stdout) == (1, True), done.stderr
    assert {r["verdict"] for r in json.loads((tmp_path / "r.json").read_text())["results"]} == {"pass", "fail"}
    assert "queued" in well("queue", "add", "cli", "round-1", FOUND, "--reason", "relabel", "--limit", "5")
    assert "5 tasks" in well("queue", "export", "cli", "round-1", tmp_path / "batch", "--format", "csv")
    assert "5 exported" in well("queue", "list", "cli")
    assert "cli" in well("datasets")


@pytest.mark.mongo
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nowhere", "v3"], "There is no dataset 'nowhere'"),
        (["gate", "missing.json", "--predictions", "p.csv"], "can't be read"),
        (["load", "x", "--images", "/nonexistent/folder"], "/nonexistent/folder"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run_cli, server, arguments, words):
    """What is wrong is said without a traceback."""
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
