"""Files that are damaged or meant ill: a ReturnFileError, or an honest answer; never anything else."""

import io
import json
import random
import zipfile

import pytest

from slicelab.annotation import RETURN_FORMATS, read_return
from slicelab.core import RETURN_STATUSES, ReturnFileError

FOLDERS = ("yolo", "voc")
BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><annotations>&y;</annotations>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotations><image name="&x;"/></annotations>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (BOMB.encode(), "entities"),
        (EXTERNAL.encode(), "entities"),
        (b"<!DOCTYPE annotations><annotations/>", "entities"),
        (b"<annotations><image>", "XML can't be read"),
        (b"<html></html>", "starts with <annotations>"),
        (b"<annotations><track/></annotations>", "for video"),
        (b'<?xml version="1.0" encoding="nonsense"?><annotations/>', "XML can't be read"),
        (b"[" * 100_000, "JSON can't be read"),
        (b'[{"data": ' + b"9" * 5000 + b"}]", "JSON can't be read"),
        (b'[{"image": "x", "label": "cat"}]', "not as JSON-MIN"),
        (b'{"images": []}', "needs a list 'annotations'"),
        (b'{"images": {}, "annotations": [], "categories": []}', "needs a list 'images'"),
        (b"a,b\n1,2\n", "name the columns"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "UTF-8"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"slicelab_id,label,reviewed,label\nx,cat,yes,dog\n", "stands twice"),
        (b"slicelab_id,label,reviewed\nx,cat\n", "2 cells"),
        (b'slicelab_id,label,reviewed\nx,"cat,yes\n', "CSV"),
        (b"PK\x03\x04 nothing", "zip can't be read"),
    ],
)
def test_files_that_can_not_be_taken_are_refused_in_words(batch_of, content, words, tmp_path):
    """Malformed, foreign and hostile files raise ReturnFileError and say what is wrong."""
    path = tmp_path / "back"
    path.write_bytes(content)
    with pytest.raises(ReturnFileError, match=words):
        read_return(path, batch_of("classification"))


def test_what_is_no_file_is_refused(batch_of, tmp_path):
    """A missing file and a folder are ReturnFileErrors, too."""
    for path in (tmp_path / "nothing", tmp_path, "nul\0byte"):
        with pytest.raises(ReturnFileError, match="can't be opened"):
            read_return(path, batch_of("classification"))


@pytest.mark.parametrize("name", ["../annotations.xml", "/annotations.xml", "a/../../b.png", "..\\b.png", "C:\\b.png"])
def test_paths_out_of_a_zip_are_refused(batch_of, name, tmp_path):
    """A zip that names a path out of its folder is not opened, and nothing is written."""
    path = tmp_path / "back.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
        archive.writestr(zipfile.ZipInfo(name), "x")
    with pytest.raises(ReturnFileError, match="out of its folder"):
        read_return(path, batch_of("classification"))
    assert [p.name for p in tmp_path.iterdir()] == ["back.zip"]


def test_zip_bombs_are_refused(batch_of, tmp_path, monkeypatch):
    """Ratio, total size and number of entries have caps, read from the directory before anything is unpacked."""
    batch, path = batch_of("classification"), tmp_path / "back.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", b" " * 10_000_000)
    with pytest.raises(ReturnFileError, match="100 times"):
        read_return(path, batch)
    monkeypatch.setattr("slicelab.annotation._files.MAX_UNPACKED", 1000)
    with pytest.raises(ReturnFileError, match="2 GiB"):
        read_return(path, batch)
    monkeypatch.setattr("slicelab.annotation._files.MAX_ENTRIES", 0)
    with pytest.raises(ReturnFileError, match="entries"):
        read_return(path, batch)


def test_a_zip_with_several_or_no_label_files_is_refused(batch_of, tmp_path):
    """Which file is meant is not guessed."""
    for names in ((), ("a.json", "b.json"), ("train/annotations.xml", "val/annotations.xml")):
        path = tmp_path / "back.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "x")
            for name in names:
                archive.writestr(name, "[]")
        with pytest.raises(ReturnFileError, match=f"it holds {len(names)}"):
            read_return(path, batch_of("classification"))


def test_large_files_are_refused(batch_of, tmp_path, monkeypatch):
    """A file beyond the cap isn't read."""
    monkeypatch.setattr("slicelab.annotation._files.MAX_FILE", 10)
    (tmp_path / "back.json").write_text("[" + " " * 20 + "]")
    with pytest.raises(ReturnFileError, match="larger than"):
        read_return(tmp_path / "back.json", batch_of("classification"))


