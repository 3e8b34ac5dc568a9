"""Writing, reading, evaluating and thumbnails beside FiftyOne's public calls and Pillow.

Both sides write to a database of their own of the same kind (SliceLab's mongod, journaled writes) and hold FiftyOne
imported before anything is timed: what is compared is the calls. Each side times the same steps on the same values.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tests.benchmarks.performance.measure import Comparison, Steps, compare, python, spread

if TYPE_CHECKING:
    from slicelab.core import Predictions, SampleTable
    from slicelab.store import Datasets

SAMPLES = 4_000
EVALUATED = 500
GROWTH = (10_000, 20_000, 40_000)
BOXES = 10
PICTURES = 100
CACHED = 20
TABLES = 10
CLASSES = tuple(f"class{i}" for i in range(20))
WIDTH, HEIGHT = 1280, 720

GOALS = {
    "samples with two classifications": ("add_samples", "8 x", SAMPLES),
    "samples with ten boxes": ("add_samples", "12 x", SAMPLES),
    "predictions of ten boxes, onto samples": ("set_values", "6 x", SAMPLES),
    "evaluation at IoU 0.5: read, match, store": ("evaluate_detections", "15 x", EVALUATED),
    "lab.evaluate: the same, mAP and intervals": ("evaluate_detections", "", EVALUATED),
    "table of five columns": ("iter_samples", "20 x", SAMPLES),
    "thumbnails of 1080p, cold": ("PIL, full-size resize", "4 x", PICTURES),
    "thumbnails, cached": ("PIL, full-size resize", "100 x", PICTURES),
}
"""By step: its peer, how many times the peer's CPU seconds are to be saved, and how many items it is done for."""

BESIDE = {"lab.evaluate: the same, mAP and intervals": "evaluation at IoU 0.5: read, match, store"}
"""Steps of our side that stand beside another step of the peer."""

REPEATED = {"table of five columns": TABLES, "thumbnails, cached": CACHED}
"""How often the quick steps are done by our side, so that the clock sees them."""


def run(rounds: int) -> str:
    """Run both sides in turn and return the tables."""
    data = compare({"slicelab": python("data_path:ours"), "peer": python("data_path:fiftyone")}, rounds=rounds)
    if any(ours["counts"] != data.values["peer"][0]["counts"] for ours in data.values["slicelab"]):
        raise SystemExit("TP, FP and FN per image aren't those of evaluate_detections.")
    tp, fp, fn = np.sum(data.values["peer"][0]["counts"], axis=0).tolist()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        sides = {"slicelab": python("data_path:our_thumbnails", folder), "peer": python("data_path:pillow", folder)}
        pictures = compare(sides, rounds=rounds)
    lines = [
        "| step | peer | goal | peer by own, CPU | ms CPU per item: own | peer | n |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        *(_line(step, data if step in data.steps["slicelab"] else pictures) for step in GOALS),
    ]
    return "\n".join(
        [
            f"Client and mongod CPU; median (min to max) of {rounds} rounds, each side in a fresh process.",
            "",
            *lines,
            "",
            f"Evaluation: equal TP, FP and FN on each of {EVALUATED} images ({tp}, {fp}, {fn} in all).",
            "",
            *_growth(data),
        ]
    )


def _line(step: str, result: Comparison) -> str:
    peer, goal, items = GOALS[step]
    repeats = REPEATED.get(step, 1)
    own = [1000 * cpu / items / repeats for cpu in result.steps["slicelab"][step].cpu]
    theirs = [1000 * cpu / items for cpu in result.steps["peer"][BESIDE.get(step, step)].cpu]
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    ratio = statistics.median(theirs) / statistics.median(own)
    cells = [step, peer, goal, f"**{ratio:.3g} x** ({min(ratios):.3g} to {max(ratios):.3g})"]
    return "| " + " | ".join([*cells, spread(own, 3), spread(theirs, 3), str(items)]) + " |"


