"""Discovery where units come in groups: `python -m tests.benchmarks.discovery_null --sets 200 --stored 12`.

Null sets: the objects of an image look alike, images have failure rates of their own, and nothing else. Whatever is
confirmed is a false discovery. Planted sets: the same, and slices that fail more: a look that a twelfth of the images
have, or a kind of object of which most images have some. Rows are printed as they are done; with `--out` every result
is kept in a file, and a run goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.benchmarks.discovery.metrics import clopper_pearson_upper, discovery_rate

Mask = npt.NDArray[np.bool_]
Planted = Literal["nothing", "looks", "kinds"]

DIMS = 16
LOOKS = 12
"""Looks of images, of which there are several images each: else no group of one half would be found in the other."""
WEAK = {"kinds": 0.3, "looks": 0.55}
"""Failure rates of planted slices: of a look there are but ten images, so a weak one can't be told from chance."""


@dataclass(frozen=True)
class Cell:
    """How sets are drawn.

    Parameters
    ----------
    images, objects
        How many images; how many objects each has, or has in the middle where they are unequal: from 2 to 50.
    correlation
        Intra-class correlation of failures within an image.
    equal
        Whether all images have as many objects.
    rate
        Mean failure rate.
    """

    images: int
    objects: int
    correlation: float
    equal: bool = True
    rate: float = 0.12

    @property
    def name(self) -> str:
        """Its row of the table."""
        sizes = f"{self.objects}" if self.equal else f"2\N{EN DASH}50, about {self.objects}"
        return f"{self.images} images x {sizes}, {self.correlation:g}"


MAIN = Cell(120, 15, 0.2)
"""The cell of the measured fault."""
CELLS = (
    MAIN,
    Cell(120, 15, 0.2, equal=False),
    Cell(120, 15, 0.05),
    Cell(120, 15, 0.5),
    Cell(120, 15, 0.5, equal=False),
    Cell(40, 50, 0.05),
    Cell(40, 50, 0.2),
    Cell(40, 50, 0.5),
    Cell(60, 30, 0.2, equal=False),
    Cell(300, 5, 0.2),
    Cell(300, 5, 0.5, equal=False),
    Cell(600, 2, 0.5),
    Cell(600, 2, 0.05),
)
PLANTED_CELLS = (Cell(120, 15, 0.05), MAIN, Cell(120, 15, 0.2, equal=False), Cell(300, 5, 0.2))


@dataclass(frozen=True, eq=False)
class Set:
    """Objects, whether each fails, of which image it is, metadata, and the true slices."""

    vectors: npt.NDArray[np.float64]
    failures: Mask
    image: npt.NDArray[np.int64]
    attributes: pd.DataFrame
    slices: tuple[Mask, ...]


def draw(cell: Cell, seed: int, planted: Planted = "nothing") -> Set:
    """Draw a set; the same cell, seed and kind give the same one."""
    rng = np.random.default_rng([zlib.crc32(f"{cell.name} {planted}".encode()), seed])
    sizes = np.full(cell.images, cell.objects)
    if not cell.equal:
        sizes = np.clip(np.round(rng.lognormal(np.log(cell.objects) - 0.5, 1, cell.images)), 2, 50).astype(np.int64)
    image = np.repeat(np.arange(cell.images), sizes)
    look = rng.integers(0, LOOKS, cell.images)
    scene = 2 * rng.normal(size=(LOOKS, DIMS))[look] + 0.75 * rng.normal(size=(cell.images, DIMS))
    vectors = scene[image] + 0.5 * rng.normal(size=(len(image), DIMS))
    slices: tuple[Mask, ...] = ()
    if planted == "looks":
        slices = tuple(np.isin(look, which)[image] for which in (0, 1))
    elif planted == "kinds":
        kind = rng.integers(0, 10, len(image))
        vectors = 4 * rng.normal(size=(10, DIMS))[kind] + 0.2 * scene[image] + rng.normal(size=vectors.shape)
        slices = tuple(kind == which for which in (0, 1))
    weak = np.any(slices, axis=0) if slices else np.zeros(len(image), bool)
    failures = rng.random(len(image)) < _chances(rng, cell, image, np.where(weak, WEAK.get(planted, 0.0), cell.rate))
    attributes = pd.DataFrame(
        {
            "brightness": scene[image, 0],
            "blur": rng.normal(size=cell.images)[image],
            "weather": np.array(["sun", "rain", "fog", "night"])[rng.integers(0, 4, cell.images)][image],
            "size": rng.lognormal(size=len(image)),
        }
    )
    return Set(vectors, failures, image, attributes, slices)


