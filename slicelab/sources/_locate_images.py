"""From paths as they are written to files on disk and keys; nothing outside the folder is let in."""

from __future__ import annotations

import os
import unicodedata

import numpy as np

from slicelab.sources._label_source import ImageRows
from slicelab.sources._rows import Objects, Rows, later_repeats, not_none, objects, printable
from slicelab.sources._texts import MAX_PATH, clean_texts


def locate_images(
    rows: Rows, images: ImageRows, *, folder: str | None, root: str | None, beside: str | None
) -> tuple[Objects, Objects]:
    """Return the absolute path and the key of each row; refuse those that have none, or a used one.

    Parameters
    ----------
    rows, images
        The rows.
    folder
        The folder of images: relative paths start here. None: at `root`, else beside the file of labels.
    root
        Keys are relative to it. None: to `folder`, else to the folder that all images have in common.
    beside
        The folder of the file of labels: where a path leads to nothing in `folder`, it is tried from here.
    """
    refs, problems = clean_texts(images.refs, "file name", limit=MAX_PATH, exact=True)
    rows.refuse_where(problems, "bad-path")
    rows.refuse(~not_none(refs), "missing-path", "the row names no file")
    limits = [p for p in (root, folder) if p]
    base = folder or root or beside or os.getcwd()
    paths = objects([_resolve(r, base, beside, limits) if ok else None for r, ok in zip(refs, rows.kept, strict=True)])
    where = " or ".join(printable(p) for p in limits) or printable(base)
    outside = ~not_none(paths)
    rows.refuse(outside, "outside-root", lambda i: f"the path {refs[i]!r} leads out of {where}; it is not opened")
    root = root or folder or _common_folder([p for p, ok in zip(paths, rows.kept, strict=True) if ok])
    rows.refuse(_repeats(rows, paths), "duplicate-path", lambda i: f"the file {printable(refs[i])} was there before")
    if images.has_keys:
        keys, problems = clean_texts(images.keys, "key", limit=MAX_PATH)
        rows.refuse_where(problems, "bad-key")
        rows.refuse(~not_none(keys), "missing-key", "the row has no key")
    else:
        keys = objects([_relative(p, root) if ok else None for p, ok in zip(paths, rows.kept, strict=True)])
        rows.refuse(~not_none(keys), "outside-root", lambda i: f"the file {printable(paths[i])} is not in {root}")
    rows.refuse(_repeats(rows, keys), "duplicate-key", lambda i: f"the key {keys[i]!r} was there before")
    return paths, keys


def absolute(path: str | os.PathLike[str]) -> str:
    """Return an absolute path, '~' expanded, links kept."""
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def _resolve(ref: str, base: str, beside: str | None, limits: list[str]) -> str | None:
    """Return the absolute path; None when it leads outside."""
    first = os.path.normpath(os.path.join(base, ref))
    inside = _allowed(first, ref, base, limits)
    if inside and os.path.exists(first):
        return first
    for start, name in ((beside, ref), (base, ref.replace("\\", "/"))):
        if start is not None:
            other = os.path.normpath(os.path.join(start, name))
            if _allowed(other, name, start, limits) and os.path.isfile(other):
                return other
    return first if inside else None


def _allowed(path: str, ref: str, base: str, limits: list[str]) -> bool:
    if limits:
        return any(_is_below(path, limit) for limit in limits)
    return os.path.isabs(ref) or _is_below(path, base)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


def _common_folder(paths: list[str]) -> str:
    return os.path.commonpath([os.path.dirname(p) for p in paths]) if paths else os.getcwd()


def _relative(path: str, root: str) -> str | None:
    if not _is_below(path, root):
        return None
    relative = path[len(root) :].lstrip(os.sep).replace(os.sep, "/")
    return relative if relative.isascii() else unicodedata.normalize("NFC", relative)


def _repeats(rows: Rows, values: Objects) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    kept = objects([v if ok else None for v, ok in zip(values, rows.kept, strict=True)])
    return later_repeats(kept)
