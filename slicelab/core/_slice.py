"""Slices and what may be done to them."""

from __future__ import annotations

import getpass
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slicelab.core._hashing import hash_value


def now() -> str:
    """Return the present time, ISO 8601 in UTC with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """Return a fresh id (32 hex digits), made by the client so that a repeated write is the same write."""
    return uuid.uuid4().hex


def actor() -> str:
    """Return the name of the person at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


@dataclass(frozen=True)
class Slice:
    """A named, curated group: rule + frozen membership + content hash, versioned.

    Parameters
    ----------
    name
        What people call it; unique among the living slices of a dataset. '/' groups names.
    members
        Unit ids, most typical first where that is known, each once.
    rule
        An expression over the units frame that describes it (None: members only).
    note, model
        A person's words; the model under which it was found (None: any).
    provenance
        Where it came from: JSON values only.
    dismissed
        Why a person said that this candidate is no slice ("": it is one). It is kept so that discovery doesn't
        propose it again as if nobody had looked, and stands in no list of slices.
    version
        1 for a new slice; every change makes a new version.
    """

    name: str
    members: tuple[str, ...]
    rule: str | None = None
    note: str = ""
    model: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict, hash=False)
    dismissed: str = ""
    slice_id: str = field(default_factory=new_id)
    version: int = 1
    created_at: str = field(default_factory=now)
    created_by: str = field(default_factory=actor)
    updated_at: str = field(default_factory=now)
    schema_version: int = 1

    def __len__(self) -> int:
        return len(self.members)

    @property
    def content_hash(self) -> str:
        """SHA-256 of rule and membership (the order of members doesn't matter)."""
        return hash_value([self.rule, sorted(self.members)])


@dataclass(frozen=True)
class Edit:
    """One slice before and after; None: it is not there."""

    before: Slice | None
    after: Slice | None


@dataclass(frozen=True)
class Change:
    """An action on slices: all its edits are stored, or none.

    Parameters
    ----------
    action
        "create", "rename", "note", "add", "remove", "merge", "split", "delete", "dismiss", "undo", "redo".
    edits
        What happens to each slice.
    """

    action: str
    edits: tuple[Edit, ...]
    change_id: str = field(default_factory=new_id)
    at: str = field(default_factory=now)
    by: str = field(default_factory=actor)
