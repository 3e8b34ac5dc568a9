"""Reading what an annotation team sends back: everything in the file is accounted for, nothing is guessed."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeET

from slicelab.annotation._answer import Answer, shown
from slicelab.annotation._coco import read_coco
from slicelab.annotation._csv_rows import read_csv
from slicelab.annotation._cvat import read_cvat
from slicelab.annotation._label_studio import read_label_studio
from slicelab.annotation._match_answers import match_answers
from slicelab.annotation._write_batch import EXPORT_FORMATS
from slicelab.core import Batch, Return, ReturnFileError, check_choice, listed

MAX_FILE = 512 * 2**20
MAX_ENTRIES = 100_000
MAX_UNPACKED = 2 * 2**30
MAX_RATIO = 100
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError),
)


def read_return(
    path: str | Path,
    batch: Batch,
    *,
    format: str | None = None,  # noqa: A002 - the word that users know
    all_reviewed: bool = False,
) -> Return:
    """Read a returned file and say of every answer in it what it is.

    An answer is matched with its task by our id, else by the image's hash, else by a file name that fits one image
    of the batch only; never by its place in the file. Answers that aren't whole and sound are rejected wholly.

    Parameters
    ----------
    path
        The file: JSON, XML or CSV (at most 512 MB), or a zip that holds one of them.
    batch
        The batch that was exported.
    format
        One of `EXPORT_FORMATS`; None: seen from the content.
    all_reviewed
        COCO and CVAT can't say whether a person has finished an image. There an answer counts when the image is
        marked ("slicelab_reviewed") or holds something new; True takes every answer.
        Label Studio and CSV say it, and are believed.

    Returns
    -------
    Return
        A row per answer in the order of the file (grouped by image for boxes in CSV), and the tasks to which
        nothing came back.

    Raises
    ------
    ReturnFileError
        The file can't be opened, is cut off, malformed, unsafe or in no known format. Nothing of it is taken.
    """
    if format is not None:
        check_choice(format, EXPORT_FORMATS, "format")
    source = Path(path)
    content = _load(source)
    digest = hashlib.sha256(content).hexdigest()
    content = _unpacked(content)
    found = format or _detected(content)
    try:
        answers = _answers(content, found, batch)
    except ReturnFileError as error:
        raise ReturnFileError(f"{source.name}: {error}") from error
    rows = match_answers(answers, batch, all_reviewed=all_reviewed)
    answered = {row.task_id for row in rows}
    missing = tuple(t.task_id for t in batch.tasks if t.task_id not in answered)
    return Return(batch.batch_id, batch.queue, found, str(source), digest, rows, missing)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise ReturnFileError(f"{path} can't be opened: {error}. Pass the file that came back.") from error
    if len(content) > MAX_FILE:
        raise ReturnFileError(f"{path.name} is larger than {MAX_FILE // 2**20} MB. Send it back in parts.")
    if not content.strip():
        raise ReturnFileError(f"{path.name} is empty. Export it again.")
    return content


def _unpacked(content: bytes) -> bytes:
    """Return the one label file of a zip; anything else as it is."""
    if not content.startswith(b"PK"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist())
            entry = _label_file(archive.infolist())
            with archive.open(entry) as stream:
                unpacked = stream.read(MAX_FILE + 1)
    except ReturnFileError:
        raise
    except _ZIP_ERRORS as error:
        raise ReturnFileError(f"The zip can't be read: {error}. Export it again.") from error
    if len(unpacked) > MAX_FILE:
        raise ReturnFileError(f"{shown(entry.filename)} is larger than {MAX_FILE // 2**20} MB. Send it back in parts.")
    return unpacked


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
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


def _label_file(entries: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    files = [e for e in entries if PurePosixPath(e.filename).suffix.lower() in (".xml", ".json", ".csv")]
    named = [e for e in files if PurePosixPath(e.filename).name == "annotations.xml"]
    found = named or files
    if len(found) != 1:
        raise ReturnFileError(
            f"The zip must hold one label file (annotations.xml, a .json or a .csv); it holds {len(found)}: "
            f"{listed(shown(e.filename) for e in found)}."
        )
    return found[0]


def _detected(content: bytes) -> str:
    """Return the format that the content has."""
    start = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "cvat"
    if start.startswith(b"["):
        return "label-studio"
    return "coco" if start.startswith(b"{") else "csv"


def _answers(content: bytes, kind: str, batch: Batch) -> list[Answer]:
    if kind == "cvat":
        return read_cvat(_xml(content))
    if kind == "csv":
        return read_csv(_decoded(content), task=batch.task)
    parsed = _json(content)
    return read_label_studio(parsed) if kind == "label-studio" else read_coco(parsed)


def _xml(content: bytes) -> Any:
    try:
        return SafeET.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ReturnFileError(
            "The XML declares a document type or entities; no label tool does. It wasn't read."
        ) from error
    except (SafeET.ParseError, ValueError, LookupError) as error:
        raise ReturnFileError(f"The XML can't be read: {shown(str(error))}. It is cut off or damaged.") from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(_decoded(content))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ReturnFileError(f"The JSON can't be read: {error.msg} at {where}. It is cut off or damaged.") from error
    except (ValueError, RecursionError) as error:
        raise ReturnFileError(f"The JSON can't be read: {shown(str(error))}. It is damaged.") from error


def _decoded(content: bytes) -> str:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReturnFileError(f"It isn't UTF-8 at byte {error.start}. Save it as UTF-8.") from error
