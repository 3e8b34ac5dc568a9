"""Pascal VOC: a folder with one XML file per image.

Its coordinates are whole pixels counted from 1, with the last one included: x = xmin - 1, width = xmax - xmin + 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slicelab.core import SourceError, listed
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._rows import objects, printable
from slicelab.sources._walk_folder import FolderListing, walk_folder

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Problem = tuple[str, str]
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class _Found:
    """The rows of all files, in columns."""

    refs: list[str | None] = field(default_factory=list)
    image_files: list[str] = field(default_factory=list)
    image_lines: list[int | None] = field(default_factory=list)
    image_problems: list[Problem | None] = field(default_factory=list)
    sizes: list[tuple[float, float]] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    label_ids: list[str] = field(default_factory=list)
    edges: list[list[float]] = field(default_factory=list)
    box_files: list[str] = field(default_factory=list)
    problems: list[Problem | None] = field(default_factory=list)


def read_voc(folder: str | Path, pictures: FolderListing) -> LabelSource:
    """Read a folder of Pascal VOC files.

    An image is found by the XML's own relative path, then by its `<filename>`. A file that isn't well-formed XML (or
    declares entities) is a refused sample with file and line, unless there is no other.

    Parameters
    ----------
    folder
        Where the XML files are, at any depth.
    pictures
        The images, as `walk_images` listed them.
    """
    listing = walk_folder(folder, wanted=lambda e: e.name.lower().endswith(".xml"))
    if not listing.files:
        raise SourceError(f"There is no XML file in {printable(listing.root)}; Pascal VOC labels have one per image.")
    by_name = _PicturesByName(pictures.files)
    found = _Found()
    for relative in listing.files:
        _read_file(os.path.join(listing.root, relative), relative, by_name, found)
    if all(p is not None and p[0] == "malformed-file" for p in found.image_problems):
        raise SourceError(f"{found.image_files[0]}: {found.image_problems[0][1]}")  # type: ignore[index]
    n = len(found.images)
    left, top, right, bottom = np.array(found.edges, dtype=np.float64).reshape(-1, 4).T
    return LabelSource(
        task="detection",
        images=ImageRows.of(
            found.refs,
            file=objects(found.image_files),
            lines=found.image_lines,
            problems=objects(found.image_problems),
            sizes=np.array(found.sizes, dtype=np.float64).reshape(-1, 2),
        ),
        boxes=BoxRows(
            images=np.array(found.images, dtype=np.int64),
            labels=objects(found.labels),
            label_ids=objects(found.label_ids),
            boxes=np.column_stack([left - 1, top - 1, right - left + 1, bottom - top + 1]),
            crowd=np.zeros(n, dtype=bool),
            file=objects(found.box_files),
            lines=objects([None] * n),
            items=objects([f"object {i}" for i in found.label_ids]),
            problems=objects(found.problems),
        ),
        findings=listing.findings,
    )


class _PicturesByName:
    """Finds a picture by path, name or stem; a name that several bear finds none."""

    def __init__(self, files: list[str]) -> None:
        self._known: dict[str, str | None] = {}
        for names in (lambda f: f, _stem, os.path.basename, lambda f: _stem(os.path.basename(f))):
            level: dict[str, str | None] = {}
            for file in files:
                level[names(file)] = None if names(file) in level else file
            self._known = level | self._known

    def find(self, name: str) -> str | None:
        return self._known.get(name)


def _read_file(path: str, relative: str, pictures: _PicturesByName, found: _Found) -> None:
    file = printable(path)
    image = len(found.refs)
    found.image_files.append(file)
    try:
        root = _parse(path)
    except (OSError, ValueError, SyntaxError, LookupError, RecursionError) as error:
        line = getattr(error, "position", (None,))[0]
        reason = f"not an XML file that can be read: {printable(error) or type(error).__name__}"
        found.refs.append(None)
        found.image_lines.append(line)
        found.image_problems.append(("malformed-file", reason))
        found.sizes.append((np.nan, np.nan))
        return
    name = (root.findtext("filename") or "").strip().replace("\\", "/")
    ref = pictures.find(_stem(relative)) or pictures.find(name) or pictures.find(_stem(os.path.basename(relative)))
    problem: Problem | None = None
    if root.tag != "annotation":
        problem = ("malformed-file", f"its root must be <annotation>; got <{printable(root.tag)}>")
    elif ref is None:
        problem = (
            "missing-file",
            f"no image {printable(name)!r}, and none of the XML file's own name",
        )
    found.refs.append(ref)
    found.image_lines.append(None)
    found.image_problems.append(problem)
    found.sizes.append((_number(root.findtext("size/width")), _number(root.findtext("size/height"))))
    for i, entry in enumerate(root.findall("object")):
        _read_object(entry, i, image, file, found)


def _read_object(entry: Element, i: int, image: int, file: str, found: _Found) -> None:
    texts = [entry.findtext(f"bndbox/{edge}") for edge in _EDGES]
    edges = [_number(t) for t in texts]
    problem: Problem | None = None
    if any(v != v and (t or "").strip().lower() != "nan" for v, t in zip(edges, texts, strict=True)):
        problem = ("bad-box", f"<bndbox> needs the numbers {listed(_EDGES)}; got {printable(texts)}")
    found.images.append(image)
    found.labels.append(entry.findtext("name"))
    found.label_ids.append(str(i))
    found.edges.append(edges)
    found.box_files.append(file)
    found.problems.append(problem)


def _parse(path: str) -> Element:
    from defusedxml.ElementTree import parse

    root: Any = parse(path).getroot()
    if root is None:
        raise ValueError("it has no root element")
    return root  # type: ignore[no-any-return]


def _number(text: str | None) -> float:
    try:
        return float(text or "x")
    except ValueError:
        return float("nan")


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]
