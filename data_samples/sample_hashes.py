"""Write and check the SHA256SUMS file of a sample folder (the format of `sha256sum --check`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUMS = "SHA256SUMS"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as lower-case hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed_files(folder: Path) -> list[Path]:
    """Every file of the folder except the list of hashes itself, sorted by its path."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)


def write_hashes(folder: Path) -> Path:
    """Write `<hash>  <posix path>` for every file of the folder and return the list's path."""
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}" for path in listed_files(folder)]
    target = folder / SUMS
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def read_hashes(folder: Path) -> dict[str, str]:
    """Read the list back: posix path to hash."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
