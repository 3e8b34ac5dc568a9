"""A batch's files while they are written: hidden, whole when they get their name, and settled after a kill."""

import json
import zipfile

import pytest

from slicelab.annotation import settle_drafts, write_batch
from slicelab.annotation._drafts import draft
from slicelab.core import ConflictError, DatabaseUnavailableError


def refuse(error):
    """A commit that fails."""

    def commit():
        raise error

    return commit


def cut_off(batch, folder, **options):
    """Leave what a process leaves that was killed when it noted the batch."""
    with pytest.raises(DatabaseUnavailableError):
        write_batch(batch, folder, format="csv", commit=refuse(DatabaseUnavailableError("gone")), **options)
    (hidden,) = folder.iterdir()
    assert hidden.name.startswith(".slicelab-")
    return hidden


def test_the_batch_is_noted_before_it_can_be_seen(batch_of, tmp_path):
    """At the moment of the commit everything is written and nothing has a name; afterwards nothing is hidden."""
    seen = []
    commit = lambda: seen.append([p.name for p in tmp_path.iterdir()])  # noqa: E731
    paths = write_batch(batch_of("classification"), tmp_path, format="csv", commit=commit)
    ((hidden,),) = seen
    assert hidden.startswith(".slicelab-0123456789abcdef0123456789abcdef.")
    assert [p.name for p in tmp_path.iterdir()] == ["q-0123456789ab-csv"]
    assert {p.parent.name for p in paths} == {"q-0123456789ab-csv"}


def test_a_lost_race_leaves_nothing(batch_of, tmp_path):
    """Somebody exported these items first: no folder is left that looks like a batch, hidden or not."""
    with pytest.raises(ConflictError):
        write_batch(batch_of("classification"), tmp_path, format="csv", commit=refuse(ConflictError("first")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("archive", [False, True])
def test_a_noted_batch_gets_its_name(batch_of, tmp_path, archive):
    """Cut off after it was noted: the files are those of an export that was not cut off."""
    batch = batch_of("classification")
    cut_off(batch, tmp_path / "cut", archive=archive)
    named, removed = settle_drafts(tmp_path / "cut", {batch.batch_id}.__contains__)
    whole = write_batch(batch, tmp_path / "whole", format="csv", archive=archive)
    assert (named, removed) == ([tmp_path / "cut" / ("q-0123456789ab-csv" + (".zip" if archive else ""))], 0)
    assert list((tmp_path / "cut").iterdir()) == named
    found = sorted(p for p in (tmp_path / "cut").rglob("*") if p.is_file())
    assert [p.read_bytes() for p in found] == [p.read_bytes() for p in whole]
    if archive:
        assert zipfile.ZipFile(named[0]).testzip() is None
    else:
        assert json.loads((named[0] / "manifest.json").read_text())["batch_id"] == batch.batch_id


def test_what_was_never_noted_is_removed(batch_of, tmp_path):
    """Cut off before it was noted: nobody may send these files out."""
    cut_off(batch_of("classification"), tmp_path)
    assert settle_drafts(tmp_path, lambda _: False) == ([], 1)
    assert list(tmp_path.iterdir()) == []


def test_half_a_batch_never_gets_a_name(batch_of, tmp_path):
    """A batch that is out and is being written once more has half its files: they go, although it is noted."""
    with draft(tmp_path, "b" * 32) as hidden:
        (hidden / "files").mkdir()
        (hidden / "files" / "labels.csv").write_text("half")
        (hidden / "files.zip").write_bytes(b"PK half")
    assert settle_drafts(tmp_path, lambda _: True) == ([], 1)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_again_stays(batch_of, tmp_path):
    """The batch was written once more before its cut-off export was settled: the named files are not touched."""
    batch = batch_of("classification")
    cut_off(batch, tmp_path)
    paths = write_batch(batch, tmp_path, format="csv")
    before = [p.read_bytes() for p in paths]
    assert settle_drafts(tmp_path, lambda _: True) == ([], 0)
    assert [p.read_bytes() for p in paths] == before
    assert list(tmp_path.iterdir()) == [paths[0].parent]


def test_what_is_being_written_is_left_alone(batch_of, tmp_path):
    """Another export into the same folder is at work: neither named nor removed."""
    batch = batch_of("classification")
    during = []
    write_batch(batch, tmp_path, format="csv", commit=lambda: during.append(settle_drafts(tmp_path, lambda _: False)))
    assert during == [([], 0)]
    assert [p.name for p in tmp_path.iterdir()] == ["q-0123456789ab-csv"]


def test_a_draft_that_is_removed_before_it_is_locked_is_made_anew(batch_of, tmp_path, monkeypatch):
    """Somebody settles drafts between the making of a hidden folder and its lock: the batch is written all the same."""
    from slicelab.annotation import _drafts

    locked, settled = _drafts._locked, []

    def late(path, mode):
        if not settled:
            settled.append(path)
            settle_drafts(tmp_path, lambda _: False)
        return locked(path, mode)

    monkeypatch.setattr(_drafts, "_locked", late)
    write_batch(batch_of("classification"), tmp_path, format="csv")
    assert [p.name for p in tmp_path.iterdir()] == ["q-0123456789ab-csv"]
    assert not settled[0].exists()


def test_an_emptied_draft_goes_without_a_word(tmp_path):
    """Cut off when its batch had its name already: the empty hidden folder is nothing to tell of."""
    with draft(tmp_path, "b" * 32):
        pass
    assert settle_drafts(tmp_path, lambda _: True) == ([], 0)
    assert list(tmp_path.iterdir()) == []


def test_other_hidden_things_are_not_ours(tmp_path):
    """Only folders of our naming are looked into: no other name, file or link; a folder may be missing."""
    (tmp_path / ".slicelab-notes").mkdir()
    (tmp_path / ".slicelab-notes" / "mine").touch()
    (tmp_path / ".slicelab-abc.01234567").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / ".slicelab-abc.76543210").symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    assert settle_drafts(tmp_path, lambda _: False) == ([], 0)
    assert settle_drafts(tmp_path / "nowhere", lambda _: False) == ([], 0)
    assert sorted(tmp_path.rglob("*")) == before
