"""Tell what a file or folder is."""

from __future__ import annotations

import os
from pathlib import Path

from slicelab.core import SourceError
from slicelab.sources._read_table import TABLE_SUFFIXES
from slicelab.sources._rows import printable

SOURCE_FORMATS = (
    "folder",
    "csv",
    "jsonl",
    "parquet",
    "json",
    "coco",
    "coco-results",
    "voc",
    "yolo",
)
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".yaml": "yolo",
    ".yml": "yolo",
}
_HEAD = 65536
_ENTRIES = 10_000


def detect_format(path: str | Path) -> str:
    """Return one of "folder", "csv", "jsonl", "parquet", "json", "coco", "coco-results", "voc" and "yolo".

    A file is told by its suffix, JSON by how it begins, a folder by the suffixes of the files in it.

    Raises
    ------
    SourceError
        Nothing is there, or nothing that is read.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            return _folder_format(place)
        if not place.is_file():
            raise SourceError(f"There is no file or folder {printable(path)}. Check the path.")
        suffix = place.suffix.lower()
        if suffix != ".json":
            found = _BY_SUFFIX.get(suffix)
        else:
            with place.open("rb") as stream:
                found = _json_format(stream.read(_HEAD))
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{printable(path)} can't be read: {error}.") from error
    if found is None:
        known = ", ".join(sorted(TABLE_SUFFIXES | {".yaml"}))
        raise SourceError(f"What {printable(path)} holds can't be told; {known} and folders are read.")
    return found


def _json_format(head: bytes) -> str:
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text.startswith("["):
        return "coco-results" if '"image_id"' in text or text[1:].lstrip().startswith("]") else "json"
    first = text.split("\n", 1)
    is_lines = len(first) == 2 and first[0].rstrip().endswith("}") and first[1].lstrip().startswith("{")
    return "jsonl" if is_lines else "coco"


def _folder_format(place: Path) -> str:
    """Look at up to 10,000 names, the folder's own before those in folders below."""
    count = {".xml": 0, ".txt": 0}
    left = _ENTRIES
    for _, folders, files in os.walk(place):
        folders.sort()
        if {"data.yaml", "data.yml"} & set(files):
            return "yolo"
        for name in files[:left]:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in count:
                count[suffix] += 1
        left -= len(files)
        if left <= 0:
            break
    if not any(count.values()):
        return "folder"
    return "voc" if count[".xml"] >= count[".txt"] else "yolo"
