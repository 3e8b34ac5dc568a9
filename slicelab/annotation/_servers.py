"""What the live servers have in common: what a push comes to, and how a pulled file is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pushed:
    """A batch on a server: where it is, and how many tasks were sent now and were there already.

    Parameters
    ----------
    project
        Number of the project (Label Studio) or task (CVAT) on the server.
    sent, present
        Images of the batch that were sent now, and that were there.
    kind
        What the server calls it: "project" or "task".
    """

    project: int
    sent: int
    present: int
    kind: str = "project"

    def __str__(self) -> str:
        return f"{self.kind} {self.project}: {self.sent} tasks sent, {self.present} were there already"


def keep_file(path: Path, content: bytes) -> Path:
    """Write a file durably: it is there wholly or not at all; an older one is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    return path
