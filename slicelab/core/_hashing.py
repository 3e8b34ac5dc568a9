"""Hashes that are equal in the database, in files and on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical(value: Any) -> bytes:
    """Write JSON values in one way only: sorted keys, no spaces, UTF-8; NaN is refused with ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_value(value: Any) -> str:
    """SHA-256 (hex) of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def hash_rows(rows: Iterable[Any]) -> str:
    """SHA-256 (hex) of JSON values whose order doesn't matter."""
    digest = hashlib.sha256()
    for line in sorted(canonical(row) for row in rows):
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
