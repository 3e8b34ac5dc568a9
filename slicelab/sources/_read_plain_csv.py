"""Plain CSV, which most files are: no quotes, no blank lines, as many cells in each row as in the header."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from slicelab.sources._text_columns import text_column

_ODD = (b'"', b"\r", b"\0", b"\n\n")
_MARK = b"\xef\xbb\xbf"


def read_plain_csv(data: bytes, *, separator: str, names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame | None:
    """Read a CSV file's texts by Arrow and its numbers by pandas, so that both are what pandas alone reads.

    Parameters
    ----------
    data
        The file's bytes, valid UTF-8.
    separator
        One character.
    names
        The columns, unique; the first line is left out.
    numbers
        Those of them that hold numbers.

    Returns
    -------
    DataFrame of all columns, texts as "str" (an empty cell is an empty text), numbers as pandas takes them (an empty
    cell is NaN). None: the file isn't plain, or a row is empty, and pandas has to read all of it.
    """
    if not _is_plain(data):
        return None
    texts = _read_texts(data, separator, [(name, name in set(numbers)) for name in names])
    if texts is None or not len(texts):
        return None
    values = _read_numbers(data, separator, names, numbers)
    if len(values.columns) and len(values) != len(texts):
        return None
    filled = any(not values[name].isna().any() for name in values.columns)
    if not filled and not any((texts[name] != "").all() for name in texts.columns):
        return None
    return pd.DataFrame({name: (values if name in values.columns else texts)[name] for name in names})


def _is_plain(data: bytes) -> bool:
    dtype = pd.api.types.pandas_dtype("str")
    if not isinstance(dtype, pd.StringDtype) or dtype.storage != "pyarrow":
        return False  # pandas 2: texts are Python objects
    return not data.startswith(_MARK) and not any(odd in data for odd in _ODD)


def _read_texts(data: bytes, separator: str, columns: Sequence[tuple[str, bool]]) -> pd.DataFrame | None:
    import pyarrow as pa
    from pyarrow import csv

    names = [name for name, _ in columns]
    chosen = [name for name, is_number in columns if not is_number]
    if not chosen:
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            parse_options=csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(chosen, pa.large_string()),
                include_columns=chosen,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:  # a row with more or fewer cells
        return None
    return pd.DataFrame({name: text_column(table[name].combine_chunks()) for name in chosen})


def _read_numbers(data: bytes, separator: str, names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    if not numbers:
        return pd.DataFrame(index=np.zeros(0))
    return pd.read_csv(
        io.BytesIO(data),
        sep=separator,
        names=list(names),
        header=0,
        usecols=list(numbers),
        keep_default_na=False,
        na_values={name: [""] for name in numbers},
        skip_blank_lines=False,
        low_memory=False,
    )
