"""Embedding many pictures: order, cache, failures, memory and interruption."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicelab.core import InvalidInputError, MediaError
from slicelab.embeddings import DescriptorEmbedder, ImageItem, VectorCache, embed_images, from_array


class MeanColour:
    """The mean of red, green and blue; counts its calls and can fail at one of them."""

    identity = "mean-colour"
    dim = 3

    def __init__(self, *, fail_at=None, error=None, most=None):
        self.sizes = []
        self.fail_at, self.error, self.most = fail_at, error, most

    def prepare(self, image):
        return image.reshape(-1, 3).mean(0).astype(np.float32)

    def embed(self, batch):
        if self.most is not None and len(batch) > self.most:
            raise self.error
        if self.fail_at is not None and len(self.sizes) == self.fail_at:
            raise self.error
        self.sizes.append(len(batch))
        return batch

    def to(self, device):
        return self


def embed(items, tmp_path, embedder=None, **options):
    options = {"batch_size": 4, "device": "cpu", "progress": False} | options
    return embed_images(items, embedder=embedder or MeanColour(), cache=VectorCache(tmp_path / "cache"), **options)


def expected(items):
    from PIL import Image

    return np.stack([np.asarray(Image.open(i.filepath)).reshape(-1, 3).mean(0) for i in items])


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_rows_follow_the_items_whatever_the_batch(pictures, tmp_path, batch_size):
    """Every unit's row is its own picture's, in the order asked for."""
    items = pictures[::-1]
    result = embed(items, tmp_path, batch_size=batch_size)
    assert result.units == [item.unit for item in items]
    assert result.vectors.dtype == np.float32
    np.testing.assert_allclose(result.vectors, expected(items), rtol=1e-5)
    assert (result.computed, result.cached, result.failed) == (20, 0, [])


def test_any_state_of_the_cache_gives_the_same(pictures, tmp_path):
    """Some known, some not: the same vectors, and only the unknown are computed."""
    embed(pictures[3:9], tmp_path)
    embedder = MeanColour()
    result = embed(pictures, tmp_path, embedder)
    assert sum(embedder.sizes) == 14
    assert (result.computed, result.cached) == (14, 6)
    np.testing.assert_allclose(result.vectors, expected(pictures), rtol=1e-5)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the machine is tired")])
def test_a_stopped_run_goes_on_where_it_stopped(pictures, tmp_path, error):
    """After three batches of four a stop comes; the second run computes the eight that are missing."""
    with pytest.raises(type(error)):
        embed(pictures, tmp_path, MeanColour(fail_at=3, error=error))
    embedder = MeanColour()
    result = embed(pictures, tmp_path, embedder)
    assert sum(embedder.sizes) == 8
    np.testing.assert_allclose(result.vectors, expected(pictures), rtol=1e-5)


def test_what_is_known_needs_neither_file_nor_embedding(pictures, tmp_path):
    """A second run reads no picture and runs nothing."""
    first = embed(pictures, tmp_path)
    for item in pictures:
        Path(item.filepath).unlink()
    embedder = MeanColour()
    second = embed(pictures, tmp_path, embedder)
    assert embedder.sizes == []
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_equal_pictures_are_computed_once(pictures, tmp_path):
    """Two units with the same content share one computation, and each has its row."""
    twin = replace(pictures[0], unit="twin")
    embedder = MeanColour()
    result = embed([pictures[0], twin], tmp_path, embedder)
    assert embedder.sizes == [1]
    np.testing.assert_array_equal(result.vectors[0], result.vectors[1])


def test_broken_pictures_are_counted_and_have_no_row(pictures, tmp_path):
    """Every unit is either in units or in failed, with what is wrong; another run tells the same."""
    text = tmp_path / "text.png"
    text.write_text("no picture")
    half = tmp_path / "half.png"
    half.write_bytes(Path(pictures[0].filepath).read_bytes()[:200])
    items = [
        ImageItem("text", str(text), ""),
        pictures[1],
        ImageItem("half", str(half), ""),
        ImageItem("gone", str(tmp_path / "gone.png"), ""),
        replace(pictures[2], unit="outside", box=(500, 500, 10, 10)),
        replace(pictures[3], unit="changed", sha256="0" * 64),
    ]
    for _ in range(2):
        result = embed(items, tmp_path)
        assert result.units == ["p01"]
        assert {f.item: f.kind for f in result.failed} == {
            "text": "unreadable-image",
            "half": "unreadable-image",
            "gone": "unreadable-image",
            "outside": "unusable-box",
            "changed": "changed-image",
        }
        assert all(f.reason and f.refused for f in result.failed)


def test_vectors_that_are_not_finite_are_failures(pictures, tmp_path):
    """A NaN never reaches the result or the cache."""

    class Poisoned(MeanColour):
        def embed(self, batch):
            batch[0] = np.nan
            return batch

    result = embed(pictures[:4], tmp_path, Poisoned())
    assert len(result.units) == 3
    assert np.isfinite(result.vectors).all()
    assert [f.kind for f in result.failed] == ["no-finite-vector"]
    assert embed(pictures[:4], tmp_path).computed == 1


def test_nothing_readable_gives_an_empty_matrix(tmp_path):
    """Without a single vector the matrix still has its columns."""
    result = embed([ImageItem("gone", str(tmp_path / "gone.png"), "")], tmp_path)
    assert result.vectors.shape == (0, 3)
    assert embed([], tmp_path).vectors.shape == (0, 3)


def test_short_memory_halves_the_batch(pictures, tmp_path, caplog):
    """A batch of 16 doesn't fit, nor 8; with 4 it goes on to the end, and stays there."""
    embedder = MeanColour(most=5, error=RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    with caplog.at_level(logging.WARNING, "slicelab"):
        result = embed(pictures, tmp_path, embedder, batch_size=16)
    np.testing.assert_allclose(result.vectors, expected(pictures), rtol=1e-5)
    assert max(embedder.sizes) == 4
    assert caplog.text.count("Memory was short") == 2


def test_memory_too_short_for_one_picture_is_an_error(pictures, tmp_path):
    """There is nothing left to halve."""
    with pytest.raises(MemoryError):
        embed(pictures, tmp_path, MeanColour(most=0, error=MemoryError()))


def test_a_box_is_cut_out_with_its_margin(save, tmp_path):
    """The vector is that of the crop; another margin or box is another vector."""
    pixels = np.zeros((50, 60, 3), np.uint8)
    pixels[10:20, 20:40] = (200, 100, 50)
    item = save("scene", pixels, box=(20, 10, 20, 10), margin=0.0)
    wide = replace(item, unit="wide", margin=0.25)  # 5 pixels on every side: 30 x 20
    whole = replace(item, unit="whole", box=None)
    result = embed([item, wide, whole], tmp_path)
    colour = np.array([200, 100, 50])
    np.testing.assert_allclose(result.vectors, [colour, colour * 200 / 600, colour * 200 / 3000], rtol=1e-5)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((2.0, 3.0, 4.0, 5.0), (5, 4)),
        ((2.4, 3.6, 4.2, 5.0), (6, 5)),  # 2.4..6.6 -> 2..7, 3.6..8.6 -> 3..9
        ((-5.0, -5.0, 8.0, 8.0), (3, 3)),
        ((18.0, 8.0, 10.0, 10.0), (2, 2)),
        ((4.2, 4.2, 0.1, 0.1), (1, 1)),
    ],
)
def test_crops_are_rounded_outwards_and_cut_at_the_edge(box, shape):
    """A box of any position gives at least one pixel and never more than the picture has."""
    image = np.zeros((10, 20, 3), np.uint8)
    assert ImageItem("u", "f", "", box, margin=0.0).crop(image).shape[:2] == shape


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, float("nan"), 5), (20, 0, 5, 5), (0, 0, -3, 5)])
def test_boxes_without_area_or_outside_are_refused(box):
    """There is nothing to see."""
    with pytest.raises(MediaError, match="box"):
        ImageItem("u", "f", "", box, margin=0.0).crop(np.zeros((10, 20, 3), np.uint8))