def test_a_truncated_file_brings_nothing(batch_of, answered, tmp_path):
    """A file cut anywhere is refused, or what is left of it is whole rows (CSV); it never brings another label."""
    batch = batch_of("classification")
    wanted = {t.task_id: "dog" for t in batch.tasks}
    for fmt in (f for f in RETURN_FORMATS if f not in ("yolo", "voc")):
        (tmp_path / fmt).mkdir()
        whole = answered(batch, tmp_path / fmt, fmt, {t.key: "dog" for t in batch.tasks}).read_bytes()
        refused = 0
        for cut in range(1, len(whole.rstrip()) - 1, max(1, len(whole) // 60)):
            (tmp_path / "cut").write_bytes(whole[:cut])
            try:
                returned = read_return(tmp_path / "cut", batch, format=fmt)
            except ReturnFileError:
                refused += 1
                continue
            assert fmt in ("csv", "jsonl", "labelbox", "sagemaker")  # what is left is whole lines
            assert {r.task_id: r.label for r in returned.matched}.items() <= wanted.items()
        assert refused > 40


@pytest.mark.parametrize("fmt", RETURN_FORMATS)
@pytest.mark.parametrize("task", ["classification", "detection"])
@pytest.mark.parametrize("mutants", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused(batch_of, answered, fmt, task, mutants, tmp_path):
    """Damaged copies per reader: a Return that accounts for itself, or ReturnFileError, never another exception."""
    if task == "classification" and fmt in FOLDERS:
        pytest.skip("carries boxes only")
    batch = batch_of(task)
    new = ("", "dog", 100, 50, 20, 20)
    decision = "dog" if task == "classification" else [("a", "cat", 10, 20, 30, 40), new]
    whole = answered(batch, tmp_path, fmt, {t.key: decision for t in batch.tasks})
    whole = _zipped(whole) if fmt in FOLDERS else whole.read_bytes()
    dice = random.Random(f"{fmt} {task}")
    outcomes = {"read": 0, "refused": 0}
    for n in range(mutants):
        mutate = _mutate_json if fmt in ("label-studio", "coco") and n % 2 else _mutate_bytes
        mutate = _mutate_entry if fmt in FOLDERS else mutate
        path = tmp_path / "mutant"
        path.write_bytes(mutate(whole, dice) or b"x")
        try:
            returned = read_return(path, batch, format=fmt if n % 3 else None, all_reviewed=bool(n % 5))
        except ReturnFileError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert sum(returned.counts()[s] for s in RETURN_STATUSES) == len(returned.rows)
        assert len({r.task_id for r in returned.matched}) == len(returned.matched)
        json.dumps([r.reason + r.item for r in returned.rows], ensure_ascii=False).encode()
        for row in returned.matched:
            assert row.label in batch.classes if task == "classification" else row.boxes is not None
            for box in row.boxes or ():
                assert box.label in batch.classes
                assert 0 <= box.x < box.x + box.width <= 200 + 1e-9
                assert 0 <= box.y < box.y + box.height <= 100 + 1e-9
    assert outcomes["read"] > 10
    assert outcomes["refused"] > 20


@pytest.mark.parametrize("kind", ["deflated", "stored"])
def test_mutated_zips_are_read_or_refused(batch_of, answered, kind, tmp_path):
    """200 damaged zips: a Return or ReturnFileError."""
    batch = batch_of("classification")
    xml = answered(batch, tmp_path, "cvat", {t.key: "dog" for t in batch.tasks}).read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED) as archive:
        archive.writestr("annotations.xml", xml)
        archive.writestr("images/0.jpg", b"picture")
    dice = random.Random(kind)
    refused = 0
    for _ in range(200):
        path = tmp_path / "mutant.zip"
        path.write_bytes(_mutate_bytes(stream.getvalue(), dice) or b"x")
        try:
            assert {r.label for r in read_return(path, batch, format="cvat").matched} <= {"dog"}
        except ReturnFileError:
            refused += 1
    assert refused > 20


def _zipped(folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.writestr(path.relative_to(folder).as_posix(), path.read_bytes())
    return stream.getvalue()


def _mutate_entry(whole, dice):
    """Damage one of the files in a zip, which stays a sound zip."""
    source = zipfile.ZipFile(io.BytesIO(whole))
    labels = [n for n in source.namelist() if "labels/" in n or "Annotations/" in n or n == "data.yaml"]
    chosen, stream = dice.choice(labels), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, _mutate_bytes(content, dice) if name == chosen else content)
    return stream.getvalue()


def _mutate_bytes(whole, dice):
    """Flip, drop, repeat or insert bytes at one to three places."""
    content = bytearray(whole)
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(content) + 1)
        end = min(len(content), start + dice.choice((1, 1, 2, 8, 40, 300)))
        kind = dice.randrange(5)
        if kind == 0:
            content[start:end] = bytes(dice.randrange(256) for _ in range(end - start))
        elif kind == 1:
            del content[start:end]
        elif kind == 2:
            content[end:end] = content[start:end]
        elif kind == 3:
            content[start:start] = dice.choice(
                (b"-", b"1e999", b"NaN", b'"', b"<", b"\x00", b"\xff", b",", b"\n", b"null")
            )
        else:
            del content[start:]
    return bytes(content)


def _mutate_json(whole, dice):
    """Put a value of the wrong kind into a place of the parsed file, or drop or double an entry."""
    data = json.loads(whole)
    for _ in range(dice.randint(1, 3)):
        place = data
        while True:
            inside = list(place) if isinstance(place, dict) else range(len(place))
            if not inside:
                break
            key = dice.choice(list(inside))
            if isinstance(place[key], (dict, list)) and place[key] and dice.random() < 0.85:
                place = place[key]
                continue
            kind = dice.randrange(4)
            if kind == 0:
                del place[key]
            elif kind == 1 and isinstance(place, list):
                place.append(place[key])
            else:
                place[key] = dice.choice(
                    (None, True, -1, 0, 1e400, float("nan"), 10**30, "", "x", "\ud800", [], {}, [[]], ["x"])
                )
            break
    return json.dumps(data).encode()
