"""SageMaker Ground Truth: an augmented manifest out and in, one image per line, boxes in whole pixels.

Shapes as documented at docs.aws.amazon.com/sagemaker (output of labelling jobs). Ground Truth copies what it doesn't
know from its input to its output, so our ids ride along; a job writes its answer under a label attribute of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown, text
from slicelab.annotation._export import Export, to_json
from slicelab.annotation._file_names import name_of_url
from slicelab.annotation._jsonl import to_line
from slicelab.core import AnnotationTask, Box

PRESENT = "slicelab-present"
"""The attribute with the present labels; it is never read back."""
ROUNDING = 0.51
_KINDS = ("groundtruth/image-classification", "groundtruth/object-detection")
README = f"""SageMaker Ground Truth
Upload the images, put the right addresses into source-ref, and start a labelling or adjustment job with
input.manifest; classes.json is the label category file. "{PRESENT}" holds the present labels. The output manifest
of the job is what comes back: only attributes that the job wrote itself count, and not those with a failure-reason.
"""


def write_sagemaker(export: Export) -> dict[str, bytes]:
    """Return the files of a Ground Truth batch by name."""
    names = export.names()
    lines = [to_line(_line(t, export, names[t.task_id])) for t in export.batch.tasks]
    categories = {"document-version": "2018-11-28", "labels": [{"label": c} for c in export.batch.classes]}
    return {
        "input.manifest": "".join(lines).encode(),
        "classes.json": to_json(categories),
        "README.txt": README.encode(),
    }


def _line(task: AnnotationTask, export: Export, name: str) -> dict[str, Any]:
    batch = export.batch
    address = f"{export.media_url.rstrip('/')}/{quote(name)}" if export.media_url else name
    line: dict[str, Any] = {"source-ref": address, "slicelab_id": task.task_id, "sha256": task.sha256, "key": task.key}
    numbers = {c: n for n, c in enumerate(batch.classes)}
    origin = {"creation-date": batch.created_at, "job-name": "slicelab", "human-annotated": "no"}
    if batch.task == "classification":
        label = export.label(task)
        if label is None:
            return line
        about = {"class-name": label, "confidence": 1, "type": _KINDS[0]} | origin
        return line | {PRESENT: numbers[label], f"{PRESENT}-metadata": about}
    boxes = export.boxes(task)
    if export.is_blind:
        return line
    used = sorted({numbers[b.label] for b in boxes})
    value = {
        "image_size": [{"width": task.width, "height": task.height, "depth": 3}],
        "annotations": [_whole(b, numbers[b.label]) for b in boxes],
    }
    about = {
        "objects": [{"confidence": 1} for _ in boxes],
        "class-map": {str(n): batch.classes[n] for n in used},
        "type": _KINDS[1],
        "slicelab_label_ids": [b.label_id for b in boxes],
    }
    return line | {PRESENT: value, f"{PRESENT}-metadata": about | origin}


def _whole(box: Box, number_: int) -> dict[str, int]:
    """Return a box in whole pixels, at least one wide and tall."""
    left, top = round(box.x), round(box.y)
    width, height = max(round(box.x + box.width) - left, 1), max(round(box.y + box.height) - top, 1)
    return {"class_id": number_, "left": left, "top": top, "width": width, "height": height}


def read_sagemaker(rows: Iterable[tuple[int, Any]]) -> list[Answer]:
    """Return the answers of an output manifest: one per attribute that a job wrote, one per line without any.

    Parameters
    ----------
    rows
        1-based line numbers and parsed lines.
    """
    return [answer for line, row in rows for answer in _answers(line, row)]


def _answers(line: int, row: Any) -> list[Answer]:
    if not isinstance(row, dict):
        return [Answer(f"line {line}", line, problem="this line is not a JSON object")]
    task_id, source = text(row.get("slicelab_id")), text(row.get("source-ref"))
    name = name_of_url(source) or source
    item = shown(row.get("key")) or shown(name) or f"line {line}"
    identity: dict[str, Any] = {
        "line": line,
        "task_ids": (task_id,) if task_id else (),
        "sha256": text(row.get("sha256")),
        "name": name,
    }
    attributes = [
        k
        for k in row
        if k != PRESENT and isinstance(about := row.get(f"{k}-metadata"), dict) and about.get("type") in _KINDS
    ]
    failed = any(isinstance(v, dict) and v.get("failure-reason") for k, v in row.items() if k.endswith("-metadata"))
    if not attributes:
        why = "the job says that it failed" if failed else "no labelling job wrote an answer"
        return [Answer(item, **identity, reviewed=False, skipped=why)]
    return [_answer(item, identity, row[a], row[f"{a}-metadata"]) for a in attributes]


def _answer(item: str, identity: dict[str, Any], value: Any, about: dict[str, Any]) -> Answer:
    identity = identity | {"updated_at": shown(about.get("creation-date")), "annotator": shown(about.get("job-name"))}
    if about.get("failure-reason"):
        return Answer(item, **identity, reviewed=False, skipped="the job says that it failed")
    if about.get("human-annotated") != "yes":
        return Answer(item, **identity, reviewed=False, skipped="no person annotated it (human-annotated isn't yes)")
    if about["type"] == _KINDS[0]:
        label = text(about.get("class-name"))
        return Answer(item, **identity, reviewed=True, labels=(label,) if label else ())
    parts = value if isinstance(value, dict) else {}
    found, names = parts.get("annotations"), about.get("class-map")
    if not isinstance(found, list) or not all(isinstance(b, dict) for b in found):
        return Answer(item, **identity, problem="its 'annotations' are not a list of objects")
    names = names if isinstance(names, dict) else {}
    size = parts.get("image_size")
    size = size[0] if isinstance(size, list) and size and isinstance(size[0], dict) else {}
    return Answer(
        item,
        **identity,
        reviewed=True,
        boxes=tuple(_box(b, names) for b in found),
        frame=frame_of(size.get("width"), size.get("height")),
        rounding=ROUNDING,
    )


def _box(row: dict[str, Any], names: dict[str, Any]) -> AnswerBox:
    x, y, width, height = (number(row.get(side)) for side in ("left", "top", "width", "height"))
    return AnswerBox(Box(text(names.get(text(row.get("class_id")))), x, y, width, height))
