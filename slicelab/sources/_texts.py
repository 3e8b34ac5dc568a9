"""Names, keys and numbers as they come from files: made uniform, the unusable ones told apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from slicelab.core import MAX_NAME, visible
from slicelab.sources._rows import Floats, Mask, Objects, objects

_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_PATH = 4096


def clean_texts(
    values: Iterable[Any], what: str, *, limit: int = MAX_NAME, exact: bool = False
) -> tuple[Objects, Objects]:
    """Make labels or keys uniform.

    Whole numbers become their digits ("3", also of 3.0); texts get Unicode normal form C and lose spaces at their
    ends, unless `exact` (names of files, which must stay what they are on disk).

    Returns
    -------
    The texts (None where there is none), and for each what is wrong with it in words (None: nothing).
    """
    values = list(values)
    if _are_clean(values, limit):
        return objects(values), objects([None] * len(values))
    found: dict[Any, tuple[str | None, str | None]] = {}
    texts, problems = [], []
    for value in values:
        memo = value if isinstance(value, str) else (type(value), repr(value))
        if memo not in found:
            found[memo] = _clean(value, what, limit, exact=exact)
        text, problem = found[memo]
        texts.append(text)
        problems.append(problem)
    return objects(texts), objects(problems)


def _are_clean(values: list[Any], limit: int) -> bool:
    """Tell at once what `_clean` would find of each: texts without anything that is changed or refused."""
    if set(map(type, values)) != {str}:
        return False
    joined = "".join(values)
    plain = " " not in joined and joined.isascii() and joined.isprintable()
    return plain and all(0 < n <= limit for n in set(map(len, values)))


def _clean(value: Any, what: str, limit: int, *, exact: bool) -> tuple[str | None, str | None]:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return None, None
    if isinstance(value, (bytes, list, tuple, dict, set)):
        return None, f"the {what} is no text: {visible(repr(value)[:80])}"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = str(value) if exact else str(value).strip()
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text or None, None
    problem = _text_problem(text, what, limit)
    return (None, problem) if problem else (text if exact else unicodedata.normalize("NFC", text), None)


def _text_problem(text: str, what: str, limit: int) -> str | None:
    if len(text) > limit:
        return f"the {what} has {len(text)} characters, at most {limit} are kept; it begins {_shown(text[:40])}"
    if _SURROGATE.search(text):
        return f"the {what} holds half a character (a lone surrogate), which can't be stored: {_shown(text)}"
    if visible(text) != text:
        return f"the {what} holds control or direction-changing characters: {_shown(text)}"
    return None


def _shown(text: str) -> str:
    return ascii(text)


def numbers(values: pd.Series) -> tuple[Floats, Mask]:
    """Read a column as numbers.

    Returns
    -------
    float64 (n,), NaN where there is none; and which cells hold something that is no number ("nan" is one).
    """
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(values), dtype=bool)
    plain = objects([_plain(v) for v in values])
    parsed = np.asarray(pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce"), dtype=np.float64)
    empty = np.array([v is None or v == "" for v in plain], dtype=bool)
    return parsed, np.isnan(parsed) & ~empty


def _plain(value: Any) -> Any:
    """Return what `to_numeric` can take; whatever is no number becomes a text that isn't one."""
    if value is None or value is pd.NA or isinstance(value, float):
        return None if value is pd.NA else value
    if isinstance(value, str):
        return value.strip() if len(value) < 400 and "_" not in value else "no number"
    if isinstance(value, bool) or not isinstance(value, (int, np.number)):
        return "no number"
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def number(value: Any) -> float:
    """Return a JSON number as float, NaN for whatever is none."""
    if type(value) is float:
        return value
    return float(value) if type(value) is int and -1e15 < value < 1e15 else float("nan")


def storable(values: pd.Series) -> pd.Series:
    """Return a metadata column whose texts can be stored: lone surrogates become question marks."""
    if values.dtype != object:
        return values
    cleaned = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
    return pd.Series(cleaned, index=values.index, dtype=object).infer_objects()
