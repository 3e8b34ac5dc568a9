"""A batch's files before they have their name: an export that is killed leaves nothing that looks like a batch.

What is written lies in a hidden folder ``.slicelab-<batch id>.<random>``, first as "files", then, complete and on the
disk, under the name that it will have. Only when the batch is noted in the database it moves out of there. The process
that writes holds a lock on the hidden folder, which the system frees when it dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slicelab.core import StateError, new_id

UNFINISHED = "files"
_DRAFT = re.compile(r"\.slicelab-([A-Za-z0-9_]+)\.[0-9a-f]{8}")


@contextmanager
def draft(folder: Path, batch_id: str) -> Iterator[Path]:
    """Make a hidden folder for a batch's files inside `folder`; who is inside of this holds its lock."""
    handle, path = None, folder
    while path == folder or not path.is_dir():  # who settles drafts may have removed it before it was locked
        path = folder / f".slicelab-{re.sub('[^A-Za-z0-9_]', '_', batch_id)}.{new_id()[:8]}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise StateError(f"The batch can't be written into {folder}: {error}. Nothing was left there.") from error
        if handle is not None:
            os.close(handle)
        handle = _locked(path, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        if handle is not None:
            os.close(handle)


def settle_drafts(folder: str | Path, is_out: Callable[[str], bool]) -> tuple[list[Path], int]:
    """End what killed exports have left in a folder; what a living process writes there is left to it.

    Parameters
    ----------
    folder
        Where batches were written to.
    is_out
        Tells whether a batch of that id is noted as exported.

    Returns
    -------
    The batches that were complete and noted, which now have their names; and how many others were removed.
    """
    named: list[Path] = []
    removed = 0
    for path in sorted(Path(folder).glob(".slicelab-*")):
        found = _DRAFT.fullmatch(path.name)
        handle = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) if found and not path.is_symlink() else None
        if found is None or handle is None:
            continue
        try:
            left = list(path.iterdir()) if path.is_dir() else []  # another one may have ended it before we locked it
            complete = [p for p in left if p.stem != UNFINISHED] if is_out(found[1]) else []
            unnamed = [p for p in complete if not (Path(folder) / p.name).exists()]  # not written again meanwhile
            named += [p.rename(Path(folder) / p.name) for p in unnamed]
            removed += bool(left) and not complete
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)
    return named, removed


def sync(path: Path) -> None:
    """Make a file or folder durable, where the system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _locked(path: Path, mode: int) -> int | None:
    """Lock a folder and return its descriptor; None where another process has it, or the file system has no locks."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, mode)
    except OSError:
        os.close(handle)
        return None
    return handle
