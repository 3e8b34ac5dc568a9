"""Fingerprints: hashes against another way of computing them, and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.fft import dctn

from slicelab.embeddings import ImageItem, fingerprints


def test_thumbnails_survive_the_cache_to_the_bit(pictures, tmp_path):
    """Read back from disk, without the files, they are the same."""
    first = fingerprints(pictures, cache_folder=tmp_path / "c", progress=False)
    for item in pictures:
        Path(item.filepath).unlink()
    again = fingerprints(pictures, cache_folder=tmp_path / "c", progress=False)
    np.testing.assert_array_equal(again.luma, first.luma)
    np.testing.assert_array_equal(again.colour, first.colour)
    assert again.units == tuple(item.unit for item in pictures)
    assert first.luma.std() > 10


def test_the_perceptual_hash_is_that_of_the_cosine_transform(pictures, tmp_path):
    """By scipy's own transform of the thumbnail; the difference hash by means of unequal cells, worked one by one."""
    prints = fingerprints(pictures, cache_folder=tmp_path / "c", progress=False)
    for luma, (perceptual, difference) in zip(prints.luma, prints.hashes, strict=True):
        low = dctn(luma.astype(float), norm="ortho")[:8, :8].ravel()
        bits = "".join("1" if v > np.median(low[1:]) else "0" for v in low)
        assert int(perceptual) == int(bits, 2)
        fine = np.repeat(luma.astype(float), 9, axis=1).reshape(8, 4, 9, 32).mean(axis=(1, 3))
        assert int(difference) == int("".join("1" if v > 0 else "0" for v in np.diff(fine, axis=1).ravel()), 2)


def test_colour_is_kept(save, tmp_path):
    """A red picture has more red than blue in its colour differences, a grey one neither."""
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 255
    prints = fingerprints(
        [save("red", red), save("grey", np.full((9, 9, 3), 77, np.uint8))], cache_folder=tmp_path / "c", progress=False
    )
    assert (prints.colour[0, ..., 1] > 250).all()
    assert (prints.colour[0, ..., 0] < 90).all()
    assert (prints.colour[1] == 128).all()
    assert (prints.luma[1] == 77).all()


def test_a_file_that_cannot_be_read_keeps_its_row(pictures, tmp_path):
    """It is marked, and the others are where they were."""
    items = [pictures[0], ImageItem("none", str(tmp_path / "none.png"), ""), pictures[1]]
    prints = fingerprints(items, cache_folder=tmp_path / "c", progress=False)
    assert prints.readable.tolist() == [True, False, True]
    assert prints.units == ("p00", "none", "p01")
    assert len(fingerprints([], cache_folder=tmp_path / "c", progress=False)) == 0
