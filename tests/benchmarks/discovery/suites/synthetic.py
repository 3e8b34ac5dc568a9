"""Embeddings of heavy-tailed clusters with drawn failures: no images, no model, every probability known.

Clusters
    K in {20, 200} clusters in 10 latent dimensions, multivariate t with 5 degrees of freedom, each stretched along
    its own axes (standard deviations within a factor of 4, root mean square 1). Clusters belong to C in {2, 10}
    classes; clusters of a class lie around the centre of that class. Centres are scaled so that the median distance
    from a centre to its nearest neighbour is `SEPARATION` = 4 root-mean-square standard deviations: neighbours touch,
    and 92-95 % of units are nearest to their own centre. The latent space is turned into `dims` dimensions; Gaussian
    noise is added whose whole variance is a quarter of a cluster's.

Slices
    1 to 5, disjoint, each 0.2-5 % of n (log-uniform; at least 15 units; at most 0.3 / C of n, so that it is a
    minority of an average class), failing with probability .3-.8.

    - a: a whole cluster.
    - b: half of a cluster: a half-space through its median, the direction random among its three longest axes. No
      gap.
    - c: two clusters of one class, the pair farthest apart among the free ones.
    - d: a tube around the segment between a centre and one of its nearest three of the same class: the units of the
      class that are nearest to the segment in latent space, whatever cluster they belong to (with 20 clusters mostly
      the cores of two, with 200 parts of 5-25).
    - e: a cluster that holds two classes in equal parts, where only one of them fails. As many other clusters hold
      two classes without failing.

    With 10 classes, c and d use 200 clusters: a class must have more clusters than the slice takes.

Failures
    Outside slices .03 plus an offset of the class in [-.02, .03], and 1 % label noise: such a unit's label is another
    class, while the model predicts the class that it had, so it fails. `fail_probability` counts both (noise isn't
    drawn inside slices). A failing unit is predicted as a class that depends on its cluster and class (80 %), or as a
    random wrong one. `details["classes"]` are the classes before noise.

Probabilities
    Confidence runs from 1 / C to 1 by Beta(8, 2) where the model is right (also under label noise), by Beta(5, 3)
    where it fails within a slice, by Beta(4, 4) where it fails elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tests.benchmarks.discovery.setting import Floats, Mask, Setting

Shape = Literal["a", "b", "c", "d", "e"]
Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHAPES: tuple[Shape, ...] = get_args(Shape)
NAMES = tuple(f"synthetic-{shape}" for shape in SHAPES)
SEPARATION = 4.0
LATENT = 10
LONGEST = 3
SMALLEST_SLICE = 15
LABEL_NOISE = 0.01
BASE_ERROR = 0.03
# Sizes of the clusters that a slice needs, in units of the slice's own size.
CLUSTERS_PER_SLICE: dict[Shape, tuple[float, ...]] = {"a": (1.0,), "b": (2.0,), "c": (0.5, 0.5), "d": (), "e": (2.0,)}


@dataclass(frozen=True)
class Clusters:
    """Units that lie in clusters: `raw` are coordinates along the own axes of a unit's cluster, longest axis first."""

    of_unit: Ints
    centres: Reals
    raw: Floats
    latent: Floats
    embeddings: Floats


def make(shape: Shape, seed: int, n: int = 2000, dims: int = 64) -> Setting:
    """Draw the setting of one shape and seed."""
    rng = np.random.default_rng([7301, SHAPES.index(shape), seed, n, dims])
    n_classes = int(rng.choice([2, 10]))
    n_clusters = 200 if shape in "cd" and n_classes == 10 else int(rng.choice([20, 200]))
    n_slices = int(rng.integers(1, 6))
    class_of = np.arange(n_clusters) % n_classes
    centres = draw_centres(rng, class_of)
    members = _slice_sizes(rng, n_slices, n, n_classes)
    chosen = _slice_clusters(rng, shape, class_of, centres, n_slices)
    sizes = _cluster_sizes(rng, n, n_clusters, _planned(shape, chosen, members))
    clusters = draw_clusters(rng, centres, sizes, dims)
    classes = class_of[clusters.of_unit]
    if shape == "e":
        classes = _mix_classes(rng, classes, clusters.of_unit, chosen, n_classes)
    slices = _slices(rng, shape, clusters, classes, chosen, members)
    errors = rng.uniform(0.3, 0.8, n_slices)
    base = BASE_ERROR + rng.uniform(-0.02, 0.03, n_classes)
    details = {
        "shape": shape,
        "n_classes": n_classes,
        "n_clusters": n_clusters,
        "separation": SEPARATION,
        "slice_sizes": [int(mask.sum()) for mask in slices],
        "slice_errors": errors.tolist(),
        "class_errors": base.tolist(),
        "label_noise": LABEL_NOISE,
        "clusters": clusters.of_unit,
        "classes": classes,
    }
    return _with_failures(
        rng,
        Setting(
            name=f"synthetic-{shape}",
            seed=seed,
            embeddings=clusters.embeddings,
            failures=np.zeros(n, bool),
            labels=classes,
            predictions=classes,
            probabilities=np.zeros((n, n_classes), np.float32),
            slices=slices,
            details=details,
        ),
    )


