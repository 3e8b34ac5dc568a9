"""Names of images in a batch: safe ones for copies, and finding a task by the name that came back."""

from __future__ import annotations

import re
from collections import defaultdict
from urllib.parse import parse_qs, unquote, urlsplit

from slicelab.core import AnnotationTask, Batch

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def safe_names(batch: Batch) -> dict[str, str]:
    """Return a file name for every task id: unique, without folders, usable on every system.

    It is made of the task's position and its key alone, so it is the same whenever it is made.
    """
    return {task.task_id: f"{n:05d}_{_safe(task.key)}" for n, task in enumerate(batch.tasks, start=1)}


def _safe(key: str) -> str:
    name = key.replace("\\", "/").rsplit("/", 1)[-1]
    found = _SUFFIX.search(name)
    suffix = found.group() if found else ""
    stem = _UNSAFE.sub("_", name[: len(name) - len(suffix)]).strip("._")
    return (stem[:60] or "image") + suffix


def path_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path as it stands in a file, without the root and '.'."""
    return tuple(p for p in name.replace("\\", "/").split("/") if p not in ("", "."))


def name_of_url(url: str) -> str:
    """Return the path that an image's address names: of ``?d=`` (local files), else its own."""
    try:
        split = urlsplit(url)
    except ValueError:
        return ""
    local = parse_qs(split.query).get("d") if "local-files" in split.path else None
    return local[0] if local else unquote(split.path)


class NameIndex:
    """Finds the one task to which a returned file name belongs.

    A name is a task's when it equals its key or its safe name, or when one of both paths ends with the other:
    tools put folders before names or cut them off. A name that fits several tasks is nobody's.
    """

    def __init__(self, batch: Batch) -> None:
        names = safe_names(batch)
        self._by_last: dict[str, list[tuple[tuple[str, ...], AnnotationTask]]] = defaultdict(list)
        for task in batch.tasks:
            safe = names[task.task_id]
            stem = (_SUFFIX.sub("", safe),)  # YOLO and VOC call an image by it
            for parts in {path_parts(task.key), path_parts(safe), stem} - {()}:
                self._by_last[parts[-1]].append((parts, task))

    def find(self, name: str) -> list[AnnotationTask]:
        """Return the tasks that this name fits, each once."""
        parts = path_parts(name)
        if not parts:
            return []
        near = self._by_last.get(parts[-1], [])
        exact = {t.task_id: t for mine, t in near if mine == parts}
        ending = {t.task_id: t for mine, t in near if _ends_with(parts, mine) or _ends_with(mine, parts)}
        return list((exact or ending).values())


def _ends_with(longer: tuple[str, ...], tail: tuple[str, ...]) -> bool:
    return len(tail) <= len(longer) and longer[len(longer) - len(tail) :] == tail
