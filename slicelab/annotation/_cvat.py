"""CVAT for images 1.1: annotations.xml out and in, boxes in pixels with two decimals.

CVAT matches images by name and keeps no word on who finished what. So every image that a person has looked at gets the
tag `REVIEWED`; without it only an answer that holds something new counts as looked at (`source` says nothing: it is
"manual" for imported shapes, too). Ids travel as text attributes of the shapes.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET  # writes only; files that come back are read with defusedxml

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown
from slicelab.annotation._export import REVIEWED, Export
from slicelab.core import AnnotationTask, Batch, Box, ReturnFileError

ATTRIBUTES = ("slicelab_id", "label_id", "sha256")
OPEN = "slicelab_open"
"""Attribute of images whose work was not submitted, in what we fetch from a server; its value says why."""
README = f"""CVAT
Create a task: in the constructor choose Raw and paste labels.json, upload the images and choose the sorting method
"Predefined". Then upload annotations.xml (or cvat.zip, where images were copied) as "CVAT 1.1". CVAT matches images by
name. The shapes that you see are the present labels. Correct them, and give the tag "{REVIEWED}" to every image that
you have looked at: an image without it, on which nothing was changed, stays open. An image that shall have no boxes
needs the tag, too. Leave the attributes slicelab_id, label_id and sha256 alone. Export as "CVAT for images 1.1".
"""


def write_cvat(export: Export) -> dict[str, bytes]:
    """Return the files of a CVAT batch by name."""
    return {
        "annotations.xml": _annotations(export),
        "labels.json": (json.dumps(_constructor(export.batch), ensure_ascii=False, indent=1) + "\n").encode(),
        "README.txt": README.encode(),
    }


def labels_of(batch: Batch) -> list[dict[str, Any]]:
    """Return the classes as CVAT's labels, with text attributes for our ids."""
    kind = "rectangle" if batch.task == "detection" else "tag"
    attributes = [
        {"name": name, "mutable": True, "input_type": "text", "default_value": "", "values": [""]}
        for name in ATTRIBUTES
    ]
    return [{"name": name, "type": kind, "attributes": attributes} for name in batch.classes]


def _constructor(batch: Batch) -> list[dict[str, Any]]:
    """Return the labels as CVAT's raw constructor takes them, with the mark for reviewed images."""
    return [*labels_of(batch), {"name": REVIEWED, "type": "tag", "attributes": []}]


def _annotations(export: Export) -> bytes:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task, "name").text = export.batch.queue
    ET.SubElement(task, "size").text = str(len(export.batch.tasks))
    ET.SubElement(task, "mode").text = "annotation"
    labels = ET.SubElement(task, "labels")
    for each in _constructor(export.batch):
        _label(labels, each)
    names = export.names()
    for n, each_task in enumerate(export.batch.tasks):
        _image(root, n, each_task, export, names[each_task.task_id])
    ET.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _label(labels: ET.Element, each: dict[str, Any]) -> None:
    label = ET.SubElement(labels, "label")
    ET.SubElement(label, "name").text = each["name"]
    ET.SubElement(label, "type").text = each["type"]
    attributes = ET.SubElement(label, "attributes")
    for one in each["attributes"]:
        attribute = ET.SubElement(attributes, "attribute")
        ET.SubElement(attribute, "name").text = one["name"]
        ET.SubElement(attribute, "mutable").text = "True"
        ET.SubElement(attribute, "input_type").text = "text"
        ET.SubElement(attribute, "default_value")
        ET.SubElement(attribute, "values")


def _image(root: ET.Element, n: int, task: AnnotationTask, export: Export, name: str) -> None:
    image = ET.SubElement(root, "image", id=str(n), name=name, width=str(task.width), height=str(task.height))
    label = export.label(task)
    if label is not None:
        _marks(ET.SubElement(image, "tag", label=label, source="manual"), task)
    for box in export.boxes(task):
        corners = {"xtl": box.x, "ytl": box.y, "xbr": box.x + box.width, "ybr": box.y + box.height}
        edges = {side: f"{value:.2f}" for side, value in corners.items()}
        shape = ET.SubElement(
            image, "box", {"label": box.label, "source": "manual", "occluded": "0", **edges}, z_order="0"
        )
        _marks(shape, task, box.label_id)


def _marks(shape: ET.Element, task: AnnotationTask, label_id: str = "") -> None:
    for name, value in zip(ATTRIBUTES, (task.task_id, label_id, task.sha256), strict=True):
        ET.SubElement(shape, "attribute", name=name).text = value


def read_cvat(root: ET.Element) -> list[Answer]:
    """Return the answers of an export: one per image.

    Parameters
    ----------
    root
        The parsed file.

    Raises
    ------
    ReturnFileError
        It isn't "CVAT for images".
    """
    if root.tag != "annotations":
        raise ReturnFileError(f"A CVAT file starts with <annotations>; got <{shown(root.tag)}>.")
    if root.find("track") is not None:
        raise ReturnFileError('This is "CVAT for video" (it holds tracks). Export as "CVAT for images 1.1".')
    return [_answer(image, n) for n, image in enumerate(root.findall("image"), start=1)]


def _answer(image: ET.Element, line: int) -> Answer:
    name = image.get("name", "")
    tags = [t for t in image.findall("tag") if t.get("label") != REVIEWED]
    boxes = image.findall("box")
    others = [c.tag for c in image if c.tag not in ("tag", "box")]
    shapes = [*tags, *boxes]
    ids = tuple(dict.fromkeys(i for s in shapes if (i := _mark(s, "slicelab_id"))))
    hashes = {h for s in shapes if (h := _mark(s, "sha256"))}
    labels = tuple(dict.fromkeys(t.get("label", "") for t in tags))
    looked = len(tags) < len(image.findall("tag"))
    problem = ""
    if others:
        problem = f"it holds a shape <{shown(others[0])}>; only boxes and tags can be taken"
    elif any(number(b.get("rotation") or "0") != 0 for b in boxes):
        problem = "a box is rotated; only upright boxes can be taken"
    return Answer(
        shown(name) or f"image {line}",
        line,
        task_ids=ids,
        marks_can_move=True,
        sha256=hashes.pop() if len(hashes) == 1 and len(ids) == 1 else "",
        name=name,
        reviewed=False if OPEN in image.attrib else True if looked else None,
        skipped=shown(image.get(OPEN)),
        problem=problem,
        labels=labels,
        boxes=tuple(_box(b) for b in boxes),
        frame=frame_of(image.get("width"), image.get("height")),
    )


def _mark(shape: ET.Element, name: str) -> str:
    return next((a.text or "" for a in shape.findall("attribute") if a.get("name") == name), "")


def _box(shape: ET.Element) -> AnswerBox:
    left, top, right, bottom = (number(shape.get(side)) for side in ("xtl", "ytl", "xbr", "ybr"))
    box = Box(shape.get("label", ""), left, top, right - left, bottom - top, _mark(shape, "label_id"))
    return AnswerBox(box, _mark(shape, "slicelab_id"))
