"""Thumbnails show the part that they say they show, and the cache gives back what was made."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from slicelab.core import InvalidInputError, MediaError
from slicelab.sources import ThumbnailCache, make_thumbnail, probe_image


def opened(data):
    return Image.open(BytesIO(data))


def test_longest_side_and_whole_window(folder):
    """Without a box the window is the image, and the longest side is the size."""
    data, window = make_thumbnail(folder.picture("a.jpg", size=(640, 480)), size=128)
    image = opened(data)
    assert (image.format, image.size, window) == ("JPEG", (128, 96), (0, 0, 640, 480))


def test_small_pictures_stay_small(folder):
    """Nothing is enlarged."""
    data, _ = make_thumbnail(folder.picture("a.png", size=(20, 10)), size=128)
    assert opened(data).size == (20, 10)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_point_is_found_where_the_window_says(folder, turn, suffix):
    """A white spot of the upright image lies in the thumbnail where its window puts it, also through draft decoding."""
    upright = np.zeros((900, 1200, 3), dtype=np.uint8)
    upright[400:440, 700:760] = 255
    stored = Image.fromarray(upright)
    undo = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    path = folder.images / f"a.{suffix}"
    (stored.transpose(undo) if undo is not None else stored).save(path, exif=exif)
    data, (x, y, width, height) = make_thumbnail(path, size=100, box=(600, 350, 240, 160))
    assert (x, y, width, height) == (540, 290, 360, 280)
    rows, columns = np.nonzero(np.asarray(opened(data).convert("L")) > 128)
    scale = 100 / 360
    assert abs(columns.mean() + 0.5 - (730 - x) * scale) < 1
    assert abs(rows.mean() + 0.5 - (420 - y) * scale) < 1


def test_a_margin_stops_at_the_frame(folder):
    """The window never leaves the image."""
    _, window = make_thumbnail(folder.picture("a.png", size=(50, 40)), box=(0, 0, 10, 10), margin=1.0)
    assert window == (0, 0, 20, 20)


@pytest.mark.parametrize("size", [0, -1, 100_000])
def test_sizes_out_of_range(folder, size):
    """A size must make sense."""
    with pytest.raises(InvalidInputError, match="size"):
        make_thumbnail(folder.picture("a.png"), size=size)


def test_the_cache_gives_back_the_same(folder):
    """The second call reads the folder: it works after the picture is gone, and leaves no other file behind."""
    path = folder.picture("a.jpg", size=(300, 200))
    digest = probe_image(path).sha256
    cache = ThumbnailCache(folder.root / "cache")
    first = cache.get(path, digest, size=64, box=(10, 10, 50, 50))
    path.unlink()
    assert ThumbnailCache(folder.root / "cache").get(path, digest, size=64, box=(10, 10, 50, 50)) == first
    assert [p.suffix for p in (folder.root / "cache").rglob("*") if p.is_file()] == [".thumb"]
    with pytest.raises(MediaError):
        cache.get(path, digest, size=32)


@pytest.mark.parametrize("damage", [b"", b"[1,2,3", b"null\nx", b"[0,0,300,200,99999]\nshort"])
def test_a_damaged_entry_is_made_again(folder, damage):
    """Whatever stands in the cache, the thumbnail is right."""
    path = folder.picture("a.jpg", size=(300, 200))
    cache = ThumbnailCache(folder.root / "cache")
    first = cache.get(path, "00", size=64)
    (entry,) = (p for p in cache.folder.rglob("*.thumb"))
    entry.write_bytes(damage)
    assert cache.get(path, "00", size=64) == first


def test_failures_are_not_kept(folder):
    """A picture that is repaired shows at once."""
    cache = ThumbnailCache(folder.root / "cache")
    path = folder.write("images/a.png", b"")
    with pytest.raises(MediaError):
        cache.get(path, "00")
    folder.picture("a.png")
    assert opened(cache.get(path, "00")[0]).size == (20, 10)


def test_a_cache_that_cannot_be_written_still_shows(folder, caplog):
    """A file in the folder's place costs a warning, not the picture."""
    blocked = folder.write("cache", "a file")
    data, _ = ThumbnailCache(blocked).get(folder.picture("a.png"), "00")
    assert opened(data).size == (20, 10)
    assert "can't be kept" in caplog.text