def _growth(data: Comparison) -> list[str]:
    lines = ["| samples with two classifications | CPU s | twice as many cost |", "| ---: | ---: | ---: |"]
    before = None
    for n in GROWTH:
        cpu = data.steps["slicelab"][f"growth {n}"].cpu
        grown = "" if before is None else f"{statistics.median(cpu) / before:.2f} x"
        lines.append(f"| {n:,} | {spread(cpu)} | {grown} |")
        before = statistics.median(cpu)
    return lines


def ours() -> None:
    """Do every step by SliceLab."""
    with _database() as store:
        from slicelab.evaluation import detection_units
        from slicelab.lab import Lab
        from slicelab.store import connect

        steps = Steps()
        for make in (classified, boxed):  # FiftyOne's first dataset of a process costs more than the next
            store.create(f"first {make.__name__}", make(10)[0], [make(10)[1]], progress=False)
        Lab(connect(), "first boxed").evaluate("v3")
        table, model = classified(SAMPLES)
        with steps.timed("samples with two classifications"):
            store.create("classified", table, [model], progress=False)
        with steps.timed("table of five columns"):
            for _ in range(TABLES):
                read = store.read_table("classified")
        assert read.samples["label"].tolist() == table.samples["label"].tolist()
        table, model = boxed(SAMPLES)
        with steps.timed("samples with ten boxes"):
            store.create("boxed", table, progress=False)
        with steps.timed("predictions of ten boxes, onto samples"):
            store.add("boxed", None, [model], progress=False)
        store.create("evaluated", *_first(boxed(EVALUATED)), progress=False)
        with steps.timed("evaluation at IoU 0.5: read, match, store"):
            units = detection_units(store.read_table("evaluated"), store.read_predictions("evaluated", "v3"))
            store.write_outcomes("evaluated", "v3", units)
        lab = Lab(connect(), "evaluated")
        with steps.timed("lab.evaluate: the same, mAP and intervals"):
            lab.evaluate("v3")
        units = detection_units(lab.table, store.read_predictions("evaluated", "v3"), confidence=0.0)
        steps.value("counts", _counts(units, lab.table.samples.index))
        for n in GROWTH:
            table, model = classified(n)
            with steps.timed(f"growth {n}"):
                store.create(f"growth {n}", table, [model], progress=False)
        steps.write()


def fiftyone() -> None:
    """Do every step by FiftyOne's public calls."""
    with _database():
        import fiftyone as fo

        steps = Steps()
        for make, build in ((classified, _classified), (boxed, _boxed)):
            dataset = fo.Dataset(f"first {make.__name__}", persistent=True)
            dataset.add_samples(build(*make(10)), progress=False)
        dataset.set_values("v3", _predicted(*boxed(10)), key_field="key", progress=False)
        dataset.evaluate_detections("v3", gt_field="ground_truth", eval_key="ev", progress=False)
        table, model = classified(SAMPLES)
        with steps.timed("samples with two classifications"):
            dataset = fo.Dataset("classified", persistent=True)
            dataset.add_samples(_classified(table, model), progress=False)
        with steps.timed("table of five columns"):
            rows = [
                (s.key, s.filepath, s.sha256, s.metadata.width, s.metadata.height, s.ground_truth.label)
                for s in dataset.iter_samples(progress=False)
            ]
            read = pd.DataFrame(rows, columns=["key", "filepath", "sha256", "width", "height", "label"])
        assert read["label"].tolist() == table.samples["label"].tolist()
        table, model = boxed(SAMPLES)
        with steps.timed("samples with ten boxes"):
            dataset = fo.Dataset("boxed", persistent=True)
            dataset.add_samples(_boxed(table), progress=False)
        with steps.timed("predictions of ten boxes, onto samples"):
            dataset.set_values("v3", _predicted(table, model), key_field="key", progress=False)
        table, model = boxed(EVALUATED)
        dataset = fo.Dataset("evaluated", persistent=True)
        dataset.add_samples(_boxed(table), progress=False)
        dataset.set_values("v3", _predicted(table, model), key_field="key", progress=False)
        with steps.timed("evaluation at IoU 0.5: read, match, store"):
            dataset.evaluate_detections("v3", gt_field="ground_truth", eval_key="ev", iou=0.5, progress=False)
        columns = dataset.sort_by("key").values(["ev_tp", "ev_fp", "ev_fn"])
        steps.value("counts", np.transpose(columns).tolist())
        steps.write()


