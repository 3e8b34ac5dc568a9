"""Pack a bag by chance and scan it: what goes in, where it lies, and the facts that are written down about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from baggage_items import BAGS, CLUTTER, OBJECTS
from baggage_rays import ABSORB_HIGH, FINE, HEIGHT, MACHINES, METAL, WIDTH, Brush, Film, Pose, expose, folds

CATEGORIES = tuple(OBJECTS)  # knife, gun, bottle, scissors, laptop
CLUTTER_LEVELS = {"low": (4, 8), "medium": (8, 14), "high": (14, 22)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The shares that make one set of scans differ from another."""

    edge_on: float = 0.35  # of knives
    behind_laptop: float = 0.45  # of bottles whose bag holds a laptop too
    closed: float = 0.45  # of scissors
    awkward_gun: float = 0.30  # of guns: steep or taken apart
    machine_b: float = 0.45  # of scans
    high_clutter: float = 0.30  # of scans
    counts: tuple[float, ...] = (0.12, 0.33, 0.33, 0.17, 0.05)  # of scans with 0, 1, 2 ... objects
    weights: tuple[float, ...] = (0.25, 0.17, 0.23, 0.18, 0.17)  # of the categories among objects


@dataclass(slots=True)
class Thing:
    """One labelled object as it was packed, with the facts a checkpoint would not know."""

    category: str
    kind: str
    view: str
    turn: float
    box: tuple[float, float, float, float]
    behind: str = ""
    overlap: float = 0.0  # mean high-energy absorbance of everything else in the box
    contrast: float = 0.0  # the object's own share of the absorbance in its box


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: the picture, its objects and its metadata."""

    pixels: np.ndarray  # uint8 (240, 320, 3)
    things: list[Thing]
    facts: dict[str, object]


def draw_scan(seed: int, index: int, recipe: Recipe) -> Scan:
    """Draw scan `index` of the set `seed`; each scan has its own generator, so any one can be drawn again alone."""
    rng = np.random.default_rng([seed, index])
    machine = MACHINES["B" if rng.random() < recipe.machine_b else "A"]
    rest = (1 - recipe.high_clutter) / 2
    level = str(rng.choice(list(CLUTTER_LEVELS), p=[rest, rest, recipe.high_clutter]))
    belt_speed = float(rng.choice([0.15, 0.20, 0.30], p=[0.3, 0.5, 0.2]))
    bag = str(rng.choice(list(BAGS), p=[0.45, 0.33, 0.22]))
    film = Film(cloth=folds(rng))
    draw_belt(film, rng)
    middle = WIDTH / 2 + rng.normal(0, 6), HEIGHT / 2 + rng.normal(0, 4)
    BAGS[bag](Brush(film, Pose(*middle, rng.normal(0, 2.5), rng.uniform(0.97, 1.08))), rng)

    amount = int(rng.integers(*CLUTTER_LEVELS[level]))
    things = pack_objects(film, rng, recipe)
    pack_clutter(film, rng, amount)
    high = film.absorbance()[0]
    for thing in things:
        weigh_overlap(thing, high)
    belt_blur = {0.15: 1, 0.20: 1, 0.30: 2}[belt_speed]
    facts = {
        "machine": machine.name, "bag": bag, "clutter": level, "clutter_items": amount, "belt_speed": belt_speed,
        "mean_absorbance": round(float(high[40:200, 50:270].mean()), 3), "n_objects": len(things),
    }  # fmt: skip
    return Scan(expose(film, machine, belt_blur=belt_blur, rng=rng), things, facts)


def draw_belt(film: Film, rng: np.random.Generator) -> None:
    """Draw the belt's two edges along the scan."""
    for y in (rng.uniform(2, 5), HEIGHT - rng.uniform(2, 5)):
        film.thickness[METAL, int(y * FINE) : int((y + 1.2) * FINE)] += 0.05
    film.thickness[0] += 0.06


def pack_objects(film: Film, rng: np.random.Generator, recipe: Recipe) -> list[Thing]:
    """Choose, pose and draw the labelled objects, a laptop first."""
    wanted = rng.choice(CATEGORIES, size=int(rng.choice(len(recipe.counts), p=recipe.counts)), p=recipe.weights)
    if (wanted == "laptop").sum() > 1:
        wanted = np.array(["laptop", *wanted[wanted != "laptop"]])
    # A bottle and a laptop travel together more often than chance would have it.
    if "bottle" in wanted and "laptop" not in wanted and rng.random() < 0.5:
        wanted = np.append(wanted, "laptop")
    things: list[Thing] = []
    for category in sorted(wanted, key=lambda name: name != "laptop"):
        laptop = next((thing for thing in things if thing.category == "laptop"), None)
        hide = category == "bottle" and laptop is not None and rng.random() < recipe.behind_laptop
        view = choose_view(str(category), rng, recipe)
        pose = choose_pose(view, rng, things, under=laptop if hide else None, free=category == "laptop")
        if pose is None:
            continue
        before = film.thickness.copy()
        brush = Brush(film, pose, gain=1 / max(pose.squash, 0.45))
        kind = OBJECTS[str(category)](brush, rng, view=view)
        thing = Thing(str(category), kind, view, round(pose.turn % 360, 1), brush.box())
        thing.behind = "laptop" if laptop and share_inside(thing.box, laptop.box) >= 0.6 else ""
        thing.contrast = own_absorbance(film.thickness - before, thing.box)
        things.append(thing)
    return things


