"""What can be said of an image file, and every way in which it can be unusable."""

import hashlib
import os
import struct
import zlib

import pytest
from PIL import Image

from slicelab.core import MediaError
from slicelab.sources import UnusableImageError, probe_image
from slicelab.sources._probe_images import probe_images


def bomb(path):
    """Write a valid PNG header of 60,000 x 60,000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    ("suffix", "name"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("bmp", "BMP"), ("tiff", "TIFF")]
)
def test_every_allowed_format_is_told_by_content(folder, suffix, name):
    """Size, format and hash of each format that is let in."""
    path = folder.picture(f"a.{suffix}", size=(31, 17))
    info = probe_image(path)
    assert (info.width, info.height, info.format, info.misnamed) == (31, 17, name, "")
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("turn", range(1, 9))
def test_size_is_after_exif_orientation(folder, turn):
    """Orientations 5 to 8 swap width and height."""
    exif = Image.Exif()
    exif[0x0112] = turn
    info = probe_image(folder.picture("a.jpg", size=(30, 10), exif=exif))
    assert (info.width, info.height) == ((10, 30) if turn >= 5 else (30, 10))


def test_a_lying_suffix_is_told_but_not_refused(folder):
    """A PNG called .jpg is a PNG."""
    path = folder.picture("a.png")
    liar = path.rename(path.with_suffix(".jpg"))
    info = probe_image(liar)
    assert (info.format, info.misnamed) == ("PNG", "JPEG")


def test_a_phone_picture_of_several_frames_is_a_jpeg(folder):
    """MPO, as phones write it, is a JPEG with more behind it."""
    path = folder.images / "a.jpg"
    Image.new("RGB", (30, 20)).save(path, format="MPO", save_all=True, append_images=[Image.new("RGB", (30, 20))])
    info = probe_image(path)
    assert (info.width, info.format, info.misnamed) == (30, "JPEG", "")


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def noisy(folder, name, **save):
    path = folder.images / name
    Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3)).save(path, **save)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_found(folder, name, share):
    """Half a file, and nine tenths of one, are refused in each format."""
    with pytest.raises(MediaError) as error:
        probe_image(cut(noisy(folder, name), share))
    assert error.value.kind == "truncated-image"
    assert name in str(error.value)


def test_without_verify_only_the_header_is_read(folder):
    """verify=False does not decode."""
    assert probe_image(cut(noisy(folder, "a.jpg"), 0.7), verify=False).width == 64


def unusable(folder):
    gif = folder.images / "a.gif"
    Image.new("P", (4, 4)).save(gif)
    head = folder.images / "head.jpg"
    head.write_bytes(b"\xff\xd8\xff\xe0")
    return {
        "missing-file": folder.images / "none.png",
        "empty-file": folder.write("images/empty.png", b""),
        "not-an-image": folder.write("images/text.png", "no picture at all"),
        "unsupported-format": gif,
        "too-large-image": bomb(folder.images / "bomb.png"),
        "unreadable-file": folder.images,
        "truncated-image": head,
    }


@pytest.mark.parametrize(
    "kind",
    [
        "missing-file",
        "empty-file",
        "not-an-image",
        "unsupported-format",
        "too-large-image",
        "unreadable-file",
        "truncated-image",
    ],
)
def test_unusable_files_have_their_reason(folder, kind):
    """One kind and a sentence with the file's name for each way to be unusable."""
    path = unusable(folder)[kind]
    with pytest.raises(UnusableImageError) as error:
        probe_image(path)
    assert error.value.kind == kind
    assert path.name in str(error.value)


def test_the_warning_level_of_pillow_is_an_error_too(folder):
    """Pillow only warns of 100 million pixels; here they are too many."""
    path = folder.images / "big.png"
    Image.new("1", (10_000, 10_000)).save(path)
    with (
        pytest.raises(UnusableImageError, match="10000 x 10000") as error,
        pytest.warns(Image.DecompressionBombWarning),
    ):
        probe_image(path, verify=False)
    assert error.value.kind == "too-large-image"


def test_a_fifo_is_not_waited_for(folder):
    """Something that isn't a regular file is refused, not read."""
    path = folder.images / "pipe.png"
    os.mkfifo(path)
    with pytest.raises(UnusableImageError, match="not a file"):
        probe_image(path)


def test_many_keep_their_order(folder):
    """Threads or not, results come in the order of the paths."""
    paths = [str(folder.picture(f"{i}.png", size=(i + 1, 3))) for i in range(40)]
    paths.insert(7, str(folder.images / "none.png"))
    found = probe_images(paths, progress=False)
    assert [f.width for i, f in enumerate(found) if i != 7] == list(range(1, 41))
    assert found[7].kind == "missing-file"
