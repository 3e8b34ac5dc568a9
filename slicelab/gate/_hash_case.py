"""What a case's content hash covers: its members, and all that is on their images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab import evaluation
from slicelab.core import (
    Bar,
    InvalidInputError,
    Task,
    canonical,
    group_texts,
    hash_file,
    hash_value,
    listed,
    object_unit,
    unit_key,
)

Row = list[Any]
Lines = dict[str, tuple[bytes, bytes]]
PARTS = ("membership", "labels", "media", "groups")
GROUP = "group"
"""Column of a suite's samples."""
_quoted = json.encoder.encode_basestring  # what `canonical` writes texts with


class ImageTruth(NamedTuple):
    """What a case reads of an image: its label, or the sorted rows of its boxes; its group and its media."""

    label: str | None
    boxes: list[Row] | None
    group: str | None
    media: str | None


@dataclass(frozen=True)
class Truth:
    """What members and their images are judged by.

    Parameters
    ----------
    rows
        Of every member that is there: unit id, label, box, media.
    images
        Of every image that a member belongs to, by key.
    """

    rows: dict[str, Row]
    images: dict[str, ImageTruth]

    def missing(self, members: Iterable[str]) -> list[str]:
        """Members that aren't there (or have no label to be judged by)."""
        return [m for m in members if m not in self.rows]

    def keys(self, members: Iterable[str]) -> list[str]:
        """Keys of the images that members belong to, sorted."""
        return sorted({m if m in self.images else unit_key(m) for m in members})

    def hash(self, members: Iterable[str], *, schema_version: int = 2) -> str:
        """Return the content hash of a case, as `case_hash` describes it; all members must be there."""
        if schema_version >= 2:
            return hash_value(self.hashes(members))
        # Each line is encoded once although its unit may be a member of a hundred cases.
        lines = sorted(b"".join(self._member_lines[m]) for m in set(members))
        return _joined(lines)

    def hashes(self, members: Iterable[str], *, schema_version: int = 2) -> dict[str, str]:
        """Return SHA-256 of each of `PARTS` by itself; of the first three in schema 1."""
        ids = sorted(set(members))
        if schema_version >= 2:
            images = [self.image_lines[key] for key in self.keys(ids)]
            columns = zip(*images, strict=True) if images else ((), (), ())
            parts = [[_quoted(m).encode() for m in ids], *columns]
            return {name: _joined(sorted(lines)) for name, lines in zip(PARTS, parts, strict=True)}
        return {
            "membership": _joined(m.encode() for m in ids),
            "labels": _joined(self._member_lines[m][0] for m in ids),
            "media": _joined(part for m in ids for part in (m.encode(), self._member_lines[m][1])),
        }

    @cached_property
    def _member_lines(self) -> Lines:
        return {unit: _line(row) for unit, row in self.rows.items()}

    @cached_property
    def image_lines(self) -> dict[str, tuple[bytes, bytes, bytes]]:
        """The rows of labels, media and group of each image as bytes."""
        return {key: _image_line(key, image) for key, image in self.images.items()}


def _joined(lines: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join([*lines, b""])).hexdigest()


def _line(row: Row) -> tuple[bytes, bytes]:
    """Return the canonical JSON of a row in two pieces, of which the second is the media's hash."""
    unit, label, box, media = row
    if box is None and isinstance(label, str) and isinstance(media, str):
        return f"[{_quoted(unit)},{_quoted(label)},null,".encode(), f"{_quoted(media)}]".encode()
    return canonical(row[:-1])[:-1] + b",", canonical(media) + b"]"


def _image_line(key: str, image: ImageTruth) -> tuple[bytes, bytes, bytes]:
    """Return the canonical JSON of the rows of labels, media and group."""
    label = image.label if image.boxes is None else hash_value(image.boxes)
    name = _quoted(key)
    values = ("null" if v is None else _quoted(v) for v in (label, image.media, image.group))
    labels, media, group = (f"[{name},{value}]".encode() for value in values)
    return labels, media, group


def metric_hash(bar: Bar) -> str:
    """SHA-256 of what computes a bar's metric: the user's source, or SliceLab's own."""
    return hash_value([bar.metric, bar.code or _own_code()])


@cache
def _own_code() -> str:
    folder = Path(evaluation.__file__).parent
    return hash_value([hash_file(path) for path in sorted(folder.glob("*.py"))])


