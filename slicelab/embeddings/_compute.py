"""From pictures to vectors in batches: what every engine runs, here or on another machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slicelab.embeddings._cache import Vector
from slicelab.embeddings._decode import Broken, Prepared, Read, Size, decoded, read_local
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._item import ImageItem
from slicelab.embeddings._module import ModuleEmbedder
from slicelab.embeddings._torch import is_out_of_memory, pick_device, release_memory

logger = logging.getLogger("slicelab")


@dataclass
class Described:
    """Vectors by key, and what is wrong with the pictures that have none."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)

    def update(self, other: Described) -> None:
        """Take what another has; a vector counts more than what was wrong."""
        self.vectors.update(other.vectors)
        self.broken.update(other.broken)
        for key in self.broken.keys() & self.vectors.keys():
            del self.broken[key]


def placed(embedder: Embedder, device: str) -> Embedder:
    """Return the embedder on a device ("auto" or torch's name), made ready for a long run there."""
    moved = embedder.to(pick_device(device))
    return moved.quickened() if isinstance(moved, ModuleEmbedder) else moved


def enough(embedder: Embedder) -> Size | None:
    """Return how many pixels (height, width) of a picture an embedder needs; None: all of them."""
    return getattr(embedder, "at_least", None)


def describe(
    items: Sequence[ImageItem],
    embedder: Embedder,
    *,
    into: Described,
    keep: Callable[[str, Vector], None] = lambda key, vector: None,
    read: Read = read_local,
    batch_size: int,
    workers: int | None = None,
    progress: bool = False,
) -> None:
    """Describe every distinct picture; `into` has what was done, also when an error stops it.

    Parameters
    ----------
    items
        Pictures of one file are read together, files in the order in which they first occur.
    embedder
        Where it is to compute.
    keep
        Called with each key and vector as it comes.
    read
        From an item to its whole picture.
    batch_size
        Pictures per forward pass; it is halved for the rest of the run when memory is short.
    workers
        Threads that read; None: as many as there are processors, at most 8.
    """
    from tqdm.auto import tqdm

    forward = _Forward(embedder, batch_size)
    total = len({item.key for item in items})
    pictures = decoded(
        items, embedder.prepare, ahead=2 * batch_size, workers=workers, read=read, at_least=enough(embedder)
    )
    with closing(pictures), tqdm(total=total, desc="Embedding", unit="image", disable=not progress) as bar:
        batch: dict[str, Prepared] = {}
        for key, picture in pictures:
            if isinstance(picture, Broken):
                into.broken[key] = picture
                bar.update()
                continue
            batch[key] = picture
            if len(batch) >= forward.batch_size:
                _keep(into, keep, batch, forward)
                bar.update(len(batch))
                batch = {}
        if batch:
            _keep(into, keep, batch, forward)
            bar.update(len(batch))


def _keep(into: Described, keep: Callable[[str, Vector], None], batch: dict[str, Prepared], forward: _Forward) -> None:
    vectors = forward(np.stack(list(batch.values())))
    for key, vector in zip(batch, vectors, strict=True):
        if np.isfinite(vector).all():
            into.vectors[key] = vector
            keep(key, vector)
        else:
            into.broken[key] = Broken("no-finite-vector", "The embedder gave NaN or infinity for this picture.")


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