def settings(shape: Shape, seeds: Iterable[int], n: int = 2000, dims: int = 64) -> Iterator[Setting]:
    """Yield the settings of one shape (cheap, so they aren't kept)."""
    for seed in seeds:
        yield make(shape, seed, n, dims)


def draw_centres(rng: np.random.Generator, class_of: Ints) -> Reals:
    """Draw cluster centres around class centres, scaled to `SEPARATION` between nearest neighbours (median)."""
    centres = rng.standard_normal((class_of.max() + 1, LATENT))[class_of] + rng.standard_normal((len(class_of), LATENT))
    gaps = _distances(centres)
    np.fill_diagonal(gaps, np.inf)
    return centres * (SEPARATION / np.median(gaps.min(axis=1)))


def draw_clusters(rng: np.random.Generator, centres: Reals, sizes: Ints, dims: int) -> Clusters:
    """Draw stretched heavy-tailed clusters of the given sizes, in random order of units."""
    n = int(sizes.sum())
    of_unit = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    # The t distribution with 5 degrees of freedom has variance 5/3; the shared divisor keeps contours elliptical.
    tails = np.sqrt(rng.chisquare(5, n) / 3).astype(np.float32)
    raw = rng.standard_normal((n, LATENT), np.float32) / tails[:, None]
    latent = np.empty_like(raw)
    for cluster, centre in enumerate(centres):
        units = np.flatnonzero(of_unit == cluster)
        lengths = np.sort(np.exp(rng.uniform(0, np.log(4), LATENT)))[::-1]
        lengths /= np.sqrt(np.mean(lengths**2))
        axes = lengths[:, None] * _rotation(rng, LATENT, LATENT)
        latent[units] = centre + raw[units] @ axes
    noise = np.float32(np.sqrt(LATENT / 4 / dims))
    embeddings = rng.standard_normal((n, dims), np.float32) * noise
    embeddings += latent @ _rotation(rng, LATENT, dims).astype(np.float32)
    return Clusters(of_unit, centres, raw, latent, embeddings)


def draw_probabilities(
    rng: np.random.Generator, predictions: Ints, labels: Ints, strength: Reals, n_classes: int
) -> Floats:
    """Return softmax outputs whose largest entry is the prediction.

    Parameters
    ----------
    rng
        Source of the remaining mass.
    predictions, labels
        Classes, (n,); a label that isn't predicted gets three times the usual part of the remaining mass.
    strength
        In [0, 1], (n,): confidence from chance level 1 / n_classes (0) to 1 (1).
    n_classes
        Number of columns.
    """
    rows = np.arange(len(predictions))
    strength = np.clip(strength, 1e-3, 1)
    confidence = 1 / n_classes + (1 - 1 / n_classes) * strength
    rest = rng.exponential(size=(len(rows), n_classes))
    rest[rows, labels] *= 3
    rest[rows, predictions] = 0
    rest *= ((1 - confidence) / rest.sum(axis=1))[:, None]
    high = rest.max(axis=1) >= confidence
    rest[high] = ((1 - confidence[high]) / (n_classes - 1))[:, None]
    rest[rows, predictions] = confidence
    return rest.astype(np.float32)


def draw_predictions(rng: np.random.Generator, failing: Mask, classes: Ints, clusters: Ints, n_classes: int) -> Ints:
    """Return the class where a unit doesn't fail; else a wrong class, 80 % of them fixed by cluster and class."""
    usual = rng.integers(1, n_classes, clusters.max() + 1)[clusters]
    steps = np.where(rng.random(len(classes)) < 0.8, usual, rng.integers(1, n_classes, len(classes)))
    return np.where(failing, (classes + steps) % n_classes, classes)


def _distances(points: Reals) -> Reals:
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def _rotation(rng: np.random.Generator, rows: int, columns: int) -> Reals:
    return np.linalg.qr(rng.standard_normal((columns, rows)))[0].T


def _slice_sizes(rng: np.random.Generator, n_slices: int, n: int, n_classes: int) -> Ints:
    low, high = max(0.002, SMALLEST_SLICE / n), min(0.05, 0.3 / n_classes)
    shares = np.exp(rng.uniform(np.log(low), np.log(high), n_slices))
    return np.maximum(SMALLEST_SLICE, np.round(shares * n)).astype(np.int64)


def _slice_clusters(
    rng: np.random.Generator, shape: Shape, class_of: Ints, centres: Reals, n_slices: int
) -> list[tuple[int, ...]]:
    """Choose clusters for every slice, in different classes as far as there are enough; none is used twice."""
    gaps = _distances(centres)
    order = rng.permutation(class_of.max() + 1)
    free = np.ones(len(class_of), bool)
    chosen: list[tuple[int, ...]] = []
    for turn in range(n_slices):
        mine = rng.permutation(np.flatnonzero(free & (class_of == order[turn % len(order)])))
        if shape == "c":
            picked = np.unravel_index(np.argmax(gaps[np.ix_(mine, mine)]), (len(mine), len(mine)))
            clusters = tuple(int(mine[i]) for i in picked)
        elif shape == "d":
            near = mine[np.argsort(gaps[mine[0], mine])][1 : 1 + LONGEST]
            clusters = (int(mine[0]), int(rng.choice(near)))
        else:
            clusters = (int(mine[0]),)
        free[list(clusters)] = False
        chosen.append(clusters)
    return chosen


