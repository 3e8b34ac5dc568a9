"""Pictures to vectors: what the cache has, then the rest in batches, kept as they come."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slicelab.core import Finding, InvalidInputError, check_matrix, check_unique
from slicelab.embeddings._cache import Vector, VectorCache, Writer
from slicelab.embeddings._decode import Broken, Prepared, decoded
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._item import ImageItem
from slicelab.embeddings._torch import is_out_of_memory, pick_device, release_memory

logger = logging.getLogger("slicelab")


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
    if batch_size < 1:
        raise InvalidInputError(f"The batch_size must be at least 1; got {batch_size}.")
    check_unique([item.unit for item in items], "unit")
    identity = embedder.identity
    keys = [item.key for item in items]
    known = cache.find(identity, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    run = _Run(vectors=dict(known))
    if missing:
        placed = embedder.to(pick_device(device))
        with cache.writer(identity) as writer:
            _compute(run, missing, placed, writer, batch_size, progress, workers)
    return _gathered(items, keys, run, embedder, identity, len(known))


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


class _Run:
    """What a run has so far: vectors and failures by key."""

    def __init__(self, vectors: dict[str, Vector]) -> None:
        self.vectors = vectors
        self.broken: dict[str, Broken] = {}
        self.computed = 0


def _compute(
    run: _Run,
    items: Sequence[ImageItem],
    embedder: Embedder,
    writer: Writer,
    batch_size: int,
    progress: bool,
    workers: int | None,
) -> None:
    from tqdm.auto import tqdm

    forward = _Forward(embedder, batch_size)
    total = len({item.key for item in items})
    pictures = decoded(items, embedder.prepare, ahead=2 * batch_size, workers=workers)
    with closing(pictures), tqdm(total=total, desc="Embedding", unit="image", disable=not progress) as bar:
        batch: dict[str, Prepared] = {}
        for key, picture in pictures:
            if isinstance(picture, Broken):
                run.broken[key] = picture
                bar.update()
                continue
            batch[key] = picture
            if len(batch) >= forward.batch_size:
                _keep(run, writer, batch, forward)
                bar.update(len(batch))
                batch = {}
        if batch:
            _keep(run, writer, batch, forward)
            bar.update(len(batch))


def _keep(run: _Run, writer: Writer, batch: dict[str, Prepared], forward: _Forward) -> None:
    vectors = forward(np.stack(list(batch.values())))
    for key, vector in zip(batch, vectors, strict=True):
        if np.isfinite(vector).all():
            run.vectors[key] = vector
            run.computed += 1
            writer.put(key, vector)
        else:
            run.broken[key] = Broken("no-finite-vector", "The embedder gave NaN or infinity for this picture.")


class _Forward:
    """The forward pass, with a batch size that shrinks when memory is short."""

    def __init__(self, embedder: Embedder, batch_size: int) -> None:
        self.embedder = embedder
        self.batch_size = batch_size

    def __call__(self, batch: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        done: list[npt.NDArray[np.float32]] = []
        start = 0
        while start < len(batch):
            piece = batch[start : start + self.batch_size]
            try:
                done.append(np.asarray(self.embedder.embed(piece), np.float32))
            except Exception as error:
                if len(piece) == 1 or not is_out_of_memory(error):
                    raise
                self.batch_size = (len(piece) + 1) // 2
                logger.warning(
                    "Memory was short for %d pictures at once; going on with %d.", len(piece), self.batch_size
                )
            else:
                start += len(piece)
                continue
            release_memory()  # outside the handler, where the error no longer holds the tensors
        return np.concatenate(done)


def _gathered(
    items: Sequence[ImageItem], keys: list[str], run: _Run, embedder: Embedder, identity: str, cached: int
) -> EmbedResult:
    rows = [run.vectors[key] for key in keys if key in run.vectors]
    return EmbedResult(
        vectors=np.stack(rows) if rows else np.empty((0, embedder.dim), np.float32),
        units=[item.unit for item, key in zip(items, keys, strict=True) if key in run.vectors],
        failed=[run.broken[key].finding(item) for item, key in zip(items, keys, strict=True) if key in run.broken],
        identity=identity,
        computed=run.computed,
        cached=cached,
    )
