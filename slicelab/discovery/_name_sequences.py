"""Sequences in the names of files: a number that runs while the rest of the name stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from slicelab.core import TEXT

_NUMBERED = re.compile(r"(.*?)(\d{1,18})(\D*)")
_JUMP = 10


def name_sequences(keys: Sequence[str]) -> pd.DataFrame:
    """Read sequences out of the names of files.

    Parameters
    ----------
    keys
        Paths or names, unique.

    Returns
    -------
    DataFrame, index `key` in the order given: `sequence` (str: the name with its last number taken out, in its folder;
    where the numbers jump by more than ten times their usual step, the part that follows is a sequence of its own,
    named with its first number; missing where the name has no number) and `number` (Int64).

    Examples
    --------
    >>> name_sequences(["v3_0012.jpg", "v3_0013.jpg", "v4_0001.jpg", "cover.jpg"])["sequence"].tolist()
    ['v3_*', 'v3_*', 'v4_*', nan]
    """
    index = pd.Index(list(keys), name="key", dtype=TEXT)
    read = [_read(key) for key in keys]
    frame = pd.DataFrame(
        {
            "sequence": pd.Series([name for name, _ in read], index=index, dtype=TEXT),
            "number": pd.Series([number for _, number in read], index=index, dtype="Int64"),
        }
    )
    numbered = frame.dropna().sort_values(["sequence", "number"], kind="stable")
    steps = numbered.groupby("sequence")["number"].diff().astype("Float64")
    usual = steps[steps > 0].groupby(numbered["sequence"]).median()
    wide = (steps > _JUMP * numbered["sequence"].map(usual)).fillna(False).to_numpy(bool)
    part = pd.Series(wide, index=numbered.index).groupby(numbered["sequence"]).cumsum().to_numpy(int)
    first = numbered["number"].groupby([numbered["sequence"], part]).transform("first")
    later = part > 0
    names = numbered["sequence"].to_numpy(object).copy()
    names[later] = [f"{n} from {f}" for n, f in zip(names[later], first[later], strict=True)]
    frame.loc[numbered.index, "sequence"] = names
    return frame


def neighbours_in(sequences: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the rows of images that follow each other in a sequence, int64 (m, 2)."""
    numbers = sequences["number"].astype("Float64").to_numpy(float, na_value=np.nan)
    codes = pd.factorize(sequences["sequence"])[0]
    order = np.lexsort((numbers, codes))
    follows = (codes[order[1:]] == codes[order[:-1]]) & (codes[order[1:]] >= 0)
    return np.stack([order[:-1][follows], order[1:][follows]], axis=1).astype(np.int64)


def _read(key: str) -> tuple[str | None, int | None]:
    path = PurePosixPath(key)
    found = _NUMBERED.fullmatch(path.stem)
    if found is None:
        return None, None
    head, number, tail = found.groups()
    return str(path.parent / f"{head}*{tail}"), int(number)
