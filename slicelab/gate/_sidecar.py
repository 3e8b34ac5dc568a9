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


def is_large(document: dict[str, Any]) -> bool:
    """Tell whether a suite's JSON values are too many for one file in git."""
    n_members = sum(len(case["members"]) for case in document["cases"])
    return n_members + sum(len(document[name]) for name in _LISTS) > LARGE


def pack(document: dict[str, Any], stem: str) -> tuple[dict[str, Any], str, bytes]:
    """Divide a suite's JSON values: what stays, the sidecar's name and its bytes (the same for the same suite)."""
    members = [case["members"] for case in document["cases"]]
    tables = {name: _columns(document[name]) for name in _LISTS}
    content = gzip.compress(canonical({"members": members, **tables}), mtime=0)
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{stem[:150]}.{sha256[:12]}.members.json.gz"
    head = {
        **document,
        "schema_version": 3,
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
        content = (folder / name).read_bytes()
    except OSError as error:
        raise SuiteError(
            f"The suite needs the file {name} beside it, which can't be read: {error.strerror or error}. "
            "Commit and move both together."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SuiteError(f"{folder / name} isn't the file that the suite was saved with. Restore it, or save it anew.")
    try:
        lists = json.loads(gzip.decompress(content))
        cases = [{**case, "members": m} for case, m in zip(head["cases"], lists["members"], strict=True)]
        tables = {table: lists[table] for table in _LISTS}
    except (ValueError, TypeError, KeyError, EOFError, OSError, zlib.error, RecursionError) as error:
        raise SuiteError(f"{folder / name} can't be read: {error!r}.") from error
    kept = {k: v for k, v in head.items() if k != "sidecar"}
    return {**kept, "schema_version": 2, "cases": cases, **tables}


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
