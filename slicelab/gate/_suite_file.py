"""Suites as JSON files for git: stable order, one member, sample or box to a line, so that diffs are small."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicelab.core import (
    BOX_COLUMNS,
    SUITE_SCHEMA,
    Bar,
    Case,
    InvalidInputError,
    Suite,
    SuiteError,
    hash_value,
    listed,
)
from slicelab.gate._read_suite import read_document
from slicelab.gate._sidecar import is_large, pack, unpack
from slicelab.gate._write_text import write_bytes, write_text

FORMAT = "slicelab-suite"

_log = logging.getLogger("slicelab")


def save_suite(suite: Suite, path: str | Path, *, sidecar: bool | None = None) -> Path:
    """Write a suite to a JSON file; the file is there whole or not at all.

    The same suite always gives the same bytes; one that was read from a file of an older version is written as such.
    The file's fields are described by `suite.schema.json` beside this module.

    Parameters
    ----------
    suite
        What to write.
    path
        Of the file; its folder must exist. A file that is there is replaced.
    sidecar
        Whether members, samples and boxes go into a compressed file beside it, `<name>.<hash>.members.json.gz`, whose
        SHA-256 stands in the suite; commit both. None: where they are more than 10,000.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InvalidInputError
        The provenance of a case isn't JSON.
    """
    path = Path(path)
    try:
        document = suite_document(suite)
        if not (is_large(document) if sidecar is None else sidecar):
            written = write_text(path, _text(document))
            _remove_sidecars(path, but=None)
            return written
        head, name, content = pack(document, path.stem)
        text = _text(head)
        # The suite names the sidecar by its content: whenever this is cut off, a suite has the sidecar it needs.
        write_bytes(path.with_name(name), content)
        write_text(path, text)
        _remove_sidecars(path, but=name)
        return path
    except InvalidInputError:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"The suite {suite.name!r} can't be written as JSON: {error}. Check the provenance of its cases: "
            "texts, finite numbers, booleans, lists and dictionaries only."
        ) from error


def load_suite(path: str | Path) -> Suite:
    """Read a suite from its file.

    Types, ranges and names are checked here. Whether members, labels and media are still those that were frozen is
    checked case by case when the suite runs: a case that was tampered with is invalid, the others still count.
    A file that was edited by hand or merged is logged as a warning, for bars can be edited too, and `edited` says so in
    the suite and in every report on it. A file of schema 3 or older is read with the meaning that it had.

    Parameters
    ----------
    path
        Of a file that `save_suite` wrote.

    Returns
    -------
    Suite
        Equal to the one saved (members sorted).

    Raises
    ------
    SuiteError
        It can't be read: no such file, no JSON, a field that is missing, unknown or of the wrong type, or written
        by a newer SliceLab. The message says where.
    """
    path = Path(path)
    document = _parse(path)
    if document.get("format") != FORMAT:
        raise SuiteError(f"{path} isn't a suite: its field 'format' is {document.get('format')!r}, not {FORMAT!r}.")
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SuiteError(f"{path}: schema_version must be a whole number from 1; got {version!r}.")
    if version > SUITE_SCHEMA:
        raise SuiteError(
            f"{path} was written by a newer SliceLab: schema_version {version}, this one reads up to "
            f"{SUITE_SCHEMA}. Update slicelab."
        )
    try:
        suite, content_hash = read_document(unpack(document, path.parent) if "sidecar" in document else document)
    except InvalidInputError as error:
        raise SuiteError(f"{path}: {error}") from error
    actual = hash_value({name: value for name, value in document.items() if name != "content_hash"})
    edited = actual != content_hash
    if edited:
        _log.warning(
            "%s was edited by hand or merged: its content hash doesn't match. Members, labels and media are still "
            "checked case by case; names and bars are as they stand in the file. Save the suite to renew the hash.",
            path,
        )
    return replace(suite, edited=edited, content_hash=actual)


def _remove_sidecars(path: Path, *, but: str | None) -> None:
    """Remove what an earlier save of the same suite left beside it."""
    ours = re.compile(re.escape(path.stem[:150]) + r"\.[0-9a-f]{12}\.members\.json\.gz")
    for other in path.parent.iterdir():
        if other.name != but and ours.fullmatch(other.name):
            other.unlink(missing_ok=True)


def suite_hash(suite: Suite) -> str:
    """SHA-256 over everything in a suite: bars, members and truth."""
    return hash_value(suite_document(suite))


def suite_document(suite: Suite) -> dict[str, Any]:
    """Return a suite as JSON values, without its content hash."""
    samples = suite.samples.sort_index().reset_index(names="key")
    boxes = suite.boxes.sort_values(["key", "label_id"])[list(BOX_COLUMNS)]
    old = suite.schema_version < SUITE_SCHEMA
    points = {m: suite.operating_points[m] for m in sorted(suite.operating_points)}
    return {
        "format": FORMAT,
        "schema_version": suite.schema_version,
        "name": suite.name,
        "task": suite.task,
        "classes": list(suite.classes),
        "categories": [{"id": i, "name": suite.categories[i]} for i in sorted(suite.categories)],
        **({} if old else {"operating_points": points, "others": suite.others}),
        "cases": [_case_document(c, old=old) for c in suite.cases],
        "samples": samples.astype(object).where(samples.notna(), None).to_dict("records"),
        "boxes": boxes.to_dict("records"),
    }


def _case_document(case: Case, *, old: bool) -> dict[str, Any]:
    if old and case.schema_version > 1:
        raise InvalidInputError(
            f"The case {case.name!r} is frozen whole, which a suite of an older version can't say. Make the suite anew "
            "with make_suite()."
        )
    return {
        "name": case.name,
        "bar": _bar_document(case.bar),
        "content_hash": case.content_hash,
        "rule": case.rule,
        "note": case.note,
        "provenance": case.provenance,
        "case_id": case.case_id,
        "version": case.version,
        "created_at": case.created_at,
        "created_by": case.created_by,
        **({} if old else {"schema_version": case.schema_version}),
        **({"hashes": case.hashes} if case.hashes else {}),
        "members": sorted(set(case.members)),
    }


def _bar_document(bar: Bar) -> dict[str, Any]:
    number = {k: float(v) for k in ("at_least", "at_most") if (v := getattr(bar, k)) is not None}
    model = {k: v for k in ("no_worse_than", "improves_on") if (v := getattr(bar, k)) is not None}
    margin = {"margin": float(bar.margin)} if model else {}
    code = {"code": bar.code} if bar.code is not None else {}
    rest = {"confidence": float(bar.confidence), "strict": bool(bar.strict), "min_units": int(bar.min_units)}
    share = {"min_predicted": float(bar.min_predicted)} if bar.min_predicted is not None else {}
    return {"metric": bar.metric, **number, **model, **margin, **rest, **share, **code}


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except OSError as error:
        raise SuiteError(f"The suite {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{path} isn't a suite: it can't be read as JSON: {error}.") from error
    if not isinstance(document, dict):
        raise SuiteError(f"{path} isn't a suite: it holds a {type(document).__name__}, not an object with fields.")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"these fields occur twice: {listed(sorted({n for n in names if names.count(n) > 1}))}")
    return fields


def _text(document: dict[str, Any]) -> str:
    lists = {"cases": [_case_text(c) for c in document["cases"]]}
    long = [name for name in ("samples", "boxes") if isinstance(document[name], list)]
    lists |= {name: [f"  {_line(row)}" for row in document[name]] for name in long}
    head = {k: v for k, v in document.items() if k not in lists}
    head["content_hash"] = hash_value(document)
    fields = [f" {_line(k)}: {_line(v)}" for k, v in head.items()]
    fields += [f" {_line(k)}: {_block(items, ' ')}" for k, items in lists.items()]
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _case_text(case: dict[str, Any]) -> str:
    fields = [f"   {_line(k)}: {_line(v)}" for k, v in case.items() if k != "members"]
    members = case["members"]
    shown = _block([f"    {_line(m)}" for m in members], "   ") if isinstance(members, list) else _line(members)
    fields.append(f'   "members": {shown}')
    return "  {\n" + ",\n".join(fields) + "\n  }"


def _block(items: list[str], indent: str) -> str:
    return "[\n" + ",\n".join(items) + f"\n{indent}]" if items else "[]"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
