"""Random experiment configurations after SpotCheck: which attributes vary, and in which corners labels are wrong.

A configuration has 6-8 binary attributes in layers (background, square, 1-3 of rectangle, circle, text) and the
background's relative position, which follows from where the squares lie. The label is "a square is present"; inside a
blindspot (a conjunction of attribute values) the training labels of positive items are flipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks.discovery.cache import cached
from tests.benchmarks.discovery.setting import Floats, Mask, Setting

Table = npt.NDArray[np.int8]

SQUARE = "square.presence"
POSITION = "background.relative-position"
OPTIONS = {
    "background": ("colour", "texture"),
    "square": ("size", "colour", "stripes", "number"),
    "rectangle": ("size", "colour", "stripes"),
    "circle": ("size", "colour", "stripes"),
    "text": ("size", "colour", "stripes"),
}
EXTRA_LAYERS = ("rectangle", "circle", "text")

LEAST_CONTRADICTIONS = 2
TRIES = 10_000
LEAST_ACCURACY = 0.95
LEAST_ITEMS = 30
LEAST_ERROR = 0.5


@dataclass(frozen=True)
class Configuration:
    """What varies in one experiment, and where the labels are wrong.

    Parameters
    ----------
    names
        The attributes, in the order of the table's columns: those that are rolled, then the relative position.
    blindspots
        Per blindspot the value (1 or -1) of each attribute in its conjunction.
    """

    names: tuple[str, ...]
    blindspots: tuple[dict[str, int], ...]

    @property
    def rolled(self) -> tuple[str, ...]:
        """The attributes that are rolled per item."""
        return self.names[:-1]

    def column(self, table: Table, name: str, absent: int = -1) -> Table:
        """Values of an attribute; `absent` throughout if it doesn't vary in this configuration."""
        if name not in self.names:
            return np.full(len(table), absent, np.int8)
        return table[:, self.names.index(name)]

    def members(self, table: Table) -> tuple[Mask, ...]:
        """Per blindspot, which rows of the table are inside."""
        return tuple(
            np.all([self.column(table, name) == value for name, value in spot.items()], axis=0)
            for spot in self.blindspots
        )

    def noisy_labels(self, table: Table) -> npt.NDArray[np.int64]:
        """Labels for training: a square is present, but 0 inside the blindspots."""
        inside = np.any(self.members(table), axis=0)
        return np.asarray((self.column(table, SQUARE) == 1) & ~inside, np.int64)


def generator(seed: int, part: int) -> np.random.Generator:
    """Random numbers for one part of one experiment, independent of what the other parts draw."""
    return np.random.default_rng((seed, part))


def sample(seed: int) -> Configuration:
    """Draw the configuration of that seed."""
    rng = generator(seed, 0)
    while True:
        names = _attributes(rng)
        spots = _blindspots(names, rng)
        if spots is not None:
            return Configuration(names, spots)


