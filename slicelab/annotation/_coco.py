"""COCO: annotations.json out and in, boxes in pixels, ids from 1.

COCO knows no labels of whole images: a classification batch has one annotation per image with a box of the whole
frame and the mark `slicelab_image_label`. It doesn't know who finished what either, hence `REVIEWED` on images. Tools
may drop all extra keys; then images are found by file name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown, text
from slicelab.annotation._export import REVIEWED, Export, to_json
from slicelab.core import AnnotationTask, Box, ReturnFileError

README = f"""COCO
annotations.json holds the present labels. Correct them, and set "{REVIEWED}": true on every image that was looked
at: an image without it, on which nothing was changed, stays open. Images that shall have no boxes need the mark, too.
Keep the extra keys slicelab_id, label_id and sha256 where your tool can; file names must stay. In a batch of image
labels every annotation stands for the whole image: only its category counts.
"""


def write_coco(export: Export) -> dict[str, bytes]:
    """Return the files of a COCO batch by name."""
    names = export.names()
    category = {name: n for n, name in enumerate(export.batch.classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for n, task in enumerate(export.batch.tasks, start=1):
        images.append(_image(n, task, names[task.task_id]))
        for box in _boxes(task, export):
            annotation = _annotation(task, box, is_label=export.batch.task == "classification")
            ids = {"id": len(annotations) + 1, "image_id": n, "category_id": category[box.label]}
            annotations.append(ids | annotation)
    content = {
        "info": {"description": f"{export.batch.dataset}: {export.batch.queue}", "batch_id": export.batch.batch_id},
        "licenses": [{"id": 1, "name": "unknown", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n, "name": name, "supercategory": ""} for name, n in category.items()],
    }
    return {"annotations.json": to_json(content), "README.txt": README.encode()}


def _image(n: int, task: AnnotationTask, name: str) -> dict[str, Any]:
    return {
        "id": n,
        "file_name": name,
        "width": task.width,
        "height": task.height,
        "license": 1,
        "slicelab_id": task.task_id,
        "sha256": task.sha256,
        "key": task.key,
        REVIEWED: False,
    }


def _boxes(task: AnnotationTask, export: Export) -> tuple[Box, ...]:
    if export.batch.task == "detection":
        return export.boxes(task)
    label = export.label(task)
    return () if label is None else (Box(label, 0, 0, task.width, task.height),)


def _annotation(task: AnnotationTask, box: Box, *, is_label: bool) -> dict[str, Any]:
    mark = {"slicelab_image_label": True} if is_label else {"label_id": box.label_id}
    return {
        "bbox": [box.x, box.y, box.width, box.height],
        "area": box.width * box.height,
        "iscrowd": int(box.crowd),
        "segmentation": _runs(task, box) if box.crowd else [],
        "slicelab_id": task.task_id,
        **mark,
    }


def _runs(task: AnnotationTask, box: Box) -> dict[str, Any]:
    """Return the box as uncompressed run lengths, column by column, as COCO wants crowds."""
    left, right = (min(max(round(v), 0), task.width) for v in (box.x, box.x + box.width))
    top, bottom = (min(max(round(v), 0), task.height) for v in (box.y, box.y + box.height))
    tall, gap = bottom - top, task.height - (bottom - top)
    if tall == 0 or right == left:
        return {"counts": [task.width * task.height], "size": [task.height, task.width]}
    if gap == 0:
        counts = [left * task.height, (right - left) * task.height]
    else:
        counts = [left * task.height + top, tall, *[gap, tall] * (right - left - 1)]
    rest = task.width * task.height - sum(counts)
    return {"counts": [*counts, rest] if rest else counts, "size": [task.height, task.width]}


def read_coco(content: Any) -> list[Answer]:
    """Return the answers of a file: one per image, and one per image id that only annotations name.

    Parameters
    ----------
    content
        The parsed file.

    Raises
    ------
    ReturnFileError
        It isn't a COCO detection file.
    """
    if not isinstance(content, dict):
        raise ReturnFileError(f"A COCO file is a JSON object; got a {type(content).__name__}.")
    for part in ("images", "annotations", "categories"):
        if not isinstance(content.get(part), list):
            raise ReturnFileError(f"A COCO file needs a list {part!r}; got {type(content.get(part)).__name__}.")
    labels = _categories(content["categories"])
    by_image: dict[str, list[Any]] = defaultdict(list)
    strays = 0
    for annotation in content["annotations"]:
        image_id = text(annotation.get("image_id")) if isinstance(annotation, dict) else ""
        by_image[image_id].append(annotation)
        strays += not image_id
    seen = Counter(text(i.get("id")) for i in content["images"] if isinstance(i, dict))
    answers = [_answer(image, n, by_image, labels, seen) for n, image in enumerate(content["images"], start=1)]
    orphans = [i for i in by_image if i and i not in seen]
    answers += [
        Answer(f"image {shown(i)}", problem="annotations of an image that the file doesn't list") for i in orphans
    ]
    if strays:
        answers.append(Answer("annotations", problem=f"{strays} annotations without an image id"))
    return answers


def _categories(categories: list[Any]) -> dict[str, str]:
    """Return the name of each category id; an id with two names has none."""
    labels: dict[str, str] = {}
    for category in categories:
        if isinstance(category, dict) and isinstance(category.get("name"), str):
            number_, name = text(category.get("id")), category["name"]
            labels[number_] = name if labels.get(number_, name) == name else ""
    return labels


def _answer(
    image: Any, line: int, by_image: dict[str, list[Any]], labels: dict[str, str], seen: Counter[str]
) -> Answer:
    if not isinstance(image, dict):
        return Answer(f"image {line}", line, problem="this entry of 'images' is not an object")
    image_id, task_id, name = text(image.get("id")), text(image.get("slicelab_id")), text(image.get("file_name"))
    annotations = by_image.get(image_id, []) if image_id else []
    boxes = [_box(a, labels) for a in annotations]
    problem = ""
    if not image_id:
        problem = "the image has no id"
    elif seen[image_id] > 1:
        problem = f"the image id {shown(image_id)} stands {seen[image_id]} times in the file"
    return Answer(
        shown(image.get("key")) or shown(name) or f"image {line}",
        line,
        task_ids=(task_id,) if task_id else (),
        sha256=text(image.get("sha256")),
        name=name,
        reviewed=True if image.get(REVIEWED) is True else None,
        problem=problem,
        labels=tuple(dict.fromkeys(b.box.label for b in boxes)),
        boxes=tuple(boxes),
        frame=frame_of(image.get("width"), image.get("height")),
    )


def _box(annotation: dict[str, Any], labels: dict[str, str]) -> AnswerBox:
    bbox = annotation.get("bbox")
    x, y, width, height = map(number, bbox if isinstance(bbox, list) and len(bbox) == 4 else [None] * 4)
    label = labels.get(text(annotation.get("category_id")), "")
    crowd = annotation.get("iscrowd") in (1, True)
    return AnswerBox(
        Box(label, x, y, width, height, text(annotation.get("label_id")), crowd=crowd),
        text(annotation.get("slicelab_id")),
    )
