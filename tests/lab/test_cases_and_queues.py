"""From a slice to a verdict and to labels that come back, on a real database."""

import json
import xml.etree.ElementTree as ET

import pytest

import slicelab as sl
from slicelab.core import StateError
from slicelab.gate import load_suite, run_suite, write_junit
from slicelab.sources import read_predictions_for_suite

pytestmark = pytest.mark.mongo


@pytest.fixture
def lab(load_parts, request):
    return load_parts(f"cases {request.node.name}", overwrite=True)


def test_a_case_fails_one_model_and_passes_the_other(lab, parts_folder, tmp_path):
    """The verdict on the database equals that of the gate on the two files, and the exit code follows it."""
    dark = lab.create_slice("dark nuts", rule='label == "nut" and dark')
    lab.promote(dark, bar=sl.Bar("accuracy", at_least=0.6), suite="release")
    suite = lab.suite("release")
    bad, good = suite.run("v3", against="v4"), suite.run("v4", against="v3")
    assert [(r.verdict, r.comparison) for r in bad.results] == [("fail", "regressed")]
    assert [(r.verdict, r.comparison) for r in good.results] == [("pass", "improved")]
    assert (bad.exit_code(), good.exit_code()) == (1, 0)
    assert set(bad.results[0].failing) == set(dark.members)
    path = suite.save(tmp_path / "suites" / "release.json")
    loaded = load_suite(path)
    given, _, _ = read_predictions_for_suite(
        parts_folder / "v3.csv",
        model="v3",
        task=loaded.task,
        classes=loaded.classes,
        samples=loaded.samples,
        image_ids=None,
    )
    alone = run_suite(loaded, given)
    assert [(r.verdict, r.value, r.interval) for r in alone.results] == [
        (r.verdict, r.value, r.interval) for r in bad.results
    ]
    junit = ET.parse(write_junit(bad, tmp_path / "report.xml")).getroot()
    assert len(junit.findall(".//testcase/failure")) == 1
    html = suite.write_html(bad, tmp_path / "report.html", models=lab.models).read_text()
    assert html.count("data:image/jpeg;base64,") == 12
    assert suite.history()["verdict"].tolist() == ["fail", "pass"]


def test_a_new_version_of_a_case_keeps_the_old_one(lab):
    """Promoting again under a name makes version 2; the suite has the newest; retiring empties it."""
    dark = lab.create_slice("dark nuts", rule='label == "nut" and dark')
    first = lab.promote(dark, bar=sl.Bar("accuracy", at_least=0.6), suite="release")
    second = lab.promote(dark, bar=sl.Bar("accuracy", at_least=0.9), suite="release")
    assert (first.version, second.version) == (1, 2)
    assert [(c.version, c.bar.at_least) for c in lab.suite("release").cases] == [(2, 0.9)]
    lab.suite("release").retire("dark nuts")
    assert lab.suite("release").cases == []


def test_the_gate_on_coco_results(load_scenes, scenes_folder, tmp_path, run_cli):
    """A detection suite carries COCO's ids, so results with numbers are judged without labels or images."""
    lab = load_scenes("gate on coco", overwrite=True)
    small = lab.create_slice("small nuts", rule='label == "nut" and width < 20')
    lab.promote(small, bar=sl.Bar("recall", at_least=0.5), suite="release")
    path = lab.suite("release").save(tmp_path / "release.json")
    done = run_cli("gate", path, "--predictions", scenes_folder / "v3.json", "--against", scenes_folder / "v4.json")
    assert (done.returncode, "fail" in done.stdout) == (1, True), done.stderr
    done = run_cli("gate", path, "--predictions", scenes_folder / "v4.json", "--markdown", tmp_path / "r.md")
    assert done.returncode == 0, done.stderr
    assert "small nuts" in (tmp_path / "r.md").read_text()


def answer(task, label):
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    return task | {"annotations": [{"id": 1, "completed_by": 7, "was_cancelled": False, "result": [result]}]}


