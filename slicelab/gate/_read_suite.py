"""Checks a suite's JSON by hand, value by value: a schema library costs a second at every run of the gate."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from slicelab.core import (
    BOX_COLUMNS,
    SUITE_SCHEMA,
    TASKS,
    Bar,
    Case,
    InvalidInputError,
    Suite,
    Task,
    check_choice,
    check_confidence,
    check_name,
    check_unique,
    did_you_mean,
    visible,
)
from slicelab.gate._freeze_case import box_frame, check_metric, sample_frame
from slicelab.gate._hash_case import GROUP, PARTS
from slicelab.sources import text_column

MAX_PIXELS = 2**31 - 1


class Kind(NamedTuple):
    """What a field may hold: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]


Table = list[Any] | dict[str, Any]
_SURROGATE = re.compile("[\ud800-\udfff]")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def _are_texts(values: list[Any]) -> bool:
    try:
        joined = "".join(values)  # which takes nothing but texts
    except TypeError:
        return False
    return joined.isascii() or not _SURROGATE.search(joined)


def _is_whole(value: object, least: int = 1, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_confidence(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(_is_number(v) and 0 <= v <= 1 for v in value.values())
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


_TEXT = Kind("a text", _is_text)
_MAYBE_TEXT = Kind("a text or null", lambda v: v is None or _is_text(v))
_TEXTS = Kind("a list of texts", lambda v: isinstance(v, list) and _are_texts(v))
_LIST = Kind("a list", lambda v: isinstance(v, list))
_ROWS = Kind("a list of objects, or one object with a list per column", lambda v: isinstance(v, (list, dict)))
_OBJECT = Kind("an object", lambda v: isinstance(v, dict))
_FLAG = Kind("true or false", lambda v: isinstance(v, bool))
_WHOLE = Kind("a whole number from 1", _is_whole)
_INTEGER = Kind("a whole number", lambda v: _is_whole(v, least=-(2**63), most=2**63 - 1))
_COUNT = Kind("a whole number from 0", lambda v: _is_whole(v, least=0))
_PIXELS = Kind("a whole number of pixels from 1", lambda v: _is_whole(v, most=MAX_PIXELS))
_NUMBER = Kind("a finite number", _is_number)
_LENGTH = Kind("a finite number from 0", lambda v: _is_number(v) and v >= 0)

_CONFIDENCE = Kind("a number from 0 to 1, or an object of such numbers by class", _is_confidence)
_OTHERS = Kind(f"null or {_CONFIDENCE.words}", lambda v: v is None or _is_confidence(v))

_SUITE = {
    **dict.fromkeys(("format", "name", "task", "content_hash"), _TEXT),
    "schema_version": _WHOLE,
    "classes": _TEXTS,
    **dict.fromkeys(("categories", "cases"), _LIST),
    **dict.fromkeys(("samples", "boxes"), _ROWS),
}
_POINTS = {"operating_points": _OBJECT, "others": _OTHERS}
_CATEGORY = {"id": _COUNT, "name": _TEXT}
_CASE = {
    "name": _TEXT,
    "bar": _OBJECT,
    "content_hash": _TEXT,
    "hashes": _OBJECT,
    "rule": _MAYBE_TEXT,
    "note": _TEXT,
    "provenance": _OBJECT,
    "case_id": _TEXT,
    "version": _WHOLE,
    "created_at": _TEXT,
    "created_by": _TEXT,
    "schema_version": _WHOLE,
    "members": _TEXTS,
}
_HASHES = dict.fromkeys(PARTS, _TEXT)
_BAR = {
    "metric": _TEXT,
    **dict.fromkeys(("at_least", "at_most", "confidence", "margin"), _NUMBER),
    **dict.fromkeys(("no_worse_than", "improves_on", "code"), _TEXT),
    "strict": _FLAG,
    "min_units": _COUNT,
    "min_predicted": _NUMBER,
}
_SAMPLE = {"key": _TEXT, "sha256": _TEXT, "width": _PIXELS, "height": _PIXELS}
_COCO_ID = {"coco_image_id": _INTEGER}
_GROUP = {GROUP: _MAYBE_TEXT}
_BOX = {
    **dict.fromkeys(("key", "label_id", "label"), _TEXT),
    **dict.fromkeys(("x", "y"), _NUMBER),
    **dict.fromkeys(("width", "height"), _LENGTH),
    "crowd": _FLAG,
}


def read_document(document: dict[str, Any]) -> tuple[Suite, str]:
    """Turn the JSON values of a suite into the suite, and its content hash as it stands there.

    Raises
    ------
    InvalidInputError
        A field is missing, unknown or wrong; the message says which and where.
    """
    version = document.get("schema_version")
    # Files of older versions hold neither operating points nor groups, and their cases are of schema 1.
    old = isinstance(version, int) and version < SUITE_SCHEMA
    top = _fields(document, _SUITE if old else _SUITE | _POINTS, "the file")
    task = cast("Task", check_choice(top["task"], TASKS, "task"))
    name = check_name(top["name"], "name of the suite")
    check_unique(top["classes"], "class")
    cases = tuple(
        _read_case(c, suite=name, task=task, where=f"cases[{i}]", old=old) for i, c in enumerate(top["cases"])
    )
    check_unique([c.name for c in cases], "name of a case")
    suite = Suite(
        name=name,
        task=task,
        classes=tuple(top["classes"]),
        cases=cases,
        samples=_read_samples(top["samples"], task, old=old),
        boxes=_read_boxes(top["boxes"], task, old=old),
        categories=_read_categories(top["categories"]),
        schema_version=top["schema_version"],
        operating_points={} if old else _read_points(top["operating_points"], task),
        others="suite" if old else _read_others(top["others"], task),
    )
    return suite, top["content_hash"]


def _read_points(values: dict[str, Any], task: Task) -> dict[str, float | dict[str, float]]:
    if values and task == "classification":
        raise InvalidInputError("operating_points must be empty for classification, where every prediction counts.")
    for model, value in values.items():
        if not _is_confidence(value):
            raise InvalidInputError(f"operating_points[{model!r}] must be {_CONFIDENCE.words}; got {_shown(value)}.")
    return {check_name(model, "name of a model"): check_confidence(value) for model, value in values.items()}


def _read_others(value: Any, task: Task) -> float | dict[str, float] | None:
    if value is not None and task == "classification":
        raise InvalidInputError("others must be null for classification, where every prediction counts.")
    return None if value is None else check_confidence(value)


def _read_case(value: object, *, suite: str, task: Task, where: str, old: bool) -> Case:
    kinds = {name: kind for name, kind in _CASE.items() if not (old and name == "schema_version")}
    fields = _fields(value, kinds, where, optional=("hashes",))
    schema = fields.setdefault("schema_version", 1)
    if schema > 2:
        raise InvalidInputError(f"{where} was frozen by a newer SliceLab: schema_version {schema}. Update slicelab.")
    fields["hashes"] = _fields(fields.get("hashes", {}), _HASHES, f"{where}.hashes", optional=_HASHES)
    bar = _fields(fields.pop("bar"), _BAR, f"{where}.bar", optional=_BAR.keys() - {"metric"})
    members = fields.pop("members")
    try:
        check_name(fields["name"], "name")
        check_unique(members, "member")
        case = Case(suite=suite, bar=Bar(**bar), members=tuple(sorted(members)), **fields)
        check_metric(case.bar, task)
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}") from error
    return case


def _read_samples(values: Table, task: Task, *, old: bool) -> pd.DataFrame:
    optional = _COCO_ID if old else _COCO_ID | _GROUP
    kinds = {**_SAMPLE, **({"label": _MAYBE_TEXT} if task == "classification" else _COCO_ID)}
    kinds |= {} if old else _GROUP
    if isinstance(values, dict):
        columns = _columns(values, kinds, "samples", optional=optional)
        check_unique(columns["key"], "key of a sample")
        group = GROUP if GROUP in columns else None
        texts = {name: _text_column(columns[name]) for name in columns if kinds[name] in (_TEXT, _MAYBE_TEXT)}
        numbers = {name: np.array(columns[name], dtype=np.int64) for name in columns if name not in texts}
        return sample_frame(pd.DataFrame(columns | numbers | texts).set_index("key"), task, group=group)
    rows = _rows(values, kinds, "samples", optional=optional)
    check_unique([row["key"] for row in rows], "key of a sample")
    known = [name for name in kinds if name not in optional or (rows and all(name in row for row in rows))]
    if GROUP not in known and any(GROUP in row for row in rows):
        raise InvalidInputError('Some samples have a field "group" and others none: give it to all (null: unknown).')
    frame = pd.DataFrame.from_records(rows, columns=known).set_index("key")
    return sample_frame(frame, task, group=GROUP if GROUP in known else None)


def _text_column(values: list[str | None]) -> pd.api.extensions.ExtensionArray:
    import pyarrow as pa

    return text_column(pa.array(values, pa.large_string()))


def _read_categories(values: list[object]) -> dict[int, str]:
    rows = [_fields(value, _CATEGORY, f"categories[{i}]") for i, value in enumerate(values)]
    check_unique([str(row["id"]) for row in rows], "id of a category")
    return {row["id"]: row["name"] for row in rows}


def _read_boxes(values: Table, task: Task, *, old: bool) -> pd.DataFrame:
    if values and task == "classification":
        raise InvalidInputError(f"boxes must be empty for classification; got {len(values)}.")
    if isinstance(values, dict):
        frame = pd.DataFrame(_columns(values, _BOX, "boxes"), columns=list(BOX_COLUMNS))
    else:
        frame = pd.DataFrame.from_records(_rows(values, _BOX, "boxes"), columns=list(BOX_COLUMNS))
    ids = [f"{key}#{label_id}" for key, label_id in zip(frame["key"], frame["label_id"], strict=True)]
    check_unique(ids, "id of a labelled box")
    return box_frame(frame, rounded=not old)


def _columns(
    values: dict[str, Any], kinds: Mapping[str, Kind], where: str, *, optional: Collection[str] = ()
) -> dict[str, list[Any]]:
    """Return the columns of a table, each checked as `_rows` checks its rows."""
    if not values:
        return {name: [] for name in kinds if name not in optional}
    columns = _fields(values, dict.fromkeys(kinds, _LIST), where, optional=optional)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"The columns of {where} differ in length: {lengths}.")
    for name, column in columns.items():
        wrong = [] if _all_hold(kinds[name], column) else [i for i, v in enumerate(column) if not kinds[name].holds(v)]
        if wrong:
            told = f"must be {kinds[name].words}; got {_shown(column[wrong[0]])}."
            raise InvalidInputError(f"{where}[{wrong[0]}].{name} {told}")
    return columns


