"""Numbers that say in words what a picture is like: dark, flat, blurred, colourful."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, check_unique
from slicelab.embeddings._cache import VectorCache
from slicelab.embeddings._decode import Broken, decoded
from slicelab.embeddings._item import Image, ImageItem
from slicelab.embeddings._resize import shrunk

logger = logging.getLogger("slicelab")

IDENTITY = "statistics-v1"
STATISTICS = (
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "colourfulness",
    "edge_density",
    "entropy",
)
_LONGEST = 512
_EDGE = 0.05


def image_statistics(
    items: Sequence[ImageItem],
    *,
    cache_folder: str | Path,
    progress: bool = True,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure every picture (for a box: the box and its margin); what is known is read from the cache.

    Parameters
    ----------
    items
        One per unit, ids unique.
    cache_folder
        Where the numbers are kept; may be that of the vectors.
    workers
        Threads; None: as many as there are processors, at most 8.

    Returns
    -------
    DataFrame
        Index `unit` (in the order of the items), columns float32, NaN where the picture can't be read:

        - `brightness`: mean luma, 0 (black) to 1 (white)
        - `contrast`: standard deviation of luma, 0 to 0.5
        - `sharpness`: log10(1 + variance of the Laplacian of luma in 0..255), 0 (flat) to about 5; low means blurred
          [1]_
        - `saturation`: mean of (max - min) / max over the channels, 0 (grey) to 1
        - `colourfulness`: 0 (grey); 15 slightly, 59 quite, 109 extremely colourful [2]_
        - `edge_density`: share of pixels where luma changes by more than 0.05 per pixel, 0 to 1
        - `entropy`: of the histogram of luma in 256 steps, 0 to 8 bits

    Notes
    -----
    Luma is 0.299 R + 0.587 G + 0.114 B of the stored values (ITU-R BT.601). Pictures are first shrunk to at most 512
    pixels on the longer side, so that the numbers of large pictures compare.

    References
    ----------
    .. [1] Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    .. [2] Hasler and Süsstrunk, Measuring colourfulness in natural images, SPIE 5007, 2003.
    """
    from tqdm.auto import tqdm

    check_unique([item.unit for item in items], "unit")
    cache = VectorCache(cache_folder)
    keys = [item.key for item in items]
    known = cache.find(IDENTITY, set(keys))
    missing = [item for item, key in zip(items, keys, strict=True) if key not in known]
    broken: dict[str, Broken] = {}
    pictures = decoded(missing, measured, ahead=64, workers=workers)
    total = len({item.key for item in missing})
    with (
        cache.writer(IDENTITY) as writer,
        closing(pictures),
        tqdm(total=total, desc="Measuring", unit="image", disable=not progress or not missing) as bar,
    ):
        for key, row in pictures:
            bar.update()
            if isinstance(row, Broken):
                broken[key] = row
            else:
                known[key] = row
                writer.put(key, row)
    if broken:
        logger.warning("%d pictures have no statistics; first: %s", len(broken), next(iter(broken.values())).reason)
    blank = np.full(len(STATISTICS), np.nan, np.float32)
    rows = np.array([known.get(key, blank) for key in keys], np.float32).reshape(-1, len(STATISTICS))
    index = pd.Index([item.unit for item in items], name="unit", dtype=TEXT)
    return pd.DataFrame(rows, index=index, columns=list(STATISTICS))


def measured(image: Image) -> npt.NDArray[np.float32]:
    """Return the `STATISTICS` of one picture, uint8 (h, w, 3), as float32 (7,)."""
    pixels = shrunk(image, _LONGEST).astype(np.float32)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.array(
        [
            luma.mean() / 255,
            luma.std() / 255,
            _sharpness(luma),
            _saturation(pixels),
            _colourfulness(red, green, blue),
            _edge_density(luma),
            _entropy(luma),
        ],
        np.float32,
    )


def _sharpness(luma: npt.NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(np.log10(1 + laplacian.var()))


def _saturation(pixels: npt.NDArray[np.float32]) -> float:
    highest, lowest = pixels.max(axis=2), pixels.min(axis=2)
    return float(((highest - lowest) / np.maximum(highest, 1)).mean())


def _colourfulness(
    red: npt.NDArray[np.float32], green: npt.NDArray[np.float32], blue: npt.NDArray[np.float32]
) -> float:
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    centre = np.hypot(red_green.mean(), yellow_blue.mean())
    return float(spread + 0.3 * centre)


def _edge_density(luma: npt.NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    across = (luma[1:-1, 2:] - luma[1:-1, :-2]) / 2
    down = (luma[2:, 1:-1] - luma[:-2, 1:-1]) / 2
    return float((np.hypot(across, down) > _EDGE * 255).mean())


def _entropy(luma: npt.NDArray[np.float32]) -> float:
    counts = np.bincount(np.clip(np.rint(luma), 0, 255).astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