def test_the_relabel_loop_closes(lab, tmp_path):
    """Queued, exported, answered in another order, received, merged; the case notices that its labels changed."""
    dark = lab.create_slice("dark nuts", rule='label == "nut" and dark')
    lab.promote(dark, bar=sl.Bar("accuracy", at_least=0.5), suite="labels")
    queue = lab.queue("round-1")
    assert queue.add(dark, reason="relabel") == len(dark)
    assert queue.add(dark, reason="relabel") == 0
    exported = queue.export("label-studio", tmp_path)
    assert queue.counts() == {"exported": len(dark)}
    with pytest.raises(StateError, match="nothing to export"):
        queue.export("label-studio", tmp_path)
    tasks = json.loads(next(p for p in exported.paths if p.name == "tasks.json").read_text())
    back = [answer(t, "bolt") for t in reversed(tasks[5:])] + [t | {"annotations": []} for t in tasks[:5]]
    (tmp_path / "back.json").write_text(json.dumps(back))
    returned = queue.receive(tmp_path / "back.json")
    assert (returned.counts()["matched"], returned.counts()["unreviewed"]) == (len(dark) - 5, 5)
    again = queue.receive(tmp_path / "back.json")
    assert again.counts() == returned.counts()
    assert queue.counts() == {"returned": len(dark) - 5, "exported": 5}
    merged = queue.merge(returned, into="ground_truth_v2")
    assert (merged.changed, merged.confirmed) == (len(dark) - 5, 0)
    answered = {t["data"]["slicelab_id"]: t for t in tasks[5:]}
    assert len(answered) == len(dark) - 5
    assert (lab.table.samples.loc[merged.labels.index, "label"] == "bolt").all()
    assert lab.dataset.count_values("ground_truth.label") == {"bolt": 80, "nut": 80}
    assert lab.dataset.count_values("ground_truth_v2.label") == {"bolt": 80 + len(dark) - 5, "nut": 80 - len(dark) + 5}
    with pytest.raises(StateError, match="merged into 'ground_truth_v2' already"):
        queue.merge(returned, into="ground_truth_v3")
    assert lab.suite("labels").run("v3").results[0].verdict == "invalid"
    assert len(lab.suite("labels").refreeze()) == 1
    assert lab.suite("labels").run("v3").results[0].verdict == "pass"
    assert [s["to"] for s in lab._queues.history(queue.items(state="merged")[0])] == [
        "queued",
        "exported",
        "returned",
        "accepted",
        "merged",
    ]


def test_boxes_that_come_back_replace_those_of_their_image(load_scenes, tmp_path):
    """Detection through CVAT: a moved box keeps its id, a new one gets one, other images keep theirs."""
    lab = load_scenes("relabel boxes", overwrite=True)
    small = lab.create_slice("small nuts", rule='label == "nut" and width < 20')
    queue = lab.queue("boxes")
    queue.add(small, reason="relabel", limit=3)
    exported = queue.export("cvat", tmp_path, images="none")
    path = next(p for p in exported.paths if p.name == "annotations.xml")
    tree = ET.parse(path)
    image = tree.getroot().find("image")
    key, before = image.get("name"), lab.table.boxes
    image.findall("box")[0].set("xtl", "1.00")
    ET.SubElement(
        image, "box", label="bolt", source="manual", occluded="0", xtl="50", ytl="60", xbr="70", ybr="80", z_order="0"
    )
    tree.write(tmp_path / "back.xml")
    returned = queue.receive(tmp_path / "back.xml")
    merged = queue.merge(returned, into="ground_truth_v2")
    after = lab.table.boxes
    assert merged.changed >= 1
    mine = after[after["key"].isin([key]) | after["key"].str.endswith(key)]
    assert len(mine) == 3
    assert len(after) == len(before) + 1
    others = before[~before["key"].isin(mine["key"])].reset_index(drop=True)
    assert (
        after[~after["key"].isin(mine["key"])]
        .reset_index(drop=True)[["key", "label_id"]]
        .equals(others[["key", "label_id"]])
    )
