"""CSV: labels.csv out and in, one row per label, for people with a spreadsheet.

Text that a spreadsheet would run as a formula is written with a leading apostrophe, which the reader takes off
again (CWE-1236).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slicelab.annotation._answer import Answer, AnswerBox, frame_of, number, shown
from slicelab.annotation._export import Export
from slicelab.core import AnnotationTask, Box, ReturnFileError, Task

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
_YES = ("yes", "y", "true", "1", "x")
_NO = ("", "no", "n", "false", "0")
_BOX = ("x", "y", "width", "height")
_COMMON = ("key", "sha256", "reasons", "instruction", "predicted_label", "predicted_confidence")
COLUMNS: dict[str, tuple[str, ...]] = {
    "classification": ("slicelab_id", "file", "label", "reviewed", "annotator", *_COMMON),
    "detection": (
        *("slicelab_id", "file", "label_id", "label", *_BOX, "reviewed", "annotator"),
        *("image_width", "image_height", *_COMMON),
    ),
}
README = """CSV
labels.csv is UTF-8 with commas; one row per label. Correct the column `label` (and the box in x, y, width, height:
pixels from the top left corner), then write yes into `reviewed`. Rows without yes stay open, and an image counts only
when all its rows say yes. To delete a box delete its row; to add one copy a row of the same image and empty its
`label_id`. To say that an image has no boxes keep one row of it with label and box empty. Cells that start with an
apostrophe do so to keep spreadsheets from running them as formulas; leave it. Leave the other columns alone; the
order of rows doesn't matter.
"""


def escape_formula(cell: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula, or that starts with one."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def unescape_formula(cell: str) -> str:
    """Undo `escape_formula`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def write_csv(export: Export) -> dict[str, bytes]:
    """Return the files of a CSV batch by name."""
    names = export.names()
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS[export.batch.task], restval="", lineterminator="\n")
    writer.writeheader()
    for task in export.batch.tasks:
        for row in _rows(task, export, names[task.task_id]):
            writer.writerow({k: escape_formula(v) if isinstance(v, str) else v for k, v in row.items()})
    return {"labels.csv": stream.getvalue().encode(), "README.txt": README.encode()}


def _rows(task: AnnotationTask, export: Export, name: str) -> Iterable[dict[str, Any]]:
    common = {
        "slicelab_id": task.task_id,
        "file": name,
        "reviewed": "no",
        "key": task.key,
        "sha256": task.sha256,
        "reasons": ", ".join(task.reasons),
        "instruction": task.instruction,
        "predicted_label": task.predicted_label or "",
        "predicted_confidence": "" if task.predicted_confidence is None else task.predicted_confidence,
    }
    if export.batch.task == "classification":
        return [common | {"label": export.label(task) or ""}]
    common |= {"image_width": task.width, "image_height": task.height}
    boxes = [
        {"label_id": b.label_id, "label": b.label, "x": b.x, "y": b.y, "width": b.width, "height": b.height}
        for b in export.boxes(task)
    ]
    return [common | box for box in boxes or [{}]]


@dataclass(frozen=True)
class _Row:
    """A row of the file, its cells without the guard against formulas."""

    line: int
    cells: dict[str, str]
    decimal_comma: bool

    def text(self, column: str) -> str:
        return self.cells.get(column, "")

    def number(self, column: str) -> float:
        cell = self.text(column).strip()
        return number(cell.replace(",", ".") if self.decimal_comma else cell)

    @property
    def identity(self) -> tuple[str, str, str]:
        identity = (
            self.text("slicelab_id").strip(),
            self.text("sha256").strip(),
            self.text("file") or self.text("key"),
        )
        return (identity[0], "", "") if identity[0] else identity

    @property
    def content(self) -> tuple[object, ...]:
        """What makes it this row of its image: its label id, where it has none its label and box."""
        label_id = self.text("label_id")
        sides = (self.number(c) for c in _BOX)
        return (label_id,) if label_id else (self.text("label"), *(None if math.isnan(v) else v for v in sides))

    @property
    def is_empty(self) -> bool:
        return not self.text("label") and not any(self.text(c).strip() for c in _BOX)

    @property
    def review(self) -> bool | None:
        """True or False as the cell says, None for a word that is neither."""
        word = self.text("reviewed").strip().casefold()
        return True if word in _YES else False if word in _NO else None


