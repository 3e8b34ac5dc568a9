"""Thumbnails of pictures, by which near-duplicates are found: their size, file and compression are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slicelab.core import Fingerprints, check_unique
from slicelab.embeddings._cache import VectorCache
from slicelab.embeddings._decode import Broken, decoded
from slicelab.embeddings._item import Image, ImageItem
from slicelab.embeddings._resize import resized

logger = logging.getLogger("slicelab")

IDENTITY = "fingerprint-v1"
SIDE = 32
_COLOUR = 8
_BYTES = SIDE * SIDE + 2 * _COLOUR * _COLOUR
_PACKED = _BYTES // 3
_ENOUGH = (2 * SIDE, 2 * SIDE)


def fingerprints(
    items: Sequence[ImageItem], *, cache_folder: str | Path, progress: bool = True, workers: int | None = None
) -> Fingerprints:
    """Make a thumbnail of every picture; what is known is read from the cache.

    Parameters
    ----------
    items
        One per unit, ids unique.
    cache_folder
        Where the thumbnails are kept, 1.5 kB each; may be that of the vectors.
    progress
        Show a progress bar.
    workers
        Threads; None: as many as there are processors, at most 8.

    Returns
    -------
    Fingerprints, in the order of the items.

    Examples
    --------
    >>> items = [ImageItem(name, name, "") for name in ("a.jpg", "b.jpg")]
    >>> pairs = near_duplicates(fingerprints(items, cache_folder="cache"))  # doctest: +SKIP
    """
    from tqdm.auto import tqdm

    check_unique([item.unit for item in items], "unit")
    cache = VectorCache(cache_folder)
    keys = [item.key for item in items]
    known = cache.find(IDENTITY, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    broken: list[Broken] = []
    pictures = decoded(missing, thumbnail, ahead=64, workers=workers, at_least=_ENOUGH)
    total = len({item.key for item in missing})
    with (
        cache.writer(IDENTITY) as writer,
        closing(pictures),
        tqdm(total=total, desc="Fingerprints", unit="image", disable=not progress or not missing) as bar,
    ):
        for key, row in pictures:
            bar.update()
            if isinstance(row, Broken):
                broken.append(row)
            else:
                known[key] = row
                writer.put(key, row)
    if broken:
        logger.warning("%d pictures have no fingerprint; first: %s", len(broken), broken[0].reason)
    blank = np.zeros(_PACKED, np.float32)
    values = _unpacked(np.array([known.get(key, blank) for key in keys], np.float32).reshape(-1, _PACKED))
    return Fingerprints(
        tuple(item.unit for item in items),
        tuple(keys),
        np.array([key in known for key in keys], dtype=bool),
        values[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE),
        values[:, SIDE * SIDE :].reshape(-1, _COLOUR, _COLOUR, 2),
    )


def thumbnail(image: Image) -> npt.NDArray[np.float32]:
    """Return the fingerprint of one picture, uint8 (h, w, 3), as the cache keeps it: float32 (384,)."""
    pixels = resized(image, SIDE, SIDE).astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    blue, red = 0.564 * (pixels[..., 2] - luma), 0.713 * (pixels[..., 0] - luma)
    part = SIDE // _COLOUR
    colour = np.stack([blue, red], axis=-1).reshape(_COLOUR, part, _COLOUR, part, 2).mean(axis=(1, 3)) + 128
    values = np.concatenate([luma.ravel(), colour.ravel()])
    return _packed(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _packed(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Put three bytes each into numbers that float32 holds exactly: the cache keeps nothing else."""
    three = values.reshape(-1, 3).astype(np.uint32)
    return (three[:, 0] << 16 | three[:, 1] << 8 | three[:, 2]).astype(np.float32)


def _unpacked(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    whole = rows.astype(np.uint32)
    parts = [(whole >> shift) & 255 for shift in (16, 8, 0)]
    return np.stack(parts, axis=-1).astype(np.uint8).reshape(len(rows), _BYTES)
