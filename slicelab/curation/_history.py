"""Which change comes back next: undo and redo over the list of changes."""

from __future__ import annotations

from collections.abc import Iterable

from slicelab.core import Change


def next_undo(changes: Iterable[Change]) -> Change | None:
    """Return the change that undo takes back; None when nothing is left.

    Parameters
    ----------
    changes
        Every change, oldest first, those of undo and redo too.
    """
    done, _ = _stacks(changes)
    return done[-1] if done else None


def next_redo(changes: Iterable[Change]) -> Change | None:
    """Return the change that redo takes back (that of an undo); None when nothing is left.

    A change that isn't undo or redo clears what could be done again.
    """
    _, undone = _stacks(changes)
    return undone[-1] if undone else None


def _stacks(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    done: list[Change] = []
    undone: list[Change] = []
    for change in changes:
        if change.action == "undo":
            done.pop()
            undone.append(change)
        elif change.action == "redo":
            undone.pop()
            done.append(change)
        else:
            done.append(change)
            undone.clear()
    return done, undone
