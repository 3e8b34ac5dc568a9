"""Pictures to vectors: what the cache has, then the rest in batches, kept as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slicelab.core import Finding, InvalidInputError, check_matrix, check_unique
from slicelab.embeddings._cache import Vector, VectorCache
from slicelab.embeddings._compute import Described, describe, placed
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._item import ImageItem


@dataclass(frozen=True, eq=False)
class EmbedResult:
    """Vectors of the pictures that could be described.

    Parameters
    ----------
    vectors
        float32 (n, d), finite; rows as `units`.
    units
        Ids of the units that have a vector, in the order of the items.
    failed
        One finding for every unit that has none, in the order of the items.
    identity
        The embedder's.
    computed, cached
        How many distinct pictures were computed now, and how many were known.
    """

    vectors: npt.NDArray[np.float32]
    units: list[str]
    failed: list[Finding]
    identity: str = ""
    computed: int = 0
    cached: int = 0


def embed_images(
    items: Sequence[ImageItem],
    *,
    embedder: Embedder,
    cache: VectorCache,
    batch_size: int = 64,
    device: str = "auto",
    progress: bool = True,
    workers: int | None = None,
) -> EmbedResult:
    """Describe every picture by a vector.

    What is done is kept in the cache every few seconds and whenever the run ends, also by an error or Ctrl-C; the next
    run computes only what is missing. The result doesn't depend on the batch size or on what the cache holds, beyond
    rounding (1e-5 relative to a vector's length). When memory is short, the batch is halved for the rest of the run.

    Parameters
    ----------
    items
        One per unit, ids unique. Equal pictures are computed once.
    embedder
        Anything with the methods of `Embedder`.
    cache
        Where vectors are kept.
    batch_size
        Pictures per forward pass.
    device
        "auto" (cuda, else mps, else cpu) or a torch device.
    workers
        Threads that read pictures; None: as many as there are processors, at most 8.

    Returns
    -------
    EmbedResult
        A picture that can't be read, or whose vector isn't finite, has no row; it is in `failed`.
    """
    check_request(items, batch_size)
    identity = embedder.identity
    keys = [item.key for item in items]
    known = cache.find(identity, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    new = Described()
    if missing:
        ready = placed(embedder, device)
        with cache.writer(identity) as writer:
            describe(
                missing,
                ready,
                into=new,
                keep=writer.put,
                batch_size=batch_size,
                workers=workers,
                progress=progress,
            )
    return gathered(items, keys, known, new, embedder)


def check_request(items: Sequence[ImageItem], batch_size: int) -> None:
    """Raise `InvalidInputError` for a batch size below 1, or units that are there twice."""
    if batch_size < 1:
        raise InvalidInputError(f"The batch_size must be at least 1; got {batch_size}.")
    check_unique([item.unit for item in items], "unit")


def from_array(array: npt.ArrayLike, units: Sequence[str]) -> npt.NDArray[np.float32]:
    """Check vectors that were made elsewhere; return float32 (n, d).

    Parameters
    ----------
    array
        One row per unit, in the order of `units`.
    units
        Ids, unique.

    Raises
    ------
    InvalidInputError
        Another number of rows, not 2-D, not numbers, not finite.
    """
    check_unique(list(units), "unit")
    return check_matrix(array, "embeddings", rows=len(units))


def gathered(
    items: Sequence[ImageItem], keys: Sequence[str], known: Mapping[str, Vector], new: Described, embedder: Embedder
) -> EmbedResult:
    """Bring what was known and what is new, by key, into the order of the items."""
    vectors = {**known, **new.vectors}
    pairs = list(zip(items, keys, strict=True))
    rows = [vectors[key] for key in keys if key in vectors]
    return EmbedResult(
        vectors=np.stack(rows) if rows else np.empty((0, embedder.dim), np.float32),
        units=[item.unit for item, key in pairs if key in vectors],
        failed=[new.broken[key].finding(item) for item, key in pairs if key in new.broken],
        identity=embedder.identity,
        computed=len(new.vectors),
        cached=len(known),
    )
