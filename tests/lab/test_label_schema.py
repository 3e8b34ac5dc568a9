"""What the classes mean: written down in versions, and with every batch that goes out."""

import json
import xml.etree.ElementTree as ET

import pytest
from bs4 import BeautifulSoup

from slicelab.core import InvalidInputError, NotFoundError
from slicelab.store import audit, connect

pytestmark = pytest.mark.mongo
HOSTILE = "<img src=x onerror=alert(1)> & =cmd|' /C calc'!A0 $image"


@pytest.fixture(scope="module")
def lab(load_parts):
    return load_parts("label schema", overwrite=True)


def files(exported):
    return {p.name: p.read_text() for p in exported.paths}


def test_every_batch_carries_the_version_that_held(lab, tmp_path):
    """Two versions, a batch of each: config, page, contact sheet and manifest name theirs; the batch keeps it."""
    queue = lab.queue("round-1")
    queue.add([f"part_{i:03d}.png" for i in range(6)], reason="relabel")
    none = queue.export("csv", tmp_path, images="none", limit=1)
    assert "instructions.html" not in files(none)
    assert lab.label_schema() is None
    first = lab.define_classes(
        {"bolt": HOSTILE}, examples={"bolt": ["part_000.png", "part_002.png"]}, text="Look twice"
    )
    again = lab.define_classes(
        {"bolt": HOSTILE}, examples={"bolt": ["part_000.png", "part_002.png"]}, text="Look twice"
    )
    assert (first.version, again) == (1, first)
    ls = queue.export("label-studio", tmp_path, images="none", limit=2)
    second = lab.define_classes({"bolt": "red", "nut": "blue"})
    sheet = queue.export("html", tmp_path, images="none", limit=2)
    assert (second.version, lab.label_schema(), lab.label_schema(1)) == (2, second, first)
    assert [b.label_schema for b in queue.batches()] == [None, first, second]

    found = files(ls)
    page = BeautifulSoup(found["instructions.html"], "html.parser")
    assert [h.text for h in page.find_all("h3")] == ["bolt", "nut"]
    assert HOSTILE in page.text
    assert "Look twice" in page.text
    assert len(page.find_all("img")) == 2
    assert all(i["src"].startswith("data:image/jpeg;base64,") for i in page.find_all("img"))
    assert not page.find_all(["script", "iframe", "link"])
    config = ET.fromstring(found["label_config.xml"])
    choices = {c.get("value"): c.get("hint") for c in config.iter("Choice")}
    assert choices == {"bolt": HOSTILE.replace("$", "\uff04"), "nut": None}
    assert "Instructions, version 1" in [h.get("value") for h in config.iter("Header")]
    manifest = json.loads(found["manifest.json"])
    assert manifest["label_schema"] == {"version": 1, "sha256": first.sha256}
    assert "instructions.html" in manifest["files"]
    shown = BeautifulSoup(files(sheet)["contact_sheet.html"], "html.parser")
    assert [h.text for h in shown.find_all("h2")] == ["Instructions, version 2"]
    assert json.loads(files(none)["manifest.json"])["label_schema"] is None
    assert audit(connect()).ok


def test_the_config_is_one_that_label_studio_takes(lab, tmp_path):
    """Label Studio's own reader of configs takes it, and the tasks fit."""
    from label_studio_sdk.label_interface import LabelInterface

    queue = lab.queue("round-2")
    lab.define_classes({"bolt": HOSTILE, "nut": "blue \N{NUT AND BOLT}"})
    queue.add(["part_010.png"], reason="relabel")
    found = files(queue.export("label-studio", tmp_path, images="none"))
    interface = LabelInterface(found["label_config.xml"])
    interface.validate()
    assert interface.validate_task({"data": json.loads(found["tasks.json"])[0]["data"]})


def test_what_is_not_there_is_refused(lab):
    """Unknown classes and units, texts and examples without end."""
    with pytest.raises(NotFoundError, match="Did you mean 'bolt'"):
        lab.define_classes({"blot": "red"})
    with pytest.raises(NotFoundError, match=r"nothing\.png"):
        lab.define_classes({}, examples={"bolt": ["nothing.png"]})
    with pytest.raises(InvalidInputError, match="at most 10000"):
        lab.define_classes({"bolt": "x" * 10_001})
    with pytest.raises(InvalidInputError, match="at most 12"):
        lab.define_classes({}, examples={"bolt": [f"part_{i:03d}.png" for i in range(13)]})
    with pytest.raises(NotFoundError, match="not 99"):
        lab.label_schema(99)
