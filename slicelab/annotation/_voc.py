"""Pascal VOC: one XML per image out and in; boxes in whole pixels that count from 1, both corners inside.

Tools keep unknown elements or drop them; where ours are gone, images are found by file name, and boxes that weren't
moved keep their ids by their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET  # writes only; files that come back are read with defusedxml

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown
from slicelab.annotation._export import REVIEWED, Export, check_detection
from slicelab.core import AnnotationTask, Box, ReturnFileError

ROUNDING = 0.51
_SIDES = ("xmin", "ymin", "xmax", "ymax")
README = f"""Pascal VOC
Annotations/ holds one XML per image. Correct the boxes and set <{REVIEWED}> to 1 in every file whose image you have
finished: an image without it, on which nothing was changed, stays open. Leave slicelab_id, label_id and sha256 where
your tool can; names of files must stay. Send the whole folder back, or a zip of it.
"""


def write_voc(export: Export) -> dict[str, bytes]:
    """Return the files of a VOC batch by name."""
    check_detection(export.batch, "voc")
    names = export.names()
    stems = {task_id: PurePosixPath(name).stem for task_id, name in names.items()}
    files = {"README.txt": README.encode()}
    for task in export.batch.tasks:
        files[f"Annotations/{stems[task.task_id]}.xml"] = _xml(task, export, names[task.task_id])
    files["ImageSets/Main/train.txt"] = "".join(f"{stem}\n" for stem in stems.values()).encode()
    return files


def _xml(task: AnnotationTask, export: Export, name: str) -> bytes:
    root = ET.Element("annotation")
    size = {"width": task.width, "height": task.height, "depth": 3}
    head = {"folder": "JPEGImages", "filename": name, "slicelab_id": task.task_id, "sha256": task.sha256, REVIEWED: "0"}
    for tag, value in head.items():
        ET.SubElement(root, tag).text = value
    ET.SubElement(ET.SubElement(root, "source"), "database").text = "SliceLab"
    frame = ET.SubElement(root, "size")
    for tag, number_ in size.items():
        ET.SubElement(frame, tag).text = str(number_)
    ET.SubElement(root, "segmented").text = "0"
    for box in export.boxes(task):
        each = ET.SubElement(root, "object")
        words = {"name": box.label, "pose": "Unspecified", "truncated": "0", "occluded": "0", "difficult": "0"}
        for tag, value in (words | {"label_id": box.label_id}).items():
            ET.SubElement(each, tag).text = value
        corners = ET.SubElement(each, "bndbox")
        for tag, corner in zip(_SIDES, _corners(box), strict=True):
            ET.SubElement(corners, tag).text = str(corner)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode").encode() + b"\n"


def _corners(box: Box) -> tuple[int, int, int, int]:
    left, top = round(box.x) + 1, round(box.y) + 1
    return left, top, max(round(box.x + box.width), left), max(round(box.y + box.height), top)


def read_voc(roots: Mapping[str, Any]) -> list[Answer]:
    """Return the answers of a folder, one per XML file.

    Parameters
    ----------
    roots
        Parsed files by path.

    Raises
    ------
    ReturnFileError
        One of them isn't VOC.
    """
    for path, root in roots.items():
        if root.tag != "annotation":
            raise ReturnFileError(
                f"{shown(path)} starts with <{shown(root.tag)}>; a VOC file starts with <annotation>."
            )
    return [_answer(n, path, roots[path]) for n, path in enumerate(sorted(roots), start=1)]


def _answer(line: int, path: str, root: ET.Element) -> Answer:
    name = _word(root, "filename") or PurePosixPath(path).stem
    task_id = _word(root, "slicelab_id")
    return Answer(
        shown(name) or shown(path),
        line,
        task_ids=(task_id,) if task_id else (),
        sha256=_word(root, "sha256"),
        name=name,
        reviewed=True if _word(root, REVIEWED).strip() in ("1", "true", "yes") else None,
        boxes=tuple(_box(each, task_id) for each in root.findall("object")),
        frame=frame_of(_word(root, "size/width"), _word(root, "size/height")),
        rounding=ROUNDING,
    )


def _word(element: ET.Element, path: str) -> str:
    return element.findtext(path) or ""


def _box(each: ET.Element, owner: str) -> AnswerBox:
    left, top, right, bottom = (number(_word(each, f"bndbox/{side}")) for side in _SIDES)
    box = Box(_word(each, "name"), left - 1, top - 1, right - left + 1, bottom - top + 1, _word(each, "label_id"))
    return AnswerBox(box, owner)
