"""Several annotators on one queue: agreement, consensus, a second round, accepting by rule, on a real database."""

import json

import pandas as pd
import pytest

import slicelab as sl
from slicelab.core import InvalidInputError, NotFoundError, StateError
from slicelab.store import audit, connect

pytestmark = pytest.mark.mongo


@pytest.fixture
def lab(load_parts, request):
    return load_parts(f"annotators {request.node.name}", overwrite=True)


def tasks_of(exported):
    path = next(p for p in exported.paths if p.name in ("labels.jsonl", "tasks.json"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def send(queue, tmp_path, exported, who, answer):
    """Receive what `who` says: `answer` maps a row to its label (None: not answered)."""
    rows = [row | {"label": answer(row), "reviewed": True} for row in tasks_of(exported) if answer(row) is not None]
    path = tmp_path / f"{who}.jsonl"
    path.write_text("\n".join(map(json.dumps, reversed(rows))))
    return queue.receive(path, annotator=who)


def test_disagreements_get_a_second_opinion_and_the_majority_is_merged(lab, tmp_path):
    """Two people disagree on 3 of 12: exactly these go out again; the third voice decides; merge takes all 12."""
    queue, units = lab.queue("round-1"), [f"part_{i:03d}.png" for i in range(12)]
    before = lab.table.samples["label"].copy()
    queue.add(units, reason="relabel")
    exported = queue.export("jsonl", tmp_path / "out", images="none")
    torn = set(units[:3])
    first = send(queue, tmp_path, exported, "ann", lambda row: "bolt")
    assert queue.counts() == {"returned": 12}
    send(queue, tmp_path, exported, "bob", lambda row: "nut" if row["key"] in torn else "bolt")
    assert queue.counts() == {"returned": 9, "needs_second_opinion": 3}
    found = queue.agreement()
    assert (found.n_units, found.observed) == (12, 0.75)
    with pytest.raises(StateError, match="no agreed answer"):
        queue.accept("state == 'needs_second_opinion'")
    decided = queue.decide()
    assert decided.frame["decided"].sum() == 9
    assert queue.counts() == {"accepted": 9, "needs_second_opinion": 3}
    again = queue.export_again("jsonl", tmp_path / "again", images="none")
    assert {row["key"] for row in tasks_of(again)} == torn
    assert all(row["label"] is None for row in tasks_of(again))
    send(queue, tmp_path, again, "cy", lambda row: "nut")
    second = queue.decide()
    assert second.frame["n"].tolist() == [3, 3, 3]
    assert queue.counts() == {"accepted": 12}
    with pytest.raises(InvalidInputError, match="no answer that counts"):
        queue.merge(first, into="ground_truth_ann")
    queue.merge([decided, second], into="ground_truth_v2")
    wanted = before.copy()
    wanted[units] = ["nut" if u in torn else "bolt" for u in units]
    assert lab.table.samples["label"].tolist() == wanted.tolist()
    assert queue.counts() == {"merged": 12}
    steps = [s["to"] for s in lab._queues.history(next(i for i in queue.items() if i.unit in torn))]
    assert steps == [
        *("queued", "exported", "returned", "needs_second_opinion"),
        *("queued", "exported", "returned", "needs_second_opinion", "accepted", "merged"),
    ]


def test_several_annotators_in_one_file(lab, tmp_path):
    """Label Studio holds all annotations of a task: equal ones are one answer, different ones conflict."""
    queue, units = lab.queue("ls"), [f"part_{i:03d}.png" for i in range(4)]
    queue.add(units, reason="relabel")
    exported = queue.export("label-studio", tmp_path / "out", images="none")
    tasks = json.loads(next(p for p in exported.paths if p.name == "tasks.json").read_text())

    def annotation(who, label):
        result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        return {"completed_by": who, "was_cancelled": False, "result": [result], "updated_at": "2026-02-01T00:00:00Z"}

    for n, task in enumerate(tasks):
        task["annotations"] = [annotation(1, "bolt"), annotation(2, "nut" if n == 0 else "bolt")]
    (tmp_path / "back.json").write_text(json.dumps(tasks))
    returned = queue.receive(tmp_path / "back.json")
    counts = returned.counts()
    assert (counts["matched"], counts["duplicated"], counts["conflicting"]) == (3, 3, 2)
    assert queue.counts() == {"returned": 3, "needs_second_opinion": 1}
    assert sorted(queue.answers().groupby("annotator").size().tolist()) == [4, 4]
    merged = queue.merge(returned, into="ground_truth_v2")
    assert merged.changed + merged.confirmed == 3


def test_bulk_by_rule(lab, tmp_path):
    """What a model says too is accepted, what is unchanged rejected, the rest asked again; the accepted is merged."""
    queue = lab.queue("rules")
    queue.add([f"part_{i:03d}.png" for i in range(20)], reason="relabel")
    exported = queue.export("jsonl", tmp_path / "out", images="none")
    returned = send(queue, tmp_path, exported, "ann", lambda row: "bolt")
    frame = queue.review(model="v4")
    assert set(frame["new"]) == {"bolt"}
    assert (frame["changed"] == (frame["old"] == "nut")).all()
    n_sure = int(((frame["prediction"] == "bolt") & frame["changed"]).sum())
    accepted = queue.accept(items=frame.index[(frame["prediction"] == "bolt") & frame["changed"]])
    assert accepted == n_sure > 0
    unchanged = int((~frame["changed"]).sum())
    assert queue.reject("not changed") == unchanged
    assert queue.ask_again("state == 'returned' and prediction == 'nut'", model="v4") == 20 - n_sure - unchanged
    assert len(queue.review()) == 20 - unchanged
    with pytest.raises(NotFoundError, match="aren't there to review"):
        queue.accept(items=["nothing"])
    with pytest.raises(InvalidInputError, match="one of them"):
        queue.accept()
    with pytest.raises(sl.core.RuleError, match="nonsense"):
        queue.accept("nonsense > 1")
    merged = queue.merge(returned, into="ground_truth_v2", only_accepted=True)
    assert (merged.changed, queue.counts()["merged"]) == (n_sure, n_sure)


@pytest.fixture(scope="module")
def judged_lab(load_parts):
    return load_parts("annotators verdicts", overwrite=True)


@pytest.fixture
def judged(judged_lab, tmp_path, request):
    """A queue of its own with eight answers to judge; and what came back."""
    queue = judged_lab.queue(request.node.name)
    queue.add([f"part_{i:03d}.png" for i in range(8)], reason="relabel")
    returned = send(queue, tmp_path, queue.export("jsonl", tmp_path / "out", images="none"), "ann", lambda row: "bolt")
    return queue, returned


def test_verdicts_are_taken_back_one_by_one(judged_lab, judged):
    """The last decision first, a whole one at a time, whatever it was; the history keeps every step, and who did it."""
    queue, _ = judged
    items = list(queue.review().index)
    queue.ask_again(items=items[:3])
    queue.accept("state == 'returned'")
    queue.reject(items=items[1:2])
    assert queue.counts() == {"accepted": 5, "needs_second_opinion": 2, "rejected": 1}
    undone = queue.undo()
    assert (undone.verdict, undone.items) == ("rejected", (items[1],))
    assert str(undone) == f"1 rejected ({undone.units[0]})"
    assert queue.counts() == {"accepted": 5, "needs_second_opinion": 3}
    queue.accept(items=items[1:2])  # another way on from where it was taken back to
    assert [queue.undo().verdict for _ in range(3)] == ["accepted", "accepted", "needs_second_opinion"]
    assert queue.counts() == {"returned": 8}
    with pytest.raises(StateError, match=r"nothing in queue .* to take back"):
        queue.undo()
    item = next(i for i in queue.items() if i.item_id == items[1])
    history = judged_lab._queues.history(item)
    told = ["returned", "needs_second_opinion", "rejected", "needs_second_opinion", "accepted"]
    assert [s["to"] for s in history] == ["queued", "exported", *told, "needs_second_opinion", "returned"]
    assert {s["by"] for s in history} == {item.added_by}
    assert audit(connect()).ok


def test_only_ones_own_verdict_is_taken_back(judged, monkeypatch):
    """Somebody else's later verdict on other items stays, and one on the same items is told."""
    queue, _ = judged
    items = list(queue.review().index)
    queue.reject(items=items[:1])
    monkeypatch.setattr("slicelab.store._curated.actor", lambda: "somebody else")
    queue.accept(items=items[1:2])
    monkeypatch.undo()
    assert queue.undo().items == (items[0],)
    queue.accept(items=items[2:4])
    monkeypatch.setattr("slicelab.store._curated.actor", lambda: "somebody else")
    queue.ask_again(items=items[3:4])
    monkeypatch.undo()
    before = queue.frame()
    with pytest.raises(StateError, match=r"1 of them went on since, first 'part_00.*'needs_second_opinion' now"):
        queue.undo()
    pd.testing.assert_frame_equal(queue.frame(), before)


def test_what_went_on_is_not_taken_back(judged):
    """Merged labels stay merged; a unit that is in flight again stays where it is now."""
    queue, returned = judged
    items = list(queue.review().index)
    unit = queue.review()["unit"].iloc[0]
    queue.reject(items=items[:1])
    assert queue.add([unit], reason="relabel") == 1
    with pytest.raises(StateError, match=f"queued anew meanwhile, first '{unit}'"):
        queue.undo()
    queue.accept(items=items[1:])
    queue.merge(returned, into="ground_truth_v2", only_accepted=True)
    with pytest.raises(StateError, match="7 of them went on since"):
        queue.undo()
    assert queue.counts() == {"merged": 7, "rejected": 1, "queued": 1}


def test_boxes_of_several_annotators(load_scenes, tmp_path):
    """Two people draw the same boxes a little differently: agreed, the medians are merged; a box that one saw isn't."""
    lab = load_scenes("annotators boxes", overwrite=True)
    queue = lab.queue("boxes")
    units = lab.units("v4").dropna(subset=["label_id"]).drop_duplicates("key").head(6)
    queue.add(list(units.index), reason="relabel")
    exported = queue.export("jsonl", tmp_path / "out", images="none")
    rows = tasks_of(exported)
    for who, shift in (("ann", 0), ("bob", 1), ("cy", 2)):
        back = []
        for n, row in enumerate(rows):
            boxes = [b | {"x": b["x"] + shift} for b in row["boxes"]]
            if n == 0 and who == "cy":
                boxes.append({"label": "bolt", "x": 50, "y": 60, "width": 12, "height": 12})
            back.append(row | {"boxes": boxes, "reviewed": True})
        (tmp_path / f"{who}.jsonl").write_text("\n".join(map(json.dumps, back)))
        queue.receive(tmp_path / f"{who}.jsonl", annotator=who)
    found = queue.agreement()
    assert 0.7 < found.iou < 1
    assert found.n_units == 13
    assert queue.counts() == {"returned": 5, "needs_second_opinion": 1}
    with pytest.raises(InvalidInputError, match="Boxes are joined"):
        queue.decide(method="dawid-skene")
    decided = queue.decide()
    assert decided.frame["decided"].all()
    before = lab.table.boxes.set_index(["key", "label_id"])
    queue.merge(decided, into="ground_truth_v2")
    after = lab.table.boxes.set_index(["key", "label_id"])
    assert after.index.equals(before.index)
    moved = after["x"] - before["x"]
    assert moved[before.index.get_level_values("key").isin(units["key"])].round(6).eq(1).all()
    assert moved[~before.index.get_level_values("key").isin(units["key"])].eq(0).all()


def files_of(exported):
    return "".join(p.read_text() for p in exported.paths if p.suffix in (".json", ".jsonl", ".csv", ".html", ".xml"))


@pytest.mark.parametrize("blind", [True, False])
def test_gold_probes_score_the_annotator_and_are_never_merged(load_parts, tmp_path, blind):
    """Nothing in the files tells a probe; ann is right on all of them, bob nods to what is shown; their labels stay."""
    lab = load_parts(f"mixed in {blind}", overwrite=True)
    queue = lab.queue("round-1")
    units = [f"part_{i:03d}.png" for i in range(30)]
    trusted = [f"part_{i:03d}.png" for i in range(100, 140)]
    truth = lab.table.samples["label"].to_dict()
    queue.add(units, reason="relabel", instruction="look closely")
    exported = queue.export("jsonl", tmp_path / "out", images="none", blind=blind, probes=trusted, probe_share=0.2)
    rows = tasks_of(exported)
    probes = {t.key: t for t in exported.batch.tasks if t.is_probe}
    assert (len(rows), len(probes), set(probes) <= set(trusted)) == (36, 6, True)
    assert "gold" not in files_of(exported)
    assert "probe" not in files_of(exported)
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}
    assert {(tuple(row["reasons"]), row["instruction"]) for row in rows} == {(("relabel",), "look closely")}
    places = [n for n, row in enumerate(rows) if row["key"] in probes]
    assert places != list(range(places[0], places[0] + 6))
    shown_right = sum(row["label"] == truth[row["key"]] for row in rows if row["key"] in probes)
    assert shown_right == (0 if blind else 3)
    assert queue.batches()[0] == exported.batch
    send(queue, tmp_path, exported, "ann", lambda row: truth[row["key"]])
    send(queue, tmp_path, exported, "bob", lambda row: row["label"] or "bolt")
    scores = queue.annotators()
    assert scores.loc["ann", ["answers", "probes", "accuracy"]].tolist() == [36, 6, 1.0]
    nods = sum(truth[k] == "bolt" for k in probes) if blind else 3
    assert scores.loc["bob", "accuracy"] == pytest.approx(nods / 6)
    decided = queue.decide()
    assert set(queue.review()["key"]) == set(units) == set(decided.frame["key"])
    if not blind:
        assert queue.merge(decided, into="ground_truth_v2").confirmed == 30
        assert lab.table.samples["label"].to_dict() == truth
    with pytest.raises(StateError, match="nothing to export"):
        queue.export("jsonl", tmp_path / "more", images="none", probes=trusted)
    queue.add(trusted, reason="relabel")
    with pytest.raises(StateError, match="in flight"):
        queue.export("jsonl", tmp_path / "more", images="none", probes=trusted)


def test_probes_of_boxes_are_scored_by_f1(load_scenes, tmp_path):
    """One of two boxes found: F1 2/3; a box batch shows every second probe with a box too few."""
    lab = load_scenes("probes boxes", overwrite=True)
    queue = lab.queue("boxes")
    units = lab.units("v4").dropna(subset=["label_id"]).drop_duplicates("key")
    queue.add(list(units.index[:10]), reason="relabel")
    exported = queue.export("jsonl", tmp_path, images="none", probes=list(units.index[30:]), probe_share=0.2)
    probes = [t for t in exported.batch.tasks if t.is_probe]
    assert sorted(len(t.boxes) for t in probes) == [1, 2]
    rows = [row | {"boxes": row["boxes"], "reviewed": True} for row in tasks_of(exported)]
    (tmp_path / "nod.jsonl").write_text("\n".join(map(json.dumps, rows)))
    returned = queue.receive(tmp_path / "nod.jsonl", annotator="nod")
    assert queue.annotators().loc["nod", "accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    before = lab.table.boxes.copy()
    assert queue.merge(returned, into="ground_truth_v2").changed == 0
    assert lab.table.boxes.equals(before)


def test_a_budget_is_spent_as_asked(lab):
    """Stratified by line halves the budget; diverse takes vectors; the suggestions are spent the same way."""
    lab.embed(progress=False)
    units = list(lab.units("v3").index)
    queue = lab.queue("budget")
    assert queue.add(units, reason="investigate", limit=10, sampling="stratified", by="line") == 10
    lines = lab.table.samples.loc[[i.key for i in queue.items()], "line"].value_counts().to_dict()
    assert lines == {"A": 5, "B": 5}
    assert lab.queue("diverse").add(units, reason="investigate", limit=6, sampling="diverse") == 6
    found = lab.queue("suggested").suggest(8, sampling="stratified")
    assert found["label"].value_counts().to_dict() == {"bolt": 4, "nut": 4}
    assert found["priority"].is_monotonic_decreasing


def test_two_models_doubt_together(lab, load_scenes):
    """Asked with a better model, the labels that only the worse one contradicts aren't first any more."""
    queue = lab.queue("together")
    worse, better = (set(queue.suggest(4, model=m).index) for m in ("v3", "v4"))
    assert better == {f"part_{i:03d}.png" for i in (5, 45, 85, 125)}
    assert not worse & better
    both = queue.suggest(4, model=["v3", "v4"])
    assert set(both.index) == better
    assert both["prediction"].equals(lab.units("v3").loc[both.index, "prediction"])
    assert set(queue.suggest(4, model=("v4",)).index) == better
    with pytest.raises(InvalidInputError, match="there once"):
        queue.suggest(4, model=["v3", "v3"])
    scenes = load_scenes(f"together {lab.name}", overwrite=True)
    with pytest.raises(InvalidInputError, match="doubted by one model"):
        scenes.queue("together").suggest(4, model=["v3", "v4"])