def read_truth(
    members: Collection[str], *, samples: pd.DataFrame, boxes: pd.DataFrame, task: Task, group: str | None
) -> Truth:
    """Look up the rows of `members` and their images; those that aren't there are left out.

    `group` is the column of `samples` that says which images aren't independent; None: there is none.
    """
    wanted = set(members)
    known = set(samples.index.tolist())
    # An id that is a sample's and an object's at the same time has to be found as both.
    keys = {unit_key(m) for m in wanted if m not in known or task == "detection"} | (wanted & known)
    inside = samples[np.array([key in keys for key in samples.index.tolist()], dtype=bool)]
    images = _images(inside, boxes, task, group)
    content = {k: image.label if image.boxes is None else image.boxes for k, image in images.items() if k in wanted}
    rows: dict[str, Row] = {k: [k, v, None, images[k].media] for k, v in content.items() if v is not None}
    if task == "detection":
        objects = _object_rows(images, wanted)
        both = rows.keys() & objects.keys()
        if both:
            raise InvalidInputError(
                f"These ids name a sample and an object at the same time: {listed(sorted(both))}. Rename the samples."
            )
        rows |= objects
    truth = Truth(rows, images)
    try:
        _ = truth.image_lines
        "".join(rows).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"An id or label isn't valid Unicode: {error.object!r}. Rename it.") from error
    return truth


def case_hash(
    members: Sequence[str],
    *,
    samples: pd.DataFrame,
    boxes: pd.DataFrame,
    task: Task,
    group: str | None = None,
    schema_version: int = 2,
) -> str:
    """Hash the content of a case: SHA-256 over its members and all that its images are judged by.

    Four hashes are made by `core.hash_rows`, so that order doesn't matter, and `core.hash_value` of the four by name is
    the content hash:

    - "membership": the unit ids;
    - "labels": per image that a member belongs to, `[key, label]`; in detection `[key, hash]`, where `core.hash_value`
      makes the hash of the sorted list of **all** boxes on the image, members or not: `[label id, label, box, crowd]`.
      The box is `[x, y, width, height]` in pixels, rounded to 0.01, as it is in the suite that is judged;
    - "media": per image `[key, sha256]`;
    - "groups": per image `[key, group]`, null where none is known.

    So whatever a metric reads is covered: precision, false positives, average precision and the matching of boxes
    itself depend on labels of objects that are no members.

    Parameters
    ----------
    members
        Unit ids: keys of samples, or ids of labelled objects.
    samples
        Index `key`; column `sha256`, for classification `label`.
    boxes
        `BOX_COLUMNS`; empty for classification.
    task
        "classification" or "detection".
    group
        Column of `samples` that says which images aren't independent; None: there is none.
    schema_version
        1 gives the hash of older versions: a row `[unit id, label, box, media sha256]` per member and nothing else,
        where a sample of a detection task has in place of a label the sorted list of its boxes.

    Returns
    -------
    str
        64 hex digits.

    Raises
    ------
    InvalidInputError
        A member isn't there, or has no label.
    """
    truth = read_truth(members, samples=samples, boxes=boxes, task=task, group=group)
    missing = truth.missing(members)
    if missing:
        raise InvalidInputError(f"{len(missing)} members have no label here: {listed(missing)}.")
    return truth.hash(members, schema_version=schema_version)


def hundredths(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to 0.01 as Python's `round` does; -0.0 becomes 0.0."""
    near: npt.NDArray[np.float64] = np.round(values, 2)
    # The quick way may differ in the last digit from the right one; what it leaves as it is, is right.
    off = near != values
    near[off] = [round(v, 2) for v in values[off].tolist()]
    return near + 0.0


def _images(samples: pd.DataFrame, boxes: pd.DataFrame, task: Task, group: str | None) -> dict[str, ImageTruth]:
    keys = samples.index.tolist()
    media = [v if isinstance(v, str) else None for v in samples["sha256"].tolist()]
    groups = [None] * len(keys) if group is None else group_texts(samples[group])
    if task == "classification":
        labels = [v if isinstance(v, str) else None for v in samples["label"].tolist()]
        named = zip(keys, labels, groups, media, strict=True)
        return {k: ImageTruth(label, None, group, sha) for k, label, group, sha in named}
    content = _boxes_of(keys, boxes)
    return {k: ImageTruth(None, sorted(content[k]), *v) for k, *v in zip(keys, groups, media, strict=True)}


def _boxes_of(keys: list[str], boxes: pd.DataFrame) -> dict[str, list[Row]]:
    """Return the rows of every box on these images, by image."""
    content: dict[str, list[Row]] = {key: [] for key in keys}
    inside = boxes[boxes["key"].isin(content)]
    corners = hundredths(inside[["x", "y", "width", "height"]].to_numpy(np.float64)).tolist()
    columns = [inside[name].tolist() for name in ("key", "label_id", "label")]
    crowd = inside["crowd"].astype(bool).tolist()
    for key, label_id, label, box, is_crowd in zip(*columns, corners, crowd, strict=True):
        content[key].append([label_id, label, box, is_crowd])
    return content


def _object_rows(images: dict[str, ImageTruth], wanted: Collection[str]) -> dict[str, Row]:
    rows = {}
    for key, image in images.items():
        for label_id, label, box, crowd in image.boxes or ():
            unit = object_unit(key, label_id)
            # A crowd box marks a region, it is no unit.
            if not crowd and unit in wanted and image.media is not None:
                rows[unit] = [unit, label, box, image.media]
    return rows
