"""Bytes, text and JSON from files, with errors that name the file and the line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicelab.core import SourceError, listed
from slicelab.sources._rows import printable


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes; an empty or unreadable file is a `SourceError`."""
    try:
        if not Path(path).is_file():
            raise SourceError(f"There is no file {printable(path)}. Check the path.")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{printable(path)} can't be read: {error}.") from error
    if not data.strip():
        raise SourceError(f"{printable(path)} is empty ({len(data)} bytes).")
    return data


def decode(data: bytes, file: str) -> str:
    """Return UTF-8 text (a byte order mark is left out), or raise `SourceError` with the line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{file}, line {line}: not UTF-8 (byte {data[error.start]:#04x}). Save the file as UTF-8."
        ) from error


def parse_json(text: str, file: str, *, first_line: int = 1) -> Any:
    """Return the JSON value (NaN and Infinity are read, for the checks to refuse), or raise `SourceError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise SourceError(f"{file}, line {line}: not JSON: {error.msg} (column {error.colno}).") from error
    except (RecursionError, ValueError) as error:
        raise SourceError(f"{file}: not JSON that can be read: {type(error).__name__}: {error}.") from error


def parse_json_lines(text: str, file: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the objects of a JSON-lines file and the line of each; blank lines are skipped."""
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    try:
        # All at once is several times faster than line by line.
        values = json.loads("[" + ",".join(line for _, line in lines) + "]")
    except (ValueError, RecursionError):
        values = []
    if len(values) != len(lines):
        values = [parse_json(line, file, first_line=n) for n, line in lines]
    for (n, _), value in zip(lines, values, strict=True):
        if not isinstance(value, dict):
            raise SourceError(f"{file}, line {n}: every line must be a JSON object; got {printable(value)[:60]!r}.")
    return values, [n for n, _ in lines]


def hash_bytes(*parts: bytes) -> str:
    """SHA-256 (hex) of bytes in a row."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def entries(document: dict[str, Any], name: str, file: str, *, needed: bool = True) -> list[dict[str, Any] | None]:
    """Return a list of objects in a JSON document; an entry that is no object becomes None."""
    values = document.get(name, None if needed else [])
    if not isinstance(values, list):
        keys = listed(list(document), 8) or "nothing"
        raise SourceError(f"{file}: it needs a list {name!r}; got {type(values).__name__}. It holds {keys}.")
    return [v if isinstance(v, dict) else None for v in values]


def column(values: Sequence[dict[str, Any] | None], name: str) -> list[Any]:
    """Return one field of each entry, None where it has none."""
    return [None if v is None else v.get(name) for v in values]
