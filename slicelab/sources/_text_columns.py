"""Columns of texts as Arrow holds them: looked up, compared and checked without one Python object per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT

if TYPE_CHECKING:
    import pyarrow as pa

_LEAST, _MOST = 0x21, 0x7E  # printable ASCII but for the space


def arrow_texts(values: pd.Series | pd.Index) -> pa.LargeStringArray | None:
    """Return a column of texts as an Arrow array; None where pandas keeps it otherwise or a text is missing."""
    import pyarrow as pa

    dtype = values.dtype
    if not isinstance(dtype, pd.StringDtype) or dtype.storage != "pyarrow":
        return None
    found = pa.array(values.array, type=pa.large_string())
    chunked = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return None if chunked.null_count else cast("pa.LargeStringArray", chunked)


def text_column(values: pa.Array) -> pd.api.extensions.ExtensionArray:
    """Return an Arrow array of texts as a column of pandas, the same bytes."""
    return cast("pd.api.extensions.ExtensionArray", pd.array(values, dtype=TEXT))


def find_texts(wanted: pd.Series | pd.Index, known: pd.Index) -> npt.NDArray[np.intp]:
    """Return where each text stands in `known`, whose texts are unique; -1 where it doesn't."""
    import pyarrow.compute as pc

    texts, among = arrow_texts(wanted), arrow_texts(known)
    if texts is None or among is None:
        return np.asarray(known.astype(object).get_indexer(pd.Index(wanted, dtype=object)), dtype=np.intp)
    return np.asarray(pc.fill_null(pc.index_in(texts, value_set=among), -1).to_numpy(), dtype=np.intp)


def text_bytes(texts: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return where each text begins and the last ends, int64 (n + 1,), and the bytes (UTF-8), uint8."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return ends - ends[0], content[ends[0] : ends[-1]]


def are_plain(texts: pa.LargeStringArray, limit: int) -> bool:
    """Tell whether all are printable ASCII without spaces, 1 to `limit` characters: `clean_texts` changes none."""
    if not len(texts):
        return True
    ends, content = text_bytes(texts)
    lengths = np.diff(ends)
    if lengths.min() < 1 or lengths.max() > limit:
        return False
    return bool(content.min() >= _LEAST and content.max() <= _MOST)
