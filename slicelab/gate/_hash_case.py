"""What a case's content hash covers: its members with their labels, boxes and media."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slicelab import evaluation
from slicelab.core import Bar, InvalidInputError, Task, canonical, hash_file, hash_value, listed, object_unit, unit_key

Row = list[Any]
_quoted = json.encoder.encode_basestring  # what `canonical` writes texts with


@dataclass(frozen=True)
class Truth:
    """The rows that go into hashes, by unit id, and each once as bytes."""

    rows: dict[str, Row]
    lines: dict[str, tuple[bytes, bytes]]

    def missing(self, members: Iterable[str]) -> list[str]:
        """Members that aren't there (or have no label to be judged by)."""
        return [m for m in members if m not in self.rows]

    def hash(self, members: Iterable[str]) -> str:
        """Equal to `core.hash_rows` of the members' rows; all must be there."""
        # Each line is encoded once although its unit may be a member of a hundred cases.
        lines = sorted(b"".join(self.lines[m]) for m in set(members))
        return _joined(lines)

    def hashes(self, members: Iterable[str]) -> dict[str, str]:
        """SHA-256 of the membership, the labels (with boxes) and the media of members, each by itself."""
        ids = sorted(set(members))
        return {
            "membership": _joined(m.encode() for m in ids),
            "labels": _joined(self.lines[m][0] for m in ids),
            "media": _joined(part for m in ids for part in (m.encode(), self.lines[m][1])),
        }


def _joined(lines: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join([*lines, b""])).hexdigest()


def _line(row: Row) -> tuple[bytes, bytes]:
    """Return the canonical JSON of a row in two pieces, of which the second is the media's hash."""
    unit, label, box, media = row
    if box is None and isinstance(label, str) and isinstance(media, str):
        return f"[{_quoted(unit)},{_quoted(label)},null,".encode(), f"{_quoted(media)}]".encode()
    return canonical(row[:-1])[:-1] + b",", canonical(media) + b"]"


def metric_hash(bar: Bar) -> str:
    """SHA-256 of what computes a bar's metric: the user's source, or SliceLab's own."""
    return hash_value([bar.metric, bar.code or _own_code()])


@cache
def _own_code() -> str:
    folder = Path(evaluation.__file__).parent
    return hash_value([hash_file(path) for path in sorted(folder.glob("*.py"))])


def read_truth(members: Collection[str], *, samples: pd.DataFrame, boxes: pd.DataFrame, task: Task) -> Truth:
    """Look up the rows of `members`; those that aren't there are left out."""
    wanted = set(members)
    inside = np.array([key in wanted for key in samples.index.tolist()], dtype=bool)
    rows = _image_rows(samples[inside], boxes, task)
    if task == "detection":
        objects = _object_rows(samples, boxes, wanted)
        both = rows.keys() & objects.keys()
        if both:
            raise InvalidInputError(
                f"These ids name a sample and an object at the same time: {listed(sorted(both))}. Rename the samples."
            )
        rows |= objects
    try:
        return Truth(rows, {unit: _line(row) for unit, row in rows.items()})
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"An id or label isn't valid Unicode: {error.object!r}. Rename it.") from error


def case_hash(members: Sequence[str], *, samples: pd.DataFrame, boxes: pd.DataFrame, task: Task) -> str:
    """Hash the content of a case: SHA-256 over its members with their labels and media.

    Every member gives one row `[unit id, label, box, media sha256]`, hashed by `core.hash_rows`, so that order
    doesn't matter. The box of an object is `[x, y, width, height]` in pixels, rounded to 0.01. A sample of a
    detection task is judged by all that is on it: in place of a label it has the sorted list of its boxes,
    `[label id, label, box, crowd]`.

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

    Returns
    -------
    str
        64 hex digits.

    Raises
    ------
    InvalidInputError
        A member isn't there, or has no label.
    """
    truth = read_truth(members, samples=samples, boxes=boxes, task=task)
    missing = truth.missing(members)
    if missing:
        raise InvalidInputError(f"{len(missing)} members have no label here: {listed(missing)}.")
    return truth.hash(members)


def _image_rows(samples: pd.DataFrame, boxes: pd.DataFrame, task: Task) -> dict[str, Row]:
    if task == "classification":
        known = samples[samples["label"].notna()]
        keys, labels, media = known.index.tolist(), known["label"].tolist(), known["sha256"].tolist()
        return {k: [k, label, None, sha] for k, label, sha in zip(keys, labels, media, strict=True)}
    content: dict[str, list[Row]] = {key: [] for key in samples.index}
    for box in boxes[boxes["key"].isin(content)].itertuples(index=False):
        content[str(box.key)].append([box.label_id, box.label, _rounded(box), bool(box.crowd)])
    return {k: [k, sorted(content[k]), None, sha] for k, sha in zip(samples.index, samples["sha256"], strict=True)}


def _object_rows(samples: pd.DataFrame, boxes: pd.DataFrame, wanted: Collection[str]) -> dict[str, Row]:
    boxes = boxes[boxes["key"].isin({unit_key(m) for m in wanted})]
    units = [object_unit(*ids) for ids in zip(boxes["key"].tolist(), boxes["label_id"].tolist(), strict=True)]
    labelled = boxes.assign(unit=units, sha256=samples["sha256"].reindex(boxes["key"]).to_numpy())
    # A crowd box marks a region, it is no unit.
    judged = labelled[labelled["unit"].isin(wanted) & ~labelled["crowd"].astype(bool) & labelled["sha256"].notna()]
    return {str(b.unit): [b.unit, b.label, _rounded(b), b.sha256] for b in judged.itertuples(index=False)}


def _rounded(box: Any) -> list[float]:
    # `+ 0.0` makes -0.0 and 0.0 one number.
    return [round(float(v), 2) + 0.0 for v in (box.x, box.y, box.width, box.height)]
