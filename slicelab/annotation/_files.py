"""Opening what came back: one file, a zip, or a folder; capped, and never anything outside of it."""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slicelab.annotation._answer import shown
from slicelab.core import ReturnFileError, listed

MAX_FILE = 512 * 2**20
MAX_ENTRIES = 100_000
MAX_UNPACKED = 2 * 2**30
MAX_RATIO = 100
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError),
)
_LABELS = (".xml", ".json", ".csv", ".jsonl", ".ndjson", ".manifest")
_OURS = ("manifest.json", "labels.json", "classes.json", "ontology.json", "data_rows.json", "instructions.json")
"""Files of a batch that are no answers; they may stand beside the one that is."""


@dataclass(frozen=True)
class Opened:
    """What came back.

    Parameters
    ----------
    sha256
        Of the file; for a folder of its label files with their paths.
    content
        The one label file; None where the labels are many files.
    files
        Label files by path, where they are many (YOLO, VOC).
    """

    sha256: str
    content: bytes | None = None
    files: Mapping[str, bytes] | None = None


def open_return(path: Path) -> Opened:
    """Open a file, a zip or a folder, or raise `ReturnFileError`."""
    if path.is_dir():
        return _folder(path)
    content = _load(path)
    digest = hashlib.sha256(content).hexdigest()
    if not content.startswith(b"PK"):
        return Opened(digest, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _checked(archive.infolist())
            many = _label_folder([e.filename for e in entries])
            if many:
                return Opened(digest, files={name: archive.read(name) for name in many})
            entry = _label_file(entries)
            with archive.open(entry) as stream:
                unpacked = stream.read(MAX_FILE + 1)
    except ReturnFileError:
        raise
    except _ZIP_ERRORS as error:
        raise ReturnFileError(f"The zip can't be read: {error}. Export it again.") from error
    _check_size(unpacked, shown(entry.filename))
    return Opened(digest, unpacked)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise ReturnFileError(f"{path} can't be opened: {error}. Pass the file that came back.") from error
    _check_size(content, path.name)
    if not content.strip():
        raise ReturnFileError(f"{path.name} is empty. Export it again.")
    return content


def _check_size(content: bytes, name: str) -> None:
    if len(content) > MAX_FILE:
        raise ReturnFileError(f"{name} is larger than {MAX_FILE // 2**20} MB. Send it back in parts.")


def _folder(path: Path) -> Opened:
    found: dict[str, Path] = {}
    for file in path.rglob("*"):
        if file.is_file() and not file.is_symlink():
            found[file.relative_to(path).as_posix()] = file
        if len(found) > MAX_ENTRIES:
            raise ReturnFileError(f"The folder {path} has more than {MAX_ENTRIES} files. Leave images out.")
    many = _label_folder(list(found))
    if not many:
        raise ReturnFileError(
            f"{path} can't be opened: it is a folder, but neither YOLO (data.yaml and labels/) nor VOC (Annotations/). "
            "Pass the file that came back."
        )
    files = {name: _load_part(found[name]) for name in many}
    if sum(map(len, files.values())) > MAX_UNPACKED:
        raise ReturnFileError("The folder holds more than 2 GiB of labels. Send it back in parts.")
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{len(name)} {name} {len(content)}\n".encode("utf-8", "surrogatepass"))
        digest.update(content)
    return Opened(digest.hexdigest(), files=files)


def _load_part(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ReturnFileError(f"{path} can't be opened: {error}.") from error
    _check_size(content, path.name)
    return content


def _checked(entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    if len(entries) > MAX_ENTRIES:
        raise ReturnFileError(f"The zip has {len(entries)} entries, at most {MAX_ENTRIES} are read. Leave images out.")
    if sum(e.file_size for e in entries) > MAX_UNPACKED:
        raise ReturnFileError("The zip unpacks to more than 2 GiB. Leave images out.")
    for entry in entries:
        name = entry.orig_filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
            raise ReturnFileError(f"The zip holds a path out of its folder: {shown(name)!r}. It wasn't opened.")
        if entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise ReturnFileError(f"{shown(name)!r} in the zip is packed more than {MAX_RATIO} times. Pack it plainly.")
    return entries


def _label_folder(names: list[str]) -> list[str]:
    """Return the paths of YOLO's or VOC's label files, sorted; empty where it is neither."""
    paths = {name: PurePosixPath(name) for name in sorted(names)}
    voc = [n for n, p in paths.items() if p.suffix.lower() == ".xml" and p.parent.name == "Annotations"]
    if voc:
        return voc
    if not any(p.name in ("data.yaml", "data.yml") for p in paths.values()):
        return []
    return [
        n
        for n, p in paths.items()
        if p.name in ("data.yaml", "data.yml", "reviewed.txt") or ("labels" in p.parts[:-1] and p.suffix == ".txt")
    ]


def _label_file(entries: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    paths = {e.filename: PurePosixPath(e.filename) for e in entries}
    files = [e for e in entries if paths[e.filename].suffix.lower() in _LABELS]
    named = [e for e in files if paths[e.filename].name == "annotations.xml"]
    answers = [e for e in files if paths[e.filename].name not in _OURS]
    found = named or answers
    if len(found) != 1:
        raise ReturnFileError(
            f"The zip must hold one label file (annotations.xml, a .json, .jsonl, .ndjson, .manifest or .csv), or a "
            f"folder of YOLO or VOC; it holds {len(found)}: {listed(shown(e.filename) for e in found)}."
        )
    return found[0]
