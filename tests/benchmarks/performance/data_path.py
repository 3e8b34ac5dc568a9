"""Writing, reading, evaluating and thumbnails beside FiftyOne's public calls and Pillow.

Both sides work in turn, round by round, in one process with FiftyOne imported, on one database (SliceLab's mongod,
journaled writes): what is compared is the calls. The peers' calls cost the same for each item, so they do fewer.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicelab.core import TEXT
from tests.benchmarks.performance.measure import Steps, compare, python, spread

if TYPE_CHECKING:
    from slicelab.core import Predictions, SampleTable
    from slicelab.store import Datasets

GROWTH = (5_000, 10_000, 20_000)
BOXES = 10
CLASSES = tuple(f"class{i}" for i in range(20))
WIDTH, HEIGHT = 1280, 720
PICTURES = 50


@dataclass(frozen=True)
class Step:
    """What is compared: the peer's name, how many times its CPU seconds are to be saved, and for how many items.

    `repeats`: how often our side does it, so that the clock sees it.
    """

    peer: str
    goal: float | None
    own_items: int
    peer_items: int
    repeats: int = 1


CLASSIFIED = "samples with two classifications"
BOXED = "samples with ten boxes"
PREDICTED = "predictions of ten boxes, onto samples"
EVALUATED = "evaluation at IoU 0.5: read, match, store"
MEASURED = "lab.evaluate: that, mAP and intervals"
TABLE = "table of six columns"
COLD = "thumbnails of 1080p, cold"
CACHED = "thumbnails of 1080p, cached"

STEPS = {
    CLASSIFIED: Step("add_samples", 8, 8_000, 2_000),
    BOXED: Step("add_samples", 12, 4_000, 800),
    PREDICTED: Step("set_values", 6, 4_000, 800),
    EVALUATED: Step("evaluate_detections", 15, 800, 200),
    MEASURED: Step("evaluate_detections", None, 800, 200),
    TABLE: Step("iter_samples", 20, 8_000, 2_000, 5),
    COLD: Step("PIL, full-size resize", 4, PICTURES, PICTURES),
    CACHED: Step("PIL, full-size resize", 100, PICTURES, PICTURES, 20),
}

BESIDE = {MEASURED: EVALUATED, CACHED: COLD}
"""Steps of ours that stand beside another step of the peer."""


def run(rounds: int) -> str:
    """Run both sides in turn and return the tables."""
    noted = _alone("data_path:interleaved", rounds)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        noted |= _alone("data_path:pictures", folder, rounds)
    counts = noted.pop("counts")
    lines = [
        "| step | peer | goal | peer by own, CPU | own ms CPU per item | items | peer ms CPU per item | items |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_line(name, step, noted) for name, step in STEPS.items()),
    ]
    growth = ["| samples with two classifications | CPU s | ms CPU for each more |", "| ---: | ---: | ---: |"]
    for fewer, n in zip((0, *GROWTH), GROWTH, strict=False):
        more = 1000 * (median(noted[f"{n}"]) - median(noted[f"{fewer}"])) / (n - fewer) if fewer else None
        growth.append(f"| {n:,} | {spread(noted[f'{n}'])} | {'' if more is None else f'{more:.3f}'} |")
    said = f"Client and mongod CPU seconds; median (min to max) of {rounds} rounds."
    images = STEPS[EVALUATED].peer_items
    equal = f"Equal TP, FP and FN on each of {images} images: {', '.join(map(str, counts))} in all."
    return "\n".join([said, "", *lines, "", equal, "", *growth])


def _alone(function: str, *arguments: object) -> dict[str, Any]:
    """Run a function of this module in a process of its own; return the CPU seconds of each step, round by round."""
    result = compare({"both": python(function, *arguments)}, rounds=1, timeout=7200)
    noted: dict[str, Any] = {}
    for step, figures in result.steps["both"].items():
        noted.setdefault(step.rpartition(" round ")[0], []).extend(figures.cpu)
    return noted | result.values["both"][0]


def _line(name: str, step: Step, noted: dict[str, Any]) -> str:
    own = [1000 * cpu / step.own_items / step.repeats for cpu in noted[name]]
    theirs = [1000 * cpu / step.peer_items for cpu in noted[f"{BESIDE.get(name, name)}, peer"]]
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    goal = "" if step.goal is None else f"{step.goal} x"
    times = f"**{median(theirs) / median(own):.3g} x** ({min(ratios):.3g} to {max(ratios):.3g})"
    cells = [name, step.peer, goal, times, spread(own, 3), f"{step.own_items:,}", spread(theirs, 3)]
    return "| " + " | ".join([*cells, f"{step.peer_items:,}"]) + " |"


def interleaved(rounds: int) -> None:
    """Do every step of the store by both sides in turn."""
    with _database() as store:
        steps = Steps()
        warm = Steps()
        _ours(store, warm, "warm", few=True)
        _fiftyone(warm, "warm", few=True)
        for number in range(rounds):
            ours = _ours(store, steps, f"round {number}")
            theirs = _fiftyone(steps, f"round {number}")
            if ours[: len(theirs)] != theirs:
                raise SystemExit("TP, FP and FN per image aren't those of evaluate_detections.")
            print(f"round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)
        steps.value("counts", np.sum(theirs, axis=0).tolist())
        steps.write()


def _ours(store: Datasets, steps: Steps, turn: str, *, few: bool = False) -> list[list[int]]:
    """Do every step by SliceLab; return TP, FP and FN of each image."""
    from slicelab.evaluation import detection_units
    from slicelab.lab import Lab
    from slicelab.store import connect

    def timed(step: str) -> Any:
        gc.collect()
        return steps.timed(f"{step} {turn}")

    def items(step: str) -> int:
        return 20 if few else STEPS[step].own_items

    def create(name: str, table: SampleTable, *models: Predictions) -> None:
        store.create(name, table, models, overwrite=True, progress=False)

    table, model = classified(items(CLASSIFIED))
    with timed(CLASSIFIED):
        create(f"classified {turn}", table, model)
    with timed(TABLE):
        for _ in range(STEPS[TABLE].repeats):
            read = store.read_table(f"classified {turn}")
    assert read.samples["label"].tolist() == table.samples["label"].tolist()
    table, model = boxed(items(BOXED))
    with timed(BOXED):
        create(f"boxed {turn}", table)
    with timed(PREDICTED):
        store.add(f"boxed {turn}", None, [model], progress=False)
    name = f"evaluated {turn}"
    create(name, *boxed(items(EVALUATED)))
    with timed(EVALUATED):
        units = detection_units(store.read_table(name), store.read_predictions(name, "v3"))
        store.write_outcomes(name, "v3", units)
    lab = Lab(connect(), name)
    with timed(MEASURED):
        lab.evaluate("v3")
    for n in () if few else GROWTH:
        table, model = classified(n)
        with timed(str(n)):
            create(f"growing {n} {turn}", table, model)
    units = detection_units(lab.table, store.read_predictions(name, "v3"), confidence=0.0)
    return _counts(units, lab.table.samples.index)


def _fiftyone(steps: Steps, turn: str, *, few: bool = False) -> list[list[int]]:
    """Do every step by FiftyOne's public calls; return TP, FP and FN of each image."""
    import fiftyone as fo

    def timed(step: str) -> Any:
        gc.collect()
        return steps.timed(f"{step}, peer {turn}")

    def items(step: str) -> int:
        return 20 if few else STEPS[step].peer_items

    table, model = classified(items(CLASSIFIED))
    with timed(CLASSIFIED):
        dataset = fo.Dataset(f"peer classified {turn}", persistent=True)
        dataset.add_samples(_classified(table, model), progress=False)
    with timed(TABLE):
        rows = [
            (s.key, s.filepath, s.sha256, s.metadata.width, s.metadata.height, s.ground_truth.label)
            for s in dataset.iter_samples(progress=False)
        ]
        read = pd.DataFrame(rows, columns=["key", "filepath", "sha256", "width", "height", "label"])
    assert read["label"].tolist() == table.samples["label"].tolist()
    table, model = boxed(items(BOXED))
    with timed(BOXED):
        dataset = fo.Dataset(f"peer boxed {turn}", persistent=True)
        dataset.add_samples(_boxed(table), progress=False)
    with timed(PREDICTED):
        dataset.set_values("v3", _detections(model.frame, "box_id"), key_field="key", progress=False)
    table, model = boxed(20 if few else STEPS[EVALUATED].own_items)
    dataset = fo.Dataset(f"peer evaluated {turn}", persistent=True)
    dataset.add_samples(_boxed(table)[: items(EVALUATED)], progress=False)
    found = _detections(model.frame, "box_id")
    there = {key: found[key] for key in dataset.values("key")}
    dataset.set_values("v3", there, key_field="key", progress=False)
    with timed(EVALUATED):
        dataset.evaluate_detections("v3", gt_field="ground_truth", eval_key="ev", iou=0.5, progress=False)
    columns = dataset.sort_by("key").values(["ev_tp", "ev_fp", "ev_fn"])
    return [list(row) for row in zip(*columns, strict=True)]


