"""What lies in a bag: each function draws one thing with a brush, in centimetres around the thing's middle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from baggage_rays import INORGANIC, METAL, ORGANIC, Brush, ellipse, rectangle

Rng = np.random.Generator


def knife(brush: Brush, rng: Rng, *, view: str) -> str:
    """Draw a knife: kitchen, folding or serrated. Seen `edge_on`, the blade is a thin dense line."""
    kind = str(rng.choice(["kitchen", "folding", "serrated"], p=[0.45, 0.35, 0.2]))
    blade, grip, wide = {
        "kitchen": (rng.uniform(11, 17), rng.uniform(9, 11), rng.uniform(2.2, 3.4)),
        "folding": (rng.uniform(7, 9.5), rng.uniform(9, 11), rng.uniform(1.8, 2.4)),
        "serrated": (rng.uniform(12, 18), rng.uniform(9.5, 11.5), rng.uniform(1.8, 2.3)),
    }[kind]
    start = -(blade + grip) / 2
    neck, tip = start + grip, start + grip + blade
    grip_material = INORGANIC if rng.random() < 0.4 else ORGANIC
    if view == "edge_on":
        brush.polygon(METAL, [(neck, -0.17), (tip, -0.07), (tip, 0.07), (neck, 0.17)], wide * 0.75)
        brush.polygon(grip_material, rectangle(start, -0.75, grip, 1.5, corner=0.6), 1.6)
        brush.polygon(METAL, rectangle(start + 0.6, -0.13, grip - 0.6, 0.26), 1.1)
        return kind
    spine, belly = -wide / 2, wide / 2
    if kind == "serrated":
        teeth = np.arange(tip - 1.2, neck, -0.7)
        edge = [(x, belly - (0.35 if i % 2 else 0.0)) for i, x in enumerate(teeth)]
        outline = [(neck, spine), (tip - 0.5, spine), (tip, spine + 0.6), *edge, (neck, belly)]
    else:
        outline = [(neck, spine), (tip - blade * 0.35, spine), (tip, spine + wide * 0.45),
                   (tip - blade * 0.25, belly - 0.1), (neck + 0.8, belly), (neck, belly * 0.6)]  # fmt: skip
    brush.polygon(METAL, outline, 0.17)
    brush.polygon(METAL, rectangle(neck, spine, blade * 0.65, 0.35), 0.1)
    brush.polygon(grip_material, rectangle(start, -1.15, grip, 2.3, corner=0.9), 1.6)
    brush.polygon(METAL, rectangle(start + 0.7, -0.55, grip - 0.7, 1.1), 0.22)
    for x in np.linspace(start + 1.5, neck - 1.2, 3):
        brush.ellipse(METAL, (x, 0), (0.28, 0.28), 1.2)
    return kind


def gun(brush: Brush, rng: Rng, *, view: str) -> str:
    """Draw a pistol: whole (`flat`, or `steep` by the pose's squash) or taken apart."""
    polymer = rng.random() < 0.45
    frame_material, frame_thick = (ORGANIC, 2.2) if polymer else (METAL, 0.9)
    length = rng.uniform(16, 19.5)
    left, right = -length / 2, length / 2
    lift = rng.uniform(4.5, 7.0) if view == "disassembled" else 0.0
    drift = rng.uniform(-2, 2) if lift else 0.0

    top = -6.2 - lift
    slide = rectangle(left + drift, top, length, 2.7, corner=0.3)
    brush.polygon(METAL, slide, 0.85)
    brush.polygon(METAL, rectangle(left + drift + length * 0.36, top + 0.35, length * 0.24, 1.2), -0.6)
    if lift:
        brush.polygon(METAL, rectangle(left + 1.0, top + 4.0, length * 0.62, 1.3, corner=0.3), 1.0)
        turns = np.linspace(left + 1.2, left + length * 0.55, 22)
        zigzag = np.column_stack([turns, top + 6.1 + 0.35 * (-1.0) ** np.arange(22)])
        brush.line(METAL, zigzag, 0.16, 0.5)
    else:
        brush.polygon(METAL, rectangle(left + 0.2, -5.8, length * 0.62, 1.25), 0.6)
    for x in np.linspace(right - 2.8, right - 0.7, 5) + drift:
        brush.polygon(METAL, rectangle(x, top + 0.3, 0.16, 2.1), 0.4)

    brush.polygon(frame_material, rectangle(left + 1.0, -3.5, length - 1.4, 1.6, corner=0.3), frame_thick)
    rake = rng.uniform(1.0, 2.2)
    grip = [(right - 6.2, -2.2), (right - 0.8, -2.6), (right - 0.5 + rake, 6.0), (right - 5.4 + rake, 6.4)]
    brush.polygon(frame_material, grip, frame_thick)
    brush.ring(METAL if not polymer else ORGANIC, (right - 8.0, -0.4), (2.1, 1.75), 0.5, 1.2)
    brush.line(METAL, [(right - 7.4, -1.8), (right - 7.9, -0.5), (right - 7.4, 0.6)], 0.45, 0.9)
    if rng.random() < 0.85:
        inset = [(right - 5.3, -1.6), (right - 1.8, -1.8), (right - 1.5 + rake, 6.2), (right - 4.7 + rake, 6.4)]
        brush.polygon(METAL, inset, 0.35)
        for step in range(6):
            y = -1.0 + step * 1.2
            x = right - 3.4 + rake * (y + 2) / 8.2
            brush.polygon(METAL, rectangle(x - 1.3, y - 0.36, 2.5, 0.72, corner=0.35), 0.8)
    return "polymer" if polymer else "steel"


def bottle(brush: Brush, rng: Rng, *, view: str) -> str:
    """Draw a bottle: plastic, glass or a steel flask, lying or (`end_on`) seen from its end."""
    kind = str(rng.choice(["plastic", "glass", "flask"], p=[0.55, 0.27, 0.18]))
    radius, length = rng.uniform(2.9, 3.7), rng.uniform(16, 22)
    material, wall = {"plastic": (ORGANIC, 0.17), "glass": (INORGANIC, 0.32), "flask": (METAL, 0.07)}[kind]
    filled = rng.uniform(0.45, 0.97)
    if view == "end_on":
        brush.ellipse(ORGANIC, (0, 0), (radius - wall, radius - wall), min(14.0, length * filled * 0.7))
        brush.ring(material, (0, 0), (radius, radius), wall * 2, length * 0.35)
        brush.ring(INORGANIC if kind == "plastic" else METAL, (0, 0), (1.3, 1.3), 0.35, 1.0)
        return kind
    base, shoulder, throat, end = -length / 2, length * 0.18, length * 0.30, length / 2
    slim = radius * (0.75 if kind == "flask" else 0.38)
    along = [base, base + 0.5, shoulder, (shoulder + throat) / 2, throat, end]
    outer = [radius * 0.9, radius, radius, radius * 0.8, slim, slim]
    brush.shell(material, along, outer, wall)
    level = base + filled * (throat - base)
    liquid = [0.3 + base, base + 0.6, min(shoulder, level), level]
    surface = radius * (0.55 if level > shoulder else 1) - wall
    brush.turned(ORGANIC, liquid, [radius * 0.85, radius - wall, radius - wall, surface])
    cap_material, cap_thick = (METAL, 0.3) if kind == "flask" else (INORGANIC, 1.1)
    brush.polygon(cap_material, rectangle(end - 1.6, -slim - 0.25, 1.8, 2 * slim + 0.5, corner=0.2), cap_thick)
    if kind == "plastic":
        for x in np.linspace(base + 2, shoulder - 1, 4):
            brush.polygon(ORGANIC, rectangle(x, -radius, 0.3, 2 * radius), 0.45)
    return kind


def scissors(brush: Brush, rng: Rng, *, view: str) -> str:
    """Draw scissors: two blades crossing at a screw, `open` by an angle or `closed`."""
    plastic = rng.random() < 0.6
    blade, arm = rng.uniform(7, 11), rng.uniform(4.5, 6)
    half = np.radians(rng.uniform(13, 26) if view == "open" else rng.uniform(0, 2.0))
    handle, handle_thick = (ORGANIC, 1.5) if plastic else (METAL, 0.45)
    shift = (arm - blade) / 2 + 1.0
    for side in (-1, 1):
        turn = np.array([[np.cos(half), side * np.sin(half)], [-side * np.sin(half), np.cos(half)]])

        def at(*points: tuple[float, float], turn: np.ndarray = turn) -> np.ndarray:
            return np.asarray(points) @ turn + (shift, 0.0)

        edge = at((0, -0.55 * side), (blade, 0.1 * side), (blade * 0.9, 0.35 * side), (0, 0.6 * side))
        brush.polygon(METAL, edge, 0.25)
        brush.polygon(METAL, at((0, -0.5), (0, 0.5), (-arm, -side * 1.3), (-arm, -side * 0.5)), 0.28)
        middle = at((-arm - 1.6, -side * 1.75))[0]
        brush.ring(handle, (float(middle[0]), float(middle[1])), (2.1, 1.55), 0.75, handle_thick)
    brush.ellipse(METAL, (shift, 0), (0.5, 0.5), 1.0)
    return "plastic handle" if plastic else "all metal"


def laptop(brush: Brush, rng: Rng, *, view: str) -> str:
    """Draw a closed laptop: shell, battery cells, board, keyboard, hinges and fan."""
    kind = str(rng.choice(["aluminium", "plastic"], p=[0.55, 0.45]))
    wide, tall = rng.uniform(29, 34), rng.uniform(20, 23)
    left, top = -wide / 2, -tall / 2
    if kind == "aluminium":
        brush.polygon(INORGANIC, rectangle(left, top, wide, tall, corner=1.0), 0.6)
    else:
        brush.polygon(ORGANIC, rectangle(left, top, wide, tall, corner=0.7), 1.4)
    brush.polygon(INORGANIC, rectangle(left + 0.8, top + 0.8, wide - 1.6, tall - 2.2), 0.32)
    cells = int(rng.integers(3, 7))
    cell = (wide - 5) / cells
    for i in range(cells):
        x, y = left + 2.5 + i * cell, top + tall * 0.60
        brush.polygon(INORGANIC, rectangle(x, y, cell - 0.5, tall * 0.30, corner=0.2), 1.0)
        brush.polygon(METAL, rectangle(x + 0.1, y + tall * 0.01, cell - 0.7, tall * 0.28), 0.09)
    board = rectangle(left + wide * rng.uniform(0.08, 0.2), top + 2, wide * rng.uniform(0.5, 0.65), tall * 0.36)
    brush.polygon(INORGANIC, board, 0.45)
    (low_x, low_y), (high_x, high_y) = board.min(axis=0), board.max(axis=0)
    for _ in range(16):
        x, y = rng.uniform(low_x, high_x - 2), rng.uniform(low_y, high_y - 1.5)
        chip = rectangle(x, y, rng.uniform(0.5, 2.4), rng.uniform(0.4, 1.8))
        brush.polygon(METAL if rng.random() < 0.4 else INORGANIC, chip, rng.uniform(0.08, 0.3))
    fan = (left + wide * 0.84, top + tall * 0.26)
    brush.ring(METAL, fan, (2.4, 2.4), 0.3, 0.25)
    brush.ellipse(METAL, fan, (0.9, 0.9), 0.45)
    brush.line(METAL, [(fan[0] - 2, fan[1]), (low_x + 4, low_y + 2.5)], 0.55, 0.25)
    for x in (left + 3, left + wide - 6):
        brush.polygon(METAL, rectangle(x, top - 0.1, 3, 0.8), 0.5)
    return kind


def creases(brush: Brush, rng: Rng) -> np.ndarray | None:
    """Give the film's cloth texture, flipped by chance so that layers differ."""
    cloth = brush.film.cloth
    return None if cloth is None else cloth[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


def clothes(brush: Brush, rng: Rng) -> None:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.full(48, rng.uniform(8, 14))
    for waves in range(2, 7):
        radius += rng.normal(0, 2.2 / waves) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    blob = np.column_stack([radius * np.cos(angle), radius * np.sin(angle) * rng.uniform(0.5, 0.9)])
    thickness = rng.uniform(0.35, 1.2)
    brush.polygon(ORGANIC, blob, thickness, texture=creases(brush, rng))
    inner = blob * rng.uniform(0.6, 0.95) + rng.normal(0, 1.5, 2)
    brush.polygon(ORGANIC, inner, thickness * 0.5, texture=creases(brush, rng))
    if rng.random() < 0.4:
        zip_line = np.column_stack([np.linspace(-6, 6, 8), rng.normal(0, 1.0, 8)])
        brush.line(METAL, zip_line, 0.25, 0.12)


def book(brush: Brush, rng: Rng) -> None:
    wide, tall, thick = rng.uniform(12, 21), rng.uniform(17, 27), rng.uniform(1.0, 3.5)
    brush.polygon(ORGANIC, rectangle(-wide / 2, -tall / 2, wide, tall), thick)
    brush.polygon(ORGANIC, rectangle(-wide / 2, -tall / 2, 0.7, tall), thick * 0.5)
    if rng.random() < 0.3:
        coils = np.linspace(-tall / 2 + 1, tall / 2 - 1, 18)
        for y in coils:
            brush.ellipse(METAL, (-wide / 2 + 0.5, y), (0.6, 0.2), 0.3)


def wander(rng: Rng, *, steps: int, stride: float, bend: float) -> np.ndarray:
    """Make a smooth random path, cm, float64 (steps, 2)."""
    heading = np.cumsum(rng.normal(0, bend, steps)) + rng.normal(0, 0.12) * np.arange(steps)
    path = np.cumsum(np.column_stack([np.cos(heading), np.sin(heading)]) * stride, axis=0)
    return path - path.mean(axis=0)


def cable(brush: Brush, rng: Rng) -> None:
    path = wander(rng, steps=46, stride=1.2, bend=0.28)
    brush.line(ORGANIC, path, 0.45, 0.4)
    brush.line(METAL, path, 0.2, 0.10)
    plug = path[-1]
    brush.polygon(METAL, rectangle(plug[0] - 0.6, plug[1] - 0.5, 1.8, 1.0), 0.4)


def charger(brush: Brush, rng: Rng) -> None:
    wide, tall = rng.uniform(5, 11), rng.uniform(4, 6)
    brush.polygon(ORGANIC, rectangle(-wide / 2, -tall / 2, wide, tall, corner=0.8), 2.0)
    for _ in range(9):
        x, y = rng.uniform(-wide / 2 + 0.3, wide / 2 - 2), rng.uniform(-tall / 2 + 0.3, tall / 2 - 1.6)
        part = rectangle(x, y, rng.uniform(0.5, 2.0), rng.uniform(0.5, 1.5))
        brush.polygon(METAL if rng.random() < 0.5 else INORGANIC, part, rng.uniform(0.2, 0.7))
    loop = wander(rng, steps=34, stride=1.1, bend=0.35)
    loop = loop - loop[0] + (wide / 2, 0)
    brush.line(ORGANIC, loop, 0.4, 0.4)
    brush.line(METAL, loop, 0.2, 0.10)


def umbrella(brush: Brush, rng: Rng) -> None:
    length = rng.uniform(24, 38)
    left = -length / 2
    brush.polygon(ORGANIC, [(left + 4, -1.4), (-left, -0.7), (-left, 0.7), (left + 4, 1.4)], 1.3)
    brush.line(METAL, [(left, 0), (-left, 0)], 0.4, 0.4)
    for y in (-0.9, -0.45, 0.45, 0.9):
        brush.line(METAL, [(left + 4, y), (-left - 1, y * 0.4)], 0.14, 0.18)
    hook = [(left, 0), (left - 1.5, 0.2), (left - 2.4, 1.4), (left - 1.8, 2.6), (left - 0.6, 2.8)]
    brush.line(ORGANIC, hook, 1.2, 1.4)


def toiletries(brush: Brush, rng: Rng) -> None:
    brush.polygon(ORGANIC, rectangle(-9, -5.5, 18, 11, corner=1.8), 0.15)
    brush.line(METAL, [(-8.5, -5.4), (8.5, -5.4)], 0.25, 0.12)
    x = -7.5
    while x < 6.5:
        wide = rng.uniform(1.6, 3.4)
        tall = rng.uniform(4, 9.5)
        if rng.random() < 0.5:  # a tube, crimped at its end
            tube = [(x, -tall / 2), (x + wide, -tall / 2), (x + wide * 0.75, tall / 2), (x + wide * 0.25, tall / 2)]
            brush.polygon(ORGANIC, tube, wide * 0.75)
            brush.polygon(INORGANIC, rectangle(x + wide * 0.2, tall / 2, wide * 0.6, 1.1), 0.7)
        else:  # a jar from above
            brush.ellipse(INORGANIC, (x + wide / 2, rng.uniform(-2, 2)), (wide / 2, wide / 2), 0.6)
            brush.ellipse(ORGANIC, (x + wide / 2, rng.uniform(-2, 2)), (wide / 2.4, wide / 2.4), 2.0)
        x += wide + rng.uniform(0.2, 0.9)


def shoe(brush: Brush, rng: Rng) -> None:
    length = rng.uniform(24, 30)
    x = np.array([-0.5, -0.42, -0.2, 0.0, 0.25, 0.45, 0.5, 0.44, 0.2, -0.05, -0.3, -0.45]) * length
    y = np.array([0.0, -2.9, -3.1, -2.8, -4.4, -3.0, 0.0, 3.4, 4.8, 3.3, 3.2, 2.7])
    brush.polygon(ORGANIC, np.column_stack([x, y]), 1.3)
    brush.polygon(ORGANIC, np.column_stack([x, y]) * 0.86, 0.5)
    brush.polygon(ORGANIC, ellipse((-length * 0.33, 0), (length * 0.15, 2.6)), rng.uniform(1.0, 2.5))
    if rng.random() < 0.5:
        brush.polygon(METAL, rectangle(-length * 0.2, -0.7, length * 0.3, 1.4, corner=0.5), 0.12)
    for i in range(5):
        brush.ring(METAL, (length * (0.02 + 0.045 * i), 1.6), (0.28, 0.28), 0.14, 0.2)
        brush.ring(METAL, (length * (0.02 + 0.045 * i), -1.4), (0.28, 0.28), 0.14, 0.2)


def phone(brush: Brush, rng: Rng) -> None:
    brush.polygon(INORGANIC, rectangle(-7.5, -3.6, 15, 7.2, corner=0.9), 0.35)
    brush.polygon(INORGANIC, rectangle(-4.5, -2.6, 8, 5.2), 0.45)
    brush.polygon(METAL, rectangle(-4.4, -2.5, 7.8, 5.0), 0.04)
    for _ in range(7):
        part = rectangle(rng.uniform(3.6, 6), rng.uniform(-3, 2), rng.uniform(0.4, 1.2), rng.uniform(0.4, 1))
        brush.polygon(METAL, part, 0.2)


def tablet(brush: Brush, rng: Rng) -> None:
    brush.polygon(INORGANIC, rectangle(-12, -8.5, 24, 17, corner=1.0), 0.4)
    brush.polygon(INORGANIC, rectangle(-9, -6.5, 11, 13), 0.4)
    brush.polygon(INORGANIC, rectangle(4, -6.5, 4, 13), 0.2)
    for _ in range(6):
        brush.polygon(METAL, rectangle(rng.uniform(4, 7), rng.uniform(-6, 5), 1.0, rng.uniform(0.5, 1.4)), 0.15)


def keys(brush: Brush, rng: Rng) -> None:
    brush.ring(METAL, (0, 0), (1.3, 1.3), 0.25, 0.3)
    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(2, 5))):
        along = np.array([np.cos(angle), np.sin(angle)])
        head, tip = along * 2.0, along * 6.2
        brush.ellipse(METAL, (float(head[0]), float(head[1])), (1.1, 1.1), 0.22)
        brush.line(METAL, [tuple(head), tuple(tip)], 0.65, 0.22)


