"""COCO detection files: labels, categories, results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import Finding, SourceError, did_you_mean, listed
from slicelab.sources._label_source import BoxRows, ImageRows, LabelSource
from slicelab.sources._read_json import column, decode, entries, parse_json, read_bytes
from slicelab.sources._rows import Floats, Objects, later_repeats, objects, printable
from slicelab.sources._texts import number

Entries = Sequence[dict[str, Any] | None]
_IMAGE_FIELDS = ("id", "file_name", "width", "height")


def read_categories(path: str | Path) -> dict[int, str]:
    """Return the names of a COCO label file's categories by their ids, in the file's order.

    Raises
    ------
    SourceError
        The file is not COCO, or an id stands for two names.
    """
    file = printable(path)
    return _categories(_document(path, file), file)


def read_coco(path: str | Path) -> LabelSource:
    """Read a COCO label file: images, boxes (crowds too), categories.

    The image ids are kept as metadata column `coco_image_id`. Other fields of the images (licence, date ...) are
    metadata too. Polygons and masks are not read.
    """
    file = printable(path)
    document = _document(path, file)
    names = _categories(document, file)
    images = entries(document, "images", file)
    if not images:
        raise SourceError(f"{file}: its list 'images' is empty; there is nothing to load.")
    ids = [_id(v) for v in column(images, "id")]
    image_rows = _image_rows(images, ids, file)
    annotations = entries(document, "annotations", file, needed=False)
    findings = []
    if "annotations" not in document:
        reason = "the file has no list 'annotations': all images are taken to be without objects"
        findings.append(Finding("no-annotations", file, None, "", reason, refused=False, rows="labels"))
    return LabelSource(
        task="detection",
        images=image_rows,
        boxes=_box_rows(annotations, ids, names, file),
        classes=tuple(dict.fromkeys(names.values())),
        folder=str(Path(path).expanduser().absolute().parent),
        findings=findings,
    )


def box_values(values: Sequence[Any]) -> tuple[Floats, Objects]:
    """Return COCO `bbox` values as float64 (n, 4), and for each what is wrong with its shape (None: nothing)."""
    whole = [isinstance(v, (list, tuple)) and len(v) == 4 for v in values]
    flat = [number(v) for box, ok in zip(values, whole, strict=True) for v in (box if ok else (None,) * 4)]
    problems = [
        None if ok else ("bad-box", f"bbox must be four numbers [x, y, width, height]; got {printable(box)[:60]}")
        for box, ok in zip(values, whole, strict=True)
    ]
    return np.array(flat, dtype=np.float64).reshape(-1, 4), objects(problems)


def category_names(
    values: Sequence[Any], categories: dict[int, str] | None, classes: Sequence[str], file: str
) -> list[str | None]:
    """Return the class name of each `category_id`; None where there is none.

    Without `categories` the ids are taken for places in `classes`, from 0 when an id is 0 and from 1 when one is
    len(classes). When neither occurs nobody can tell, and that is a `SourceError`.
    """
    ids = [_id(v) for v in values]
    if categories is None:
        categories = _places([i for i in ids if i is not None], classes, file)
    return [categories.get(i) if isinstance(i, int) else None for i in ids]


def _places(ids: list[Any], classes: Sequence[str], file: str) -> dict[int, str]:
    found = {i for i in ids if isinstance(i, int)}
    count = len(classes)
    from_zero = {i for i in found if 0 <= i < count} == found
    from_one = {i for i in found if 1 <= i <= count} == found
    if from_zero != from_one:
        return {i + (not from_zero): name for i, name in enumerate(classes)}
    why = "they fit classes counted from 0 and from 1" if from_zero else f"they don't fit {count} classes"
    raise SourceError(
        f"{file}: what its category ids {listed(sorted(found))} mean can't be told: {why}. "
        "Pass categories=read_categories('labels.json')."
    )


def _document(path: str | Path, file: str) -> dict[str, Any]:
    document = parse_json(decode(read_bytes(path), file), file)
    if not isinstance(document, dict):
        hint = " A list is a file of results: give it as predictions." if isinstance(document, list) else ""
        raise SourceError(f"{file}: COCO labels are a JSON object; got a {type(document).__name__}.{hint}")
    if "images" not in document:
        hint = did_you_mean("images", [str(k) for k in document])
        raise SourceError(f"{file}: COCO labels need a list 'images'.{hint}")
    return document


def _categories(document: dict[str, Any], file: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in entries(document, "categories", file, needed=bool(document.get("annotations"))):
        identity, name = (_id(entry.get("id")), entry.get("name")) if entry else (None, None)
        if not isinstance(identity, int) or not isinstance(name, str):
            raise SourceError(f"{file}: every category needs a whole 'id' and a text 'name'; got {printable(entry)}.")
        if found.setdefault(identity, name) != name:
            raise SourceError(
                f"{file}: category id {identity} stands for {found[identity]!r} and {printable(name)!r}. "
                "Give each its own."
            )
    return found


def _image_rows(images: Entries, ids: list[int | str | None], file: str) -> ImageRows:
    names = column(images, "file_name")
    problems: list[tuple[str, str] | None] = [
        ("malformed-row", "an image must be an object with 'id' and 'file_name'")
        if entry is None or identity is None
        else None
        for entry, identity in zip(images, ids, strict=True)
    ]
    files_of: dict[Any, set[str]] = {}
    for identity, name in zip(ids, names, strict=True):
        if identity is not None:
            files_of.setdefault(identity, set()).add(str(name))
    seen: set[Any] = set()
    for i, identity in enumerate(ids):
        if identity is None:
            continue
        if len(files_of[identity]) > 1:
            reason = f"image id {identity} stands for {listed(sorted(files_of[identity]))}; none of them is loaded"
            problems[i] = ("duplicate-image-id", reason)
        elif identity in seen:
            problems[i] = ("duplicate-image-id", f"image id {identity} was there before, for the same file")
        seen.add(identity)
    sizes = np.array([[number(v) for v in column(images, n)] for n in ("width", "height")]).T.reshape(-1, 2)
    return ImageRows.of(
        names, file=file, problems=objects(problems), sizes=sizes, metadata=_image_metadata(images, ids)
    )


def _image_metadata(images: Entries, ids: list[int | str | None]) -> pd.DataFrame:
    extra = dict.fromkeys(
        name
        for entry in images
        if entry
        for name, value in entry.items()
        if name not in _IMAGE_FIELDS and isinstance(value, (str, int, float))
    )
    columns = {"coco_image_id": pd.Series(ids, dtype=object).infer_objects()}
    for name in extra:
        columns[printable(name)] = pd.Series(column(images, name), dtype=object)
    return pd.DataFrame(columns)


def _box_rows(annotations: Entries, image_ids: list[Any], names: dict[int, str], file: str) -> BoxRows:
    place: dict[Any, int] = {}
    for i, identity in enumerate(image_ids):
        place.setdefault(identity, i)
    place.pop(None, None)
    of_image = [_id(v) for v in column(annotations, "image_id")]
    category = [_id(v) for v in column(annotations, "category_id")]
    boxes, problems = box_values(column(annotations, "bbox"))
    identities = objects([_id(v) for v in column(annotations, "id")])
    repeated = later_repeats(identities)
    for i, (entry, image, kind) in enumerate(zip(annotations, of_image, category, strict=True)):
        if entry is None:
            problems[i] = ("malformed-row", "an annotation must be a JSON object")
        elif image not in place:
            problems[i] = ("unknown-image", f"image_id {printable(entry.get('image_id'))} is not among the images")
        elif kind not in names:
            shown = printable(entry.get("category_id"))
            problems[i] = (
                "unknown-label",
                f"category_id {shown} is not among the categories {listed(names.values())}",
            )
        elif repeated[i]:
            problems[i] = ("duplicate-id", f"annotation id {identities[i]} was there before")
    return BoxRows(
        images=np.array([place.get(i, -1) for i in of_image], dtype=np.int64),
        labels=objects([names.get(c) if isinstance(c, int) else None for c in category]),
        label_ids=identities,
        boxes=boxes,
        crowd=np.array([_id(v) == 1 for v in column(annotations, "iscrowd")], dtype=bool),
        file=file,
        lines=objects([None] * len(annotations)),
        items=objects([f"annotation {i}" for i in identities]),
        problems=problems,
    )


def _id(value: Any) -> int | str | None:
    """Return an id as int or text; None for what can't be one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value if isinstance(value, (int, str)) else None