def test_keys_follow_content_and_not_place():
    """Hash, box and margin make the key; unit and path don't; the margin counts only with a box."""
    item = ImageItem("u", "a.png", "f" * 64, (1, 2, 3, 4))
    assert item.key == ImageItem("v", "b.png", "f" * 64, (1.0, 2.0, 3.0, 4.0)).key
    others = [replace(item, sha256="e" * 64), replace(item, box=(1, 2, 3, 5)), replace(item, margin=0.2)]
    assert len({item.key, replace(item, box=None).key, *(o.key for o in others)}) == 5
    assert replace(item, box=None).key == replace(item, box=None, margin=0.5).key


def test_a_file_is_read_once_for_its_boxes(save, tmp_path, monkeypatch):
    """Thirty boxes on two pictures, in mixed order, decode two files."""
    from slicelab.embeddings import _decode

    scenes = [save(name, np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)) for name in "ab"]
    items = [replace(scenes[i % 2], unit=f"u{i}", box=(i, i, 10, 10)) for i in range(30)]
    read = []
    real = _decode.read_image
    monkeypatch.setattr(_decode, "read_image", lambda path, **options: read.append(path) or real(path, **options))
    assert len(embed(items, tmp_path, batch_size=64).units) == 30
    assert len(read) == 2


def test_pictures_wait_in_bounded_number(pictures):
    """Decoding runs ahead of the computing, but not further than asked."""
    import time

    from slicelab.embeddings._decode import decoded

    prepared = []
    stream = decoded(pictures, lambda image: prepared.append(1) or image, ahead=3, workers=2)
    next(stream)
    time.sleep(0.2)
    assert len(prepared) <= 3 + 2
    stream.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size"), ({"device": "warp"}, "device"), ({"device": "cuda:99"}, "device")],
)
def test_wrong_options_are_refused(pictures, tmp_path, options, message):
    """The message names the option."""
    with pytest.raises(InvalidInputError, match=message):
        embed(pictures, tmp_path, **options)