def roll(configuration: Configuration, n: int, rng: np.random.Generator) -> Table:
    """Roll n items, as many in every bucket (combination of values) as can be.

    Attributes of absent layers are 0. The relative position is left at -1.
    """
    names = configuration.rolled
    buckets = 2 ** len(names)
    rest = rng.choice(buckets, n % buckets, replace=False)
    codes = rng.permutation(np.concatenate([np.tile(np.arange(buckets), n // buckets), rest]))
    table = np.where((codes[:, None] >> np.arange(len(names))) & 1, 1, -1).astype(np.int8)
    for index, name in enumerate(names):
        parent = presence_of(name)
        if parent is not None and parent != name:
            table[table[:, names.index(parent)] == -1, index] = 0
    return np.hstack([table, np.full((n, 1), -1, np.int8)])


def presence_of(name: str) -> str | None:
    """The attribute that says whether this attribute's layer is there; None for the background, which always is."""
    layer = name.split(".")[0]
    return None if layer == "background" else f"{layer}.presence"


def contradictions(one: dict[str, int], other: dict[str, int]) -> int:
    """How many attributes have opposite values in the two conjunctions."""
    return sum(other.get(name, value) != value for name, value in one.items())


def _attributes(rng: np.random.Generator) -> tuple[str, ...]:
    """Square, 1-3 further layers, and so many of their options that 6-8 attributes are rolled."""
    n_layers = int(rng.integers(1, 4))
    n_options = int(rng.integers(5, 8)) - n_layers
    layers = [EXTRA_LAYERS[i] for i in sorted(rng.choice(len(EXTRA_LAYERS), n_layers, replace=False))]
    left = {layer: list(OPTIONS[layer]) for layer in ("background", "square", *layers)}
    names = [SQUARE, *(f"{layer}.presence" for layer in layers)]
    for _ in range(n_options):
        open_layers = [layer for layer, options in left.items() if options]
        layer = open_layers[rng.integers(len(open_layers))]
        names.append(f"{layer}.{left[layer].pop(rng.integers(len(left[layer])))}")
    return (*names, POSITION)


def _blindspots(names: Sequence[str], rng: np.random.Generator) -> tuple[dict[str, int], ...] | None:
    """1-3 blindspots that contradict each other; None if none were found."""
    count = int(rng.integers(1, 4))
    found: list[dict[str, int]] = []
    for _ in range(TRIES):
        spot = _conjunction(names, rng)
        if all(contradictions(spot, other) >= LEAST_CONTRADICTIONS for other in found):
            found.append(spot)
        if len(found) == count:
            return tuple(found)
    return None


def _conjunction(names: Sequence[str], rng: np.random.Generator) -> dict[str, int]:
    """Square present and 4-6 further values; an option comes only after its layer's presence, and makes it 1."""
    spot = {SQUARE: 1}
    for _ in range(int(rng.integers(4, 7))):
        choices = [n for n in names if n not in spot and presence_of(n) in (None, n, *spot)]
        name = choices[rng.integers(len(choices))]
        spot[name] = int(rng.choice([-1, 1]))
        parent = presence_of(name)
        if parent is not None and parent != name:
            spot[parent] = 1
    return spot


@dataclass(frozen=True, eq=False)
class Judged:
    """Items of one draw and what the trained model makes of them (`positive` is its probability of a square)."""

    table: Table
    embeddings: Floats
    positive: Floats

    def only(self, keep: Mask) -> Judged:
        """Return the items where `keep` is true."""
        return Judged(self.table[keep], self.embeddings[keep], self.positive[keep])


def setting(name: str, seed: int, configuration: Configuration, test: Judged, new: Judged | None = None) -> Setting:
    """Make the setting of the items with a square."""
    test = test.only(configuration.column(test.table, SQUARE) == 1)
    predictions = (test.positive >= 0.5).astype(np.int64)
    slices = configuration.members(test.table)
    failures = predictions != 1
    return Setting(
        name=name,
        seed=seed,
        embeddings=test.embeddings.astype(np.float32),
        failures=failures,
        labels=np.ones(len(failures), np.int64),
        predictions=predictions,
        probabilities=np.column_stack([1 - test.positive, test.positive]).astype(np.float32),
        slices=slices,
        new=None if new is None else setting(name, seed, configuration, new),
        details=_details(configuration, test.table, failures, slices),
    )


def _details(configuration: Configuration, table: Table, failures: Mask, slices: tuple[Mask, ...]) -> dict[str, Any]:
    return {
        "attributes": table,
        "attribute_names": list(configuration.names),
        "blindspots": list(configuration.blindspots),
        "outside_accuracy": float(1 - failures[~np.any(slices, axis=0)].mean()),
        "blindspot_errors": [float(failures[inside].mean()) if inside.any() else 0.0 for inside in slices],
        "blindspot_sizes": [int(inside.sum()) for inside in slices],
    }


def why_rejected(details: dict[str, Any]) -> str:
    """Which rule of validity a setting with these details breaks, or "" for a valid one."""
    if details["outside_accuracy"] < LEAST_ACCURACY:
        return "outside"
    if min(details["blindspot_sizes"]) < LEAST_ITEMS:
        return "small blindspot"
    return "blindspot not learned" if min(details["blindspot_errors"]) < LEAST_ERROR else ""


def valid(made: Setting) -> Setting | None:
    """Return the setting, or None if it breaks a rule of validity."""
    return None if why_rejected(made.details) else made


def kept(
    make: Callable[[int], Setting | None], name: str, seeds: Iterable[int], count: int | None = None
) -> Iterator[Setting]:
    """Yield the accepted settings of these seeds through the cache, at most `count` of them."""
    found = 0
    for seed in seeds:
        if found == count:
            return
        made = cached(make, name, seed)
        if made is not None:
            found += 1
            yield made


def fill(attempt: Callable[[int], Setting], name: str, first: int, last: int) -> None:
    """Fill the cache for the seeds from first to last and print a line for each.

    `attempt` makes the setting whether or not it is valid.
    """
    for seed in range(first, last + 1):
        start, lines = time.process_time(), []

        def make(seed: int, lines: list[str] = lines) -> Setting | None:
            tried = attempt(seed)
            d = tried.details
            errors = " ".join(f"{error:.2f}" for error in d["blindspot_errors"])
            verdict = why_rejected(d) or "accepted"
            lines.append(
                f"{verdict}; outside {d['outside_accuracy']:.3f}; errors {errors}; sizes {d['blindspot_sizes']}"
            )
            return valid(tried)

        made = cached(make, name, seed)
        found = lines[0] if lines else f"from the cache; {'rejected' if made is None else 'accepted'}"
        print(f"{name} {seed}: {time.process_time() - start:.1f} s; {found}", flush=True)