def choose_view(category: str, rng: np.random.Generator, recipe: Recipe) -> str:
    """Name how the object is seen."""
    if category == "knife":
        return "edge_on" if rng.random() < recipe.edge_on else "flat"
    if category == "scissors":
        return "closed" if rng.random() < recipe.closed else "open"
    if category == "gun" and rng.random() < recipe.awkward_gun:
        return str(rng.choice(["steep", "disassembled"]))
    if category == "bottle":
        return "end_on" if rng.random() < 0.12 else "lying"
    return "flat"


def choose_pose(
    view: str, rng: np.random.Generator, things: list[Thing], *, under: Thing | None, free: bool
) -> Pose | None:
    """Find a place: over a given laptop, or where labelled objects don't crowd each other (None: no room)."""
    squash = rng.uniform(0.30, 0.45) if view == "steep" else 1.0
    for _ in range(40):
        turn = rng.normal(0, 6) + rng.choice([0, 90]) * (rng.random() < 0.25) if free else rng.uniform(0, 360)
        if under is not None:
            left, top, wide, tall = under.box
            x, y = left + wide * rng.uniform(0.3, 0.7), top + tall * rng.uniform(0.35, 0.65)
        else:
            x, y = rng.uniform(75, WIDTH - 75), rng.uniform(62, HEIGHT - 62)
        apart = min((distance(t, x, y) for t in things if t is not under), default=999)
        on_laptop = under is None and any(covers(t, x, y) for t in things if t.category == "laptop")
        if apart > 48 and not (on_laptop and rng.random() < 0.96):
            return Pose(float(x), float(y), float(turn), rng.uniform(0.88, 1.08), squash, bool(rng.random() < 0.5))
    return None


def distance(thing: Thing, x: float, y: float) -> float:
    """From the middle of a thing's box to a point, pixels."""
    left, top, wide, tall = thing.box
    return float(np.hypot(x - left - wide / 2, y - top - tall / 2))


def covers(thing: Thing, x: float, y: float) -> bool:
    left, top, wide, tall = thing.box
    return left - 8 < x < left + wide + 8 and top - 8 < y < top + tall + 8


def share_inside(box: tuple[float, float, float, float], around: tuple[float, float, float, float]) -> float:
    """Which share of a box's area lies inside another box."""
    wide = min(box[0] + box[2], around[0] + around[2]) - max(box[0], around[0])
    tall = min(box[1] + box[3], around[1] + around[3]) - max(box[1], around[1])
    return max(0.0, wide) * max(0.0, tall) / (box[2] * box[3])


def pack_clutter(film: Film, rng: np.random.Generator, amount: int) -> None:
    """Strew unlabelled things over the bag."""
    chances = np.array(list(CLUTTER.values()))
    for choice in rng.choice(len(CLUTTER), size=amount, p=chances / chances.sum()):
        x, y = rng.uniform(60, WIDTH - 60), rng.uniform(50, HEIGHT - 50)
        pose = Pose(x, y, rng.uniform(0, 360), rng.uniform(0.85, 1.1))
        list(CLUTTER)[choice](Brush(film, pose), rng)


def window(box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Pixel rows and columns that a box touches."""
    left, top, wide, tall = box
    first_row, first_column = int(top), int(left)
    end_row, end_column = int(np.ceil(top + tall)), int(np.ceil(left + wide))
    return slice(first_row, max(first_row + 1, end_row)), slice(first_column, max(first_column + 1, end_column))


def own_absorbance(added: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Mean high-energy absorbance of the thickness that an object added, inside its box."""
    rows, columns = (slice(part.start * FINE, part.stop * FINE) for part in window(box))
    return float(np.tensordot(ABSORB_HIGH, added[:, rows, columns], axes=1).mean())


def weigh_overlap(thing: Thing, high: np.ndarray) -> None:
    """Tell the object's own absorbance from everything else's, now that the bag is packed."""
    total = float(high[window(thing.box)].mean())
    own, thing.overlap = thing.contrast, round(max(0.0, total - thing.contrast), 3)
    thing.contrast = round(min(1.0, own / max(total, 1e-6)), 3)
