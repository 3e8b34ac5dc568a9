"""Reading what an annotation team sends back: everything in the file is accounted for, nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeET

from slicelab.annotation._answer import Answer, shown
from slicelab.annotation._coco import read_coco
from slicelab.annotation._csv_rows import read_csv
from slicelab.annotation._cvat import read_cvat
from slicelab.annotation._files import Opened, open_return
from slicelab.annotation._jsonl import read_jsonl
from slicelab.annotation._label_studio import read_label_studio
from slicelab.annotation._labelbox import read_labelbox
from slicelab.annotation._match_answers import match_answers
from slicelab.annotation._sagemaker import read_sagemaker
from slicelab.annotation._voc import read_voc
from slicelab.annotation._write_batch import RETURN_FORMATS
from slicelab.annotation._yolo import read_yolo
from slicelab.core import Batch, Return, ReturnFileError, check_choice

_LINES = {"jsonl": read_jsonl, "labelbox": read_labelbox, "sagemaker": read_sagemaker}
_FOLDERS = ("yolo", "voc")


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
        The file: JSON, JSON lines, XML or CSV (at most 512 MB), a zip that holds one of them, or a folder (or zip)
        of YOLO or VOC.
    batch
        The batch that was exported.
    format
        One of `RETURN_FORMATS`; None: seen from the content.
    all_reviewed
        COCO, CVAT, YOLO and VOC can't say whether a person has finished an image. There an answer counts when the
        image is marked ("slicelab_reviewed", reviewed.txt) or holds something new; True takes every answer.
        The others say it, and are believed.

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
        check_choice(format, RETURN_FORMATS, "format")
    source = Path(path)
    opened = open_return(source)
    found = format or _detected(opened)
    try:
        answers = _answers(opened, found, batch)
    except ReturnFileError as error:
        raise ReturnFileError(f"{source.name}: {error}") from error
    rows = match_answers(answers, batch, all_reviewed=all_reviewed)
    answered = {row.task_id for row in rows}
    missing = tuple(t.task_id for t in batch.tasks if t.task_id not in answered)
    return Return(batch.batch_id, batch.queue, found, str(source), opened.sha256, rows, missing)


def _detected(opened: Opened) -> str:
    """Return the format that the content has."""
    if opened.content is None:
        names = opened.files or {}
        return "voc" if all(name.endswith(".xml") for name in names) else "yolo"
    start = opened.content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "voc" if b"<annotation>" in start else "cvat"
    if start.startswith(b"["):
        return "label-studio"
    return _object_format(opened.content) if start.startswith(b"{") else "csv"


def _object_format(content: bytes) -> str:
    """Return the format of a file that starts with an object: JSON lines by the names in the first, else COCO."""
    line = content.lstrip().split(b"\n", 1)[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return "coco"
    if not isinstance(first, dict) or "images" in first:
        return "coco"
    if "source-ref" in first or "source" in first:
        return "sagemaker"
    return "labelbox" if "data_row" in first or "dataRow" in first else "jsonl"


def _answers(opened: Opened, kind: str, batch: Batch) -> list[Answer]:
    if kind in _FOLDERS:
        return _of_folder(opened, kind)
    content = opened.content
    if content is None:
        raise ReturnFileError(f"It holds the files of YOLO or VOC, not of {kind}. Leave format= out.")
    if kind == "cvat":
        return read_cvat(_xml(content))
    if kind == "csv":
        return read_csv(_decoded(content), task=batch.task)
    if kind in _LINES:
        return _LINES[kind](list(_json_lines(content)))
    parsed = _json(_decoded(content))
    return read_label_studio(parsed) if kind == "label-studio" else read_coco(parsed)


def _of_folder(opened: Opened, kind: str) -> list[Answer]:
    files = opened.files
    if kind == "yolo":
        if files is None:
            raise ReturnFileError("YOLO is a folder with data.yaml and labels/. Send the whole folder or a zip of it.")
        return read_yolo(files)
    files = {"annotation.xml": opened.content or b""} if files is None else files
    return read_voc({name: _xml(content) for name, content in files.items()})


def _json_lines(content: bytes) -> Iterator[tuple[int, Any]]:
    for n, line in enumerate(_decoded(content).split("\n"), start=1):
        if line.strip():
            yield n, _json(line, line=n)


def _xml(content: bytes) -> Any:
    try:
        return SafeET.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ReturnFileError(
            "The XML declares a document type or entities; no label tool does. It wasn't read."
        ) from error
    except (SafeET.ParseError, ValueError, LookupError) as error:
        raise ReturnFileError(f"The XML can't be read: {shown(str(error))}. It is cut off or damaged.") from error


def _json(content: str, *, line: int | None = None) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        where = f"line {line or error.lineno}, column {error.colno}"
        raise ReturnFileError(f"The JSON can't be read: {error.msg} at {where}. It is cut off or damaged.") from error
    except (ValueError, RecursionError) as error:
        raise ReturnFileError(f"The JSON can't be read: {shown(str(error))}. It is damaged.") from error


def _decoded(content: bytes) -> str:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReturnFileError(f"It isn't UTF-8 at byte {error.start}. Save it as UTF-8.") from error
