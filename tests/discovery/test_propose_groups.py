"""Groups proposed from names, times and columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import TEXT, Fingerprints, GroupProposal
from slicelab.discovery import groups_by_column, groups_by_name, groups_by_time, name_sequences, split_leaks


@pytest.mark.parametrize(
    ("name", "sequence", "number"),
    [
        ("0001TP_006690.jpg", "0001TP_*", 6690),
        ("video3_frame_0012.jpg", "video3_frame_*", 12),
        ("IMG_0001.JPG", "IMG_*", 1),
        ("trips/a/00017.png", "trips/a/*", 17),
        ("frame12_left.png", "frame*_left", 12),
        ("7.png", "*", 7),
    ],
)
def test_the_last_number_of_a_name_runs(name, sequence, number):
    """What stays is the sequence."""
    row = name_sequences([name]).iloc[0]
    assert (row["sequence"], row["number"]) == (sequence, number)


def test_names_without_a_number_are_in_no_sequence():
    """They are missing; long digits don't break."""
    frame = name_sequences(["cover.jpg", "x" + "9" * 40 + ".jpg"])
    assert frame["sequence"].isna().tolist() == [True, False]
    assert frame.index.tolist() == ["cover.jpg", "x" + "9" * 40 + ".jpg"]
    assert len(name_sequences([])) == 0


def test_a_sequence_is_parted_where_numbers_jump():
    """By more than ten usual steps; a missing frame or two don't part it."""
    numbers = [0, 30, 60, 120, 150, 900, 930, 960]
    frame = name_sequences([f"a_{n:05}.png" for n in numbers])
    assert frame["sequence"].tolist() == ["a_*"] * 5 + ["a_* from 900"] * 3


def prints_of(units, luma):
    n = len(units)
    colour = np.full((n, 8, 8, 2), 128, np.uint8)
    return Fingerprints(tuple(units), tuple(units), np.ones(n, bool), luma.astype(np.uint8), colour)


def drifting(rng, n, step):
    """Thumbnails each a little different from the one before."""
    return np.clip(128 + np.cumsum(rng.normal(0, step, (n, 32, 32)), axis=0), 0, 255)


def test_running_numbers_without_likeness_are_no_sequence():
    """Numbered pictures in random order aren't proposed, drifting ones are; in the same number of folders."""
    rng = np.random.default_rng(0)
    units = [f"set/IMG_{i:04}.jpg" for i in range(300)]
    luma = drifting(rng, 300, 9)
    found = groups_by_name(prints_of(units, luma))
    assert found.sizes.tolist() == [300]
    assert groups_by_name(prints_of(units, rng.permutation(luma))) is None
    assert groups_by_name(prints_of([f"{'abc'[i % 3]}x.png" + "y" * i for i in range(300)], luma)) is None


def test_what_all_of_a_class_have_in_common_is_no_sequence():
    """Two classes that look unlike, each numbered in random order in its folder."""
    rng = np.random.default_rng(1)
    base = rng.uniform(0, 255, (2, 32, 32))
    luma = np.clip(np.repeat(base, 100, axis=0) + rng.normal(0, 40, (200, 32, 32)), 0, 255)
    units = [f"{'cat' if i < 100 else 'dog'}/{i:04}.jpg" for i in range(200)]
    assert groups_by_name(prints_of(units, luma)) is None
    flat = [unit.replace("/", "_") for unit in units]
    assert groups_by_name(prints_of(flat, luma), [unit[:3] for unit in units]) is None


def test_bursts_are_one_cameras_pictures_within_seconds():
    """Chained over pictures; another camera at the same time, a later one and one without a time are by themselves."""
    start = pd.Timestamp("2024-05-01 10:00:00")
    seconds = [0, 2, 4, 30, 1, None]
    cameras = ["A", "A", "A", "A", "B", None]
    times = pd.Series([pd.NaT if s is None else start + pd.Timedelta(seconds=s) for s in seconds])
    captures = pd.DataFrame({"camera": pd.Series(cameras, dtype=TEXT), "time": times})
    found = groups_by_time(list("abcdef"), captures)
    assert found.groups.dropna().to_dict() == {"a": "a", "b": "a", "c": "a"}
    assert groups_by_time(list("abcdef"), captures, seconds=1) is None


def test_columns_are_proposed_where_failures_cluster_by_them():
    """The column that does, and not one at random, one with a few values or one with a value per image."""
    rng = np.random.default_rng(2)
    index = pd.Index([f"k{i}" for i in range(400)], name="key", dtype=TEXT)
    patient = rng.integers(0, 40, 400)
    samples = pd.DataFrame(
        {"patient": patient, "random": rng.integers(0, 40, 400), "few": patient % 2, "own": np.arange(400)}, index=index
    )
    failures = pd.Series((rng.random(400) < rng.beta(0.4, 0.8, 40)[patient]).astype(float), index=index)
    found = groups_by_column(samples, list(samples), failures)
    assert [proposal.column for proposal in found] == ["patient"]
    assert found[0].groups.tolist() == [str(p) for p in patient]
    assert groups_by_column(samples, [], failures) == []


def test_a_random_column_is_seldom_proposed():
    """200 draws of failures that don't cluster: at most 5 % are, and 3 standard errors."""
    rng = np.random.default_rng(3)
    index = pd.Index([f"k{i}" for i in range(300)], name="key", dtype=TEXT)
    proposed = 0
    for _ in range(200):
        samples = pd.DataFrame({"a": rng.integers(0, 30, 300), "b": rng.integers(0, 60, 300)}, index=index)
        failures = pd.Series((rng.random(300) < 0.2).astype(float), index=index)
        proposed += bool(groups_by_column(samples, ["a", "b"], failures))
    assert proposed / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_leak_is_a_group_on_both_sides():
    """With how many images on each; groups on one side and images without a side are left out; the largest first."""
    index = pd.Index(list("abcdefg"), name="key")
    split = pd.Series(["train", "test", "train", "train", "test", None, "test"], index=index)
    groups = pd.Series(["x", "x", "y", "y", "x", "y", None], index=index, dtype=TEXT)
    pair = pd.Series([None, None, "p", None, "p", None, None], index=index, dtype=TEXT)
    leaks = split_leaks(split, [GroupProposal("pairs", "seen", pair), GroupProposal("names", "read", groups)])
    assert leaks[["source", "group", "values", "images"]].to_numpy().tolist() == [
        ["names", "x", "test 2, train 1", 3],
        ["pairs", "p", "test 1, train 1", 2],
    ]
    assert leaks["keys"].tolist() == [("b", "e", "a"), ("e", "c")]
    assert len(split_leaks(split, [])) == 0