def _chances(
    rng: np.random.Generator, cell: Cell, image: npt.NDArray[np.int64], rate: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Draw what every object fails with: one quantile an image, of the beta distribution of its rate."""
    from scipy.stats import beta

    quantile = rng.random(cell.images)[image]
    strength = 1 / cell.correlation - 1
    return np.asarray(beta.ppf(quantile, rate * strength, (1 - rate) * strength))


# --- Runs: what each returns is kept ---


def run_null(cell: Cell, seed: int, *, groups: bool) -> dict[str, Any]:
    """Return how many slices `discover` confirms on a null set."""
    from slicelab.discovery import discover

    made = draw(cell, seed)
    found = discover(made.vectors, made.failures, groups=made.image if groups else None)
    return {"confirmed": sum(c.status == "confirmed" for c in found)}


def run_rules(cell: Cell, seed: int, *, groups: bool) -> dict[str, Any]:
    """Return how many rules `discover_rules` confirms on a null set."""
    from slicelab.discovery import discover_rules

    made = draw(cell, seed)
    found = discover_rules(made.attributes, made.failures, groups=made.image if groups else None)
    return {"confirmed": sum(c.status == "confirmed" for c in found)}


def run_planted(cell: Cell, seed: int, kind: Planted, *, groups: bool) -> dict[str, Any]:
    """Return the share of planted slices that are discovered, by all slices and by the confirmed ones."""
    from slicelab.discovery import discover

    made = draw(cell, seed, kind)
    found = discover(made.vectors, made.failures, groups=made.image if groups else None)
    masks = [np.isin(np.arange(len(made.image)), c.members) for c in found]
    sure = [mask for mask, c in zip(masks, found, strict=True) if c.status == "confirmed"]
    false = [mask for mask in sure if max((mask & true).sum() for true in made.slices) < 0.5 * mask.sum()]
    return {
        "discovered": discovery_rate(masks[:10], made.slices),
        "confirmed": discovery_rate(sure[:10], made.slices),
        "false": len(false),
    }


def run_stored(cell: Cell, seed: int) -> dict[str, Any]:
    """Return how many slices `lab.discover` confirms on a null set that went through files and the store."""
    from PIL import Image

    import slicelab as sl

    made = draw(cell, seed)
    with tempfile.TemporaryDirectory() as folder:
        (images := Path(folder, "images")).mkdir()
        rng = np.random.default_rng(seed)
        coco: dict[str, list[dict[str, Any]]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 1, "name": "nut"}],
        }
        for number in range(cell.images):
            picture = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(picture).resize((200, 200)).save(images / f"{number:04d}.png")
            coco["images"].append({"id": number, "file_name": f"{number:04d}.png", "width": 200, "height": 200})
        place = np.arange(len(made.image)) - np.searchsorted(made.image, made.image)
        for number, (image, at) in enumerate(zip(made.image.tolist(), place.tolist(), strict=True)):
            box = [25 * (at % 8), 25 * (at // 8), 20, 20]
            coco["annotations"].append(
                {"id": number + 1, "image_id": image, "category_id": 1, "bbox": box, "area": 400, "iscrowd": 0}
            )
        found = [
            {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
            for a, failed in zip(coco["annotations"], made.failures.tolist(), strict=True)
            if not failed
        ]
        Path(folder, "labels.json").write_text(json.dumps(coco))
        Path(folder, "v1.json").write_text(json.dumps(found))
        lab = sl.load(
            f"null {seed}", images, Path(folder, "labels.json"), {"v1": Path(folder, "v1.json")},
            overwrite=True, progress=False,
        )  # fmt: skip
        units = [f"{image:04d}.png#{number + 1}" for number, image in enumerate(made.image.tolist())]
        lab.embed(made.vectors.astype(np.float32), units=units, progress=False)
        slices = lab.discover("v1", describe=False, progress=False)
        seen = lab.units("v1")["failure"].sum()
    return {"confirmed": sum(c.status == "confirmed" for c in slices), "failures": int(seen)}


# --- Tables ---


class Kept:
    """Results by name, in a file of JSON lines where there is one: what is there isn't run again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._known: dict[str, dict[str, Any]] = dict(map(json.loads, lines))

    def get(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of that name."""
        if name not in self._known:
            self._known[name] = run()
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:
                    file.write(json.dumps([name, self._known[name]]) + "\n")
        return self._known[name]


def share(results: Sequence[dict[str, Any]]) -> str:
    """Say in how many sets something is confirmed, with the 95 % upper limit of that share (Clopper and Pearson)."""
    hits = sum(result["confirmed"] > 0 for result in results)
    return f"{hits} of {len(results)} (<= {clopper_pearson_upper(hits, len(results)):.3f})" if results else ""


def null_table(kept: Kept, sets: int, ungrouped: int) -> Iterator[str]:
    """Yield the rows of the null table; other cells than the first have a quarter of the sets."""
    yield "| null sets: images x objects, correlation | discover | without groups | discover_rules | without groups |"
    yield "|---|---|---|---|---|"
    for cell in CELLS:
        count = sets if cell is MAIN else -(-sets // 4)
        columns = []
        for name, run, groups, many in (
            ("discover", run_null, True, count),
            ("discover", run_null, False, min(count, ungrouped)),
            ("rules", run_rules, True, sets),
            ("rules", run_rules, False, sets),
        ):
            columns.append(
                share([
                    kept.get(f"{name} {groups} {cell.name} {seed}", partial(run, cell, seed, groups=groups))
                    for seed in range(many)
                ])
            )  # fmt: skip
        yield f"| {cell.name} | {' | '.join(columns)} |"


def planted_table(kept: Kept, sets: int) -> Iterator[str]:
    """Yield the rows of the table of planted slices."""
    yield "| planted slices | DR | without groups | DR of confirmed | without groups | false, confirmed | without |"
    yield "|---|---|---|---|---|---|---|"
    kinds: tuple[Planted, ...] = ("kinds", "looks")
    for kind in kinds:
        for cell in PLANTED_CELLS if sets else ():
            both = [
                [
                    kept.get(
                        f"planted {kind} {groups} {cell.name} {seed}",
                        partial(run_planted, cell, seed, kind, groups=groups),
                    )
                    for seed in range(sets)
                ]
                for groups in (True, False)
            ]
            columns = [
                f"{np.mean([r[f] for r in results]):.3f}" for f in ("discovered", "confirmed") for results in both
            ]
            columns += [str(sum(r["false"] for r in results)) for results in both]
            yield f"| {kind}, {cell.name} | {' | '.join(columns)} |"


def stored_table(kept: Kept, sets: int) -> Iterator[str]:
    """Yield the row of stored detection sets."""
    results = [kept.get(f"stored {MAIN.name} {seed}", partial(run_stored, MAIN, seed)) for seed in range(sets)]
    if results:
        yield f"stored detection sets, {MAIN.name}: lab.discover confirms a slice in {share(results)}"


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.discovery_null", description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="null sets of the first cell; others have a quarter")
    parser.add_argument("--ungrouped", type=int, default=20, help="sets of a cell that are run without groups too")
    parser.add_argument("--planted", type=int, default=20, help="sets of each row of planted slices")
    parser.add_argument("--stored", type=int, default=12, help="sets that go through files and the store")
    parser.add_argument(
        "--out", type=Path, default=Path("out/bench/discovery_null.jsonl"), help="where results are kept"
    )
    options = parser.parse_args()
    kept = Kept(options.out)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["SLICELAB_HOME"] = home  # never a person's own database
        os.environ.pop("FIFTYONE_DATABASE_URI", None)
        for line in stored_table(kept, options.stored):
            print(line, flush=True)
        for table in (null_table(kept, options.sets, options.ungrouped), planted_table(kept, options.planted)):
            print(flush=True)
            for line in table:
                print(line, flush=True)


if __name__ == "__main__":
    main()
