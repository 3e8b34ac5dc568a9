"""A return that is refused changes nothing: the database's own hash of every collection stays as it was."""

import io
import json
import zipfile

import pytest

from slicelab import open as open_lab
from slicelab.core import ReturnFileError, StateError
from slicelab.store import connect

pytestmark = pytest.mark.mongo


def content_hash():
    """Return MongoDB's hash of each collection, SliceLab's and FiftyOne's."""
    connection = connect()
    names = [n for n in connection.client.list_database_names() if n not in ("admin", "config", "local")]
    assert len(names) == 2
    return {n: connection.client[n].command("dbHash")["collections"] for n in names}


def zipped(name, content, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content, **options)
    return stream.getvalue()


HOSTILE = {
    "entities": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotations>&x;</annotations>',
    "zip-slip": zipped("../annotations.xml", "<annotations/>"),
    "zip bomb": zipped("annotations.xml", b" " * 5_000_000, compress_type=zipfile.ZIP_DEFLATED),
    "deep": b"[" * 100_000,
    "binary": b"\x89PNG\r\n\x1a\n\x00\xff",
    "empty": b"",
    "foreign": b'[{"image": "x", "label": "cat"}]',
}


@pytest.fixture(scope="module")
def waiting(load_parts, tmp_path_factory):
    """A queue with a batch that is out, and the file that answers it."""
    queue = load_parts("refused returns", overwrite=True).queue("round-1")
    queue.add([f"part_{i:03d}.png" for i in range(8)], reason="relabel")
    folder = tmp_path_factory.mktemp("out")
    exported = queue.export("label-studio", folder, images="none")
    tasks = json.loads(next(p for p in exported.paths if p.name == "tasks.json").read_text())
    for n, task in enumerate(tasks):
        result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["bolt"]}}
        task["annotations"] = [{"id": n, "completed_by": 1, "was_cancelled": False, "result": [result]}]
    return queue, tasks


def test_refused_files_leave_every_collection_as_it_is(waiting, tmp_path):
    """Hostile, foreign and cut-off files, and one for a queue that sent nothing out."""
    queue, tasks = waiting
    whole = json.dumps(tasks).encode()
    before = content_hash()
    cut = {f"cut at {n}": whole[:n] for n in range(1, len(whole) - 1, len(whole) // 40)}
    for name, content in (HOSTILE | cut).items():
        path = tmp_path / "back"
        path.write_bytes(content)
        with pytest.raises(ReturnFileError):
            queue.receive(path)
        assert content_hash() == before, name
    with pytest.raises(StateError, match="exported nothing yet"):
        open_lab(queue.dataset).queue("another").receive(path)
    assert content_hash() == before


def test_the_same_file_twice_changes_nothing(waiting, tmp_path):
    """Received once, the database stays as it is however often it comes again."""
    queue, tasks = waiting
    (tmp_path / "back.json").write_text(json.dumps(tasks))
    queue.receive(tmp_path / "back.json")
    once = content_hash()
    for _ in range(3):
        queue.receive(tmp_path / "back.json")
        assert content_hash() == once
    assert queue.counts() == {"returned": 8}
