"""YOLO: one text file per image, a row `class cx cy width height [confidence]` in shares of the image per box."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slicelab.core import Finding, MissingExtraError, SourceError
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._read_json import decode, hash_bytes, read_bytes
from slicelab.sources._rows import Floats, Objects, objects, printable
from slicelab.sources._walk_folder import FolderListing, walk_folder

_NAME_FILES = ("classes.txt", "obj.names")
_NOT_LABELS = frozenset({"classes.txt", "readme.txt", "labels.txt", "train.txt", "val.txt", "test.txt", "license.txt"})


@dataclass
class YoloRows:
    """The rows of a folder of YOLO files, in columns.

    Parameters
    ----------
    stems
        Relative path of each file without suffix, and `of`: which of them a row stands in.
    classes
        float64 (n,), the class's number; NaN: not a whole number.
    boxes
        float64 (n, 4): x, y (top-left), width, height in shares of the image.
    confidence
        float64 (n,); NaN where the row has five cells.
    lines, files, problems
        Where each stands, and (kind, reason) where it can't be used.
    """

    stems: list[str]
    of: npt.NDArray[np.int64]
    classes: Floats
    boxes: Floats
    confidence: Floats
    lines: Objects
    files: Objects
    problems: Objects
    sha256: str
    findings: list[Finding] = field(default_factory=list)


def read_yolo(path: str | Path, pictures: FolderListing, *, classes: tuple[str, ...] | None = None) -> LabelSource:
    """Read YOLO labels.

    An image without a file, or with an empty one, is an image without objects: so the format has it.

    Parameters
    ----------
    path
        `data.yaml`, or the folder of text files.
    pictures
        The images, as `walk_images` listed them.
    classes
        Names in the order of their numbers; None: from data.yaml, or from classes.txt in or beside the folder.
    """
    folder = _label_folder(path, pictures.root)
    names = classes or class_names(path)
    rows = read_yolo_rows(folder, rows="labels")
    place = _places(pictures, folder)
    images = np.array([place.get(os.path.join(folder, s), -1) for s in rows.stems], dtype=np.int64)
    of_row = images[rows.of] if len(rows.of) else np.zeros(0, dtype=np.int64)
    labels = name_classes(rows, names)
    for i in np.flatnonzero(of_row < 0).tolist():
        rows.problems[i] = ("unknown-image", f"there is no image for {rows.stems[rows.of[i]]}.txt")
    return LabelSource(
        task="detection",
        images=ImageRows.of(pictures.files, file=pictures.root),
        boxes=BoxRows(
            images=of_row,
            labels=labels,
            label_ids=objects([str(line) for line in rows.lines]),
            boxes=rows.boxes,
            crowd=np.zeros(len(of_row), dtype=bool),
            file=rows.files,
            lines=rows.lines,
            items=objects([rows.stems[i] for i in rows.of]),
            problems=rows.problems,
            normalised=True,
        ),
        classes=names,
        findings=rows.findings,
        lists_images=False,
    )


def read_yolo_rows(folder: str, *, rows: str) -> YoloRows:
    """Read every text file of a folder (but lists of names or images) as YOLO rows."""
    listing = walk_folder(
        folder, wanted=lambda e: e.name.lower().endswith(".txt") and e.name.lower() not in _NOT_LABELS, rows=rows
    )
    cells: list[list[str]] = []
    of, lines, digests = [], [], []
    for i, relative in enumerate(listing.files):
        data = Path(listing.root, relative).read_bytes()
        digests.append(f"{relative}\0{hash_bytes(data)}\n".encode())
        text = decode(data, printable(os.path.join(listing.root, relative)))
        for n, line in enumerate(text.split("\n"), start=1):
            row = line.split()
            if row:
                cells.append(row)
                of.append(i)
                lines.append(n)
    numbers = np.array([_numbers(row) for row in cells], dtype=np.float64).reshape(-1, 6)
    number, cx, cy, width, height, confidence = numbers.T
    whole = np.isfinite(number) & (np.floor(number) == number)
    file_names = [printable(os.path.join(listing.root, f)) for f in listing.files]
    return YoloRows(
        stems=[os.path.splitext(f)[0] for f in listing.files],
        of=np.array(of, dtype=np.int64),
        classes=np.where(whole, number, np.nan),
        boxes=np.column_stack([cx - width / 2, cy - height / 2, width, height]),
        confidence=confidence,
        lines=objects(lines),
        files=objects([file_names[i] for i in of]),
        problems=objects([_problem(row) for row in cells]),
        sha256=hash_bytes(*digests),
        findings=listing.findings,
    )


def name_classes(rows: YoloRows, names: tuple[str, ...]) -> Objects:
    """Return the class name of each row; a number without one becomes a problem of the row."""
    count = len(names)
    known = (rows.classes >= 0) & (rows.classes < count)
    for i in np.flatnonzero(~known).tolist():
        if rows.problems[i] is None:
            reason = f"there is no class {rows.classes[i]:g}; {count} classes are numbered from 0"
            rows.problems[i] = ("unknown-label", reason)
    return objects([names[int(c)] if ok else None for c, ok in zip(rows.classes, known, strict=True)])


def class_names(path: str | Path) -> tuple[str, ...]:
    """Return the class names of data.yaml, or of classes.txt in or beside a folder of labels.

    Raises
    ------
    SourceError
        There are none, or they can't be read.
    """
    if Path(path).is_file():
        return _yaml_names(path)
    folder = Path(path).absolute()
    for place in (folder, folder.parent, folder.parent.parent):
        for name in _NAME_FILES:
            if (place / name).is_file():
                text = decode(read_bytes(place / name), printable(place / name))
                return tuple(line.strip() for line in text.rstrip().split("\n"))
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (place / name).is_file():
                return _yaml_names(place / name)
    raise SourceError(
        f"YOLO labels in {printable(path)} name classes by number, and neither data.yaml nor classes.txt is in or "
        "beside the folder. Pass classes=[...]."
    )


def _yaml_names(path: str | Path) -> tuple[str, ...]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("Reading data.yaml needs PyYAML: pip install pyyaml, or pass classes=[...].") from error
    file = printable(path)
    try:
        document = yaml.safe_load(decode(read_bytes(path), file))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError, AttributeError) as error:
        if isinstance(error, SourceError):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else file
        raise SourceError(f"{where}: not YAML: {printable(error)}.") from error
    names: Any = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, (str, int, float)) for n in names):
        raise SourceError(f"{file}: it needs 'names', a list of class names or a mapping from 0 on; got {names!r:.80}.")
    return tuple(str(n) for n in names)


def _label_folder(path: str | Path, pictures: str) -> str:
    if Path(path).is_dir():
        return os.path.abspath(path)
    parts = pictures.split(os.sep)
    candidates = [os.path.join(os.path.dirname(os.path.abspath(path)), "labels"), pictures]
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        candidates.insert(0, os.sep.join([*parts[:last], "labels", *parts[last + 1 :]]))
    found = next((c for c in candidates if os.path.isdir(c)), None)
    if found is None:
        raise SourceError(f"No folder of labels for {printable(path)}; looked for {printable(candidates)}.")
    return found


def _places(pictures: FolderListing, folder: str) -> dict[str, int]:
    """Return from where labels may stand (without suffix) to the image: as below `folder`, in `labels`, beside it."""
    stems = [os.path.splitext(f)[0] for f in pictures.files]
    beside = [os.path.join(pictures.root, stem) for stem in stems]
    found: dict[str, int] = {}
    for places in ([os.path.join(folder, stem) for stem in stems], [_as_label(b) for b in beside], beside):
        for i, place in enumerate(places):
            found.setdefault(place, i)
    return found


def _as_label(stem: str) -> str:
    """Where the label of an image stands: the last folder `images` becomes `labels`."""
    parts = stem.split("/")
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return "/".join(parts)


def _numbers(row: list[str]) -> list[float]:
    try:
        values = [float(v) for v in row[:6]] if len(row) in (5, 6) else []
    except ValueError:
        values = []
    return values + [float("nan")] * (6 - len(values))


def _problem(row: list[str]) -> tuple[str, str] | None:
    if len(row) not in (5, 6):
        hint = "; polygons are not read" if len(row) > 6 else ""
        return ("bad-box", f"a row has 5 cells, class cx cy width height (and a confidence); got {len(row)}{hint}")
    try:
        [float(v) for v in row]
    except ValueError:
        return ("bad-box", f"every cell must be a number; got {printable(' '.join(row))[:80]!r}")
    return None