def pictures(folder: str, rounds: int) -> None:
    """Make thumbnails, take them from the folder that keeps them, and make them by Pillow at full size."""
    from slicelab.sources import ThumbnailCache

    steps = Steps()
    paths = sorted(Path(folder).glob("*.jpg"))
    _pillow(paths[0])
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as kept:
            cache = ThumbnailCache(kept)
            with steps.timed(f"{COLD} round {number}"):
                for path in paths:
                    cache.get(path, path.name)
            with steps.timed(f"{CACHED} round {number}"):
                for _ in range(STEPS[CACHED].repeats):
                    for path in paths:
                        cache.get(path, path.name)
        with steps.timed(f"{COLD}, peer round {number}"):
            for path in paths:
                _pillow(path)
    steps.write()


def _pillow(path: Path) -> bytes:
    """Open, decode at full size, resize and encode."""
    from io import BytesIO

    from PIL import Image

    image, out = Image.open(path).convert("RGB"), BytesIO()
    scale = 128 / max(image.size)
    size = round(image.width * scale), round(image.height * scale)
    image.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=85)
    return out.getvalue()


def classified(n: int) -> tuple[SampleTable, Predictions]:
    """Return samples with a class each, and what a model says of them."""
    from slicelab.core import BOX_COLUMNS, Predictions, SampleTable

    rng = np.random.default_rng(0)
    samples = _samples(n)
    samples["label"] = _labels(rng, n).to_numpy()
    samples["label"] = samples["label"].astype(TEXT)
    said = {"label": _labels(rng, n).to_numpy(), "confidence": rng.random(n)}
    frame = pd.DataFrame(said, index=samples.index).astype({"label": TEXT})
    table = SampleTable("classification", samples, pd.DataFrame(columns=list(BOX_COLUMNS)), CLASSES)
    return table, Predictions("v3", "classification", frame, CLASSES, sha256="a")