def _planned(shape: Shape, chosen: list[tuple[int, ...]], members: Ints) -> dict[int, int]:
    """Return the sizes of clusters that a slice prescribes."""
    planned = {}
    for clusters, size in zip(chosen, members, strict=True):
        for cluster, share in zip(clusters, CLUSTERS_PER_SLICE[shape], strict=False):
            planned[cluster] = int(np.ceil(share * size))
    return planned


def _cluster_sizes(rng: np.random.Generator, n: int, n_clusters: int, planned: dict[int, int]) -> Ints:
    sizes = np.full(n_clusters, n // (2 * n_clusters))
    sizes[list(planned)] = list(planned.values())
    others = np.setdiff1d(np.arange(n_clusters), list(planned))
    sizes[others] += rng.multinomial(n - sizes.sum(), rng.dirichlet(np.full(len(others), 3.0)))
    return sizes


def _mix_classes(
    rng: np.random.Generator, classes: Ints, clusters: Ints, chosen: list[tuple[int, ...]], n_classes: int
) -> Ints:
    """Give half of the units of the slices' clusters, and of as many others, to another class."""
    failing = [cluster for (cluster,) in chosen]
    others = rng.choice(np.setdiff1d(np.arange(clusters.max() + 1), failing), len(failing), replace=False)
    mixed = classes.copy()
    for cluster in [*failing, *others]:
        units = rng.permutation(np.flatnonzero(clusters == cluster))
        half = units[: len(units) // 2]
        mixed[half] = (classes[half] + rng.integers(1, n_classes)) % n_classes
    return mixed


def _slices(
    rng: np.random.Generator,
    shape: Shape,
    clusters: Clusters,
    classes: Ints,
    chosen: list[tuple[int, ...]],
    members: Ints,
) -> tuple[Mask, ...]:
    masks: list[Mask] = []
    taken = np.zeros(len(classes), bool)
    for picked, size in zip(chosen, members, strict=True):
        mask = np.isin(clusters.of_unit, picked)
        if shape == "b":
            side = rng.standard_normal(LONGEST)
            mask = _lowest(clusters.raw[:, :LONGEST] @ side, mask, size)
        elif shape == "d":
            own = classes == classes[mask][0]
            ends = clusters.centres[list(picked)]
            mask = _lowest(_to_segment(clusters.latent, *ends), own & ~taken, min(size, own.sum() // 3))
        elif shape == "e":
            mask &= classes == picked[0] % (classes.max() + 1)
        taken |= mask
        masks.append(mask)
    return tuple(masks)


def _lowest(values: npt.NDArray[np.floating], allowed: Mask, count: int) -> Mask:
    units = np.flatnonzero(allowed)
    mask = np.zeros(len(values), bool)
    mask[units[np.argsort(values[units], kind="stable")[:count]]] = True
    return mask


def _to_segment(points: Floats, start: Reals, end: Reals) -> Reals:
    """Return the distance from every point to a segment."""
    along = end - start
    where = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - where[:, None] * along, axis=1)


def _with_failures(rng: np.random.Generator, bare: Setting) -> Setting:
    """Draw failures, label noise, predictions and probabilities of a setting that has classes and slices."""
    classes, n = bare.labels, len(bare)
    n_classes = bare.probabilities.shape[1]
    inside = np.any(bare.slices, axis=0)
    model = np.array(bare.details["class_errors"])[classes]
    for mask, error in zip(bare.slices, bare.details["slice_errors"], strict=True):
        model[mask] = error
    noisy = ~inside & (rng.random(n) < LABEL_NOISE)
    wrong = ~noisy & (rng.random(n) < model)
    predictions = draw_predictions(rng, wrong, classes, bare.details["clusters"], n_classes)
    labels = np.where(noisy, (classes + rng.integers(1, n_classes, n)) % n_classes, classes)
    # Right ones are sure, those that fail within slices often too, ordinary mistakes less so.
    strength = rng.beta(8, 2, n)
    strength = np.where(wrong, np.where(inside, rng.beta(5, 3, n), rng.beta(4, 4, n)), strength)
    return Setting(
        name=bare.name,
        seed=bare.seed,
        embeddings=bare.embeddings,
        failures=predictions != labels,
        labels=labels,
        predictions=predictions,
        probabilities=draw_probabilities(rng, predictions, classes, strength, n_classes),
        slices=bare.slices,
        fail_probability=np.where(inside, model, 1 - (1 - model) * (1 - LABEL_NOISE)),
        details=bare.details,
    )
