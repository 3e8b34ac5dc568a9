"""Scenes go out to CVAT (its API, see tests/cvat_api.py), are worked on job by job, come back and are merged."""

import random

import pandas as pd
import pytest

from slicelab.core import InvalidInputError, StateError

pytestmark = pytest.mark.mongo


def test_40_scenes_go_out_and_come_back_job_by_job(load_scenes, cvat_api, tmp_path, monkeypatch):
    """Moved, relabelled, deleted and new boxes are on their scenes; the rest is as it was, until its job is done."""
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)
    lab = load_scenes("cvat scenes", overwrite=True)
    before = lab.table.boxes
    queue, dice = lab.queue("round-1"), random.Random(0)
    lab.define_classes({"nut": "with a hole"})
    units = lab.units("v3").dropna(subset=["label_id"]).drop_duplicates("key")
    queue.add(list(units.index[:40]), reason="relabel")
    with pytest.raises(InvalidInputError, match="one of"):
        queue.push(url="http://127.0.0.1:9", token="t", server="cvta")
    with pytest.raises(StateError, match="doesn't answer"):
        queue.push(url="http://127.0.0.1:9", token="t", server="cvat")
    (batch,) = queue.batches()
    api = cvat_api.CvatApi("t")
    with cvat_api.serving(api) as url:
        server = {"url": url, "token": "t", "server": "cvat"}
        assert queue.push(batch, job_size=15, **server).sent == 40
        assert "## nut\n\nwith a hole" in next(iter(api.guides.values()))
        first, second, third = sorted(api.jobs.values(), key=lambda j: j["start_frame"])
        label = {x["name"]: x for x in api.labels.values()}
        wanted = {}

        def work(job):
            """Move one box of each scene, take the other away, draw one; in an order of their own."""
            done = []
            for frame in range(job["start_frame"], job["stop_frame"] + 1):
                moved, _ = (s for s in job["held"]["shapes"] if s["frame"] == frame)
                left, top = dice.uniform(1, 60), dice.uniform(1, 40)
                drawn = {**moved, "points": [left, top, left + 20.5, top + 11.25], "attributes": []}
                drawn["label_id"] = label["bolt"]["id"]
                done += [{**moved, "points": [left + 3, top, left + 33, top + 30.75]}, drawn]
                name = next(n for n, x in label.items() if x["id"] == moved["label_id"])
                wanted[batch.tasks[frame].key] = [
                    ("bolt", left, top, 20.5, 11.25),
                    (name, left + 3, top, 30, 30.75),
                ]
            dice.shuffle(done)
            job["held"]["shapes"] = done
            api.finish(job)

        work(second)
        work(first)
        api.finish(third, "in progress")
        returned = queue.pull(tmp_path, **server)
        assert (returned.counts()["matched"], returned.counts()["unreviewed"]) == (30, 10)
        assert queue.counts() == {"exported": 10, "returned": 30}
        queue.merge(returned, into="ground_truth_v2")
        _check(lab, before, wanted)
        work(third)
        later = queue.pull(tmp_path, **server)
        assert later.counts()["matched"] == 40
        assert queue.counts() == {"merged": 30, "returned": 10}
        queue.merge(later, into="ground_truth_v3")
    _check(lab, before, wanted)
    assert queue.counts() == {"merged": 40}


def _check(lab, before, wanted):
    after = lab.table.boxes
    columns = ["key", "label_id", "label", "x", "y", "width", "height"]
    rest = [f[~f["key"].isin(wanted)][columns].reset_index(drop=True) for f in (before, after)]
    pd.testing.assert_frame_equal(*rest)
    for key, boxes in wanted.items():
        mine = after[after["key"] == key]
        rows = sorted(zip(*(mine[c] for c in ("label", "x", "y", "width", "height")), strict=True))
        assert rows == [(name, *(pytest.approx(v, abs=0.5) for v in sides)) for name, *sides in sorted(boxes)]
        kept = set(before.loc[before["key"] == key, "label_id"]) & set(mine["label_id"])
        assert len(kept) == 1
