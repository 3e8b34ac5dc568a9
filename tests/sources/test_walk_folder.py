"""Which files of a folder are pictures, and that walking ends."""

import os

import pytest

from slicelab.core import SourceError
from slicelab.sources._walk_folder import walk_images


def test_sorted_hidden_left_out_content_counts(folder):
    """Pictures by suffix or content, in order; hidden files and texts are no rows."""
    folder.pictures("b/2.png", "a/1.png", ".hidden.png", ".git/x.png", "nosuffix.png")
    (folder.images / "nosuffix.png").rename(folder.images / "nosuffix")
    folder.write("images/notes.txt", "BM is how a text may begin too")
    folder.write("images/broken.jpg", "")
    assert walk_images(folder.images).files == ["a/1.png", "b/2.png", "broken.jpg", "nosuffix"]


def test_a_loop_of_links_ends(folder):
    """A folder that links to its parent is read once, with a notice."""
    folder.pictures("a/1.png")
    (folder.images / "a" / "loop").symlink_to(folder.images, target_is_directory=True)
    (folder.images / "self").symlink_to(folder.images / "self")
    found = walk_images(folder.images)
    assert found.files == ["a/1.png"]
    assert [(f.kind, f.refused) for f in found.findings] == [("symlink-loop", False)]


def test_links_are_followed_and_real_folders_come_first(folder):
    """A linked folder outside is read; keys come by the real folder where there is one."""
    outside = folder.root / "outside"
    outside.mkdir()
    folder.pictures("z/1.png")
    (outside / "2.png").write_bytes((folder.images / "z" / "1.png").read_bytes())
    (folder.images / "a").symlink_to(folder.images / "z", target_is_directory=True)
    (folder.images / "b").symlink_to(outside, target_is_directory=True)
    assert walk_images(folder.images).files == ["b/2.png", "z/1.png"]


def test_names_that_are_not_utf8_are_refused_one_by_one(folder):
    """One bad name doesn't stop the folder."""
    folder.pictures("a.png")
    bad = os.fsencode(folder.images) + b"/\xff\xfe.png"
    with open(bad, "wb") as stream:
        stream.write((folder.images / "a.png").read_bytes())
    found = walk_images(folder.images)
    assert found.files == ["a.png"]
    assert [(f.kind, f.refused, f.item) for f in found.findings] == [("non-utf8-name", True, "\\xff\\xfe.png")]


@pytest.mark.parametrize("name", ["none", "a.png"])
def test_no_folder(folder, name):
    """A folder that isn't there, or is a file, is a SourceError that names it."""
    folder.pictures("a.png")
    with pytest.raises(SourceError, match=name):
        walk_images(folder.images / name)
