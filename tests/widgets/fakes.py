"""A stand-in for the caller of the widgets: units, drawn pictures and a desk that keeps slices in memory."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from slicelab.core import (
    Bar,
    Candidate,
    Case,
    ConflictError,
    DrawnBox,
    Inspection,
    InvalidInputError,
    NotFoundError,
    Rule,
    Slice,
    StateError,
    Thumbnail,
    visible,
)

HOSTILE = (
    "<script>window.__pwned=1</script>",
    "<img src=x onerror=window.__pwned=1>",
    '"><svg onload=window.__pwned=1>',
    "'><iframe srcdoc='<script>parent.__pwned=1</script>'>",
    "</style><script>window.__pwned=1</script>",
    "</textarea><img src=x onerror=window.__pwned=1>",
    "</title><svg/onload=window.__pwned=1>",
    "<a href=javascript:window.__pwned=1>click</a>",
    "<body onload=window.__pwned=1>",
    "<details open ontoggle=window.__pwned=1>",
    "<math><mtext><img src=x onerror=window.__pwned=1></mtext></math>",
    "$\\href{javascript:window.__pwned=1}{x}$",
    "$$\\unicode{<img src=x onerror=window.__pwned=1>}$$",
    "&lt;img src=x onerror=window.__pwned=1&gt;",
    "%{customdata}<b>bold</b>",
    "{{constructor.constructor('window.__pwned=1')()}}",
    "${window.__pwned=1}",
    "`+(window.__pwned=1)+`",
    "\u202egnp.exe<b onclick=window.__pwned=1>",
    "<input autofocus onfocus=window.__pwned=1>",
)


def hostile(count: int) -> list[str]:
    """So many different texts of the shapes of `HOSTILE`: between letters, in another case, encoded, doubled."""
    ways = (
        lambda text, i: text,
        lambda text, i: f"{text}{i}",
        lambda text, i: f"a{i} {text} b",
        lambda text, i: text.replace("<", "<\t").replace("onerror", "oNeRrOr") + str(i),
        lambda text, i: html.escape(text) + str(i),
        lambda text, i: f"[{i}]({text})",
        lambda text, i: f"{text}{text}{i}",
        lambda text, i: f"<b>{i}</b>{text}",
    )
    made = (way(text, number) for number, way in enumerate(ways * 9) for text in HOSTILE)
    return list(dict.fromkeys(visible(text) for text in made))[:count]


CLASSES = ("knife", "fork", "spoon", "cup")


def make_units(count: int = 200, *, classes: Sequence[str] = CLASSES, seed: int = 0) -> pd.DataFrame:
    """A units frame of a classifier; one unit in five of the first class fails, one in twenty of the others."""
    rng = np.random.default_rng(seed)
    true = np.arange(count) % len(classes)
    fails = rng.random(count) < np.where(true == 0, 0.4, 0.08)
    label = np.array(classes, dtype=object)[true]
    prediction = np.array(classes, dtype=object)[np.where(fails, (true + 1) % len(classes), true)]
    confidence = rng.uniform(0.4, 1, count)
    return pd.DataFrame(
        {
            "key": [f"{i:04d}.png" for i in range(count)],
            "label": label,
            "prediction": prediction,
            "confidence": confidence,
            "outcome": np.where(fails, "wrong", "correct"),
            "failure": fails,
            "loss": np.where(fails, confidence, 1 - confidence),
            "brightness": rng.random(count),
        },
        index=pd.Index([f"{i:04d}.png" for i in range(count)], name="unit"),
    )


def make_projection(count: int = 200, *, groups: int = 4, seed: int = 0) -> np.ndarray:
    """Four round clouds on the corners of a square of side 5; unit i belongs to cloud i % 4."""
    rng = np.random.default_rng(seed)
    corners = np.array([(0, 0), (5, 0), (0, 5), (5, 5)], dtype=float)
    return (corners[np.arange(count) % groups] + rng.normal(0, 0.45, (count, 2))).astype(np.float32)


def make_candidates(units: pd.DataFrame, labels: Sequence[str] = ("knife", "cup")) -> list[Candidate]:
    """One candidate per label, of the units that have it."""
    found = []
    for label in labels:
        members = np.flatnonzero((units["label"] == label).to_numpy())
        failures = int(units["failure"].to_numpy()[members].sum())
        rate, base = failures / len(members), float(units["failure"].mean())
        membership = np.zeros(len(units), dtype=np.float32)
        membership[members] = 1
        found.append(
            Candidate(members, membership, len(members), failures, rate, (max(rate - 0.1, 0), min(rate + 0.1, 1)), base,
                      0.001, 0.004, name=f"{label} taken for its neighbour", description=f"label {label}",
                      unit_ids=tuple(units.index[members]))
        )  # fmt: skip
    return found


def draw_jpeg(row: int, size: int) -> bytes:
    """A picture that tells the rows apart: a disc of one of seven hues on grey."""
    image = Image.new("RGB", (size, size * 3 // 4), (70, 70, 74))
    hue = [
        (200, 70, 60),
        (70, 160, 90),
        (70, 110, 200),
        (210, 170, 60),
        (150, 90, 180),
        (60, 170, 180),
        (220, 120, 160),
    ]
    draw = ImageDraw.Draw(image)
    x, y, r = size * (0.3 + 0.05 * (row % 9)), size * (0.25 + 0.03 * (row % 7)), size * 0.2
    draw.ellipse((x - r, y - r, x + r, y + r), fill=hue[row % 7])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class FakeWork:
    """A search whose steps the test takes."""

    def __init__(self, units: pd.DataFrame) -> None:
        self.units, self.stopped = units, False

    def start(self, *, tell, done, failed) -> None:
        self.tell, self.done, self.failed = tell, done, failed

    def cancel(self) -> None:
        self.stopped = True
        self.failed(None)


class FakeDesk:
    """Keeps slices in memory as the real one keeps them in a database: versions, undo, redo, conflicts."""

    def __init__(self, units: pd.DataFrame, *, boxes: bool = True, broken: Sequence[str] = ()) -> None:
        self.units, self.boxes, self.broken = units, boxes, set(broken)
        self.kept: dict[str, Slice] = {}
        self.past: list[tuple[str, dict[str, Slice]]] = []
        self.future: list[tuple[str, dict[str, Slice]]] = []
        self.cases: list[Case] = []
        self.queued: dict[str, set[str]] = {}
        self.asked: list[tuple[tuple[str, ...], int]] = []
        self.gone: list[Slice] = []
        self.background = None

    def thumbnails(self, units: Sequence[str], *, size: int = 128) -> list[Thumbnail]:
        self.asked.append((tuple(units), size))
        return [self._thumbnail(unit, size) for unit in units]

    def _thumbnail(self, unit: str, size: int) -> Thumbnail:
        if unit in self.broken:
            return Thumbnail(unit, b"", problem="cannot identify image file")
        row, boxes = int(self.units.index.get_loc(unit)), ()
        if self.boxes:
            label, prediction = self.units.loc[unit, ["label", "prediction"]]
            x, y = 0.1 + 0.05 * (row % 9), 0.07 + 0.04 * (row % 7)
            boxes = (DrawnBox(x, y, 0.4, 0.53, "label", str(label)),
                     DrawnBox(x + 0.05, y + 0.05, 0.38, 0.5, "prediction", str(prediction)))  # fmt: skip
        return Thumbnail(unit, draw_jpeg(row, size), boxes)

    def slices(self) -> list[Slice]:
        return sorted(self.kept.values(), key=lambda s: s.name)

    def inspect(self, units: Sequence[str], model: str) -> Inspection:
        from slicelab.evaluation import Background

        if self.background is None:
            self.background = Background(self.units)
            self.index = pd.Index(self.units.index.to_numpy(object), dtype=object)
        return self.background.compare(self.index.get_indexer(np.array(units, dtype=object)))

    def describe(self, units: Sequence[str], model: str) -> Rule | None:
        return Rule("brightness < 0.5", 0.8, 0.7, 10) if len(units) > 3 else None

    def discovery(self, model: str) -> FakeWork:
        self.work = FakeWork(self.units)
        return self.work

    def neighbours(self, unit: str, model: str, *, count: int = 8) -> list[str]:
        right = self.units[(self.units["label"] == self.units.loc[unit, "label"]) & ~self.units["failure"]]
        return list(right.index[:count])

    def dismissals(self, candidates: Sequence[Candidate]) -> list[str]:
        return [next((s.dismissed for s in self.gone if s.name == c.name), "") for c in candidates]

    def kept_as(self, candidates: Sequence[Candidate]) -> list[str]:
        same = {frozenset(s.members): name for name, s in self.kept.items()}
        return [same.get(frozenset(c.unit_ids), "") for c in candidates]

    def create_slice(
        self, name: str, *, units: Sequence[str] | None = None, rule: str | None = None, model: str | None = None
    ) -> Slice:
        if name in self.kept:
            raise InvalidInputError(f"A slice named {name!r} is there already. Choose another name.")
        if units is None:
            from slicelab.curation import evaluate_rule

            units = self.units.index[evaluate_rule(rule, self.units)]
        return self._keep(f"create {name}", Slice(name, tuple(units), rule=rule))

    def promote_slice(self, candidate: Candidate, *, name: str | None = None, note: str = "") -> Slice:
        return self._keep("confirm", Slice(name or candidate.name, candidate.unit_ids, note=note))

    def dismiss(self, candidate: Candidate, *, reason: str) -> Slice:
        self.gone.append(Slice(candidate.name, candidate.unit_ids, dismissed=reason))
        return self.gone[-1]

    def rename_slice(self, name: str | Slice, new_name: str) -> Slice:
        old = self._get(name)
        return self._keep(f"rename {old.name}", replace(old, name=new_name, version=old.version + 1), gone=[old.name])

    def note_slice(self, name: str | Slice, note: str) -> Slice:
        old = self._get(name)
        return self._keep(f"note {old.name}", replace(old, note=note, version=old.version + 1))

    def add_to_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        old = self._get(name)
        members = tuple(dict.fromkeys([*old.members, *units]))
        return self._keep(f"add to {old.name}", replace(old, members=members, version=old.version + 1))

    def remove_from_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        old, out = self._get(name), set(units)
        members = tuple(unit for unit in old.members if unit not in out)
        return self._keep(f"remove from {old.name}", replace(old, members=members, version=old.version + 1))

    def merge_slices(self, names: Sequence[str | Slice], *, into: str) -> Slice:
        old = [self._get(name) for name in names]
        members = tuple(dict.fromkeys(unit for slice_ in old for unit in slice_.members))
        return self._keep(f"merge into {into}", Slice(into, members), gone=[s.name for s in old])

    def regroup_slice(self, name: str | Slice, parts: int = 2) -> list[Slice]:
        old = self._get(name)
        made = [Slice(f"{old.name} {i + 1}", old.members[i::parts]) for i in range(parts)]
        for slice_ in made:
            self._keep(f"split {old.name}", slice_, gone=[old.name])
        return made

    def delete_slice(self, name: str | Slice) -> None:
        old = self._get(name)
        self._remember(f"delete {old.name}")
        del self.kept[old.name]

    def undo(self) -> str:
        if not self.past:
            raise StateError("There is nothing to undo.")
        words, before = self.past.pop()
        self.future.append((words, self.kept))
        self.kept = before
        return words

    def redo(self) -> str:
        if not self.future:
            raise StateError("There is nothing to do again.")
        words, after = self.future.pop()
        self.past.append((words, self.kept))
        self.kept = after
        return words

    def promote(self, slice_: Slice | str, *, bar: Bar, suite: str, name: str | None = None) -> Case:
        found = self._get(slice_)
        self.cases.append(Case(name or found.name, suite, bar, found.members, found.content_hash))
        return self.cases[-1]

    def enqueue(self, slice_: Slice | str, *, queue: str, reason: str) -> int:
        found = self._get(slice_)
        there = self.queued.setdefault(f"{queue}/{reason}", set())
        new = set(found.members) - there
        there |= new
        return len(new)

    def _get(self, name: str | Slice) -> Slice:
        if isinstance(name, Slice):
            now = next((s for s in self.kept.values() if s.slice_id == name.slice_id), None)
            if now is None or now.version != name.version:
                raise ConflictError(f"Slice {name.name!r} was changed by someone else. Look at it and try again.")
            return now
        if name not in self.kept:
            raise NotFoundError(f"There is no slice named {name!r}.")
        return self.kept[name]

    def _keep(self, words: str, slice_: Slice, gone: Sequence[str] = ()) -> Slice:
        self._remember(words)
        self.kept = {name: s for name, s in self.kept.items() if name not in gone} | {slice_.name: slice_}
        return slice_

    def _remember(self, words: str) -> None:
        self.past.append((words, dict(self.kept)))
        self.future = []