def coins(brush: Brush, rng: Rng) -> None:
    for _ in range(int(rng.integers(3, 9))):
        size = rng.uniform(0.85, 1.3)
        brush.ellipse(METAL, (rng.normal(0, 2), rng.normal(0, 1.6)), (size, size), 0.2)


def pens(brush: Brush, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 4))):
        y, slope, length = rng.normal(0, 1.3), rng.normal(0, 0.8), rng.uniform(12, 14.5)
        ends = [(-length / 2, y), (length / 2, y + slope)]
        brush.line(ORGANIC, ends, 0.85, 0.6)
        brush.line(METAL, ends, 0.2, 0.14)
        brush.line(METAL, [ends[1], (ends[1][0] + 0.9, ends[1][1])], 0.3, 0.3)
        brush.line(METAL, [(-length / 2 + 0.3, y - 0.5), (-length / 2 + 4, y - 0.5)], 0.2, 0.2)


def headphones(brush: Brush, rng: Rng) -> None:
    arc = ellipse((0, 0), (8, 8), points=40)[20:]
    arc = np.vstack([arc, ellipse((0, 0), (8, 8), points=40)[:1]])
    brush.line(METAL, arc, 0.5, 0.15)
    brush.line(ORGANIC, arc, 1.5, 0.9)
    for x in (-8, 8):
        brush.ellipse(ORGANIC, (x, 1.8), (2.4, 3.6), 1.8)
        brush.ellipse(METAL, (x, 1.8), (1.2, 1.2), rng.uniform(0.3, 0.6))


