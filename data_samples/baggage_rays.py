"""X-rays through drawn things: polygons with a thickness and a material become a dual-energy pseudo-colour scan.

Lengths of things are centimetres, places on a scan are pixels. Absorption follows Beer-Lambert at two energies;
the ratio of the two absorbances tells the material (organic orange, inorganic green, metal blue), as on checkpoint
machines. Everything is drawn at twice the size and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240
FINE = 2  # drawn pixels per scan pixel
PIXELS_PER_CM = 4.3
ORGANIC, INORGANIC, METAL = 0, 1, 2
# Absorption per cm at the high and at the low energy: water-like, glass/aluminium-like, steel-like.
ABSORB_HIGH = np.array([0.19, 0.50, 2.40], dtype=np.float32)
ABSORB_LOW = np.array([0.235, 0.89, 5.30], dtype=np.float32)

Pair = tuple[float, float]
Points = Sequence[tuple[float, float]] | np.ndarray


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a thing lies: centre in scan pixels, turn in degrees, size factor, and how much its height is squashed."""

    x: float
    y: float
    turn: float = 0.0
    size: float = 1.0
    squash: float = 1.0
    mirror: bool = False

    def place(self, points: Points) -> np.ndarray:
        """Centimetres around the thing's centre to fine pixels, float64 (n, 2)."""
        local = np.asarray(points, dtype=np.float64) * (self.size * PIXELS_PER_CM)
        local = local * (-1.0 if self.mirror else 1.0, self.squash)
        cosine, sine = np.cos(np.radians(self.turn)), np.sin(np.radians(self.turn))
        turned = local @ np.array([[cosine, sine], [-sine, cosine]])
        return (turned + np.array([self.x, self.y])) * FINE


@dataclass(slots=True)
class Film:
    """Thickness of the three materials along each ray, cm, float32 (3, fine height, fine width)."""

    thickness: np.ndarray = field(default_factory=lambda: np.zeros((3, HEIGHT * FINE, WIDTH * FINE), dtype=np.float32))

    cloth: np.ndarray | None = None  # creases, a factor around 1 per fine pixel; see `folds`

    def absorbance(self) -> tuple[np.ndarray, np.ndarray]:
        """High- and low-energy absorbance per scan pixel (averaged over the fine pixels as a detector would)."""
        high = np.tensordot(ABSORB_HIGH, self.thickness, axes=1)
        low = np.tensordot(ABSORB_LOW, self.thickness, axes=1)
        return detector_mean(high), detector_mean(low)


def detector_mean(fine: np.ndarray) -> np.ndarray:
    """Average blocks of fine pixels."""
    rows, columns = fine.shape[0] // FINE, fine.shape[1] // FINE
    return fine.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3))


@dataclass(slots=True)
class Brush:
    """Draws one thing's shapes, given in its own centimetres, onto a film; remembers how far it reached."""

    film: Film
    pose: Pose
    gain: float = 1.0  # path lengths grow when a thing is seen at a steep angle
    reach: list[np.ndarray] = field(default_factory=list)

    def polygon(self, material: int, points: Points, thickness: float, *, texture: np.ndarray | None = None) -> None:
        """Fill a polygon; a texture (a fine film-sized array) multiplies the thickness."""
        placed = self.pose.place(points)
        self.reach.append(placed)
        self._stamp(material, placed, 1.0, lambda pen, at: pen.polygon(at, fill=255), thickness, texture)

    def line(self, material: int, points: Points, width: float, thickness: float) -> None:
        """Draw an open line `width` cm wide with round joints."""
        placed = self.pose.place(points)
        pixels = max(1, round(width * self.pose.size * PIXELS_PER_CM * FINE))
        self.reach += [placed - pixels / 2, placed + pixels / 2]
        draw = lambda pen, at: pen.line(at, fill=255, width=pixels, joint="curve")  # noqa: E731
        self._stamp(material, placed, pixels, draw, thickness, None)

    def ellipse(self, material: int, centre: Pair, radii: Pair, thickness: float) -> None:
        """Fill an ellipse of even thickness."""
        self.polygon(material, ellipse(centre, radii), thickness)

    def ring(self, material: int, centre: Pair, radii: Pair, width: float, thickness: float) -> None:
        """Draw an ellipse's outline."""
        loop = ellipse(centre, radii)
        self.line(material, np.vstack([loop, loop[:2]]), width, thickness)

    def shell(self, material: int, along: Sequence[float], radius: Sequence[float], wall: float) -> None:
        """Draw a hollow body of revolution about the x axis: two walls in the middle, longer paths at its edges."""
        x, r = np.asarray(along, dtype=np.float64), np.asarray(radius, dtype=np.float64)
        for shrink, walls in ((1.0, 5.0), (0.94, -2.0), (0.84, -1.0)):
            outline = np.vstack([np.column_stack([x, r * shrink]), np.column_stack([x[::-1], -r[::-1] * shrink])])
            self.polygon(material, outline, walls * wall)

    def turned(self, material: int, along: Sequence[float], radius: Sequence[float]) -> None:
        """Draw a solid of revolution about the x axis, slab by slab."""
        x, r = np.asarray(along, dtype=np.float64), np.asarray(radius, dtype=np.float64)
        slabs = 7
        for height in (np.arange(slabs) + 0.5) / slabs * r.max():
            half = np.sqrt(np.clip(r**2 - height**2, 0.0, None))
            outline = np.vstack([np.column_stack([x, half]), np.column_stack([x[::-1], -half[::-1]])])
            self.polygon(material, outline, 2 * r.max() / slabs)

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height of all that was drawn, scan pixels, cut at the scan's edges."""
        corners = np.vstack(self.reach) / FINE
        left, top = np.clip(corners.min(axis=0), 0, (WIDTH, HEIGHT))
        right, bottom = np.clip(corners.max(axis=0), 0, (WIDTH, HEIGHT))
        return float(left), float(top), float(right - left), float(bottom - top)

    def _stamp(
        self,
        material: int,
        placed: np.ndarray,
        margin: float,
        draw: Callable[[ImageDraw.ImageDraw, list], None],
        thickness: float,
        texture: np.ndarray | None,
    ) -> None:
        """Let `draw` fill a stencil that just holds the placed points, and add it to the film."""
        low = np.maximum(np.floor(placed.min(axis=0) - margin).astype(int), 0)
        high = np.minimum(np.ceil(placed.max(axis=0) + margin).astype(int) + 1, (WIDTH * FINE, HEIGHT * FINE))
        if (high <= low).any():
            return
        stencil = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
        draw(ImageDraw.Draw(stencil), [tuple(point) for point in (placed - low).tolist()])
        window = (material, slice(low[1], high[1]), slice(low[0], high[0]))
        added = np.asarray(stencil, dtype=np.float32) * np.float32(thickness * self.gain / 255)
        if texture is not None:
            added = added * texture[window[1:]]
        self.film.thickness[window] += added


