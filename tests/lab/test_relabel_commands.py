"""Relabelling by command line: what several annotators said, second opinions, rules, probes, definitions."""

import json

import pytest
from typer.testing import CliRunner

from slicelab.cli import app
from slicelab.core import SliceLabError

pytestmark = pytest.mark.mongo


def well(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception or done.output
    return done.output


def badly(*arguments):
    """What a command that goes wrong says."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code != 0
    assert isinstance(done.exception, SliceLabError | SystemExit), done.exception
    return done.output if isinstance(done.exception, SystemExit) else str(done.exception)


@pytest.fixture
def lab(load_parts, request):
    lab = load_parts(f"commands {request.node.name}", overwrite=True)
    lab.create_slice("some", rule='"part_000.png" <= unit and unit < "part_012.png"', model="v3")
    lab.create_slice("sure", rule='"part_100.png" <= unit and unit < "part_110.png"', model="v3")
    return lab


def answer(lab, folder, who, label):
    """Write what `who` says to the newest batch: a label, or None for what was there, or a function of the key."""
    path = sorted(folder.rglob("labels.jsonl"), key=lambda p: p.stat().st_mtime_ns)[-1]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(row | {"label": label(row), "reviewed": True}) for row in rows]
    (folder / f"{who}.jsonl").write_text("\n".join(lines))
    return folder / f"{who}.jsonl"


def test_two_annotators_a_second_round_and_a_merge(lab, tmp_path):
    """Every step of several annotators is a command: agreement, decide, ask again, export again, accept, merge."""
    name, out = lab.name, tmp_path
    before = lab.table.samples["label"].copy()
    assert "queued 12 units" in well("queue", "add", name, "q", "some", "--reason", "relabel")
    out_line = well("queue", "export", name, "q", out, "--format", "jsonl", "--no-images", "--blind")
    assert out_line.startswith("12 tasks as jsonl")
    (batch,) = lab.queue("q").batches()
    assert batch.blind
    assert f"{batch.batch_id}  {batch.created_at}  12 tasks, blind, came back 0 times" in well(
        "queue", "batches", name, "q"
    )
    torn = [f"part_{n:03d}.png" for n in range(3)]
    ann = answer(lab, out, "ann", lambda row: "bolt")
    bob = answer(lab, out, "bob", lambda row: "nut" if row["key"] in torn else "bolt")
    well("queue", "receive", name, "q", ann, "--annotator", "ann")
    well("queue", "receive", name, "q", bob, "--annotator", "bob", "--batch", batch.batch_id)
    said = well("queue", "agreement", name, "q")
    assert "2 annotators, 12 units with two answers or more: 75% of the pairs agree" in said
    assert ["ann", "12", "0"] in [line.split()[:3] for line in said.splitlines()]
    listed = well("queue", "review", name, "q", "--rule", "not agree", "--csv", out / "open.csv")
    assert [line for line in listed.splitlines() if "ann: bolt; bob: nut" in line] != []
    assert len((out / "open.csv").read_text().splitlines()) == 4
    assert "and 10 more" in well("queue", "review", name, "q", "--limit", "2")
    assert "have no agreed answer" in badly("queue", "accept", name, "q", "--rule", "not agree")
    decided = well("queue", "decide", name, "q", "--csv", out / "decided.csv")
    assert "9 of 12 tasks are decided; 3 need a second opinion" in decided
    assert len((out / "decided.csv").read_text().splitlines()) == 13
    well("queue", "export-again", name, "q", out / "again", "--format", "jsonl", "--no-images")
    cy = answer(lab, out / "again", "cy", lambda row: "nut")
    well("queue", "receive", name, "q", cy, "--annotator", "cy")
    merged = well("queue", "decide", name, "q", "--merge-into", "ground_truth_cy")
    assert "3 of 3 tasks are decided" in merged
    assert "merged into ground_truth_cy: " in merged
    item = next(i for i in lab.queue("q").items(state="accepted"))
    assert "1 items need a second opinion" in well("queue", "ask-again", name, "q", "--item", item.item_id)
    assert "accepted 1 items" in well("queue", "accept", name, "q", "--item", item.item_id)
    well("queue", "merge", name, "q", "--into", "ground_truth_v2")
    wanted = before.copy()
    wanted[[f"part_{n:03d}.png" for n in range(12)]] = ["nut"] * 3 + ["bolt"] * 9
    assert lab.table.samples["label"].tolist() == wanted.tolist()
    assert lab.queue("q").counts() == {"merged": 12}
    assert "isn't merged" in badly("queue", "merge", name, "q", "--into", "ground_truth_v3")
    assert "no case was affected" in well("queue", "explain", name, "q", "ground_truth_v2")
    assert "'ground_truth_cy' again" in well("queue", "step-back", name, "q")


def test_rules_probes_and_suggestions(lab, tmp_path):
    """Gold probes go along and score people; rules accept and reject; suggestions are listed and queued."""
    name = lab.name
    assert "queued 5 units" in well(
        *("queue", "add", name, "q", "some", "--reason", "relabel"), *("--limit", "5", "--sampling", "random")
    )
    more = ["--probes", "sure", "--probe-share", "0.4", "--format", "jsonl", "--no-images"]
    well("queue", "export", name, "q", tmp_path, *more)
    assert "7 tasks, 2 of them gold probes" in well("queue", "batches", name, "q")
    probes = {t.key: t.gold_label for b in lab.queue("q").batches() for t in b.tasks if t.is_probe}
    ann = answer(lab, tmp_path, "ann", lambda row: probes.get(row["key"], "bolt"))
    well("queue", "receive", name, "q", ann, "--annotator", "ann", "--format", "jsonl")
    (row,) = [line.split() for line in well("queue", "agreement", name, "q").splitlines() if line.startswith("ann ")]
    assert row[:4] == ["ann", "7", "2", "1"]
    unchanged = int((~lab.queue("q").review()["changed"]).sum())
    assert f"rejected {unchanged} items" in well("queue", "reject", name, "q", "--rule", "not changed")
    assert f"accepted {5 - unchanged} items" in well("queue", "accept", name, "q", "--rule", "changed", "--model", "v4")
    assert "one of them" in badly("queue", "accept", name, "q")
    assert "nonsense" in badly("queue", "reject", name, "q", "--rule", "nonsense > 1")
    assert "nothing waits" in well("queue", "review", name, "q", "--rule", "state == 'returned'")
    assert "nobody answered yet" in well("queue", "agreement", name, "other")
    assert "Nothing waits for a decision" in badly("queue", "decide", name, "other")
    said = well("queue", "suggest", name, "other", "--budget", "3", "--model", "v3", "--add")
    assert "queued 3 units in 'other'" in said
    assert [i.origin for i in lab.queue("other").items()] == ["suggestion"] * 3
    two = lab.queue("both").suggest(3, model=["v3", "v4"]).index
    said = well("queue", "suggest", name, "both", "--budget", "3", "--model", "v3", "--model", "v4")
    assert all(unit in said for unit in two)


def test_definitions_are_written_shown_and_written_again(lab, tmp_path):
    """What `show --json` prints is what `define` reads; wrong input is one sentence."""
    name = lab.name
    assert "Nobody has defined" in badly("schema", "show", name)
    more = ["--class", "nut=hexagonal=\x1b[31m", "--example", "nut=part_001.png", "--text", "Look twice."]
    assert "version 1 " in well("schema", "define", name, *more)
    shown = well("schema", "show", name)
    assert "\x1b" not in shown
    assert "bolt: no definition\nnut: hexagonal=\ufffd[31m\n  example: part_001.png" in shown
    assert shown.splitlines()[1] == "Look twice."
    file = tmp_path / "schema.json"
    file.write_text(well("schema", "show", name, "--json"))
    assert "version 1 " in well("schema", "define", name, file)
    assert "version 2 " in well("schema", "define", name, file, "--class", "bolt=long", "--example", "nut=part_003.png")
    made = lab.label_schema()
    assert (made.definition("bolt"), made.text) == ("long", "Look twice.")
    assert made.classes[1].examples == ("part_001.png", "part_003.png")
    assert "hexagonal" in well("schema", "show", name, "--version", "1")
    assert "Say what the classes mean" in badly("schema", "define", name)
    assert "no class 'nuts'" in badly("schema", "define", name, "--class", "nuts=x")
    assert "must read CLASS=WORDS" in badly("schema", "define", name, "--class", "nut")
    for content in ("[]", '{"classes": {"nut": "x"}}', '{"text": 1}', '{"classes": {"nut": {"examples": [1]}}}', "{"):
        file.write_text(content)
        assert "schema.json" in badly("schema", "define", name, file)


def test_cvat_by_command_line(lab, cvat_api, tmp_path, monkeypatch):
    """Pushed with the token of the environment, finished there, pulled and merged; wrong options make no batch."""
    name = lab.name
    well("queue", "add", name, "q", "some", "--reason", "relabel")
    api = cvat_api.CvatApi("t0ken")
    push = ["queue", "push", name, "q", "--server", "cvat"]
    with cvat_api.serving(api) as url:
        monkeypatch.delenv("CVAT_ACCESS_TOKEN", raising=False)
        assert "set CVAT_ACCESS_TOKEN" in badly(*push, "--url", url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", "t0ken")
        assert "are Label Studio's" in badly(*push, "--url", url, "--document-root", "/data")
        assert "share_root is CVAT's" in badly(
            "queue", "push", name, "q", "--url", url, "--token", "x", "--share-root", "/"
        )
        assert lab.queue("q").counts() == {"queued": 12}
        said = well(*push, "--url", url, "--job-size", "5", "--limit", "11")
        assert "11 tasks sent, 0 were there already" in said
        (batch,) = lab.queue("q").batches()
        assert "0 tasks sent, 11" in well(*push, "--url", url, "--batch", batch.batch_id)
        first, *_ = sorted(api.jobs.values(), key=lambda j: j["start_frame"])
        nut = next(x["id"] for x in api.labels.values() if x["name"] == "nut")
        first["held"]["tags"] = [{**t, "label_id": nut, "attributes": []} for t in reversed(first["held"]["tags"])]
        api.finish(first)
        pull = ["queue", "pull", name, "q", "--server", "cvat", "--url", url, "--folder", tmp_path]
        said = well(*pull, "--merge-into", "ground_truth_v2")
        assert f"cvat-{batch.batch_id}.xml: 5 matched, 0 unmatched, 0 duplicated, 6 unreviewed" in said
        again = lab.queue("q").pull(tmp_path, url=url, token="t0ken", server="cvat")
        assert again.sha256 == lab.queue("q").returns()[0].sha256
        assert len(lab.queue("q").returns()) == 1
    keys = [task.key for task in batch.tasks[:5]]
    assert set(lab.table.samples.loc[keys, "label"]) == {"nut"}
    assert lab.queue("q").counts() == {"queued": 1, "exported": 6, "merged": 5}