def hairdryer(brush: Brush, rng: Rng) -> None:
    brush.polygon(ORGANIC, [(-9, -2.6), (5, -4.2), (9, -3.4), (9, 3.4), (5, 4.2), (-9, 2.6)], 1.5)
    brush.polygon(ORGANIC, [(0, 3.4), (4.5, 3.6), (5.6, 15), (1.6, 15)], 1.5)
    brush.polygon(METAL, rectangle(3, -2.1, 4, 4.2, corner=0.8), 0.9)
    coil = np.column_stack([np.linspace(-7, 1, 16), 1.8 * (-1.0) ** np.arange(16)])
    brush.line(METAL, coil, 0.18, 0.2)
    brush.line(METAL, wander(rng, steps=26, stride=1.2, bend=0.3) + np.array([4, 18]), 0.25, 0.12)


def wrench(brush: Brush, rng: Rng) -> None:
    length = rng.uniform(12, 19)
    brush.polygon(METAL, rectangle(-length / 2, -0.65, length, 1.3), 0.35)
    brush.ring(METAL, (-length / 2, 0), (1.4, 1.4), 0.8, 0.4)
    jaw = [(length / 2 - 0.6, -1.6), (length / 2 + 2.2, -1.7), (length / 2 + 0.7, -0.5), (length / 2 + 0.7, 0.6),
           (length / 2 + 2.2, 1.7), (length / 2 - 0.6, 1.6)]  # fmt: skip
    brush.polygon(METAL, jaw, 0.4)