def _rows(
    values: list[Any], kinds: Mapping[str, Kind], where: str, *, optional: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the fields of many objects, each checked as by `_fields`; those of one kind column by column."""
    names = kinds.keys()
    if values and type(values[0]) is dict and names - optional <= values[0].keys() <= names:
        names = values[0].keys()
        kinds = {name: kinds[name] for name in names}
    if all(type(value) is dict and value.keys() == names for value in values):
        columns = ([value[name] for value in values] for name in names)
        if all(_all_hold(kind, column) for kind, column in zip(kinds.values(), columns, strict=True)):
            return values
    # Something is unusual; row by row it is told what and where.
    return [_fields(value, kinds, f"{where}[{i}]", optional=optional) for i, value in enumerate(values)]


def _all_hold(kind: Kind, values: list[Any]) -> bool:
    if kind is _TEXT or kind is _MAYBE_TEXT:
        return _are_texts(values)
    # A set takes 1 and True for the same.
    try:
        return len(set(map(type, values))) < 2 and all(map(kind.holds, set(values)))
    except TypeError:
        return False


def _fields(value: object, kinds: Mapping[str, Kind], where: str, *, optional: Collection[str] = ()) -> dict[str, Any]:
    """Return an object's fields, each checked; none may be unknown, and only the optional may be missing."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where} must be an object; got {_shown(value)}.")
    for name in value:
        if name not in kinds:
            raise InvalidInputError(f"{where} has an unknown field {name!r}.{did_you_mean(name, kinds)}")
    for name, kind in kinds.items():
        if name in value:
            if not kind.holds(value[name]):
                raise InvalidInputError(f"{where}.{name} must be {kind.words}; got {_shown(value[name])}.")
        elif name not in optional:
            raise InvalidInputError(f"{where} has no field {name!r}.")
    return dict(value)


def _shown(value: object) -> str:
    text = visible(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
