"""Labelbox: data rows, ontology and NDJSON of present labels out; its export (or the same NDJSON) in, boxes in pixels.

Shapes as documented at docs.labelbox.com (import annotations; export v2). Labelbox keeps the global key of a data row
and gives annotations ids of its own, so our task id is the global key.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown, text
from slicelab.annotation._export import Export, to_json
from slicelab.annotation._jsonl import to_line
from slicelab.core import AnnotationTask, Box

QUESTION = "label"
_NAMESPACE = uuid.UUID("6f1b6c2e-8a53-5c0b-9a2f-0d6b0a5f2c11")
README = """Labelbox
Create the data rows of data_rows.json (their global keys are our ids: keep them), make an ontology as ontology.json
says, and import labels.ndjson as pre-labels. When done export the project as NDJSON and send it back as it is. Labels
that were skipped, and data rows without a label, stay open.
"""


def write_labelbox(export: Export) -> dict[str, bytes]:
    """Return the files of a Labelbox batch by name."""
    names = export.names()
    rows = [
        {
            "row_data": f"{export.media_url.rstrip('/')}/{quote(names[t.task_id])}" if export.media_url else t.key,
            "global_key": t.task_id,
            "external_id": names[t.task_id],
            "metadata_fields": [{"name": "sha256", "value": t.sha256}],
        }
        for t in export.batch.tasks
    ]
    lines = [to_line(line) for task in export.batch.tasks for line in _lines(task, export)]
    return {
        "data_rows.json": to_json(rows),
        "ontology.json": to_json(_ontology(export)),
        "labels.ndjson": "".join(lines).encode(),
        "README.txt": README.encode(),
    }


def _ontology(export: Export) -> dict[str, Any]:
    if export.batch.task == "detection":
        return {"tools": [{"tool": "rectangle", "name": c} for c in export.batch.classes], "classifications": []}
    options = [{"value": c, "label": c} for c in export.batch.classes]
    return {"tools": [], "classifications": [{"type": "radio", "name": QUESTION, "options": options}]}


def _lines(task: AnnotationTask, export: Export) -> Iterator[dict[str, Any]]:
    row = {"dataRow": {"globalKey": task.task_id}}
    label = export.label(task)
    if export.batch.task == "classification" and label is not None:
        yield {"uuid": _uuid(task, ""), "name": QUESTION, "answer": {"name": label}} | row
    for n, box in enumerate(export.boxes(task)):
        sides = {"top": box.y, "left": box.x, "height": box.height, "width": box.width}
        yield {"uuid": _uuid(task, box.label_id or str(n)), "name": box.label, "bbox": sides} | row


def _uuid(task: AnnotationTask, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{task.task_id}_{name}"))


def read_labelbox(rows: Iterable[tuple[int, Any]]) -> list[Answer]:
    """Return the answers of an export: one per label, one per data row without any.

    Parameters
    ----------
    rows
        1-based line numbers and parsed lines: rows of an export, or annotations in the shape of an import, of which
        those with one global key belong together (and nothing says that a person has finished them).
    """
    answers: list[Answer] = []
    loose: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for line, row in rows:
        if not isinstance(row, dict):
            answers.append(Answer(f"line {line}", line, problem="this line is not a JSON object"))
        elif isinstance(row.get("data_row"), dict):
            answers += _of_export(line, row)
        elif isinstance(row.get("dataRow"), dict):
            loose.setdefault(text(row["dataRow"].get("globalKey")), []).append((line, row))
        else:
            answers.append(Answer(f"line {line}", line, problem="this line names no data row"))
    return answers + [_of_import(key, found) for key, found in loose.items()]


def _of_import(key: str, rows: list[tuple[int, dict[str, Any]]]) -> Answer:
    boxes = [_box(row.get("name"), row["bbox"]) for _, row in rows if isinstance(row.get("bbox"), dict)]
    answers = [row["answer"] for _, row in rows if isinstance(row.get("answer"), dict)]
    others = len(rows) - len(boxes) - len(answers)
    return Answer(
        shown(key) or f"line {rows[0][0]}",
        rows[0][0],
        task_ids=(key,) if key else (),
        problem=f"it holds {others} annotations that are neither boxes nor answers" if others else "",
        labels=tuple(dict.fromkeys(text(a.get("name")) for a in answers)),
        boxes=tuple(boxes),
    )


def _of_export(line: int, row: dict[str, Any]) -> list[Answer]:
    data, media = row["data_row"], row.get("media_attributes")
    key, name = text(data.get("global_key")), text(data.get("external_id"))
    item = shown(name) or shown(key) or f"line {line}"
    identity: dict[str, Any] = {"line": line, "task_ids": (key,) if key else (), "name": name}
    if isinstance(media, dict):
        identity["frame"] = frame_of(media.get("width"), media.get("height"))
    projects = row.get("projects")
    labels = [
        label
        for project in (projects.values() if isinstance(projects, dict) else ())
        for label in (project.get("labels") if isinstance(project, dict) else None) or ()
    ]
    if not labels:
        return [Answer(item, **identity, reviewed=False, skipped="nobody submitted a label")]
    return [_label(item, identity, label) for label in labels]


def _label(item: str, identity: dict[str, Any], label: Any) -> Answer:
    annotations = label.get("annotations") if isinstance(label, dict) else None
    if not isinstance(annotations, dict):
        return Answer(item, **identity, problem="a label without 'annotations'")
    details, performance = label.get("label_details"), label.get("performance_details")
    if isinstance(details, dict):
        when = details.get("updated_at") or details.get("created_at")
        identity = identity | {"annotator": shown(details.get("created_by")), "updated_at": shown(when)}
    if isinstance(performance, dict) and performance.get("skipped") not in (None, False):
        return Answer(item, **identity, reviewed=False, skipped="the annotator skipped it")
    objects, questions = (annotations.get(k) or [] for k in ("objects", "classifications"))
    if not all(isinstance(part, list) and all(isinstance(o, dict) for o in part) for part in (objects, questions)):
        return Answer(item, **identity, problem="its objects or classifications are not lists of objects")
    boxes = [_box(o.get("name"), o.get("bounding_box")) for o in objects]
    odd = next((o for o in objects if not isinstance(o.get("bounding_box"), dict)), None)
    answers = [q.get("radio_answer") for q in questions]
    labels = [text(a.get("value") or a.get("name")) if isinstance(a, dict) else "" for a in answers]
    return Answer(
        item,
        **identity,
        reviewed=True,
        problem="" if odd is None else f"it holds a {shown(odd.get('annotation_kind')) or 'shape'} without a box",
        labels=tuple(dict.fromkeys(labels)),
        boxes=tuple(boxes),
    )


def _box(label: Any, sides: Any) -> AnswerBox:
    sides = sides if isinstance(sides, dict) else {}
    x, y, width, height = (number(sides.get(side)) for side in ("left", "top", "width", "height"))
    return AnswerBox(Box(text(label), x, y, width, height))