def test_units_must_be_unique(pictures, tmp_path):
    """Two rows for one unit can't be told apart."""
    with pytest.raises(InvalidInputError, match="p00"):
        embed([pictures[0], pictures[0]], tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4)),
        np.zeros(3),
        np.full((3, 4), np.nan),
        np.full((3, 4), np.inf),
        np.array([["a"], ["b"], ["c"]]),
        np.zeros((3, 4), complex),
        np.zeros((3, 2, 2)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array):
    """Wrong length, shape or dtype, and what isn't finite."""
    with pytest.raises(InvalidInputError, match="embeddings"):
        from_array(array, ["a", "b", "c"])


def test_arrays_of_any_number_type_become_float32():
    """float16, integers and lists are taken."""
    for array in (np.ones((2, 3), np.float16), np.ones((2, 3), int), [[1, 1, 1], [1, 1, 1]]):
        result = from_array(array, ["a", "b"])
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, np.ones((2, 3)))


def test_the_descriptor_does_not_depend_on_batch_or_order(pictures, tmp_path):
    """The default embedder gives each picture the same vector in whatever company."""
    one = embed(pictures, tmp_path / "1", DescriptorEmbedder(), batch_size=1)
    many = embed(pictures[::-1], tmp_path / "2", DescriptorEmbedder(), batch_size=13)
    np.testing.assert_allclose(one.vectors, many.vectors[::-1], atol=1e-5)
    assert one.vectors.shape == (20, DescriptorEmbedder.dim)


class Shapes(MeanColour):
    """The shape of what it is given; eight pixels each way are enough."""

    identity = "shapes"
    at_least = (8, 8)

    def prepare(self, image):
        return np.array(image.shape, np.float32)


def test_large_jpegs_are_decoded_as_large_as_needed(tmp_path):
    """A whole picture may come smaller, whatever else is read of its file; boxes are cut out of the full size."""
    from PIL import Image

    for name in ("whole.jpg", "boxed.jpg"):
        Image.new("RGB", (64, 128)).save(tmp_path / name)
    whole, boxed = (str(tmp_path / name) for name in ("whole.jpg", "boxed.jpg"))
    items = [ImageItem("a", whole, ""), ImageItem("b", boxed, ""), ImageItem("c", boxed, "", (0, 0, 32, 16), 0.0)]
    assert embed(items, tmp_path, Shapes()).vectors[:, :2].tolist() == [[16, 8], [16, 8], [16, 32]]
