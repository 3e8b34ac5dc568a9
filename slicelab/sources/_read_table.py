"""Tables with one row per image or box: CSV, TSV, JSON lines, Parquet, DataFrame."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import SourceError, did_you_mean, listed
from slicelab.sources._read_json import decode, hash_bytes, parse_json, parse_json_lines, read_bytes
from slicelab.sources._read_plain_csv import read_plain_csv
from slicelab.sources._rows import objects, printable
from slicelab.sources._texts import storable

KEY_COLUMNS = ("key", "id")
PATH_COLUMNS = ("filepath", "path", "file_name", "filename", "image")
LABEL_COLUMNS = ("label", "class", "category", "ground_truth")
PREDICTION_COLUMNS = ("prediction", "predicted", "label", "class", "category")
CONFIDENCE_COLUMNS = ("confidence", "score")
BOX_NUMBERS = (("x",), ("y",), ("width", "w"), ("height", "h"))
PROBABILITY = "p_"
_NUMBERS = {"confidence", "score", "x", "y", "width", "height", "w", "h"}
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?([eE][+-]?\d{1,2})?")


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Parameters
    ----------
    frame
        Texts are texts ("NA" and "None" too: they may be classes); index 0 ... n-1.
    file
        Its name for messages.
    lines
        int64 (n,), the line (or row) in which each row stands.
    sha256
        Hex hash of its bytes.
    folder
        Where the file lies; None for a DataFrame.
    untyped
        True: its cells are texts, whatever they say (CSV).
    """

    frame: pd.DataFrame
    file: str
    lines: npt.NDArray[np.int64]
    sha256: str
    folder: str | None = None
    untyped: bool = False

    def find(self, names: Sequence[str]) -> str | None:
        """Return the first of the columns that is there; None: none is."""
        return next((n for n in names if n in self.frame.columns), None)

    def need(self, names: Sequence[str], what: str) -> str:
        """Return the first of the columns that is there, or raise `SourceError` with those that are."""
        found = self.find(names)
        if found is None:
            columns = [str(c) for c in self.frame.columns]
            hint = did_you_mean(names[0], columns) if columns else ""
            raise SourceError(
                f"{self.file} has no column for the {what}; one of {listed(names, 8)} is needed. "
                f"It has the columns {listed(columns, 20)}.{hint}"
            )
        return found

    def values(self, name: str | None) -> list[Any]:
        """Return a column as Python values; None for each row where there is no such column."""
        return [None] * len(self.frame) if name is None else list(self.frame[name].tolist())

    @property
    def has_boxes(self) -> bool:
        """True when it has columns for x, y, width and height."""
        return all(self.find(names) for names in BOX_NUMBERS)


