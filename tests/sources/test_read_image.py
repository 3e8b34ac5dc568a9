"""Pixels of every mode come as upright 8-bit RGB."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from slicelab.core import InvalidInputError, MediaError
from slicelab.sources import read_image


def gradient(height=24, width=36):
    return np.add.outer(np.arange(height) * 3, np.arange(width) * 4).astype(np.uint8)


def test_png_equals_opencv(folder):
    """An RGB PNG has the pixels that OpenCV reads."""
    rgb = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(folder.images / "a.png")
    expected = cv2.imread(str(folder.images / "a.png"))[:, :, ::-1]
    assert np.array_equal(read_image(folder.images / "a.png"), expected)


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_equals_pillow(folder, turn):
    """Each EXIF orientation is undone as ImageOps.exif_transpose does it."""
    exif = Image.Exif()
    exif[0x0112] = turn
    path = folder.images / "a.png"
    Image.fromarray(np.stack([gradient()] * 3, axis=2)).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(path), expected)


def test_16_bit_grey_keeps_its_range(folder):
    """0, half and full scale of 16 bits become 0, 128 and 255."""
    Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16)).save(folder.images / "a.png")
    assert read_image(folder.images / "a.png")[0, :, 0].tolist() == [0, 128, 255]


def test_floats_in_unit_range_and_beyond(folder):
    """Floats in [0, 1] are scaled by 255; others are stretched; NaN is the least."""
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(folder.images / "a.tiff")
    assert read_image(folder.images / "a.tiff")[0, :, 1].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[-10.0, 10.0, np.nan]], dtype=np.float32)).save(folder.images / "b.tiff")
    assert read_image(folder.images / "b.tiff")[0, :, 1].tolist() == [0, 255, 0]


def test_an_image_of_nan_is_an_error(folder):
    """No finite pixel: nothing to show."""
    Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)).save(folder.images / "a.tiff")
    with pytest.raises(MediaError, match="finite"):
        read_image(folder.images / "a.tiff")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_mid_grey(folder, mode):
    """Wholly transparent pixels are (128, 128, 128), whatever lies under them."""
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0)).convert(mode)
    extra = {"transparency": 0} if mode == "P" else {}
    image.save(folder.images / "a.png", **extra)
    assert (read_image(folder.images / "a.png") == 128).all()


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("L", "png"), ("1", "png"), ("P", "png"), ("I;16", "tiff")]
)
def test_every_mode_is_rgb(folder, mode, suffix):
    """White is white in each mode."""
    white = Image.new("RGB", (5, 4), "white")
    image = Image.fromarray(np.full((4, 5), 65535, dtype=np.uint16)) if mode == "I;16" else white.convert(mode)
    image.save(folder.images / f"a.{suffix}")
    pixels = read_image(folder.images / f"a.{suffix}")
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() >= 254


def test_a_box_is_cut_in_upright_pixels(folder):
    """The box counts in the image as it is shown."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = folder.images / "a.png"
    Image.fromarray(np.stack([gradient()] * 3, axis=2)).save(path, exif=exif)
    whole = read_image(path)
    assert np.array_equal(read_image(path, box=(2.5, 3, 10, 4.2)), whole[3:8, 2:13])


@pytest.mark.parametrize("box", [(100, 0, 5, 5), (0, 0, 0, 5), (0, 0, float("nan"), 5)])
def test_a_box_outside_is_an_error(folder, box):
    """A box off the image, or none, is the caller's error and not the image's."""
    with pytest.raises(InvalidInputError, match="box"):
        read_image(folder.picture("a.png"), box=box)


def wide_gradient(high, wide):
    """Smooth colours, different along both sides."""
    y, x = np.mgrid[0 : 1 : high * 1j, 0 : 1 : wide * 1j]
    return np.rint(np.stack([255 * x, 255 * y, 127 * (x + y)], axis=2)).astype(np.uint8)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("at_least", "shape"), [((60, 160), (60, 160)), ((61, 20), (120, 320)), ((900, 900), (480, 1280))]
)
def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path, turn, at_least, shape):
    """The smallest of full, half, quarter and eighth that has both sides, and looks the same."""
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "a.jpg"
    upright = Image.fromarray(wide_gradient(480, 1280))
    stored = {5: 5, 6: 4, 7: 6, 8: 2}.get(turn)  # Pillow's transpositions that make a picture lie on its side
    (upright if stored is None else upright.transpose(stored)).save(path, exif=exif, quality=95)
    whole, small = read_image(path), read_image(path, at_least=at_least)
    assert whole.shape == (480, 1280, 3)
    assert small.shape == (*shape, 3)
    expected = np.asarray(Image.fromarray(whole).resize(shape[::-1], Image.Resampling.BOX), int)
    assert np.abs(small - expected).max() <= 6


def test_other_formats_and_boxes_are_read_in_full(tmp_path):
    """`at_least` says what is enough, so more is right too; a box is in pixels of the whole picture."""
    for name in ("a.png", "a.jpg"):
        Image.fromarray(wide_gradient(64, 64)).save(tmp_path / name)
    assert read_image(tmp_path / "a.png", at_least=(8, 8)).shape == (64, 64, 3)
    assert read_image(tmp_path / "a.jpg", box=(4, 4, 20, 10), at_least=(8, 8)).shape == (10, 20, 3)
