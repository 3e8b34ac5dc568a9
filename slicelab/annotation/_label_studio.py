"""Label Studio: tasks.json and label_config.xml out, its JSON export in.

Shapes as documented at labelstud.io/guide/task_format and /guide/predictions. Boxes are in percent of the image.
Present labels go out as predictions of the "model" `CURRENT`: the annotator starts from them, and an export tells
what a person submitted (`annotations`) from what nobody did (`predictions`), which are never read.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET  # writes only; files that come back are read with defusedxml

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown, text
from slicelab.annotation._export import Export, to_json
from slicelab.annotation._file_names import name_of_url
from slicelab.core import AnnotationTask, Box, ReturnFileError

CURRENT = "current labels"
README = """Label Studio
Create a project, paste label_config.xml under Settings > Labeling Interface > Code, then import tasks.json.
Images with addresses like /data/local-files/?d=... are served by Label Studio itself: set
LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT to the folder that holds this
folder (where images were copied) or to the folder of the images, and add a local storage that covers them.
Only submitted annotations count; predictions and skipped tasks stay open. Export as JSON (not JSON-MIN) when done.
"""
_VARIABLE = re.compile(r"\$[\w\[\].{}]+")
_SHAPES = ("polygon", "brush", "keypoint", "ellipse", "rectangle", "vector", "bitmask", "magicwand")


def write_label_studio(export: Export) -> dict[str, bytes]:
    """Return the files of a Label Studio batch by name."""
    names = export.names()
    tasks = [_task(task, export, names[task.task_id]) for task in export.batch.tasks]
    return {
        "tasks.json": to_json(tasks),
        "label_config.xml": _label_config(export),
        "README.txt": README.encode(),
    }


def _label_config(export: Export) -> bytes:
    detection = export.batch.task == "detection"
    view = ET.Element("View")
    schema = export.batch.label_schema
    ET.SubElement(view, "Header", value="$why")
    if schema is not None:
        ET.SubElement(view, "Header", value=f"Instructions, version {schema.version}", size="6")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true")
    if detection:
        control = ET.SubElement(view, "RectangleLabels", name="box", toName="image")
    else:
        control = ET.SubElement(view, "Choices", name="label", toName="image", choice="single", required="true")
    for name in export.batch.classes:
        option = ET.SubElement(control, "Label" if detection else "Choice", value=name)
        if _VARIABLE.search(name):  # the server would put task data in its place: show another sign, return the name
            option.set("value", name.replace("$", "\uff04"))
            option.set("alias", name)
        meaning = "" if schema is None else schema.definition(name)
        if meaning:
            option.set("hint", meaning.replace("$", "\uff04"))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode").encode() + b"\n"


def _task(task: AnnotationTask, export: Export, name: str) -> dict[str, Any]:
    why = ", ".join(task.reasons) + (f": {task.instruction}" if task.instruction else "")
    data: dict[str, Any] = {
        "image": _address(export, name),
        "slicelab_id": task.task_id,
        "batch_id": export.batch.batch_id,
        "sha256": task.sha256,
        "key": task.key,
        "file": name,
        "reasons": list(task.reasons),
        "instruction": task.instruction,
        "why": why or "check",
        "slice": task.slice_name,
    }
    if task.predicted_label is not None:
        data |= {"predicted": task.predicted_label, "predicted_confidence": task.predicted_confidence}
    result = _results(task, export)
    return {"data": data, "predictions": [{"model_version": CURRENT, "result": result}] if result else []}


def _address(export: Export, name: str) -> str:
    if export.media_url is not None:
        return f"{export.media_url.rstrip('/')}/{quote(name)}"
    path = f"{export.folder_name}/images/{name}" if export.copied else name
    return f"/data/local-files/?d={quote(path)}"


def _results(task: AnnotationTask, export: Export) -> list[dict[str, Any]]:
    label = export.label(task)
    if export.batch.task == "classification":
        return [] if label is None else [_result(task, "label", "choices", {"choices": [label]})]
    return [
        _result(
            task,
            box.label_id or str(n),
            "rectanglelabels",
            {
                "x": 100 * box.x / task.width,
                "y": 100 * box.y / task.height,
                "width": 100 * box.width / task.width,
                "height": 100 * box.height / task.height,
                "rotation": 0,
                "rectanglelabels": [box.label],
            },
        )
        for n, box in enumerate(export.boxes(task))
    ]


def _result(task: AnnotationTask, name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{task.task_id}_{name}",
        "type": kind,
        "from_name": "label" if kind == "choices" else "box",
        "to_name": "image",
        "original_width": task.width,
        "original_height": task.height,
        "image_rotation": 0,
        "value": value,
    }


def read_label_studio(content: Any) -> list[Answer]:
    """Return the answers of a JSON export: one per annotation, and one per task without any.

    Parameters
    ----------
    content
        The parsed file.

    Raises
    ------
    ReturnFileError
        It isn't a list of Label Studio tasks.
    """
    if not isinstance(content, list):
        raise ReturnFileError(f"A Label Studio export is a list of tasks; got a JSON {type(content).__name__}.")
    if content and not any(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in content):
        raise ReturnFileError(
            "No entry of this list is a Label Studio task (none has 'data'). Export as JSON, not as JSON-MIN or CSV."
        )
    return [answer for n, task in enumerate(content, start=1) for answer in _answers(task, n)]


def _answers(task: Any, line: int) -> list[Answer]:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return [Answer(f"task {line}", line, problem="this entry is not a task: it has no 'data'")]
    task_id, sha256 = text(data.get("slicelab_id")), text(data.get("sha256"))
    name = text(data.get("file")) or name_of_url(text(data.get("image")))
    item = shown(data.get("key")) or shown(name) or f"task {line}"
    identity: dict[str, Any] = {
        "line": line,
        "task_ids": (task_id,) if task_id else (),
        "sha256": sha256,
        "name": name,
    }
    annotations = task.get("annotations", [])
    if not isinstance(annotations, list):
        return [Answer(item, **identity, problem="its 'annotations' are not a list")]
    if not annotations:
        return [Answer(item, **identity, reviewed=False, skipped="nobody submitted an annotation")]
    return [_answer(item, identity, a) for a in annotations]


def _answer(item: str, identity: dict[str, Any], annotation: Any) -> Answer:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        return Answer(item, **identity, problem="an annotation without a list 'result'")
    identity = identity | {"annotator": _person(annotation), "updated_at": _time(annotation)}
    if annotation.get("was_cancelled") not in (None, False):
        return Answer(item, **identity, reviewed=False, skipped="the annotator skipped it")
    owner = identity["task_ids"][0] if identity["task_ids"] else ""
    labels: list[str] = []
    boxes: list[AnswerBox] = []
    frames: set[tuple[float, float]] = set()
    problem = ""
    for result in annotation["result"]:
        kind = text(result.get("type")) if isinstance(result, dict) else ""
        if kind == "choices":
            labels += _words(result, kind)
        elif kind == "rectanglelabels":
            box, wrong = _box(result, owner)
            problem = problem or wrong
            boxes.append(box)
            frames |= {f} if (f := frame_of(result.get("original_width"), result.get("original_height"))) else set()
        elif kind.startswith(_SHAPES):
            problem = problem or f"it holds a region of type {shown(kind)!r}; only labelled boxes can be taken"
        elif not kind:
            problem = problem or "it holds a result without a type"
    if len(frames) > 1:
        problem = problem or "its boxes were drawn on images of different sizes"
    return Answer(
        item,
        **identity,
        reviewed=True,
        problem=problem,
        labels=tuple(dict.fromkeys(labels)),
        boxes=tuple(boxes),
        percent=True,
        frame=next(iter(frames), None),
    )


def _words(result: dict[str, Any], kind: str) -> list[str]:
    value = result.get("value")
    words = value.get(kind) if isinstance(value, dict) else None
    return [w if isinstance(w, str) else "" for w in words] if isinstance(words, list) else [""]


def _box(result: dict[str, Any], owner: str) -> tuple[AnswerBox, str]:
    value = result.get("value")
    value = value if isinstance(value, dict) else {}
    labels = _words(result, "rectanglelabels")
    mark = text(result.get("id"))
    label_id = mark[len(owner) + 1 :] if owner and mark.startswith(f"{owner}_") else ""
    x, y, width, height = (number(value.get(side)) for side in ("x", "y", "width", "height"))
    box = Box(labels[0] if labels else "", x, y, width, height, label_id)
    problem = ""
    if len(labels) != 1:
        problem = f"a box has {len(labels)} labels; one is needed"
    elif number(value.get("rotation") or 0) != 0 or number(result.get("image_rotation") or 0) != 0:
        problem = "a box or its image was rotated; only upright boxes can be taken"
    return AnswerBox(box, owner), problem


def _person(annotation: dict[str, Any]) -> str:
    person = annotation.get("completed_by")
    return shown(person.get("email") or person.get("id")) if isinstance(person, dict) else shown(person)


def _time(annotation: dict[str, Any]) -> str:
    return shown(annotation.get("updated_at") or annotation.get("created_at"))
