"""From a slice to a case, and from cases to a suite: membership and truth are copied, so that nothing drifts."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import (
    BOX_COLUMNS,
    METRICS,
    TEXT,
    Bar,
    Case,
    Confidence,
    InvalidInputError,
    SampleTable,
    Suite,
    Task,
    check_confidence,
    check_name,
    check_unique,
    confidence_by_class,
    group_texts,
    is_spurious,
    listed,
    top_k,
    unit_key,
)
from slicelab.gate._hash_case import GROUP, Truth, hundredths, read_truth

TASK_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "error_rate", "recall", "precision", "f1", "top5", "ece", "confidence_gap"),
    "detection": tuple(m for m in METRICS if m != "top5"),
}

_CORNERS = ("x", "y", "width", "height")
NO_BOXES = pd.DataFrame(columns=list(BOX_COLUMNS))


def freeze_case(
    name: str,
    *,
    suite: str,
    members: Sequence[str],
    table: SampleTable,
    bar: Bar,
    rule: str | None = None,
    note: str = "",
    provenance: dict[str, Any] | None = None,
) -> Case:
    """Make a case of units as they are labelled now.

    Parameters
    ----------
    name, suite
        Name of the case (unique in its suite) and of its suite.
    members
        Unit ids, in any order; one that occurs again counts once. A spurious predicted box belongs to one model
        only, so it is replaced by the sample on which it lies.
    table
        Samples, labels and groups that hold every member. The hash covers all that is on the members' images.
    bar
        Metric and value; the metric must fit the task.
    rule, note, provenance
        Where the members come from: the slice's rule, a person's words, JSON values.

    Returns
    -------
    Case
        Its members sorted.

    Raises
    ------
    InvalidInputError
        There are no members, or one is unknown or has no label; or the metric doesn't fit the task.
    """
    check_metric(bar, table.task)
    if isinstance(members, str):
        raise InvalidInputError(f"The members must be a list of unit ids; got the text {members!r}.")
    wanted = set(members)
    truth = table_truth(wanted, table)
    if table.task == "detection" and any(map(is_spurious, wanted)):
        wanted = {unit_key(m) if is_spurious(m) and m not in truth.rows else m for m in wanted}
        truth = table_truth(wanted, table)
    frozen = tuple(sorted(wanted))
    if not frozen:
        raise InvalidInputError(f"The case {name!r} would have no members; a case needs at least one unit.")
    missing = truth.missing(frozen)
    if missing:
        raise InvalidInputError(
            f"{len(missing)} of {len(frozen)} members can't be judged: they aren't in the dataset, have no label "
            f"or are crowd boxes. They are {listed(missing)}. Remove them from the slice."
        )
    return Case(
        name=check_name(name, "name of the case"),
        suite=check_name(suite, "name of the suite"),
        bar=bar,
        members=frozen,
        content_hash=truth.hash(frozen),
        hashes=truth.hashes(frozen),
        rule=rule,
        note=note,
        provenance=dict(provenance or {}),
    )


def table_truth(members: Collection[str], table: SampleTable) -> Truth:
    """Look up what members are judged by in a table."""
    return read_truth(members, samples=table.samples, boxes=table.boxes, task=table.task, group=table.group)


def suite_truth(suite: Suite) -> Truth:
    """Look up what the members of all cases of a suite are judged by."""
    return table_truth({m for c in suite.cases for m in c.members}, suite_table(suite))


def suite_table(suite: Suite) -> SampleTable:
    """Return the truth of a suite as a table."""
    group = GROUP if GROUP in suite.samples else None
    return SampleTable(suite.task, suite.samples, suite.boxes, suite.classes, group)


def make_suite(
    name: str,
    cases: Iterable[Case],
    table: SampleTable,
    *,
    categories: Mapping[int, str] | None = None,
    operating_points: Mapping[str, Confidence] | None = None,
    others: Confidence | None = None,
) -> Suite:
    """Put cases and the truth that they are judged by into one value; all that the gate needs.

    Parameters
    ----------
    name
        Of the suite; the cases must carry it too.
    cases
        In the order in which they are to be reported.
    table
        Samples and labels; only what the cases' members need is copied. A member that isn't there, or whose label
        changed since the case was frozen, makes its case invalid when the suite runs.
    categories
        Class names by COCO category id; with them, and the column `coco_image_id` of the samples, the gate can read
        COCO results.
    operating_points
        Detection: by model, the confidence from which on its boxes count: a number, or one per class ("*": all
        others).
    others
        Detection: the same for every other model. None: each case is judged where the model's F1 on that case's own
        images is highest.

    Returns
    -------
    Suite
        Samples sorted by key; boxes by key and label id, in pixels to 0.01, as they are frozen and hashed.

    Raises
    ------
    InvalidInputError
        A name occurs twice, a case belongs to another suite, its metric doesn't fit the task, or an operating point is
        none (classification has none). `others` is given per class, and one of the table's classes has no number.
    """
    cases = tuple(cases)
    name = check_name(name, "name of the suite")
    check_unique([c.name for c in cases], "name of a case")
    for case in cases:
        check_metric(case.bar, table.task)
        if case.suite != name:
            raise InvalidInputError(f"The case {case.name!r} belongs to the suite {case.suite!r}, not to {name!r}.")
    points = {check_name(m, "name of a model"): check_confidence(c) for m, c in (operating_points or {}).items()}
    if table.task != "detection" and (points or others is not None):
        raise InvalidInputError("Classification has no operating points: every prediction counts. Leave them out.")
    keys = member_keys({m for c in cases for m in c.members}, table.samples.index)
    return Suite(
        name=name,
        task=table.task,
        classes=tuple(table.classes),
        cases=cases,
        samples=sample_frame(table.samples[table.samples.index.isin(keys)], table.task, group=table.group),
        boxes=box_frame(table.boxes[table.boxes["key"].isin(keys)] if table.task == "detection" else NO_BOXES),
        categories=dict(categories or {}),
        operating_points=points,
        others=None if others is None else _check_others(others, table.classes),
    )


def check_metric(bar: Bar, task: Task) -> None:
    """Raise `InvalidInputError` when a task has no such metric."""
    possible = TASK_METRICS[task]
    own = bar.code is not None
    if bar.metric not in possible and not own and not (task == "classification" and top_k(bar.metric)):
        raise InvalidInputError(f"The metric {bar.metric!r} doesn't fit {task}; possible are {', '.join(possible)}.")
    if bar.min_predicted is not None and task != "detection":
        raise InvalidInputError(
            "min_predicted= is for detection; in classification every member needs a prediction anyway. Leave it out."
        )


def member_keys(members: Iterable[str], known: Container[str]) -> set[str]:
    """Keys of the samples to which units belong; `known` keys are samples themselves."""
    return {m if m in known else unit_key(m) for m in members}


def sample_frame(samples: pd.DataFrame, task: Task, *, group: str | None) -> pd.DataFrame:
    """Reduce to what a suite keeps: `sha256`, `width`, `height`, `label` or `coco_image_id` if there; by key.

    The column `group`, if there is one, becomes "group", of texts.
    """
    kinds: dict[str, Any] = {"sha256": TEXT, "width": "int64", "height": "int64"}
    if task == "classification":
        kinds["label"] = TEXT
    elif "coco_image_id" in samples and pd.api.types.is_integer_dtype(samples["coco_image_id"]):
        kinds["coco_image_id"] = "int64"
    frame = samples[list(kinds)].astype(kinds)
    if group is not None:
        frame[GROUP] = pd.array(group_texts(samples[group]), dtype=TEXT)
    return frame.set_axis(frame.index.astype(TEXT), axis="index").rename_axis("key").sort_index()


def box_frame(boxes: pd.DataFrame, *, rounded: bool = True) -> pd.DataFrame:
    """Bring boxes into a suite's form: `BOX_COLUMNS`, by key and label id.

    `rounded` to 0.01 px, as hashes are made: no edit that a hash can't see moves a verdict. Not in suites of schema 3
    and older.
    """
    kinds: dict[str, Any] = dict.fromkeys(BOX_COLUMNS, TEXT) | dict.fromkeys(("x", "y", "width", "height"), "float64")
    frame = boxes[list(BOX_COLUMNS)].astype({**kinds, "crowd": "bool"})
    if rounded:
        frame[list(_CORNERS)] = hundredths(frame[list(_CORNERS)].to_numpy(np.float64))
    return frame.sort_values(["key", "label_id"], ignore_index=True)


def _check_others(others: Confidence, classes: Iterable[str]) -> float | dict[str, float]:
    """Check it now: a class without a number would only be seen when a model comes that predicts it."""
    what = "confidence of other models"
    checked = check_confidence(others, what)
    confidence_by_class(checked, classes, what=what)
    return checked
