"""SliceLab's folder: where the database, its keys and its log live. Only this user may look in."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from slicelab.core import StoreError


def home() -> Path:
    """Return SliceLab's folder, made with mode 0700 if it isn't there.

    It is SLICELAB_HOME, else "slicelab" in the user's data folder.

    Raises
    ------
    StoreError
        It can't be made or isn't a folder.
    """
    import platformdirs

    named = os.environ.get("SLICELAB_HOME")
    folder = Path(named).expanduser().absolute() if named else Path(platformdirs.user_data_dir("slicelab"))
    return private_folder(folder)


def private_folder(folder: Path) -> Path:
    """Return the folder, made with mode 0700 if it isn't there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"SliceLab's folder {str(folder)!r} can't be made: {error}. Set SLICELAB_HOME to a folder that can be "
            "written."
        ) from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} can't be read: {error}. Repair it or put a backup in its place.") from error
    return value if isinstance(value, dict) else {}


def write_private(path: Path, content: str) -> None:
    """Write a file with mode 0600, wholly or not at all, and on the disk when this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with mode 0600, wholly or not at all."""
    write_private(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def secret(path: Path, *, digits: int) -> str:
    """Return the random hex digits kept in a file of mode 0600, made at the first call."""
    if not path.exists():
        write_private(path, secrets.token_hex(digits // 2))
    return path.read_text(encoding="utf-8").strip()