def boxed(n: int) -> tuple[SampleTable, Predictions]:
    """Return samples with ten boxes each, and a model's boxes: most of them near a labelled one, of its class."""
    from slicelab.core import Predictions, SampleTable

    rng = np.random.default_rng(0)
    samples = _samples(n)
    size = np.tile([WIDTH, HEIGHT], 2)
    corners = np.hstack([rng.uniform(0, 0.6, (n * BOXES, 2)), rng.uniform(0.05, 0.4, (n * BOXES, 2))])
    near = np.clip(corners + rng.normal(0, 0.02, corners.shape), 0.001, 1)
    labels = _labels(rng, n * BOXES)
    said = labels.where(pd.Series(rng.random(n * BOXES) < 0.8), _labels(rng, n * BOXES))
    frame = _boxes(samples, "label_id", labels, corners * size).assign(crowd=False)
    predicted = _boxes(samples, "box_id", said, near * size).assign(confidence=rng.random(n * BOXES))
    table = SampleTable("detection", samples, frame, CLASSES)
    return table, Predictions("v3", "detection", predicted, CLASSES, sha256="b")


def draw(folder: Path) -> None:
    """Write photographs of 1920 x 1080: noise and shapes, about as many bytes per pixel as a camera's."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 255, (27, 48, 3), dtype=np.uint8)).resize((1920, 1080), 3)
        pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-14, 14, (1080, 1920, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        for _ in range(30):
            x, y, w, h = rng.integers(10, 900, 4).tolist()
            pen.rectangle((x, y, x + w, y + h), outline=tuple(rng.integers(0, 255, 3).tolist()), width=4)
        image.save(folder / f"{number:03d}.jpg", quality=88)


@contextmanager
def _database() -> Iterator[Datasets]:
    """Give a database of this process's own, with FiftyOne connected to it and bulk writes compared already."""
    import os

    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as home:
        os.environ["SLICELAB_HOME"] = home
        from slicelab.store import Datasets, connect
        from slicelab.store._conformance import conforms
        from slicelab.store._fiftyone import import_fiftyone

        connection = connect()
        import_fiftyone(connection).list_datasets()
        if not conforms(connection):
            raise SystemExit("This FiftyOne stores otherwise than we know: nothing is written in bulk.")
        yield Datasets(connection)
        connection.close()