def belt(brush: Brush, rng: Rng) -> None:
    path = wander(rng, steps=30, stride=1.5, bend=0.25)
    brush.line(ORGANIC, path, 0.9, 2.0)
    brush.ring(METAL, (float(path[0][0]), float(path[0][1])), (2.2, 1.7), 0.6, 0.35)


def fruit(brush: Brush, rng: Rng) -> None:
    for _ in range(int(rng.integers(1, 4))):
        middle, size = rng.normal(0, 4, 2), rng.uniform(2.6, 3.8)
        for shrink in (1.0, 0.9, 0.75, 0.5):
            brush.ellipse(ORGANIC, (float(middle[0]), float(middle[1])), (size * shrink, size * shrink), size * 0.4)


# How often each thing turns up among the clutter.
CLUTTER: dict[Callable[[Brush, Rng], None], float] = {
    clothes: 6, book: 1.6, cable: 2, charger: 1.6, umbrella: 0.7, toiletries: 1.2, shoe: 1.2, phone: 1.2, tablet: 0.5,
    keys: 1.2, coins: 1, pens: 1.6, headphones: 0.8, hairdryer: 0.5, wrench: 0.5, belt: 0.7, fruit: 0.7,
}  # fmt: skip
OBJECTS = {"knife": knife, "gun": gun, "bottle": bottle, "scissors": scissors, "laptop": laptop}


