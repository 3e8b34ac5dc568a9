"""Decisions as state changes: old value in, new value out."""

from slicelab.curation._apply_return import ReturnOutcome, accept, apply_return, merge_labels
from slicelab.curation._drift import rule_drift
from slicelab.curation._edit_slices import (
    add,
    create_slice,
    delete,
    dismiss,
    dismissal_of,
    from_candidate,
    merge,
    note,
    remove,
    rename,
    split,
)
from slicelab.curation._history import next_redo, next_undo
from slicelab.curation._roadmap import roadmap
from slicelab.curation._rules import evaluate_rule, rule_columns
from slicelab.curation._undo import describe, invert
from slicelab.curation._work_queue import add_items, make_batch, move_item

__all__ = [
    "ReturnOutcome",
    "accept",
    "add",
    "add_items",
    "apply_return",
    "create_slice",
    "delete",
    "describe",
    "dismiss",
    "dismissal_of",
    "evaluate_rule",
    "from_candidate",
    "invert",
    "make_batch",
    "merge",
    "merge_labels",
    "move_item",
    "next_redo",
    "next_undo",
    "note",
    "remove",
    "rename",
    "roadmap",
    "rule_columns",
    "rule_drift",
    "split",
]
