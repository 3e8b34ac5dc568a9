"""Reading what FiftyOne has stored: columns of a dataset's samples, straight from the database.

FiftyOne isn't imported for this. Its record of a dataset says in which collection the samples are and which fields
they have.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import BOX_COLUMNS, PREDICTED_BOX_COLUMNS, TEXT
from slicelab.store._fiftyone import no_samples

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

_BATCH = 1000
_BOX_DTYPES: dict[str, Any] = {"key": TEXT, "label_id": TEXT, "label": TEXT, "crowd": "bool"}
_NOTHING: Document = {}


@dataclass(frozen=True, eq=False)
class StoredSamples:
    """Where FiftyOne keeps the samples of a dataset.

    Parameters
    ----------
    collection
        One document per sample.
    dataset_id
        That FiftyOne has given to the dataset.
    fields
        Dotted paths of the declared fields, those inside labels as well.
    """

    collection: Collection[Document]
    dataset_id: Any
    fields: frozenset[str]


def find_samples(database: Database[Document], name: str) -> StoredSamples:
    """Find the samples of a dataset in FiftyOne's database, or raise `NotFoundError`."""
    wanted = {"sample_collection_name": 1, "sample_fields": 1}
    found = database["datasets"].find_one({"name": name}, wanted)
    if found is None:
        raise no_samples(name)
    fields = frozenset(_paths(found.get("sample_fields") or []))
    return StoredSamples(database[found["sample_collection_name"]], found["_id"], fields)


def read_columns(stored: StoredSamples, paths: Sequence[str]) -> list[list[Any]]:
    """Read values by dotted path, one list per path; None where a sample has none.

    Rows are in the order in which the samples were added; the database's own order may change.
    """
    columns: list[list[Any]] = [[] for _ in paths]
    for batch in stored_batches(stored, paths):
        for column, path in zip(columns, paths, strict=True):
            column.extend(_values(batch, path))
    return columns


def read_samples(stored: StoredSamples) -> pd.DataFrame:
    """Return every sample by `key`: `_id` (FiftyOne's), `width` and `height` in pixels."""
    columns = read_columns(stored, ["key", "_id", "metadata.width", "metadata.height"])
    names = ("key", "_id", "width", "height")
    return pd.DataFrame(dict(zip(names, columns, strict=True))).set_index("key")


def read_boxes(stored: StoredSamples, field: str, samples: pd.DataFrame, *, ids: str) -> pd.DataFrame:
    """Read the boxes of a label field in pixels.

    Parameters
    ----------
    stored, field
        Samples and label field.
    samples
        Index `key` in the order of the dataset; columns `width`, `height` in pixels.
    ids
        "label_id" (then the frame has `BOX_COLUMNS`) or "box_id" (`PREDICTED_BOX_COLUMNS`).

    Returns
    -------
    One row per box, in the order of the dataset.
    """
    last = "iscrowd" if ids == "label_id" else "confidence"
    names = (ids, "label", last)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    counts: list[int] = []
    corners: list[npt.NDArray[np.float64]] = [np.empty((0, 4))]
    at = f"{field}.detections"
    for batch in stored_batches(stored, [f"{at}.{name}" for name in (*names, "bounding_box")]):
        rows = [boxes or () for boxes in _values(batch, at)]
        counts.extend(map(len, rows))
        boxes = list(itertools.chain.from_iterable(rows))
        for name, column in columns.items():
            column.extend([box.get(name) for box in boxes])
        corners.append(np.array([box["bounding_box"] for box in boxes], np.float64).reshape(-1, 4))
    size = np.repeat(samples[["width", "height"]].to_numpy(np.float64), counts, axis=0)
    pixels = np.concatenate(corners) * np.hstack([size, size])
    frame = pd.DataFrame(np.round(pixels, 6), columns=["x", "y", "width", "height"])
    frame.insert(0, "key", pd.Series(np.repeat(samples.index.to_numpy(dtype=object), counts), dtype=TEXT))
    frame.insert(1, ids, pd.Series(columns[ids], dtype=TEXT))
    frame.insert(2, "label", pd.Series(columns["label"], dtype=TEXT))
    if ids == "label_id":
        frame["crowd"] = [bool(v) for v in columns[last]]
        return frame[list(BOX_COLUMNS)]
    frame["confidence"] = np.array(columns[last], np.float64)  # None becomes NaN
    return frame[list(PREDICTED_BOX_COLUMNS)]


def read_arrays(values: Sequence[bytes]) -> npt.NDArray[Any]:
    """Stack arrays of one shape as FiftyOne stores them: each a .npy file, compressed by zlib."""
    files = [zlib.decompress(value) for value in values]
    first = np.load(BytesIO(files[0]), allow_pickle=False)
    head = files[0][: len(files[0]) - first.nbytes]
    if first.flags.c_contiguous and all(len(f) == len(files[0]) and f.startswith(head) for f in files):
        # Every file says the same of its array: one header is read for all.
        content = b"".join(f[len(head) :] for f in files)
        return np.frombuffer(content, first.dtype).reshape(len(files), *first.shape)
    return np.stack([np.load(BytesIO(f), allow_pickle=False) for f in files])


def empty_boxes() -> pd.DataFrame:
    """Return a frame of `BOX_COLUMNS` without rows."""
    return pd.DataFrame({c: pd.Series(dtype=_BOX_DTYPES.get(c, "float64")) for c in BOX_COLUMNS})


def stored_batches(
    stored: StoredSamples, paths: Sequence[str], where: Document | None = None
) -> Iterator[list[Document]]:
    """Yield the stored documents, with these paths and `_id`, in lists; `where` is a MongoDB filter."""
    cursor = stored.collection.find(where or {}, {"_id": True, **dict.fromkeys(paths, True)}).sort("_id", 1)
    while batch := list(itertools.islice(cursor, _BATCH)):
        yield batch


def _values(documents: Sequence[Document], path: str) -> list[Any]:
    *outer, last = path.split(".")
    for name in outer:
        documents = [document.get(name) or _NOTHING for document in documents]
    return [document.get(last) for document in documents]


def _paths(fields: Sequence[Document], prefix: str = "") -> Iterator[str]:
    for field in fields:
        yield prefix + field["name"]
        yield from _paths(field.get("fields") or [], f"{prefix}{field['name']}.")
