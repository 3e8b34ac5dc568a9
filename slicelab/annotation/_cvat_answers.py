"""What people drew on a CVAT server, as the file that `read_cvat` reads: "CVAT for images 1.1", with one word more.

CVAT's own export doesn't say which images were finished. Here every image of a finished job carries the tag `REVIEWED`,
and every other image is empty and says in the attribute `OPEN` why nothing of it counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # writes only; files that come back are read with defusedxml

from slicelab.annotation._cvat import ATTRIBUTES, OPEN
from slicelab.annotation._export import REVIEWED
from slicelab.annotation._file_names import safe_names
from slicelab.core import AnnotationTask, Batch

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class CvatShape:
    """A tag, box or other shape; `points` of a box are left, top, right, bottom in pixels."""

    kind: str
    label: str
    points: tuple[float, ...] = ()
    rotation: float = 0.0
    marks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CvatFrame:
    """One image of a CVAT task.

    Parameters
    ----------
    name, width, height
        Our key of the image where it is one of the batch, else its name there; its size in pixels there.
    open
        Why nobody's work on it counts; '' where it was submitted.
    shapes
        What is on it, in any order.
    """

    name: str
    width: int
    height: int
    open: str = ""
    shapes: tuple[CvatShape, ...] = ()


def tasks_of(batch: Batch, names: Sequence[str]) -> list[AnnotationTask | None]:
    """Return our task of every image there: by the names that were given on upload, or by their paths on the share."""
    safe = safe_names(batch)
    called = {safe[task.task_id]: task for task in batch.tasks}
    paths = {Path(task.filepath).resolve(): task for task in batch.tasks}
    for root in next(iter(paths)).parents:
        below = {path.relative_to(root).as_posix(): t for path, t in paths.items() if path.is_relative_to(root)}
        if below.keys() == set(names):
            called = below
    return [called.get(name) for name in names]


def frames_of(
    meta: Any, jobs: Iterable[Any], labels: Iterable[Any], ours: Sequence[AnnotationTask | None], classes: Sequence[str]
) -> list[CvatFrame]:
    """Return every image of a CVAT task with what was submitted on it.

    Parameters
    ----------
    meta, jobs, labels
        The task's, as cvat-sdk gives them.
    ours
        The batch's task of every image; None: it isn't one of the batch.
    classes
        The batch's.
    """
    why: dict[int, str] = {}
    shapes: dict[int, list[CvatShape]] = defaultdict(list)
    by_name = {name.strip(): name for name in classes}
    label_of = {label.id: (by_name.get(label.name, label.name), label.attributes) for label in labels}
    for job in sorted((j for j in jobs if str(j.type) == "annotation"), key=lambda j: int(j.id)):
        frames = {n for n in range(job.start_frame, job.stop_frame + 1) if n not in why}
        done = str(job.state) == "completed"
        why |= dict.fromkeys(frames, "" if done else f"its job {job.id} is {str(job.state)!r}")
        for n, shape in _shapes(job, label_of) if done else ():
            if n in frames:
                shapes[n].append(shape)
    why |= dict.fromkeys(meta.deleted_frames, "it was removed from its job")
    found = []
    for n, (frame, mine) in enumerate(zip(meta.frames, ours, strict=True)):
        name = frame.name if mine is None else mine.key
        open_ = why.get(n, "no job holds it")
        found.append(CvatFrame(name, frame.width, frame.height, open_, tuple(shapes[n])))
    return found


def _shapes(job: Any, label_of: Mapping[int, tuple[str, Any]]) -> Iterator[tuple[int, CvatShape]]:
    """Yield frame and shape of everything in a job."""
    held = job.get_annotations()

    def named(thing: Any) -> dict[str, Any]:
        name, attributes = label_of.get(thing.label_id, ("", ()))
        known = {a.id: a.name for a in attributes if a.name in ATTRIBUTES}
        marks = [(known[a.spec_id], a.value) for a in thing.attributes if a.spec_id in known]
        return {"label": name, "marks": tuple(sorted(marks))}

    for tag in held.tags:
        yield tag.frame, CvatShape("tag", **named(tag))
    for shape in held.shapes:
        box = str(shape.type) == "rectangle" and len(shape.points) == 4
        kind, points = ("box", tuple(shape.points)) if box else (str(shape.type), ())
        yield shape.frame, CvatShape(kind, points=points, rotation=shape.rotation, **named(shape))
    for track in held.tracks:  # on every image until it is said to be outside; `read_cvat` refuses these images
        steps = sorted(track.shapes, key=lambda s: int(s.frame))
        for step, after in zip(steps, [*(s.frame for s in steps[1:]), job.stop_frame + 1], strict=True):
            for n in range(step.frame, step.frame if step.outside else after):
                yield n, CvatShape("track", **named(track))


def write_answers(frames: Sequence[CvatFrame]) -> bytes:
    """Return the file; the same frames give the same bytes, in whatever order the server lists their shapes."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    for n, frame in enumerate(frames):
        size = {"width": str(frame.width), "height": str(frame.height)}
        image = ET.SubElement(root, "image", {"id": str(n), "name": _legal(frame.name), **size})
        if frame.open:
            image.set(OPEN, frame.open)
            continue
        ET.SubElement(image, "tag", label=REVIEWED, source="manual")
        image.extend(sorted((_element(s) for s in frame.shapes if s.label != REVIEWED), key=ET.tostring))
    ET.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _element(shape: CvatShape) -> ET.Element:
    element = ET.Element(shape.kind if _WORD.fullmatch(shape.kind) else "shape", label=_legal(shape.label))
    if shape.kind == "box":
        for side, value in zip(("xtl", "ytl", "xbr", "ybr"), shape.points, strict=True):
            element.set(side, f"{value:.2f}")
        element.set("occluded", "0")
        if shape.rotation:
            element.set("rotation", f"{shape.rotation:.2f}")
    for name, mark in shape.marks:
        ET.SubElement(element, "attribute", name=_legal(name)).text = _legal(mark)
    return element


def _legal(text: str) -> str:
    """Return text that XML can hold."""
    return _ILLEGAL.sub("\ufffd", text)