def our_thumbnails(folder: str) -> None:
    """Make thumbnails, and take them from the folder that keeps them."""
    from slicelab.sources import ThumbnailCache

    steps = Steps()
    paths = sorted(Path(folder).glob("*.jpg"))
    with tempfile.TemporaryDirectory() as kept:
        cache = ThumbnailCache(kept)
        cache.get(paths[0], "warm")
        with steps.timed("thumbnails of 1080p, cold"):
            for path in paths:
                cache.get(path, path.name)
        with steps.timed("thumbnails, cached"):
            for _ in range(CACHED):
                for path in paths:
                    cache.get(path, path.name)
    steps.write()


def pillow(folder: str) -> None:
    """Open, decode at full size, resize and encode: twice, for both of our steps."""
    from io import BytesIO

    from PIL import Image

    def thumbnail(path: Path) -> bytes:
        image, out = Image.open(path).convert("RGB"), BytesIO()
        scale = 128 / max(image.size)
        size = round(image.width * scale), round(image.height * scale)
        image.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=85)
        return out.getvalue()

    steps = Steps()
    paths = sorted(Path(folder).glob("*.jpg"))
    thumbnail(paths[0])
    for step in ("thumbnails of 1080p, cold", "thumbnails, cached"):
        with steps.timed(step):
            for path in paths:
                thumbnail(path)
    steps.write()


def classified(n: int) -> tuple[SampleTable, Predictions]:
    """Return samples with a class each, and what a model says of them."""
    from slicelab.core import BOX_COLUMNS, Predictions, SampleTable

    rng = np.random.default_rng(0)
    samples = _samples(n)
    samples["label"] = _labels(rng, n).to_numpy()
    samples["label"] = samples["label"].astype("str")
    said = {"label": _labels(rng, n).to_numpy(), "confidence": rng.random(n)}
    frame = pd.DataFrame(said, index=samples.index).astype({"label": "str"})
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
    keys = pd.Index([f"{i:07d}.jpg" for i in range(n)], name="key", dtype="str")
    paths = [f"/data/pictures/{key}" for key in keys]
    return pd.DataFrame({"filepath": paths, "sha256": "0" * 64, "width": WIDTH, "height": HEIGHT}, index=keys)


def _labels(rng: np.random.Generator, n: int) -> pd.Series[str]:
    return pd.Series(np.array(CLASSES)[rng.integers(0, len(CLASSES), n)], dtype="str")


def _boxes(samples: pd.DataFrame, ids: str, labels: pd.Series[str], xywh: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(xywh, columns=["x", "y", "width", "height"])
    frame.insert(0, "key", pd.Series(np.repeat(samples.index.to_numpy(object), BOXES), dtype="str"))
    frame.insert(1, ids, pd.Series([str(i) for i in range(len(frame))], dtype="str"))
    frame.insert(2, "label", labels)
    return frame


def _first(pair: tuple[SampleTable, Predictions]) -> tuple[SampleTable, list[Predictions]]:
    return pair[0], [pair[1]]


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


def _boxed(table: SampleTable, model: Predictions | None = None) -> list[Any]:
    del model
    found = _detections(table.boxes, "label_id")
    return _build(table, lambda key: found[key], lambda _: {})


def _predicted(table: SampleTable, model: Predictions) -> dict[str, Any]:
    del table
    return _detections(model.frame, "box_id")


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
