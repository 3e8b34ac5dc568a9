"""Decisions as state changes: old value in, new value out."""

from slicelab.curation._answers import (
    CONSENSUS,
    Decided,
    GivenAnswer,
    all_agree,
    answer_frame,
    answers_by_task,
    decide,
    given_answers,
    probe_scores,
    return_moves,
    without_decided,
)
from slicelab.curation._apply_return import ReturnOutcome, accept, apply_return, joined, merge_labels
from slicelab.curation._drift import rule_drift
from slicelab.curation._edit_slices import (
    add,
    create_slice,
    delete,
    dismiss,
    dismissal_of,
    from_candidate,
    kept_of,
    merge,
    note,
    remove,
    rename,
    split,
)
from slicelab.curation._gold_probes import add_probes
from slicelab.curation._history import next_redo, next_undo
from slicelab.curation._roadmap import roadmap
from slicelab.curation._rules import evaluate_rule, rule_columns
from slicelab.curation._sample_units import SAMPLINGS, Sampling, sample_units
from slicelab.curation._undo import describe, invert
from slicelab.curation._work_queue import add_items, make_batch, move_item, take_back

__all__ = [
    "CONSENSUS",
    "SAMPLINGS",
    "Decided",
    "GivenAnswer",
    "ReturnOutcome",
    "Sampling",
    "accept",
    "add",
    "add_items",
    "add_probes",
    "all_agree",
    "answer_frame",
    "answers_by_task",
    "apply_return",
    "create_slice",
    "decide",
    "delete",
    "describe",
    "dismiss",
    "dismissal_of",
    "evaluate_rule",
    "from_candidate",
    "given_answers",
    "invert",
    "joined",
    "kept_of",
    "make_batch",
    "merge",
    "merge_labels",
    "move_item",
    "next_redo",
    "next_undo",
    "note",
    "probe_scores",
    "remove",
    "rename",
    "return_moves",
    "roadmap",
    "rule_columns",
    "rule_drift",
    "sample_units",
    "split",
    "take_back",
    "without_decided",
]
