"""Suites without a database: run, judge, compare, save."""

from slicelab.gate._diff_suites import diff_suites
from slicelab.gate._explain_change import CAUSES, Explanation, explain_change, what_changed
from slicelab.gate._freeze_case import TASK_METRICS, freeze_case, make_suite
from slicelab.gate._hash_case import case_hash
from slicelab.gate._judge import judge, judge_change, units_to_decide
from slicelab.gate._read_inputs import read_labels, read_predictions, run_metrics
from slicelab.gate._run_suite import run_suite
from slicelab.gate._stratify import stratify
from slicelab.gate._suite_file import load_suite, save_suite, suite_hash
from slicelab.gate._write_report import write_json, write_junit, write_markdown
from slicelab.gate._write_text import write_text

__all__ = [
    "CAUSES",
    "TASK_METRICS",
    "Explanation",
    "case_hash",
    "diff_suites",
    "explain_change",
    "freeze_case",
    "judge",
    "judge_change",
    "load_suite",
    "make_suite",
    "read_labels",
    "read_predictions",
    "run_metrics",
    "run_suite",
    "save_suite",
    "stratify",
    "suite_hash",
    "units_to_decide",
    "what_changed",
    "write_json",
    "write_junit",
    "write_markdown",
    "write_text",
]
