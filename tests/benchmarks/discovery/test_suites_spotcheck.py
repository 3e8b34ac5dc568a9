"""The SpotCheck suites: configurations, what the drawn images show, and a setting of vectors."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.benchmarks.discovery.setting import Setting
from tests.benchmarks.discovery.suites import configurations as ec
from tests.benchmarks.discovery.suites import spotcheck_images, spotcheck_vectors

SMALL_HEIGHT = {"square": 6, "rectangle": 4, "circle": 6, "text": 7}


def test_a_configuration_follows_from_its_seed() -> None:
    assert [ec.sample(seed) for seed in range(20)] == [ec.sample(seed) for seed in range(20)]
    assert ec.sample(0) != ec.sample(1)


@pytest.mark.parametrize("seed", range(60))
def test_blindspots_are_as_specified(seed: int) -> None:
    configuration = ec.sample(seed)

    assert 6 <= len(configuration.rolled) <= 8
    assert 1 <= len(configuration.blindspots) <= 3
    for spot in configuration.blindspots:
        assert spot[ec.SQUARE] == 1
        assert 5 <= len(spot) <= 7
        for name in spot:
            parent = ec.presence_of(name)
            assert parent in (None, name) or spot[parent] == 1
    for one, other in combinations(configuration.blindspots, 2):
        assert ec.contradictions(one, other) >= 2


def test_buckets_are_filled_evenly() -> None:
    configuration = ec.sample(0)
    n = 3 * 2 ** len(configuration.rolled)

    table = ec.roll(configuration, n, ec.generator(0, 1))

    assert (configuration.column(table, ec.SQUARE) == 1).sum() == n // 2
    for name in configuration.rolled:
        values = configuration.column(table, name)
        parent = ec.presence_of(name)
        there = np.full(n, True) if parent in (None, name) else configuration.column(table, parent) == 1
        assert (values[~there] == 0).all()
        assert (values[there] == 1).sum() == there.sum() // 2


@pytest.mark.parametrize("seed", range(5))
def test_images_show_their_attributes(seed: int) -> None:
    configuration = ec.sample(seed)

    drawn = spotcheck_images.draw(configuration, 128, ec.generator(seed, 1))

    seen = np.array([_seen(configuration, image) for image in drawn.images], np.int8)
    for index, name in enumerate(configuration.names):
        assert np.array_equal(seen[:, index], drawn.table[:, index]), name
    for from_images, from_table in zip(configuration.members(seen), configuration.members(drawn.table), strict=True):
        assert np.array_equal(from_images, from_table)


def test_images_follow_from_their_seed() -> None:
    one, other = (spotcheck_images.draw(ec.sample(4), 50, ec.generator(4, 1)) for _ in range(2))

    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.table, other.table)


def test_image_embeddings_fit_their_items() -> None:
    drawn = spotcheck_images.draw(ec.sample(4), 50, ec.generator(4, 1))

    judged = spotcheck_images.judge(spotcheck_images.Network(1, 0), drawn)

    assert judged.embeddings.shape == (50, 64)
    assert judged.positive.shape == (50,)
    assert ((judged.positive > 0) & (judged.positive < 1)).all()


def test_vector_settings_are_valid_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLICELAB_BENCH", str(tmp_path))

    made = next(spotcheck_vectors.settings(range(3, 8), 1))
    read = next(spotcheck_vectors.settings(range(3, 8), 1))

    assert made.new is not None
    for setting in (made, made.new):
        _check(setting)
    assert np.array_equal(made.embeddings, read.embeddings)
    assert made.details["blindspots"] == read.details["blindspots"]
    assert made.details["outside_accuracy"] >= 0.95
    assert min(made.details["blindspot_errors"]) >= 0.5
    assert min(made.details["blindspot_sizes"]) >= 30


def test_vector_settings_follow_from_their_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spotcheck_vectors, "N_TRAIN", 1_000)
    monkeypatch.setattr(spotcheck_vectors, "N_TEST", 500)
    one, other = (spotcheck_vectors.attempt(5) for _ in range(2))

    assert np.array_equal(one.embeddings, other.embeddings)
    assert np.array_equal(one.failures, other.failures)


def _check(setting: Setting) -> None:
    n = len(setting)
    assert 2_000 <= n <= 2_500
    assert setting.embeddings.shape == (n, 48)
    assert setting.embeddings.dtype == np.float32
    assert setting.probabilities.shape == (n, 2)
    assert (setting.labels == 1).all()
    assert np.array_equal(setting.failures, setting.predictions != 1)
    assert np.array_equal(setting.predictions, setting.probabilities.argmax(axis=1))
    names = setting.details["attribute_names"]
    table = setting.details["attributes"]
    configuration = ec.Configuration(tuple(names), tuple(setting.details["blindspots"]))
    for mask, expected in zip(setting.slices, configuration.members(table), strict=True):
        assert np.array_equal(mask, expected)


def _seen(configuration: ec.Configuration, image: spotcheck_images.Images) -> list[int]:
    """Attributes as they can be read from the pixels alone."""
    values = {name: value for layer in ec.OPTIONS for name, value in _layer_seen(layer, image).items()}
    return [values[name] for name in configuration.names]


def _layer_seen(layer: str, image: spotcheck_images.Images) -> dict[str, int]:
    if layer == "background":
        greys = image[(image[..., 0] == image[..., 1]) & (image[..., 1] == image[..., 2])][:, 0]
        return {"background.colour": _sign((greys == 200).any()), "background.texture": _sign((greys == 100).any())}
    by_colour = [(image == colour).all(axis=-1) for colour in spotcheck_images.COLOURS[layer]]
    shape = by_colour[0] | by_colour[1]
    options = ("size", "colour", "stripes", "number")
    if not shape.any():
        nothing = {f"{layer}.presence": -1} | ({ec.POSITION: -1} if layer == "square" else {})
        return nothing | {f"{layer}.{option}": 0 for option in options}
    height = int(np.ptp(np.flatnonzero(shape.any(axis=1)))) + 1 if layer == "text" else _longest_run(shape)
    black = (image == 0).all(axis=-1)
    striped = (shape[:, :-1] & black[:, 1:]).any()
    seen = {
        f"{layer}.presence": 1,
        f"{layer}.size": _sign((height > SMALL_HEIGHT[layer]) if layer == "text" else height == SMALL_HEIGHT[layer]),
        f"{layer}.colour": _sign(by_colour[1].any()),
        f"{layer}.stripes": _sign(striped),
    }
    if layer != "square":
        return seen
    columns = (np.arange(height) // spotcheck_images.STRIPE) % 2 == 0 if striped else np.full(height, True)
    top = np.flatnonzero(shape.any(axis=1))[0]
    seen["square.number"] = _sign(shape.sum() == 2 * height * columns.sum())
    seen[ec.POSITION] = _sign(top + height / 2 < spotcheck_images.SIDE / 2)
    return seen


def _longest_run(shape: npt.NDArray[np.bool_]) -> int:
    """Most pixels in a row, down a column."""
    runs, longest = np.zeros(shape.shape[1], int), 0
    for row in shape:
        runs = np.where(row, runs + 1, 0)
        longest = max(longest, int(runs.max()))
    return longest


def _sign(yes: bool | np.bool_) -> int:
    return 1 if yes else -1