def suitcase(brush: Brush, rng: Rng) -> None:
    """Draw the bag itself, about 60 x 44 cm: shell, frame, zip, rods and wheels."""
    wide, tall = rng.uniform(56, 64), rng.uniform(40, 46)
    shell = rectangle(-wide / 2, -tall / 2, wide, tall, corner=4)
    brush.polygon(ORGANIC, shell, 0.45)
    brush.line(ORGANIC, np.vstack([shell, shell[:2]]), 0.9, 1.6)
    brush.line(METAL, np.vstack([shell, shell[:2]]) * 0.965, 0.14, 0.10)
    for y in (-tall * 0.16, tall * 0.16):
        brush.line(INORGANIC, [(-wide / 2, y), (wide / 2 - 1, y)], 1.1, 0.5)
        brush.line(METAL, [(-wide / 2 + 1, y), (wide * 0.1, y)], 0.7, 0.05)
    for y in (-tall * 0.38, tall * 0.38):
        brush.ellipse(ORGANIC, (wide / 2 - 1, y), (2.3, 2.3), 2.0)
        brush.ellipse(METAL, (wide / 2 - 1, y), (0.6, 0.6), 1.2)


def backpack(brush: Brush, rng: Rng) -> None:
    """Draw a backpack: a soft outline, straps with buckles, pocket zips."""
    wide, tall = rng.uniform(50, 58), rng.uniform(38, 44)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    power = 0.45
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * wide / 2
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * tall / 2
    skin = np.column_stack([x, y]) + rng.normal(0, 0.4, (40, 2))
    brush.polygon(ORGANIC, skin, 0.4, texture=creases(brush, rng))
    brush.line(ORGANIC, np.vstack([skin, skin[:2]]), 0.6, 1.0)
    for side in (-1, 1):
        strap = np.column_stack([np.linspace(-wide * 0.4, wide * 0.45, 12), side * tall * 0.2 + rng.normal(0, 1.0, 12)])
        brush.line(ORGANIC, strap, 3.2, 0.7)
        brush.polygon(INORGANIC, rectangle(wide * 0.3, side * tall * 0.2 - 1.8, 2.6, 3.6), 0.5)
    pocket = rectangle(-wide * 0.1, -tall * 0.36, wide * 0.5, tall * 0.72, corner=4)
    brush.line(METAL, pocket, 0.25, 0.12)


def tray(brush: Brush, rng: Rng) -> None:
    """Draw a plastic tray with a rim."""
    rim = rectangle(-31, -22, 62, 44, corner=3)
    brush.polygon(ORGANIC, rim, 0.3)
    for shrink, thick in ((1.0, 1.2), (0.965, 0.9), (0.90, 0.5)):
        brush.line(ORGANIC, np.vstack([rim, rim[:2]]) * shrink, 0.5, thick)
    for x in rng.permutation(np.arange(-24.0, 25.0, 6.0)):
        brush.line(ORGANIC, [(x, -20), (x, 20)], 0.4, 0.25)


BAGS = {"suitcase": suitcase, "backpack": backpack, "tray": tray}
