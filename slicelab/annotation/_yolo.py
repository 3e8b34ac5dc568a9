"""YOLO (ultralytics' layout): data.yaml and one text file per image out and in; boxes as fractions of the image.

YOLO carries neither ids nor a word on who looked at what. The ids of tasks by file name stand in data.yaml, where
trainers leave them alone; without it images are found by their names, which are unique in a batch. Boxes that weren't
moved keep their ids by their place; `reviewed.txt` lists the images that were finished.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from slicelab.annotation._answer import Answer, AnswerBox, number, shown
from slicelab.annotation._export import Export, check_detection
from slicelab.core import Box, ReturnFileError

TASKS = "slicelab_ids"
README = """YOLO
data.yaml names the classes; labels/train/ holds one text file per image with a row "class x y width height" per box
(centre and size as fractions of the image). An empty file says: no boxes. Correct the files, and write the name of
every image that you have finished on a line of reviewed.txt: an image that isn't there, on which nothing was changed,
stays open. Names of files must stay. Send the whole folder back, or a zip of it.
"""


def write_yolo(export: Export) -> dict[str, bytes]:
    """Return the files of a YOLO batch by name."""
    import yaml  # type: ignore[import-untyped]

    check_detection(export.batch, "yolo")
    names = export.names()
    numbers = {c: n for n, c in enumerate(export.batch.classes)}
    about = {
        "path": ".",
        "train": "images/train",
        "val": "images/train",
        "names": {n: c for c, n in numbers.items()},
        TASKS: {PurePosixPath(name).stem: task_id for task_id, name in names.items()},
    }
    files = {
        "data.yaml": yaml.safe_dump(about, allow_unicode=True, sort_keys=False).encode(),
        "reviewed.txt": b"",
        "README.txt": README.encode(),
    }
    for task in export.batch.tasks:
        rows = [
            f"{numbers[b.label]} {(b.x + b.width / 2) / task.width:.8f} {(b.y + b.height / 2) / task.height:.8f} "
            f"{b.width / task.width:.8f} {b.height / task.height:.8f}\n"
            for b in export.boxes(task)
        ]
        stem = PurePosixPath(names[task.task_id]).stem
        files[f"labels/train/{stem}.txt"] = "".join(rows).encode()
    return files


def read_yolo(files: Mapping[str, bytes]) -> list[Answer]:
    """Return the answers of a folder, one per label file.

    Parameters
    ----------
    files
        Content by path: data.yaml, reviewed.txt and label files.

    Raises
    ------
    ReturnFileError
        No data.yaml that names the classes, or a file that isn't UTF-8.
    """
    by_name = {PurePosixPath(path).name: content for path, content in files.items()}
    about = _about(_text("data.yaml", by_name.get("data.yaml") or by_name.get("data.yml") or b""))
    classes, tasks = _classes(about), _tasks(about)
    reviewed = {
        PurePosixPath(line.strip()).stem
        for line in _text("reviewed.txt", by_name.get("reviewed.txt", b"")).splitlines()
        if line.strip()
    }
    labels = sorted(p for p in files if "labels" in PurePosixPath(p).parts[:-1] and p.endswith(".txt"))
    if not labels:
        raise ReturnFileError("There is no text file below a folder 'labels'. Send the whole folder back.")
    return [
        _answer(n, path, _text(path, files[path]), classes, reviewed, tasks) for n, path in enumerate(labels, start=1)
    ]


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReturnFileError(f"{shown(name)} isn't UTF-8 at byte {error.start}. Save it as UTF-8.") from error


def _about(content: str) -> dict[Any, Any]:
    import yaml

    try:
        about: Any = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ReturnFileError(f"data.yaml can't be read: {shown(str(error))}. It is damaged.") from error
    return about if isinstance(about, dict) else {}


def _tasks(about: dict[Any, Any]) -> dict[str, str]:
    """Return the id of every task by the stem of its file."""
    tasks = about.get(TASKS)
    return {k: v for k, v in tasks.items() if isinstance(v, str)} if isinstance(tasks, dict) else {}


def _classes(about: dict[Any, Any]) -> dict[int, str]:
    names = about.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ReturnFileError(
            "data.yaml must hold 'names', the classes by number. Send back the one that was exported."
        )
    return {k: v for k, v in names.items() if isinstance(k, int) and isinstance(v, str)}


def _answer(
    line: int, path: str, content: str, classes: dict[int, str], reviewed: set[str], tasks: dict[str, str]
) -> Answer:
    stem = PurePosixPath(path).stem
    rows = [row.split() for row in content.splitlines() if row.strip()]
    wrong = next((row for row in rows if len(row) not in (5, 6)), None)
    return Answer(
        shown(stem),
        line,
        task_ids=(tasks[stem],) if stem in tasks else (),
        name=stem,
        reviewed=True if stem in reviewed else None,
        problem="" if wrong is None else f"a row has {len(wrong)} values; 5 are needed: class, x, y, width, height",
        boxes=() if wrong is not None else tuple(_box(row, classes) for row in rows),
        percent=True,
    )


def _box(row: list[str], classes: dict[int, str]) -> AnswerBox:
    n, x, y, width, height = (number(v) for v in row[:5])
    label = classes.get(int(n), "") if math.isfinite(n) and n == int(n) else ""
    return AnswerBox(Box(label, 100 * (x - width / 2), 100 * (y - height / 2), 100 * width, 100 * height))
