"""Image statistics against answers worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicelab.embeddings import STATISTICS, ImageItem, image_statistics


def flat(colour, shape=(16, 16)):
    return np.full((*shape, 3), colour, np.uint8)


def chequered(side=16):
    board = np.indices((side, side)).sum(0) % 2 * 255
    return np.repeat(board[..., None], 3, axis=2).astype(np.uint8)


def measure(items, tmp_path):
    return image_statistics(items, cache_folder=tmp_path / "cache", progress=False)


def test_a_flat_grey_picture_has_only_brightness(save, tmp_path):
    """Grey 51 is brightness 0.2 and nothing else."""
    row = measure([save("a", flat((51, 51, 51)))], tmp_path).loc["a"]
    assert row["brightness"] == pytest.approx(0.2, abs=1e-6)
    assert row.drop("brightness").to_numpy() == pytest.approx(np.zeros(6), abs=1e-4)


def test_a_chequered_board_has_the_worked_numbers(save, tmp_path):
    """Half black, half white: contrast 0.5, one bit; its Laplacian is +-1020, so its variance 1020 squared."""
    row = measure([save("a", chequered())], tmp_path).loc["a"]
    assert row["brightness"] == pytest.approx(0.5)
    assert row["contrast"] == pytest.approx(0.5)
    assert row["entropy"] == pytest.approx(1.0)
    assert row["sharpness"] == pytest.approx(np.log10(1 + 1020.0**2), abs=1e-5)
    assert row["edge_density"] == 0.0  # two pixels apart the board is equal
    assert row["colourfulness"] == pytest.approx(0.0, abs=1e-4)


def test_pure_red_has_the_worked_colour(save, tmp_path):
    """Red: luma 0.299; saturation 1; rg 255, yb 127.5, so colourfulness 0.3 * hypot(255, 127.5)."""
    row = measure([save("a", flat((255, 0, 0)))], tmp_path).loc["a"]
    assert row["brightness"] == pytest.approx(0.299, abs=1e-5)
    assert row["saturation"] == pytest.approx(1.0)
    assert row["colourfulness"] == pytest.approx(0.3 * np.hypot(255, 127.5), rel=1e-5)


def test_one_edge_counts_its_pixels(save, tmp_path):
    """A step down the middle of 16 columns is seen by 2 of the 14 inner columns."""
    pixels = flat((0, 0, 0))
    pixels[:, 8:] = 255
    assert measure([save("a", pixels)], tmp_path).loc["a", "edge_density"] == pytest.approx(2 / 14)


def test_blur_lowers_sharpness(save, tmp_path):
    """A blurred picture is less sharp than itself, by an independent blur."""
    from scipy.ndimage import gaussian_filter

    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blurred = gaussian_filter(pixels.astype(float), (2, 2, 0)).astype(np.uint8)
    frame = measure([save("a", pixels), save("b", blurred)], tmp_path)
    assert frame.loc["b", "sharpness"] < frame.loc["a", "sharpness"] - 1


def test_sharpness_and_saturation_agree_with_opencv(save, tmp_path):
    """The Laplacian's variance and the HSV saturation are those of another library."""
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(2).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    row = measure([save("a", pixels)], tmp_path).loc["a"]
    luma = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert row["sharpness"] == pytest.approx(np.log10(1 + cv2.Laplacian(luma, cv2.CV_64F)[1:-1, 1:-1].var()), rel=1e-5)
    hsv = cv2.cvtColor((pixels / 255).astype(np.float32), cv2.COLOR_RGB2HSV)
    assert row["saturation"] == pytest.approx(hsv[..., 1].mean(), abs=1e-3)


def test_a_box_is_measured_and_not_its_picture(save, tmp_path):
    """A white square on black: the box without margin is white; the margin brings black in."""
    pixels = flat((0, 0, 0), (40, 40))
    pixels[10:20, 10:20] = 255
    whole = save("whole", pixels)
    box = replace(whole, unit="box", box=(10, 10, 10, 10), margin=0.0)
    wide = replace(whole, unit="wide", box=(10, 10, 10, 10), margin=0.5)
    frame = measure([whole, box, wide], tmp_path)
    assert frame["brightness"].tolist() == pytest.approx([100 / 1600, 1.0, 100 / 400])


def test_unreadable_pictures_keep_their_row(save, tmp_path):
    """The frame has every unit in order; what can't be read is NaN."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    good = save("good", flat((255, 255, 255)))
    frame = measure([ImageItem("bad", str(broken), ""), good], tmp_path)
    assert frame.index.tolist() == ["bad", "good"]
    assert frame.columns.tolist() == list(STATISTICS)
    assert frame.loc["bad"].isna().all()
    assert frame.loc["good", "brightness"] == pytest.approx(1.0)


def test_known_statistics_are_read_and_not_measured(save, tmp_path):
    """With the numbers cached, the file itself isn't needed."""
    item = save("a", flat((51, 51, 51)))
    first = measure([item], tmp_path)
    Path(item.filepath).unlink()
    assert measure([item], tmp_path).equals(first)


def test_no_items_make_an_empty_frame(tmp_path):
    """Nothing in, an empty frame with the columns out."""
    frame = measure([], tmp_path)
    assert frame.shape == (0, len(STATISTICS))
    assert frame.index.name == "unit"
