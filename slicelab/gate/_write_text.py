"""A file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from slicelab.core import new_id


def write_text(path: str | Path, text: str) -> Path:
    r"""Write UTF-8 text with `\n` line ends in one step and return the path; its folder must exist."""
    return write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file in one step and return its path; its folder must exist."""
    path = Path(path)
    part = path.with_name(f".{path.name[:100]}.{new_id()[:8]}.part")
    try:
        with part.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path
