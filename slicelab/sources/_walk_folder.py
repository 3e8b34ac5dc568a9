"""List the pictures of a folder: sorted, links followed but no folder twice, hidden names left out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from slicelab.core import Finding, SourceError
from slicelab.sources._open_image import IMAGE_SUFFIXES, sniff


@dataclass
class FolderListing:
    """What `walk_folder` found.

    Parameters
    ----------
    root
        The folder, absolute.
    files
        Paths below it with '/' between, sorted.
    findings
        One refusal per file whose name is not UTF-8; a notice per folder that was met again or can't be read.
    """

    root: str
    files: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Number of files that were refused for their names."""
        return sum(f.refused for f in self.findings)


def walk_images(folder: str | Path) -> FolderListing:
    """List the files below a folder that are pictures by their suffix or by their first bytes.

    Raises
    ------
    SourceError
        There is no such folder.
    """
    return walk_folder(folder, wanted=_is_picture)


def walk_folder(
    folder: str | Path, *, wanted: Callable[[os.DirEntry[str]], bool], rows: str = "samples"
) -> FolderListing:
    """List the files below a folder for which `wanted` is true.

    Links are followed. A folder is read once however many links lead to it (by device and inode), real folders
    before links, so loops end at once and keys don't depend on links where they needn't.

    Raises
    ------
    SourceError
        There is no such folder.
    """
    root = os.path.abspath(os.path.expanduser(os.fspath(folder)))
    if not os.path.isdir(root):
        what = "is a file, not a folder" if os.path.exists(root) else "isn't there"
        raise SourceError(f"The folder {_shown(root)} {what}. Give the folder that holds the files.")
    listing = FolderListing(root)
    seen: set[tuple[int, int]] = set()
    real, linked = deque([root]), deque[str]()
    while real or linked:
        current = real.popleft() if real else linked.popleft()
        if _first_time(current, seen, listing, rows):
            _list_one(current, wanted, rows, listing, real, linked)
    listing.files.sort()
    return listing


def _first_time(path: str, seen: set[tuple[int, int]], listing: FolderListing, rows: str) -> bool:
    try:
        status = os.stat(path)
    except OSError as error:
        listing.findings.append(_notice("unreadable-folder", path, f"the folder can't be read: {error}", rows))
        return False
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        reason = "a link leads to a folder that was already read (a loop, or two links to one folder); read once"
        listing.findings.append(_notice("symlink-loop", path, reason, rows))
        return False
    seen.add(identity)
    return True


def _list_one(
    folder: str,
    wanted: Callable[[os.DirEntry[str]], bool],
    rows: str,
    listing: FolderListing,
    real: deque[str],
    linked: deque[str],
) -> None:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError as error:
        listing.findings.append(_notice("unreadable-folder", folder, f"the folder can't be read: {error}", rows))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            (linked if entry.is_symlink() else real).append(entry.path)
        elif wanted(entry):
            _add_file(entry.path, rows, listing)


def _add_file(path: str, rows: str, listing: FolderListing) -> None:
    relative = path[len(listing.root) :].lstrip(os.sep).replace(os.sep, "/")
    try:
        relative.encode("utf-8")
    except UnicodeEncodeError:
        reason = "the name is not UTF-8, so it can't be stored; rename the file"
        listing.findings.append(Finding("non-utf8-name", _shown(path), None, _shown(relative), reason, rows=rows))
    else:
        listing.files.append(relative)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_picture(entry: os.DirEntry[str]) -> bool:
    if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
        return True
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as stream:
            return sniff(stream.read(32)) is not None
    except OSError:
        return False


def _notice(kind: str, path: str, reason: str, rows: str) -> Finding:
    return Finding(kind, _shown(path), None, _shown(path), reason, refused=False, rows=rows)


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