def read_table(source: str | Path | pd.DataFrame) -> Table:
    """Read a CSV, TSV, JSON-lines or Parquet file, or take a DataFrame.

    Raises
    ------
    SourceError
        It can't be read, or holds no columns, or the same column twice; with the line where there is one.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    suffix = Path(source).suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise SourceError(f"{printable(source)} is no table: {listed(_READERS, 9)} are read; got {suffix!r}.")
    data = read_bytes(source)
    file = printable(source)
    frame, lines = reader(data, file)
    folder = str(Path(source).expanduser().absolute().parent)
    return Table(frame, file, np.asarray(lines, dtype=np.int64), hash_bytes(data), folder, reader is _read_csv)


def from_records(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a DataFrame of JSON objects; texts stay Python objects, as they may hold what can't be stored."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return pd.DataFrame({printable(n): pd.Series([r.get(n) for r in records], dtype=object) for n in names})


def metadata_of(table: Table, used: Sequence[str | None]) -> pd.DataFrame:
    """Return the other columns; of a CSV, texts that are all numbers or all true or false as such (not codes: 007)."""
    rest = [c for c in table.frame.columns if c not in used]
    typed = _as_numbers if table.untyped else storable
    return pd.DataFrame({str(c): typed(table.frame[c]) for c in rest}, index=table.frame.index)


def _from_frame(source: pd.DataFrame) -> Table:
    frame = source.reset_index(drop=source.index.name is None).reset_index(drop=True)
    frame.columns = pd.Index([printable(c) for c in frame.columns])
    _check_columns(list(frame.columns), "The DataFrame")
    text = frame.to_csv(index=False)
    lines = np.arange(1, len(frame) + 1, dtype=np.int64)
    return Table(frame, "DataFrame", lines, hash_bytes(text.encode("utf-8", "surrogatepass")))


def _read_csv(data: bytes, file: str) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    text = decode(data, file)
    head = text.split("\n", 1)[0].rstrip("\r")
    separator = max(",;\t", key=head.count)  # the first on a tie
    try:
        names = next(csv.reader([head], delimiter=separator), [])
    except csv.Error as error:
        raise SourceError(f"{file}, line 1: the header can't be read: {error}.") from error
    names = [n.strip() for n in names]
    _check_columns(names, f"{file}, line 1")
    is_number = [n in _NUMBERS or n.startswith(PROBABILITY) for n in names]
    numbers = [n for n, number in zip(names, is_number, strict=True) if number]
    try:
        plain = read_plain_csv(data, separator=separator, names=names, numbers=numbers)
        if plain is not None:
            return plain, np.arange(2, len(plain) + 2, dtype=np.int64)
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            names=names,
            header=0,
            dtype={n: "str" for n, number in zip(names, is_number, strict=True) if not number},
            keep_default_na=False,
            na_values={n: [""] for n, number in zip(names, is_number, strict=True) if number},
            skip_blank_lines=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        raise SourceError(f"{file}: not a table that can be read: {_first_line(error)}.") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise SourceError(f"{file}: its rows have more cells than its header, which has {len(names)}: {listed(names)}.")
    filled = ((frame != "") & frame.notna()).any(axis=1).to_numpy()
    lines = np.flatnonzero(filled) + 2
    return frame[filled].reset_index(drop=True), lines


def _read_jsonl(data: bytes, file: str) -> tuple[pd.DataFrame, list[int]]:
    records, lines = parse_json_lines(decode(data, file), file)
    return from_records(records), lines


def _read_json(data: bytes, file: str) -> tuple[pd.DataFrame, list[int]]:
    value = parse_json(decode(data, file), file)
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise SourceError(f"{file}: it must be a list of objects; got {printable(value)[:60]!r}.")
    return from_records(value), list(range(1, len(value) + 1))


def _read_parquet(data: bytes, file: str) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, ArithmeticError) as error:
        raise SourceError(f"{file}: not a Parquet file that can be read: {_first_line(error)}.") from error
    table = _from_frame(frame)
    return table.frame, table.lines


_READERS: dict[str, Callable[[bytes, str], tuple[pd.DataFrame, Any]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
TABLE_SUFFIXES = frozenset(_READERS)


def _check_columns(names: list[str], where: str) -> None:
    if not any(names):
        raise SourceError(f"{where}: there are no columns.")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SourceError(f"{where}: every column must be there once; these occur again: {listed(twice)}.")


def _as_numbers(values: pd.Series) -> pd.Series:
    if not (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        return values
    cells = [None if v is pd.NA or v == "" or v != v else v for v in values.tolist()]
    texts = [v for v in cells if v is not None]
    filled = pd.Series(objects(cells), index=values.index, dtype=object)
    if texts and len(texts) == len(cells) and {str(t).lower() for t in texts} <= {"true", "false"}:
        return filled.map(lambda text: str(text).lower() == "true").astype(bool)
    if not texts or not all(isinstance(t, str) and _PLAIN_NUMBER.fullmatch(t) for t in texts):
        return storable(filled)
    return pd.to_numeric(filled, errors="coerce")


def _first_line(error: BaseException) -> str:
    return printable(str(error).strip().split("\n")[0]).rstrip(".")
