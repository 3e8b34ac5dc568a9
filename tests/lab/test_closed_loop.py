"""Wrong labels are planted in the digits, found, corrected and merged; the case flips, and the report says why."""

import json

import numpy as np
import pandas as pd
import pytest

import slicelab as sl
from slicelab.core import StateError

pytestmark = pytest.mark.mongo


def test_a_case_that_failed_for_its_labels_flips_to_pass(samples, tmp_path):
    """60 sixes are labelled 8: suggested, exported, returned corrected, merged; a step back restores them."""
    folder, truth = samples / "digits", {}
    table = pd.read_csv(folder / "labels.csv", dtype=str)
    sixes = table.index[table["label"] == "6"][:60]
    truth = dict(zip(table.loc[sixes, "filepath"], table.loc[sixes, "label"], strict=True))
    table.loc[sixes, "label"] = "8"
    table.to_csv(tmp_path / "labels.csv", index=False)
    models = {"cnn": folder / "predictions_cnn.csv"}
    lab = sl.load("closed loop", folder / "images", tmp_path / "labels.csv", models, progress=False, overwrite=True)
    lab.embed(np.load(folder / "embeddings_cnn.npy"), progress=False)
    found = lab.discover("cnn", describe=False, progress=False)
    planted = next(c for c in found if len(set(c.unit_ids) & set(truth)) >= 45)
    eights = lab.promote_slice(planted, name="eights like sixes")
    lab.promote(eights, bar=sl.Bar("accuracy", at_least=0.8), suite="release")
    assert lab.suite("release").run("cnn").results[0].verdict == "fail"
    queue = lab.queue("round-1")
    suggested = queue.suggest(80, model="cnn")
    assert len(set(suggested.index) & set(truth)) >= 57
    assert (suggested.loc[suggested.index.isin(truth), "suggestion"] == "6").mean() > 0.9
    assert queue.add_suggested(suggested) == 80
    assert set(queue.suggest(80, model="cnn").index).isdisjoint(suggested.index)
    exported = queue.export("jsonl", tmp_path / "out", images="none")
    path = next(p for p in exported.paths if p.name == "labels.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    back = [r | {"label": truth.get(r["key"], r["label"]), "reviewed": True} for r in reversed(rows)]
    (tmp_path / "back.jsonl").write_text("\n".join(map(json.dumps, back)))
    merged = queue.merge(queue.receive(tmp_path / "back.jsonl"), into="ground_truth_v2")
    corrected = len(set(suggested.index) & set(truth))
    assert (merged.changed, merged.confirmed) == (corrected, 80 - corrected)
    (flip,) = merged.flips
    assert (flip.verdict_before, flip.verdict_after, flip.flipped) == ("fail", "pass", True)
    assert flip.label_errors == flip.failures_before - flip.failures_after > 40
    assert "failures were label errors" in str(merged)
    assert "model unchanged" in str(merged)
    lab.suite("release").refreeze()
    assert lab.suite("release").run("cnn").results[0].verdict == "pass"
    assert queue.step_back() == "ground_truth"
    assert (lab.table.samples.loc[list(truth), "label"] == "8").all()
    with pytest.raises(StateError, match="first labels"):
        queue.step_back()
