"""JSON lines: labels.jsonl out and in, one image per line, boxes in pixels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown, text
from slicelab.annotation._export import Export
from slicelab.core import Box

README = """JSON lines
labels.jsonl is UTF-8 with one JSON object per line, one per image. Correct "label" (or "boxes": pixels from the top
left corner; leave "label_id" on boxes that you keep, leave it out of new ones) and set "reviewed" to true. Lines
without it stay open. "annotator" and "updated_at" (ISO 8601) may say who and when; the order of lines doesn't matter.
"""


def to_line(value: Any) -> str:
    """Write a JSON value on one line, one way only, no NaN; U+2028 and the like are escaped, so lines stay lines."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(c if c not in "\x85\u2028\u2029" else f"\\u{ord(c):04x}" for c in line) + "\n"


def write_jsonl(export: Export) -> dict[str, bytes]:
    """Return the files of a JSON-lines batch by name."""
    names = export.names()
    lines = []
    for task in export.batch.tasks:
        row: dict[str, Any] = {
            "slicelab_id": task.task_id,
            "sha256": task.sha256,
            "key": task.key,
            "file": names[task.task_id],
            "width": task.width,
            "height": task.height,
            "reasons": list(task.reasons),
            "instruction": task.instruction,
            "reviewed": False,
            "annotator": "",
        }
        if export.batch.task == "classification":
            row["label"] = export.label(task)
        else:
            row["boxes"] = [
                {"label_id": b.label_id, "label": b.label, "x": b.x, "y": b.y, "width": b.width, "height": b.height}
                for b in export.boxes(task)
            ]
        if task.predicted_label is not None:
            row |= {"predicted_label": task.predicted_label, "predicted_confidence": task.predicted_confidence}
        lines.append(to_line(row))
    return {"labels.jsonl": "".join(lines).encode(), "README.txt": README.encode()}


def read_jsonl(rows: Iterable[tuple[int, Any]]) -> list[Answer]:
    """Return the answers of a file, one per line.

    Parameters
    ----------
    rows
        1-based line numbers and parsed lines.
    """
    return [_answer(n, row) for n, row in rows]


def _answer(line: int, row: Any) -> Answer:
    if not isinstance(row, dict):
        return Answer(f"line {line}", line, problem="this line is not a JSON object")
    task_id, name = text(row.get("slicelab_id")), text(row.get("file")) or text(row.get("key"))
    review = row.get("reviewed", False)
    label, found = row.get("label"), row.get("boxes")
    problem = ""
    if not isinstance(review, bool):
        problem = '"reviewed" must be true or false'
    elif found is not None and not (isinstance(found, list) and all(isinstance(b, dict) for b in found)):
        problem = '"boxes" must be a list of objects'
    elif label is not None and not isinstance(label, str):
        problem = '"label" must be a text'
    elif label is None and found is None:
        problem = "it has neither a label nor boxes"
    boxes = found if isinstance(found, list) and not problem else []
    return Answer(
        shown(row.get("key")) or shown(name) or f"line {line}",
        line,
        task_ids=(task_id,) if task_id else (),
        sha256=text(row.get("sha256")),
        name=name,
        reviewed=review is not False,
        problem=problem,
        skipped="its line isn't marked as reviewed",
        labels=(label,) if isinstance(label, str) and label else (),
        boxes=tuple(AnswerBox(_box(b), task_id) for b in boxes),
        frame=frame_of(row.get("width"), row.get("height")),
        annotator=shown(row.get("annotator")),
        updated_at=shown(row.get("updated_at")),
    )


def _box(row: dict[str, Any]) -> Box:
    x, y, width, height = (number(row.get(side)) for side in ("x", "y", "width", "height"))
    return Box(text(row.get("label")), x, y, width, height, text(row.get("label_id")))