def ellipse(centre: Pair, radii: Pair, *, points: int = 32) -> np.ndarray:
    """Corners of an ellipse, float64 (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)])


def rectangle(left: float, top: float, width: float, height: float, *, corner: float = 0.0) -> np.ndarray:
    """Corners of a rectangle, its own corners rounded by `corner`."""
    if corner <= 0:
        return np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
    corner = min(corner, width / 2, height / 2)
    quarter = np.linspace(0, np.pi / 2, 5)
    arcs = []
    middles = [(left + width - corner, top + height - corner), (left + corner, top + height - corner),
               (left + corner, top + corner), (left + width - corner, top + corner)]  # fmt: skip
    for turn, (x, y) in enumerate(middles):
        angle = quarter + turn * np.pi / 2
        arcs.append(np.column_stack([x + corner * np.cos(angle), y + corner * np.sin(angle)]))
    return np.vstack(arcs)


def folds(rng: np.random.Generator) -> np.ndarray:
    """Soft creases of cloth: a film-sized factor around 1, float32."""
    total = np.zeros((HEIGHT * FINE, WIDTH * FINE), dtype=np.float32)
    for cells, weight in ((6, 0.7), (14, 0.45)):
        coarse = rng.normal(size=(cells, round(cells * 4 / 3))).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((WIDTH * FINE, HEIGHT * FINE), Image.Resampling.BICUBIC)
        total += weight * np.abs(np.asarray(smooth))
    return 0.35 + total


@dataclass(frozen=True, slots=True)
class Machine:
    """How a scanner turns two absorbances into colours."""

    name: str
    photons: float  # per pixel through air: fewer is noisier
    blur: float  # detector blur, pixels (standard deviation)
    gain: float  # contrast of the display
    air: tuple[float, float, float]  # colour of nothing, 0 to 1
    ratios: tuple[float, float, float]  # low/high absorbance where the three hues sit
    hues: tuple[tuple[float, float, float], ...]  # how strongly red, green, blue are taken away per absorbance


MACHINES = {
    "A": Machine("A", 9000, 0.35, 1.0, (0.985, 0.985, 0.985), (1.28, 1.78, 2.15),
                 ((0.28, 0.95, 2.10), (1.35, 0.50, 1.30), (1.75, 1.05, 0.36))),
    "B": Machine("B", 4500, 0.60, 1.2, (0.94, 0.955, 0.965), (1.25, 1.70, 2.20),
                 ((0.38, 0.75, 1.70), (1.55, 0.62, 0.95), (1.35, 1.25, 0.40))),
}  # fmt: skip


def expose(film: Film, machine: Machine, *, belt_blur: int, rng: np.random.Generator) -> np.ndarray:
    """Photons, noise, colour: uint8 (240, 320, 3).

    `belt_blur` is how many pixels the belt moves during one reading (1: none).
    """
    from scipy.ndimage import gaussian_filter, uniform_filter1d

    line_gain = rng.normal(1.0, 0.004, size=(HEIGHT, 1))
    seen = []
    for absorbance in film.absorbance():
        light = gaussian_filter(np.exp(-absorbance.astype(np.float64)), machine.blur)
        light = uniform_filter1d(light, belt_blur, axis=1)
        counted = light + rng.normal(size=light.shape) * (np.sqrt(light / machine.photons) + 0.0015)
        seen.append(-np.log(np.clip(counted * line_gain, 0.002, 1.0)))
    high, low = seen
    high, low = np.clip(high - 0.016, 0, None), np.clip(low - 0.020, 0, None)  # the belt alone counts as air
    ratio = (gaussian_filter(low, 0.8) + 0.045) / (gaussian_filter(high, 0.8) + 0.03)
    opaque = np.clip((high - 1.9) / 0.9, 0, 1)  # so little light is left that the ratio means nothing: show it as metal
    ratio = ratio + opaque * np.maximum(machine.ratios[2] - ratio, 0)
    depth = machine.gain * 0.85 * high**0.85 * (1 + 0.35 * opaque)
    hue = [np.interp(ratio, machine.ratios, [taken[c] for taken in machine.hues]) for c in range(3)]
    colours = [machine.air[c] * np.exp(-depth * hue[c]) for c in range(3)]
    return np.round(np.clip(np.stack(colours, axis=-1), 0, 1) * 255).astype(np.uint8)
