"""A real Label Studio server in an environment of its own: pushed, annotated through its API, pulled, merged."""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

import slicelab as sl
from slicelab.core import StateError

pytestmark = [pytest.mark.mongo, pytest.mark.slow, pytest.mark.timeout(1800)]
SERVER = "label-studio==1.23.2"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Label Studio's program: that of LABEL_STUDIO_ENV, else of an environment made here."""
    folder = os.environ.get("LABEL_STUDIO_ENV")
    if folder is None:
        folder = tmp_path_factory.mktemp("label-studio")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([Path(folder) / "bin/pip", "install", "-q", SERVER], check=True)
    return Path(folder) / "bin/label-studio"


@pytest.fixture(scope="module")
def server(program, tmp_path_factory, samples):
    """Address and token of a running server; it may show what lies below the folder of the samples."""
    work = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(20)
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(work),
        "DJANGO_DB": "sqlite",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(samples),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "SECRET_KEY": secrets.token_hex(25),
        "HOME": str(work),
    }
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "-p", str(port), "--host", url]
    command += ["--username", "ann@example.com", "--password", secrets.token_hex(8), "--user-token", token]
    with (work / "log").open("w") as log:
        running = subprocess.Popen(
            [*map(str, command), "--enable-legacy-api-token"],
            env=inherited | settings,
            cwd=work,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for _ in range(1200):
            assert running.poll() is None, (work / "log").read_text()[-2000:]
            try:
                if urllib.request.urlopen(f"{url}/health", timeout=2).status == 200:
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(0.5)
        yield url, token
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(30)


def annotate(url, token, change, *, n, skipped, seed):
    """Submit n answers to the newest project in a random order; the first `skipped` of them are skips."""
    from label_studio_sdk import LabelStudio

    client = LabelStudio(base_url=url, api_key=token)
    project = max(p.id for p in client.projects.list())
    tasks = client.projects.exports.as_json(project_id=project)
    random.Random(seed).shuffle(tasks)
    full = {t.id: t for t in client.tasks.list(project=project, fields="all")}
    submitted, skips = {}, set()
    for position, task in enumerate(tasks[:n]):
        drawn = full[task["id"]].predictions[0]
        drawn = (drawn if isinstance(drawn, dict) else drawn.dict())["result"]
        result = change(task["data"]["key"], json.loads(json.dumps(drawn)))
        client.annotations.create(id=task["id"], result=result, was_cancelled=position < skipped, lead_time=1.0)
        if position < skipped:
            skips.add(task["data"]["slicelab_id"])
        else:
            submitted[task["data"]["key"]] = result
    return submitted, skips


def test_200_digits_go_out_and_150_come_back(server, samples, tmp_path):
    """Every submitted label is on its unit; skipped and untouched tasks stay open, predictions are never labels."""
    from label_studio_sdk import LabelStudio

    url, token = server
    folder = samples / "digits"
    models = {"cnn": folder / "predictions_cnn.csv"}
    lab = sl.load("ls digits", folder / "images", folder / "labels.csv", models, progress=False, overwrite=True)
    before = lab.table.samples["label"].copy()
    queue = lab.queue("round-1")
    queue.add(list(lab.units("cnn").index[:200]), reason="relabel")
    lab.define_classes({"1": "<b>one</b> stroke"})
    with pytest.raises(StateError, match="doesn't answer"):
        queue.push(url="http://127.0.0.1:9", token=token, document_root=samples)
    (batch,) = queue.batches()
    pushed = queue.push(batch, url=url, token=token, document_root=samples)
    assert (pushed.sent, pushed.present) == (200, 0)
    told = LabelStudio(base_url=url, api_key=token).projects.get(id=pushed.project)
    assert told.show_instruction
    assert "&lt;b&gt;one&lt;/b&gt; stroke" in told.expert_instruction
    assert (queue.push(batch, url=url, token=token, document_root=samples)).sent == 0
    dice = random.Random(1)

    def change(key, result):
        result[0]["value"]["choices"] = [dice.choice("0123456789")]
        return result

    submitted, skips = annotate(url, token, change, n=150, skipped=12, seed=1)
    returned = queue.pull(tmp_path, url=url, token=token)
    counts = returned.counts()
    assert (counts["matched"], counts["unreviewed"], counts["unmatched"], counts["missing"]) == (138, 62, 0, 0)
    assert skips <= {r.task_id for r in returned.rows if r.status == "unreviewed"}
    again = queue.pull(tmp_path, url=url, token=token)
    assert again.sha256 == returned.sha256
    assert queue.counts() == {"returned": 138, "exported": 62}
    merged = queue.merge(returned, into="ground_truth_v2")
    wanted = before.copy()
    for key, result in submitted.items():
        wanted[key] = result[0]["value"]["choices"][0]
    pd.testing.assert_series_equal(lab.table.samples["label"], wanted)
    assert merged.changed == int((wanted != before).sum())


def test_60_scans_go_out_and_40_come_back(server, samples, tmp_path):
    """Moved, relabelled, deleted and new boxes are on their scans within half a pixel; the others are untouched."""
    url, token = server
    folder = samples / "baggage"
    models = {"v3": folder / "predictions_v3.json"}
    lab = sl.load("ls bags", folder / "images", folder / "labels.json", models, progress=False, overwrite=True)
    before = lab.table.boxes
    queue = lab.queue("round-1")
    units = lab.units("v3").dropna(subset=["label_id"]).drop_duplicates("key")
    queue.add(list(units.index[:60]), reason="relabel")
    pushed = queue.push(url=url, token=token, document_root=samples)
    assert pushed.sent == 60

    def change(key, result):
        result[0]["value"] |= {"x": 5, "y": 10, "width": 20, "height": 25, "rectanglelabels": ["gun"]}
        new = json.loads(json.dumps(result[0])) | {"id": "drawn"}
        new["value"] |= {"x": 50, "y": 50, "width": 10, "height": 10, "rectanglelabels": ["knife"]}
        return [*result[:-1], new] if len(result) > 1 else [*result, new]

    submitted, _ = annotate(url, token, change, n=40, skipped=5, seed=2)
    returned = queue.pull(tmp_path, url=url, token=token)
    assert (returned.counts()["matched"], returned.counts()["unreviewed"]) == (35, 25)
    queue.merge(returned, into="ground_truth_v2")
    after = lab.table.boxes
    columns = ["key", "label_id", "label", "x", "y", "width", "height"]
    rest = [f[~f["key"].isin(submitted)][columns].reset_index(drop=True) for f in (before, after)]
    pd.testing.assert_frame_equal(*rest)
    for key, result in submitted.items():
        drawn = sorted(
            (
                r["value"]["rectanglelabels"][0],
                *(r["value"][s] * f / 100 for s, f in zip("xy", (320, 240), strict=True)),
            )
            for r in result
        )
        kept = after[after["key"] == key]
        assert sorted(zip(kept["label"], kept["x"], kept["y"], strict=True)) == [
            (label, pytest.approx(x, abs=0.5), pytest.approx(y, abs=0.5)) for label, x, y in drawn
        ]
        assert (kept["label_id"] != "").all()