def _samples(n: int) -> pd.DataFrame:
    keys = pd.Index([f"{i:07d}.jpg" for i in range(n)], name="key", dtype=TEXT)
    paths = [f"/data/pictures/{key}" for key in keys]
    return pd.DataFrame({"filepath": paths, "sha256": "0" * 64, "width": WIDTH, "height": HEIGHT}, index=keys)


def _labels(rng: np.random.Generator, n: int) -> pd.Series[str]:
    return pd.Series(np.array(CLASSES)[rng.integers(0, len(CLASSES), n)], dtype=TEXT)


def _boxes(samples: pd.DataFrame, ids: str, labels: pd.Series[str], xywh: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(xywh, columns=["x", "y", "width", "height"])
    frame.insert(0, "key", pd.Series(np.repeat(samples.index.to_numpy(object), BOXES), dtype=TEXT))
    frame.insert(1, ids, pd.Series([str(i) for i in range(len(frame))], dtype=TEXT))
    frame.insert(2, "label", labels)
    return frame


def _counts(units: pd.DataFrame, keys: pd.Index) -> list[list[int]]:
    """TP, FP and FN per image, by key."""
    tp = units["outcome"] == "tp"
    said = units["box_id"].notna()
    each = pd.DataFrame({"tp": tp, "fp": said & ~tp, "fn": units["label_id"].notna() & ~tp}).groupby(units["key"]).sum()
    return each.reindex(sorted(keys), fill_value=0).to_numpy(int).tolist()


def _build(table: SampleTable, truth: Callable[[str], Any], more: Callable[[str], dict[str, Any]]) -> list[Any]:
    import fiftyone as fo

    rows = zip(table.samples.index.tolist(), table.samples["filepath"].tolist(), strict=True)
    return [
        fo.Sample(
            path,
            key=key,
            sha256="0" * 64,
            metadata=fo.ImageMetadata(width=WIDTH, height=HEIGHT),
            ground_truth=truth(key),
            **more(key),
        )
        for key, path in rows
    ]


def _classified(table: SampleTable, model: Predictions) -> list[Any]:
    import fiftyone as fo

    truth, said = table.samples["label"].to_dict(), model.frame["label"].to_dict()
    sure = model.frame["confidence"].to_dict()
    return _build(
        table,
        lambda key: fo.Classification(label=truth[key]),
        lambda key: {"v3": fo.Classification(label=said[key], confidence=sure[key])},
    )


def _boxed(table: SampleTable) -> list[Any]:
    found = _detections(table.boxes, "label_id")
    return _build(table, lambda key: found[key], lambda _: {})


def _detections(frame: pd.DataFrame, ids: str) -> dict[str, Any]:
    import fiftyone as fo

    size = np.tile([WIDTH, HEIGHT], 2)
    corners = (frame[["x", "y", "width", "height"]].to_numpy() / size).tolist()
    more = frame["confidence"].tolist() if "confidence" in frame else [None] * len(frame)
    found: dict[str, list[Any]] = {}
    rows = zip(frame["key"].tolist(), frame[ids].tolist(), frame["label"].tolist(), corners, more, strict=True)
    for key, box, label, place, sure in rows:
        found.setdefault(key, []).append(fo.Detection(label=label, bounding_box=place, confidence=sure, **{ids: box}))
    return {key: fo.Detections(detections=boxes) for key, boxes in found.items()}
