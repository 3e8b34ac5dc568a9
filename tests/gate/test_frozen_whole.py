"""What a metric reads of a case's images is frozen with it: any edit there makes it invalid, or changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slicelab.core import METRICS, OWN_METRICS, Bar, metric
from slicelab.gate import TASK_METRICS, freeze_case, load_suite, make_suite, run_suite, save_suite

EDITS = 6


@pytest.fixture
def own():
    """A metric of one's own that reads labels that are no members', boxes and groups."""

    @metric(name="reads_all")
    def reads_all(units):
        return float(units["x"].sum() + len(units["group_id"].unique()) + (units["outcome"] == "tp").mean())

    yield
    del OWN_METRICS["reads_all"]


def bar_of(name):
    return Bar(name, at_most=0.4) if name in ("error_rate", "ece", "confidence_gap") else Bar(name, at_least=0.3)


def detection(small, random):
    keys = [f"{i}" for i in range(8)]
    rows = [
        (k, str(j), str(random.choice(["cat", "dog"])), int(random.integers(0, 150)))
        for k in keys
        for j in range(int(random.integers(1, 5)))
    ]
    table = small.detection_table(keys, small.boxes(rows))
    table.boxes["crowd"] = random.random(len(rows)) < 0.15
    said = [
        (k, str(i), label, x + int(random.integers(0, 5)), float(random.uniform(0.2, 1)))
        for i, (k, _, label, x) in enumerate(rows)
    ]
    said += [(k, f"n{k}", "cat", 165, 0.5) for k in keys[::2]]
    return replace(table, samples=table.samples.assign(scene=list("aabbccdd")), group="scene"), small.detections(said)


def edit(table, random):
    """Return the table with one random edit, and the key of the image that it touches."""
    samples, boxes = table.samples.copy(), table.boxes.copy()
    i, key = int(random.integers(len(boxes))), str(random.choice(samples.index))
    what = random.choice(["class", "move", "nudge", "crowd", "drop", "add", "group", "media"])
    if what == "class":
        boxes.loc[i, "label"] = "dog" if boxes.loc[i, "label"] == "cat" else "cat"
    elif what in ("move", "nudge"):
        side = str(random.choice(["x", "y", "width", "height"]))
        boxes.loc[i, side] += float(random.uniform(1, 30)) if what == "move" else float(random.uniform(-0.02, 0.02))
    elif what == "crowd":
        boxes.loc[i, "crowd"] = not boxes.loc[i, "crowd"]
    elif what == "drop":
        key = boxes.loc[i, "key"]
        return replace(table, boxes=boxes.drop(index=i).reset_index(drop=True)), key
    elif what == "add":
        # A false label, say under a false positive.
        boxes.loc[len(boxes)] = [key, "added", "cat", 165.0, 0.0, 10.0, 10.0, False]
        return replace(table, boxes=boxes), key
    else:
        column = "scene" if what == "group" else "sha256"
        samples.loc[key, column] = str(random.choice(["a", "z"])) if what == "group" else "other"
        return replace(table, samples=samples), key
    return replace(table, boxes=boxes), boxes.loc[i, "key"]


def said_of(r):
    return repr((r.verdict, r.reason, r.value, r.interval, r.n_units, r.n_failures, r.failing, r.hashes, r.confidence))


@pytest.mark.parametrize("policy", [{}, {"others": 0.45}])
@pytest.mark.parametrize("seed", range(2))
def test_any_edit_makes_a_case_invalid_or_changes_nothing(small, own, seed, policy):
    """All metrics, members that are objects or images; an edit elsewhere changes nothing at all."""
    random = np.random.default_rng(seed)
    table, predictions = detection(small, random)
    units = (table.boxes["key"] + "#" + table.boxes["label_id"])[~table.boxes["crowd"]].tolist()
    names = [*TASK_METRICS["detection"], "reads_all"]
    assert set(METRICS) - {"top5"} <= set(names)
    cases = [
        freeze_case(n, suite="s", members=random.choice([*units, *table.samples.index], 3).tolist(), table=table,
                    bar=bar_of(n))
        for n in names
    ]  # fmt: skip
    before = run_suite(make_suite("s", cases, table, **policy), predictions)
    invalid = 0
    for _ in range(EDITS):
        now, key = edit(table, random)
        after = run_suite(make_suite("s", cases, now, **policy), predictions)
        for old, new in zip(before.results, after.results, strict=True):
            on_case = key in {m.split("#")[0] for m in old.case.members}
            invalid += new.verdict == "invalid" != old.verdict
            if not on_case or new.verdict != "invalid":
                assert said_of(old) == said_of(new)
    assert invalid > EDITS


def test_labels_beside_the_members_are_frozen(small, tmp_path):
    """False labels under every false positive make nothing pass: the case says that its labels were changed."""
    table = small.detection_table(["a"], small.boxes([("a", "1", "cat", 0)]))
    said = small.detections([("a", "1", "cat", 0, 0.9), *(("a", f"n{i}", "cat", 30 * i, 0.9) for i in range(1, 6))])
    bar = Bar("precision", at_least=0.99, strict=False)
    suite = make_suite("s", [freeze_case("c", suite="s", members=["a#1"], table=table, bar=bar)], table)
    assert run_suite(suite, said).results[0].verdict == "fail"
    faked = small.boxes([("a", "1", "cat", 0), *(("a", f"f{i}", "cat", 30 * i) for i in range(1, 6))])
    path = save_suite(replace(suite, boxes=faked), tmp_path / "s.json")  # with the hash of the file made anew
    found = run_suite(load_suite(path), said).results[0]
    assert found.verdict == "invalid"
    assert "labels (members' or others' on their images)" in found.reason


def test_what_changed_beside_the_members_is_told(small):
    """With labels as they are now: which other label came, went, moved or is another class; only where it is frozen."""
    rows = [("a", "1", "cat", 0), ("a", "2", "dog", 30), ("a", "3", "dog", 60), ("a", "4", "cat", 90)]
    table = small.detection_table(["a"], small.boxes(rows))
    now = small.boxes([("a", "1", "cat", 0), ("a", "2", "cat", 30), ("a", "3", "dog", 61), ("a", "5", "cat", 90)])
    suite = small.one_case(table, Bar("precision", at_least=0.1), ["a#1"])
    said = small.detections([("a", "1", "cat", 0, 0.9)])
    found = run_suite(suite, said, labels=small.detection_table(["a"], now)).results[0]
    told = ("'a#2' was 'dog', is 'cat'", "'a#3' has another box", "'a#4' went", "'a#5' came")
    assert found.verdict == "invalid"
    assert "4 other labels on the members' images changed since" in found.reason
    assert all(words in found.reason for words in told)


def test_groups_are_frozen_and_told(small, tmp_path):
    """They come back from the file (a missing one stays missing), and another group makes the case invalid."""
    samples = small.cats.samples.assign(video=[float(i // 10) if i < 30 else np.nan for i in range(40)])
    table = replace(small.cats, samples=samples, group="video")
    suite = small.one_case(table, Bar("accuracy", at_least=0.1))
    path = save_suite(suite, tmp_path / "s.json")
    loaded = load_suite(path)
    assert loaded.samples["group"].tolist()[::10] == ["0", "1", "2", np.nan]
    assert save_suite(loaded, tmp_path / "t.json").read_bytes() == path.read_bytes()
    side = load_suite(save_suite(suite, tmp_path / "u.json", sidecar=True))
    assert side.samples["group"].equals(suite.samples["group"])
    said = small.right(small.cats, 30)
    assert run_suite(loaded, said).results[0].verdict == "pass"
    path.write_text(path.read_text("utf-8").replace('"group": "2"', '"group": "1"', 1), "utf-8")
    found = run_suite(load_suite(path), said).results[0]
    assert (found.verdict, "Its groups aren't those that were frozen" in found.reason) == ("invalid", True)