def read_csv(content: str, *, task: Task) -> list[Answer]:
    """Return the answers of a file: one per row (classification), one per image (detection).

    Rows of one image belong together wherever they stand. A row that repeats a label id, or a whole box, of its
    image starts a second answer to it.

    Parameters
    ----------
    content
        The decoded file; separated by comma, semicolon (then decimal commas are read, too) or tab.
    task
        Task of the batch.

    Raises
    ------
    ReturnFileError
        No header with the columns that are needed, or not a CSV file.
    """
    rows = _parse(content, ("label", "reviewed") if task == "classification" else ("label", *_BOX, "reviewed"))
    if task == "classification":
        return [_label_answer(row) for row in rows]
    groups: dict[tuple[str, ...], list[list[_Row]]] = {}
    said: dict[tuple[str, ...], set[object]] = {}
    for row in rows:
        key = row.identity if any(row.identity) else (str(row.line),)
        answers, before = groups.setdefault(key, [[]]), said.setdefault(key, set())
        if row.content in before:
            answers.append([])
            before.clear()
        answers[-1].append(row)
        before.add(row.content)
    return [_box_answer(found) for answers in groups.values() for found in answers]


def _parse(content: str, needed: tuple[str, ...]) -> list[_Row]:
    header = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        columns = [c.strip() for c in next(reader, [])]
        missing = [c for c in needed if c not in columns]
        if missing or not {"slicelab_id", "sha256", "file", "key"} & set(columns):
            raise ReturnFileError(
                f"The first line must name the columns; missing: {', '.join(missing) or 'slicelab_id'}. "
                f"It starts {shown(header)!r}. Send back the file that was exported, with its header."
            )
        if len(set(columns)) < len(columns):
            raise ReturnFileError("A column stands twice in the header; keep one of each.")
        return list(_checked_rows(reader, columns, decimal_comma=delimiter == ";"))
    except csv.Error as error:
        raise ReturnFileError(f"This isn't a readable CSV file: {error}. Save it again as CSV (UTF-8).") from error


def _checked_rows(reader: Any, columns: list[str], *, decimal_comma: bool) -> Iterable[_Row]:
    for cells in reader:
        if not any(c.strip() for c in cells):
            continue
        if len(cells) != len(columns):
            raise ReturnFileError(
                f"Line {reader.line_num} has {len(cells)} cells, the header {len(columns)}: the file is cut off or its "
                "quotes are broken. Nothing was taken; save it again as CSV."
            )
        named = {c: unescape_formula(v) for c, v in zip(columns, cells, strict=True)}
        yield _Row(reader.line_num, named, decimal_comma)


def _identity(row: _Row) -> dict[str, Any]:
    task_id = row.text("slicelab_id").strip()
    name = row.text("file") or row.text("key")
    return {
        "item": shown(row.text("key") or name) or f"line {row.line}",
        "line": row.line,
        "task_ids": (task_id,) if task_id else (),
        "sha256": row.text("sha256").strip(),
        "name": name,
        "annotator": shown(row.text("annotator")),
        "updated_at": shown(row.text("updated_at")),
    }


def _label_answer(row: _Row) -> Answer:
    label, review = row.text("label"), row.review
    problem = "" if review is not None else f"reviewed must be yes or no; got {shown(row.text('reviewed'))!r}"
    return Answer(
        **_identity(row),
        reviewed=review is not False,
        problem=problem,
        skipped="" if review else "its row isn't marked as reviewed",
        labels=(label,) if label else (),
    )


def _box_answer(rows: list[_Row]) -> Answer:
    reviews = [row.review for row in rows]
    boxes = [row for row in rows if not row.is_empty]
    problem = ""
    if None in reviews:
        problem = "reviewed must be yes or no in every row"
    elif boxes and len(boxes) < len(rows):
        problem = "it has both boxes and a row that says that there are none"
    elif len({row.identity for row in rows} | {(row.text("sha256"),) for row in rows}) > 2:
        problem = "its rows carry different hashes"
    frames = {frame_of(row.number("image_width"), row.number("image_height")) for row in rows} - {None}
    marked = reviews.count(True)
    return Answer(
        **_identity(rows[0]),
        reviewed=marked == len(rows) or None in reviews,
        problem=problem or ("its rows name images of different sizes" if len(frames) > 1 else ""),
        skipped=f"{marked} of its {len(rows)} rows are marked as reviewed",
        boxes=tuple(_box(row) for row in boxes),
        frame=next(iter(frames), None),
    )


def _box(row: _Row) -> AnswerBox:
    x, y, width, height = (row.number(side) for side in _BOX)
    return AnswerBox(Box(row.text("label"), x, y, width, height, row.text("label_id")), row.text("slicelab_id").strip())
