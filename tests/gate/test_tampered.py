"""What was changed behind the gate's back: the right verdict or error each, by the command itself."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from slicelab.core import Bar
from slicelab.gate import save_suite


@pytest.fixture
def files(small, tmp_path):
    """Forty images, a suite that passes, labels and predictions."""
    images = tmp_path / "images"
    images.mkdir()
    table = replace(small.cats, samples=small.cats.samples.copy())
    for key in table.samples.index:
        (images / key).write_bytes(f"picture {key}".encode())
    hashes = [hashlib.sha256(f"picture {k}".encode()).hexdigest() for k in table.samples.index]
    table.samples["sha256"] = hashes
    suite = save_suite(small.one_case(table, Bar("accuracy", at_least=0.8)), tmp_path / "s.json")
    rows = [f"{k},cat,0.9" for k in table.samples.index]
    (tmp_path / "v4.csv").write_text("\n".join(["key,label,confidence", *rows]))
    (tmp_path / "labels.csv").write_text("\n".join(["filepath,label", *[f"{k},cat" for k in table.samples.index]]))
    return SimpleNamespace(folder=tmp_path, suite=suite, images=images)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def gate(files):
    """Exit code and verdict's reason of the command."""
    from typer.testing import CliRunner

    from slicelab.cli._main import app

    f = files.folder
    options = ["--predictions", f / "v4.csv", "--labels", f / "labels.csv", "--images", files.images]
    done = CliRunner().invoke(app, ["gate", str(files.suite), *map(str, options), "--json", str(f / "r.json")])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    result = json.loads((f / "r.json").read_text())["results"][0]
    return done.exit_code, f"{result['verdict']}: {result['reason']}"


def test_untouched_it_passes(files):
    assert gate(files)[0] == 0


@pytest.mark.parametrize(
    ("tamper", "code", "words"),
    [
        (lambda f: change(f.folder / "labels.csv", "07.png,cat", "07.png,dog"), 1, "invalid: 1 member changed since"),
        (lambda f: (f.images / "07.png").write_bytes(b"other"), 1, "invalid: 1 image changed since: '07.png'"),
        (lambda f: (f.images / "07.png").unlink(), 1, "invalid: 1 image can't be found: '07.png'"),
        (lambda f: change(f.folder / "v4.csv", "07.png,cat,0.9\n", ""), 1, "invalid: 1 of 40 members have no"),
        (lambda f: change(f.folder / "v4.csv", "07.png,cat,0.9", "07.png,cat,nan"), 2, "the confidence is no number"),
        (lambda f: change(f.folder / "v4.csv", "07.png,cat,0.9", "07.png,cat,1.9"), 2, "can't be taken"),
        (lambda f: change(f.folder / "v4.csv", "07.png", "elsewhere.png,cat,0.9\n07.png"), 0, "pass"),
        (lambda f: change(f.folder / "v4.csv", "07.png", "06.png"), 2, "can't be taken"),
        (lambda f: change(f.suite, '"label": "cat"', '"label": "dog"'), 1, "invalid: Its labels aren't those"),
        (lambda f: change(f.suite, '"sha256": "1', '"sha256": "2'), 1, "invalid: Its media aren't those"),
        (lambda f: change(f.suite, '"schema_version": 4', '"schema_version": 5'), 2, "newer SliceLab"),
        (lambda f: change(f.suite, '    "07.png",\n', ""), 1, "invalid: Its members aren't those"),
    ],
)
def test_what_was_tampered_with_never_passes_by_accident(files, tamper, code, words):
    tamper(files)
    got, told = gate(files)
    assert (got, words in told) == (code, True), told
