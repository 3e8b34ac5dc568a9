"""The long lists of a large suite, in a compact file beside it: the suite stays small, and says which one it needs."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

from slicelab.core import InvalidInputError, SuiteError, canonical

LARGE = 10_000
"""Of more members, samples and boxes than this a suite has a sidecar."""
_NAME = re.compile(r"[^/\\]{1,200}\.[0-9a-f]{12}\.members\.json\.gz")
_LISTS = ("samples", "boxes")
_UNIX = b"\x03"
MAX_BYTES = 2**30
"""Of a sidecar, compressed or not."""
MAX_RATIO = 100
"""Of its bytes to the compressed ones; hashes and ids don't compress better."""
_ALWAYS = 2**24


def is_large(document: dict[str, Any]) -> bool:
    """Tell whether a suite's JSON values are too many for one file in git."""
    n_members = sum(len(case["members"]) for case in document["cases"])
    return n_members + sum(len(document[name]) for name in _LISTS) > LARGE


def pack(document: dict[str, Any], stem: str) -> tuple[dict[str, Any], str, bytes]:
    """Divide a suite's JSON values: what stays, the sidecar's name and its bytes (the same for the same suite)."""
    members = [case["members"] for case in document["cases"]]
    tables = {name: _columns(document[name]) for name in _LISTS}
    text = canonical({"members": members, **tables})
    packed = gzip.compress(text, mtime=0)
    content = packed[:9] + _UNIX + packed[10:]  # which system it was packed on: Pythons differ in what they write
    if len(text) > _most_bytes(content):
        raise InvalidInputError(
            f"The members, samples and boxes of the suite {document['name']!r} are {len(text):,} bytes, and a sidecar "
            f"takes {_most_bytes(content):,}. Divide its cases among several suites."
        )
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{stem[:150]}.{sha256[:12]}.members.json.gz"
    head = {
        **document,
        "schema_version": max(document["schema_version"], 3),
        "sidecar": {"file": name, "sha256": sha256},
        "cases": [{**case, "members": {"count": len(case["members"])}} for case in document["cases"]],
        **{name: {"count": len(document[name])} for name in _LISTS},
    }
    return head, name, content


def unpack(head: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put a suite's JSON values together again; samples and boxes come as columns.

    Raises
    ------
    SuiteError
        The sidecar isn't there, or isn't the one that the suite was saved with.
    InvalidInputError
        A field is wrong.
    """
    told = head["sidecar"]
    name, sha256 = (told.get(field) if isinstance(told, dict) else None for field in ("file", "sha256"))
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(sha256, str):
        raise InvalidInputError(f"sidecar must name a file beside the suite and its SHA-256; got {str(told)[:80]!r}.")
    try:
        if (folder / name).stat().st_size > MAX_BYTES:
            raise SuiteError(f"{folder / name} is too large: more than {MAX_BYTES:,} bytes.")
        content = (folder / name).read_bytes()
    except OSError as error:
        raise SuiteError(
            f"The suite needs the file {name} beside it, which can't be read: {error.strerror or error}. "
            "Commit and move both together."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SuiteError(f"{folder / name} isn't the file that the suite was saved with. Restore it, or save it anew.")
    try:
        lists = json.loads(_decompressed(content, folder / name))
        cases = [{**case, "members": m} for case, m in zip(head["cases"], lists["members"], strict=True)]
        tables = {table: lists[table] for table in _LISTS}
    except SuiteError:
        raise
    except (ValueError, TypeError, KeyError, EOFError, zlib.error, RecursionError) as error:
        raise SuiteError(f"{folder / name} can't be read: {error!r}.") from error
    kept = {k: v for k, v in head.items() if k != "sidecar"}
    # 3 meant: 2, with a sidecar.
    version = 2 if kept["schema_version"] == 3 else kept["schema_version"]
    return {**kept, "schema_version": version, "cases": cases, **tables}


def _decompressed(content: bytes, path: Path) -> bytes:
    """Decompress, up to what a sidecar may hold: a small file must not be able to fill the memory."""
    most = _most_bytes(content)
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    text = reader.decompress(content, most + 1)
    if len(text) > most:
        raise SuiteError(
            f"{path} holds more than it may: its {len(content):,} bytes decompress to more than {most:,}. A sidecar "
            "that slicelab wrote doesn't. Restore it, or save the suite anew."
        )
    if not reader.eof or reader.unused_data:
        raise EOFError("it is cut off, or something follows it")
    return text


def _most_bytes(content: bytes) -> int:
    return min(MAX_BYTES, max(MAX_RATIO * len(content), _ALWAYS))


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
