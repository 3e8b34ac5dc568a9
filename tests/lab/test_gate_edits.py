"""Cases that are edited, drift, and are planned from, on a real database."""

import json
import subprocess
import sys

import pytest

import slicelab as sl
from slicelab.core import ConflictError
from slicelab.gate import case_hash, load_suite

pytestmark = pytest.mark.mongo


def test_a_case_over_its_life(load_parts, tmp_path):
    """Two kernels edit one version: one wins, the other's conflict shows both. Hash, drift, report and plan follow."""
    lab = load_parts("gate edits", overwrite=True)
    dark = lab.create_slice("dark nuts", rule='label == "nut" and dark')
    case = lab.promote(dark, bar=sl.Bar("accuracy", at_least=0.6), suite="release")
    other = sl.open("gate edits").suite("release").case("dark nuts")
    assert other == case

    won = lab.suite("release").edit(case, bar=sl.Bar("accuracy", at_least=0.7), note="stricter")
    assert (won.version, won.members) == (2, case.members)
    with pytest.raises(ConflictError, match=r"accuracy >= 0\.5.*accuracy >= 0\.7.*'stricter'") as error:
        sl.open("gate edits").suite("release").edit(other, bar=sl.Bar("accuracy", at_least=0.5))
    assert (error.value.mine.bar.at_least, error.value.theirs) == (0.5, won)
    suite = lab.suite("release")
    assert suite.cases == [won]
    assert [c.version for c in suite.versions("dark nuts")] == [1, 2]

    loaded = load_suite(suite.save(tmp_path / "s.json"))
    table = lab.table
    in_database = case_hash(won.members, samples=table.samples, boxes=table.boxes, task=table.task)
    in_file = case_hash(won.members, samples=loaded.samples, boxes=loaded.boxes, task=loaded.task)
    assert in_database == in_file == won.content_hash == loaded.cases[0].content_hash

    fewer = suite.edit(won, members=won.members[3:])
    drift = suite.drift(fewer, model="v3")
    assert (drift.came, drift.went) == (won.members[:3], ())
    assert str(drift) == "dark nuts: 3 new units match the rule, 0 members no longer do"
    accepted = suite.accept_drift(fewer, model="v3")
    assert (accepted.version, accepted.members) == (4, won.members)
    assert not suite.drift(accepted, model="v3")

    strata = suite.stratify("label", bar=sl.Bar("accuracy", no_worse_than="v4", margin=0.05), model="v3")
    assert {c.name for c in strata} == {f"label/{name}" for name in table.classes}
    report = suite.run("v3")
    assert report.against == "v4"
    assert report.result("dark nuts").verdict == "fail"
    assert "sandbox" in report._repr_html_()
    assert report.to_html(tmp_path / "r.html") == (tmp_path / "r.html").read_text()
    assert len(suite.plot_history("dark nuts").data) == 2

    plan = lab.roadmap("v3")
    assert plan.index.tolist() == ["dark nuts"]
    row = plan.iloc[0]
    assert row["failures"] == row["units"] == len(dark.members)
    assert 0 < row["low"] <= row["points"] <= row["high"]
    assert row["points"] <= 100 * len(dark.members) / len(lab.units("v3"))


KERNEL = """
import json, sys
import slicelab as sl
from slicelab.core import ConflictError
suite = sl.open("two kernels").suite("release")
print("ready", flush=True)
done = {"won": [], "lost": []}
for line in sys.stdin:
    case, bar = suite.case("dark nuts"), float(line)
    sys.stdin.readline()  # both have read the same version
    try:
        done["won"].append(suite.edit(case, bar=sl.Bar("accuracy", at_least=bar)).version)
    except ConflictError as error:
        done["lost"].append([error.mine.bar.at_least, error.theirs.bar.at_least])
    print("edited", flush=True)
print(json.dumps(done))
"""


def test_two_kernels_edit_a_case_at_once(load_parts):
    """Two processes edit one version ten times: each time one wins, the other's conflict shows both bars."""
    lab = load_parts("two kernels", overwrite=True)
    lab.promote(
        lab.create_slice("dark nuts", rule='label == "nut" and dark'),
        bar=sl.Bar("accuracy", at_least=0.5),
        suite="release",
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    kernels = [subprocess.Popen([sys.executable, "-c", KERNEL], **pipes) for _ in range(2)]
    bars = [[0.60 + 0.01 * i, 0.80 + 0.01 * i] for i in range(10)]
    try:
        assert [k.stdout.readline() for k in kernels] == ["ready\n"] * 2
        for pair in bars:
            for kernel, bar in zip(kernels, pair, strict=True):
                kernel.stdin.write(f"{bar:.2f}\n")
            for kernel in kernels:
                kernel.stdin.write("go\n")
            assert [k.stdout.readline() for k in kernels] == ["edited\n"] * 2
        done = [json.loads(k.communicate(timeout=60)[0].splitlines()[-1]) for k in kernels]
    finally:
        for kernel in kernels:
            kernel.kill()
    # Who reads late may see what the other wrote: then both win, one after the other, and nothing is lost.
    lost = [told for d in done for told in d["lost"]]
    won = sorted(version for d in done for version in d["won"])
    assert won == list(range(2, 2 + len(won)))
    assert len(won) + len(lost) == 20
    assert lost
    assert all([round(v, 2) for v in sorted(pair)] in [[round(v, 2) for v in b] for b in bars] for pair in lost)
    assert lab.suite("release").case("dark nuts").version == won[-1]
