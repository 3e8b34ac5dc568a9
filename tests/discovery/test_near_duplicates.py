"""Near-duplicates are paired, look-alikes are not; pairs of hashes against all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from slicelab.core import InvalidInputError
from slicelab.discovery import duplicate_counts, duplicate_groups, hash_pairs, near_duplicates, uniqueness
from slicelab.embeddings import ImageItem, fingerprints


def scene(seed, size=(240, 180)):
    """A picture of soft ground and a few dozen things, as wide views have them."""
    rng = np.random.default_rng(seed)
    width, height = size
    ground = gaussian_filter(rng.normal(0, 1, (height, width, 3)), (12, 12, 0))
    picture = Image.fromarray(np.clip(128 + 40 * ground / ground.std(), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(width * height // 1200):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(5, 16)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x - r, y - r, x + r, y + r), fill=colour)
    return picture


@pytest.fixture
def printed(tmp_path):
    """Save pictures and return their fingerprints; values are pictures, or (picture, what Pillow's save takes)."""

    def make(**pictures):
        items = []
        for name, given in pictures.items():
            picture, options = given if isinstance(given, tuple) else (given, {})
            path = tmp_path / f"{name}.{options.get('format', 'png').lower()}"
            picture.save(path, **options)
            items.append(ImageItem(name, str(path), ""))
        return fingerprints(items, cache_folder=tmp_path / "cache", progress=False)

    return make


def paired(frame):
    return {frozenset(pair) for pair in zip(frame["left"], frame["right"], strict=True)}


def test_copies_in_other_files_are_paired(printed):
    """Strong JPEG compression, half the size, another aspect, a crop by a tenth, other brightness and contrast."""
    base = scene(0)
    changed = {
        "jpeg": (base, {"format": "JPEG", "quality": 20}),
        "half": base.resize((120, 90)),
        "square": base.resize((200, 200)),
        "cropped": base.crop((12, 9, 228, 171)),
        "darker": base.point(lambda v: int(0.6 * v + 10)),
    }
    others = {f"other{i}": scene(100 + i) for i in range(30)}
    found = paired(near_duplicates(printed(base=base, **changed, **others)))
    assert {frozenset(("base", name)) for name in changed} <= found
    assert not {pair for pair in found if any(name.startswith("other") for name in pair)}


def test_a_shifted_view_of_the_same_place_is_paired(printed):
    """Fields of view that overlap by four fifths, as under a microscope; hashes alone don't see it."""
    wide = scene(1, (300, 180))
    views = {f"view{x}": wide.crop((x, 0, x + 240, 180)) for x in (0, 45)}
    prints = printed(**views, **{f"other{i}": scene(200 + i) for i in range(10)})
    assert np.bitwise_count(prints.hashes[0] ^ prints.hashes[1]).min() > 11
    assert paired(near_duplicates(prints)) == {frozenset(("view0", "view45"))}


def test_look_alikes_are_not_paired(printed):
    """The same kind of things on the same ground in other places, and smooth horizons that differ in what is before."""
    fields, horizons = {}, {}
    for i in range(30):
        rng = np.random.default_rng(i)
        field = Image.new("RGB", (240, 180), (225, 215, 205))
        for x, y in rng.uniform((0, 0), (240, 180), (25, 2)):
            ImageDraw.Draw(field).ellipse((x - 14, y - 14, x + 14, y + 14), fill=(190, 120, 110), outline=(150, 90, 90))
        fields[f"field{i}"] = field
        sky = np.repeat(np.linspace(230, 90, 180)[:, None], 240, axis=1) + rng.normal(0, 2, (180, 240))
        horizon = Image.fromarray(np.repeat(np.clip(sky, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
        x, w, h = rng.uniform(20, 160), rng.uniform(20, 60), rng.uniform(10, 50)
        ImageDraw.Draw(horizon).polygon([(x, 110), (x + w, 110), (x + w * rng.random(), 110 - h)], fill=(40, 40, 50))
        ImageDraw.Draw(horizon).rectangle((x - 5, 110, x + w + 9, 118), fill=(70, 20, 20))
        horizons[f"horizon{i}"] = horizon
    assert len(near_duplicates(printed(**fields))) == 0
    assert len(near_duplicates(printed(**horizons))) <= 2


def test_frames_of_a_video_are_linked_to_one_group(printed):
    """A camera that drifts: each frame is paired with the next, and all become one group; another video another."""
    rng = np.random.default_rng(5)
    frames = {}
    for name, seed in (("a", 10), ("b", 11)):
        wide = scene(seed, (420, 220))
        for i in range(12):
            x, y = 10 * i + int(rng.integers(0, 4)), int(rng.integers(0, 8))
            frames[f"{name}{i:02}"] = (wide.crop((x, y, x + 240, y + 180)), {"format": "JPEG", "quality": 80})
    prints = printed(**frames)
    groups = duplicate_groups(near_duplicates(prints), prints.units)
    assert groups.groupby(groups).groups.keys() == {"a00", "b00"}
    assert [name[0] for name in groups] == [unit[0] for unit in prints.units]


def test_equal_files_count_for_each_other(printed):
    """Three equal files and a compressed one: each has three near-duplicates; a picture alone has none."""
    base = scene(2)
    prints = printed(
        one=base, two=base, three=base, jpeg=(base, {"format": "JPEG", "quality": 60}), alone=scene(3), far=scene(4)
    )
    prints = fingerprints_with_contents(prints)
    pairs = near_duplicates(prints)
    assert pairs["evidence"].tolist() == ["same file", "same file", "hash and pixels"]
    counts = duplicate_counts(pairs, prints.units)
    assert counts.to_dict() == {"one": 3, "two": 3, "three": 3, "jpeg": 3, "alone": 0, "far": 0}
    unique = dict(zip(prints.units, uniqueness(prints), strict=True))
    assert unique["one"] == pytest.approx(0, abs=1e-3)
    assert 0.2 < min(unique["alone"], unique["far"]) <= 1


def fingerprints_with_contents(prints):
    """Say that pictures of equal thumbnails are equal files."""
    from dataclasses import replace

    return replace(prints, contents=tuple(t.tobytes().hex() for t in prints.luma))


def test_flat_and_unreadable_pictures_are_left_alone(printed, tmp_path):
    """White sheets aren't near-duplicates of each other; a broken file is in no pair and has no uniqueness."""
    prints = printed(a=Image.new("RGB", (40, 40), "white"), b=Image.new("RGB", (41, 40), "white"), c=scene(6))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"none")
    items = [ImageItem("x", str(broken), ""), ImageItem("y", str(broken), "")]
    prints = fingerprints(
        [*items, *(ImageItem(n, str(tmp_path / f"{n}.png"), "") for n in "abc")], cache_folder=tmp_path, progress=False
    )
    assert len(near_duplicates(prints)) == 0
    assert np.isnan(uniqueness(prints)).tolist() == [True, True, False, False, False]


def test_vectors_bring_more_candidates_but_pixels_decide(printed):
    """Vectors that say that all are alike don't make pairs; wrong shapes are refused."""
    prints = printed(**{f"p{i}": scene(300 + i) for i in range(6)})
    assert len(near_duplicates(prints, vectors=np.ones((6, 3), np.float32))) == 0
    with pytest.raises(InvalidInputError, match="one vector per picture"):
        near_duplicates(prints, vectors=np.ones((5, 3)))
    with pytest.raises(InvalidInputError, match="similarity"):
        near_duplicates(prints, similarity=1.5)


def test_nothing_to_compare_is_no_pair(printed):
    """No picture, and one."""
    assert len(near_duplicates(printed())) == 0
    prints = printed(a=scene(7))
    assert len(near_duplicates(prints)) == 0
    assert uniqueness(prints).tolist() == [1.0]
    assert duplicate_counts(near_duplicates(prints), prints.units).tolist() == [0]
    assert duplicate_groups(near_duplicates(prints), prints.units).isna().all()


@pytest.mark.parametrize("distance", [0, 3, 4, 8, 11, 15])
def test_all_pairs_of_hashes_are_found(distance):
    """As comparing each with each finds them, for random ones, few flipped bits, equal ones and crowded buckets."""
    rng = np.random.default_rng(distance)
    hashes = rng.integers(0, 2**63, 1200, dtype=np.uint64)
    for _ in range(6):
        hashes[600:] = hashes[:600] ^ (hashes[600:] & np.uint64(0))
        hashes[600:] ^= np.uint64(1) << rng.integers(0, 64, 600).astype(np.uint64)
    hashes[10:20] = hashes[0]
    hashes[100:400] &= np.uint64(0xFFFFF)
    left, right, bits = hash_pairs(hashes, distance)
    all_bits = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = np.nonzero(np.triu(all_bits <= distance, 1))
    np.testing.assert_array_equal(np.stack([left, right]), np.stack(expected))
    np.testing.assert_array_equal(bits, all_bits[left, right])


def test_distances_that_are_no_distance_are_refused():
    """More bits than a part has, and fewer than none."""
    for distance in (-1, 16):
        with pytest.raises(InvalidInputError, match="0 to 15"):
            hash_pairs(np.zeros(2, np.uint64), distance)
    assert [len(part) for part in hash_pairs(np.zeros(0, np.uint64), 5)] == [0, 0, 0]


def test_groups_follow_chains_of_pairs():
    """a-b and b-c make one group of three, named by its first in the order of the units."""
    pairs = pd.DataFrame({"left": ["b", "c"], "right": ["a", "b"], "evidence": ["pixels"] * 2})
    groups = duplicate_groups(pairs, ["x", "a", "b", "c"])
    assert groups.iloc[1:].tolist() == ["a"] * 3
    assert groups.isna().tolist() == [True, False, False, False]
    assert duplicate_counts(pairs, ["x", "a", "b", "c"]).tolist() == [0, 1, 2, 1]
