"""Taking changes back: as new versions, never by forgetting old ones; and saying in words what a change did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slicelab.core import Change, ConflictError, Edit, Slice, now


def invert(change: Change, current: Mapping[str, Slice | None]) -> Change:
    """Return the change that takes another back.

    Parameters
    ----------
    change
        What is to be undone; an undo too, which does it again.
    current
        The slices as they are now, by id (None or absent: deleted). It may hold all living slices: then it is
        checked that a name which comes back isn't taken.

    Returns
    -------
    Change "undo" ("redo" for an undo): each slice gets its content from before as a new version.

    Raises
    ------
    ConflictError
        A slice isn't what the change left, as someone changed it since, or its old name is taken; `mine` is the
        slice as the change left it (or would bring it back), `theirs` what stands there now.

    Notes
    -----
    Contents are compared, not versions: undoing two changes in turn leaves the first one's content under a higher
    version, and it must still be possible to take that back.
    """
    edits = tuple(_inverted(edit, current) for edit in change.edits)
    touched = {_id(edit) for edit in edits}
    for edit in edits:
        for other in current.values():
            if edit.after and other and other.slice_id not in touched and other.name == edit.after.name:
                raise ConflictError(
                    f"{edit.after.name!r} can't come back: another slice has that name now. Rename that one first.",
                    mine=edit.after,
                    theirs=other,
                )
    return Change("redo" if change.action == "undo" else "undo", edits)


def describe(change: Change) -> str:
    """Say in words what a change did, like "renamed 'a' to 'b'"."""
    if change.action == "undo":
        return "undid: " + _happened(tuple(Edit(e.after, e.before) for e in change.edits))
    return ("redid: " if change.action == "redo" else "") + _happened(change.edits)


def _inverted(edit: Edit, current: Mapping[str, Slice | None]) -> Edit:
    theirs = current.get(_id(edit))
    left = edit.after
    if _content(theirs) != _content(left):
        name = (left or edit.before or theirs).name  # type: ignore[union-attr]
        found = "was deleted" if theirs is None else f"is at version {theirs.version}"
        expected = "deleted" if left is None else f"at version {left.version}"
        raise ConflictError(
            f"The slice {name!r} was changed since: this change left it {expected}, now it {found}. "
            "Look at it, and change it by hand.",
            mine=left,
            theirs=theirs,
        )
    if edit.before is None:
        return Edit(theirs, None)
    version = max(edit.before.version, theirs.version if theirs else 0) + 1
    return Edit(theirs, replace(edit.before, version=version, updated_at=now()))


def _content(slice_: Slice | None) -> tuple[object, ...] | None:
    """Return what undo compares; an undo in between brings the same content back under a higher version."""
    return None if slice_ is None else (slice_.name, slice_.members, slice_.rule, slice_.note)


def _id(edit: Edit) -> str:
    slice_ = edit.after or edit.before
    return slice_.slice_id if slice_ else ""


def _happened(edits: tuple[Edit, ...]) -> str:
    made = [e.after for e in edits if e.before is None and e.after]
    gone = [e.before for e in edits if e.after is None and e.before]
    if len(made) == 1 and len(gone) > 1:
        return f"merged {_names(gone)} into {made[0].name!r}"
    if len(gone) == 1 and len(made) > 1:
        return f"split {gone[0].name!r} into {_names(made)}"
    words = [f"{'dismissed' if s.dismissed else 'created'} {s.name!r} ({_count(len(s))})" for s in made]
    words += [f"{'gave up' if s.dismissed else 'deleted'} {s.name!r} ({_count(len(s))})" for s in gone]
    words += [_difference(e.before, e.after) for e in edits if e.before and e.after]
    return "; ".join(words)


def _difference(before: Slice, after: Slice) -> str:
    added = len(set(after.members) - set(before.members))
    removed = len(set(before.members) - set(after.members))
    words = []
    if before.name != after.name:
        words.append(f"renamed {before.name!r} to {after.name!r}")
    if added:
        words.append(f"added {_count(added)} to {after.name!r}")
    if removed:
        words.append(f"removed {_count(removed)} from {after.name!r}")
    if before.note != after.note:
        words.append(f"changed the note of {after.name!r}")
    return ", ".join(words) or f"saved {after.name!r}"


def _names(slices: list[Slice]) -> str:
    return ", ".join(repr(s.name) for s in slices)


def _count(n: int) -> str:
    return f"{n} unit" if n == 1 else f"{n} units"
