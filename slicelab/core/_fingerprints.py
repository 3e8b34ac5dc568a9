"""Thumbnails of pictures, and what of them stays when size, file and compression change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Thumbnails of pictures, by which near-duplicates are found.

    Parameters
    ----------
    units
        Ids, one per picture.
    contents
        Hex hash of what is seen: equal for equal files.
    readable
        bool (n,): whether the picture could be read; the thumbnails of others are black.
    luma
        uint8 (n, 32, 32): brightness of the whole picture, stretched to a square.
    colour
        uint8 (n, 8, 8, 2): its two colour differences, blue and red, 128 being none.
    """

    units: tuple[str, ...]
    contents: tuple[str, ...]
    readable: npt.NDArray[np.bool_]
    luma: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.units)

    @cached_property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """Perceptual hash and difference hash of each picture, (n, 2): few bits differ between alike pictures.

        Notes
        -----
        The perceptual hash [1]_ says which of the 64 lowest frequencies (discrete cosine transform of the thumbnail)
        are above their median; the difference hash [2]_ where brightness grows from left to right on a grid of 8 x 9.

        References
        ----------
        .. [1] Zauner, Implementation and benchmarking of perceptual image hash functions, 2010, section 3.2.
        .. [2] Krawetz, Kind of like that, 2013.
        """
        luma = self.luma.astype(np.float32)
        side = luma.shape[1]
        low = (_cosines(side) @ luma @ _cosines(side).T).reshape(-1, 64)
        perceptual = low > np.median(low[:, 1:], axis=1, keepdims=True)
        steps = np.diff(luma.reshape(-1, 8, side // 8, side).mean(axis=2) @ _averages(side).T, axis=2)
        return np.stack([_packed_bits(perceptual), _packed_bits(steps.reshape(-1, 64) > 0)], axis=1)


def _cosines(side: int) -> npt.NDArray[np.float32]:
    """Return the eight lowest rows of the discrete cosine transform (type 2), (8, side)."""
    wave = np.cos(np.pi * np.outer(np.arange(8), np.arange(side) + 0.5) / side) * np.sqrt(2 / side)
    wave[0] *= np.sqrt(0.5)
    lowest: npt.NDArray[np.float32] = wave.astype(np.float32)
    return lowest


def _averages(side: int) -> npt.NDArray[np.float32]:
    """Return the matrix (9, side) that takes the means of nine equal parts of a line."""
    edges, cells = np.linspace(0, side, 10), np.arange(side)
    covered = np.minimum(cells + 1, edges[1:, None]) - np.maximum(cells, edges[:-1, None])
    means: npt.NDArray[np.float32] = (np.clip(covered, 0, 1) * 9 / side).astype(np.float32)
    return means


def _packed_bits(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
