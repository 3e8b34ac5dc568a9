"""SpotCheck with drawn images of 64 px: a small CNN learns "a square is present" from labels wrong in the blindspots.

The published experiments fine-tune a pretrained network. Here the convolutions are pretrained once, on drawn images in
which every attribute varies, to name the attributes; each experiment starts from them with a fresh hidden layer of 64
units (the embedding). From scratch, 12,000 images and a minute aren't enough to learn a blindspot of a few dozen.
Each layer has its own pair of colours, which lets 64 px and few epochs suffice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tests.benchmarks.discovery.cache import folder
from tests.benchmarks.discovery.setting import Setting
from tests.benchmarks.discovery.suites import configurations as ec

NAME = "spotcheck-images"
N_TRAIN, N_TEST = 12_000, 6_000
PRETRAINING = 20  # epochs of N_TRAIN fresh images
BATCH = 128
HIDDEN = 64
HEAD_EPOCHS, HEAD_RATE = 30, 4e-3
EPOCHS, RATE = 2, 1e-3

SIDE = 64
GAP = 1  # least distance of bounding boxes
STRIPE = 2
COLOURS = {
    "square": np.array([[0x1F, 0x77, 0xB4], [0xFF, 0x7F, 0x0E]], np.uint8),
    "rectangle": np.array([[0x2C, 0xA0, 0x2C], [0x94, 0x67, 0xBD]], np.uint8),
    "circle": np.array([[0xD6, 0x27, 0x28], [0x8C, 0x56, 0x4B]], np.uint8),
    "text": np.array([[0xE3, 0x77, 0xC2], [0x17, 0xBE, 0xCF]], np.uint8),
}
SPECK = 100
SPECKLED = 0.1
BACKGROUNDS = (255, 200)
GLYPHS = {
    "t": (".X...", ".X...", "XXXX.", ".X...", ".X...", ".X..X", "..XX."),
    "e": (".....", ".....", ".XXX.", "X...X", "XXXXX", "X....", ".XXX."),
    "x": (".....", ".....", "X...X", ".X.X.", "..X..", ".X.X.", "X...X"),
}

Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def make(seed: int) -> Setting | None:
    """Make the setting of that seed, or None if it breaks a rule of validity."""
    return ec.valid(attempt(seed))


def settings(seeds: Iterable[int], count: int | None = None) -> Iterator[Setting]:
    """Yield the valid settings of these seeds, at most `count`."""
    return ec.kept(make, NAME, seeds, count)


def attempt(seed: int) -> Setting:
    """Make the setting of that seed, valid or not."""
    torch.set_num_threads(1)
    configuration = ec.sample(seed)
    train, test, new = (
        draw(configuration, n, ec.generator(seed, 1 + part)) for part, n in enumerate((N_TRAIN, N_TEST, N_TEST))
    )
    network = Network(1, seed)
    network.features.load_state_dict(pretrained())
    fit(network, train.images, configuration.noisy_labels(train.table), seed)
    return ec.setting(NAME, seed, configuration, judge(network, test), judge(network, new))


# --- Drawing ---


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images, uint8 (n, side, side, 3), the attributes they show, and where each layer's objects lie.

    `places` has, per object, the top left corner (y, x) in every image; -1 where the object is absent.
    """

    table: ec.Table
    images: Images
    places: dict[str, Ints]


def draw(configuration: ec.Configuration, n: int, rng: np.random.Generator) -> Drawn:
    """Roll n items and draw them; the relative position follows from where the squares came to lie."""
    table = ec.roll(configuration, n, rng)
    stamps = {name: stamps_of(name) for name in ("square", "rectangle", "circle", "text")}
    present = _present(configuration, table)
    small = {name: (_value(configuration, table, name, "size") == 1).astype(np.int64) for name in present}
    sizes = {name: np.array([s.shape for s in stamps[_layer(name)]])[small[name]] for name in present}
    places = _places(present, sizes, rng)
    table[:, -1] = _relative_position(places, sizes)
    images = _backgrounds(configuration, table, rng)
    for name, corners in places.items():
        colours = COLOURS[_layer(name)][(_value(configuration, table, name, "colour") == 1).astype(np.int64)]
        striped = _value(configuration, table, name, "stripes") == 1
        for variant, stamp in enumerate(stamps[_layer(name)]):
            which = np.flatnonzero(present[name] & (small[name] == variant))
            _press(images, which, stamp, corners[which], colours[which], striped[which])
    return Drawn(table, images, places)


def stamps_of(layer: str) -> tuple[ec.Mask, ec.Mask]:
    """Return the shape of a layer's objects, bool (height, width), for size -1 and size 1."""
    if layer == "circle":
        return _disc(11), _disc(6)
    if layer == "text":
        rows = [".".join(GLYPHS[letter][y] for letter in "text") for y in range(7)]
        once = np.array([[c == "X" for c in row] for row in rows])
        return once, once.repeat(2, axis=0).repeat(2, axis=1)
    (height, width), (less_high, less_wide) = {"square": ((11, 11), (6, 6)), "rectangle": ((9, 14), (4, 7))}[layer]
    return np.ones((height, width), bool), np.ones((less_high, less_wide), bool)


def _disc(diameter: int) -> ec.Mask:
    y = np.arange(diameter) - (diameter - 1) / 2
    return np.asarray(y[:, None] ** 2 + y**2 <= (diameter / 2) ** 2)


def _layer(name: str) -> str:
    return "square" if name == "second square" else name


def _value(configuration: ec.Configuration, table: ec.Table, name: str, option: str) -> ec.Table:
    return configuration.column(table, f"{_layer(name)}.{option}")


def _present(configuration: ec.Configuration, table: ec.Table) -> dict[str, ec.Mask]:
    """Per object, in which images it is."""
    layers = [layer for layer in ("square", *ec.EXTRA_LAYERS) if f"{layer}.presence" in configuration.names]
    present = {layer: configuration.column(table, f"{layer}.presence") == 1 for layer in layers}
    return present | {"second square": configuration.column(table, "square.number") == 1}


def _places(present: dict[str, ec.Mask], sizes: dict[str, Ints], rng: np.random.Generator) -> dict[str, Ints]:
    """Draw layouts uniformly until no two bounding boxes of an image touch."""
    names = list(present)
    size = np.stack([sizes[name] for name in names], axis=1)
    there = np.stack([present[name] for name in names], axis=1)
    corner = np.full_like(size, -1)
    pending = np.arange(len(size))
    while len(pending):
        proposed = rng.integers(0, SIDE - size[pending] + 1)
        clash = _clashes(proposed, size[pending], there[pending])
        corner[pending[~clash]] = proposed[~clash]
        pending = pending[clash]
    corner[~there] = -1
    return {name: corner[:, index] for index, name in enumerate(names)}


def _clashes(corner: Ints, size: Ints, there: ec.Mask) -> ec.Mask:
    clash = np.zeros(len(corner), bool)
    for i in range(corner.shape[1]):
        for j in range(i):
            apart = (corner[:, i] + size[:, i] + GAP <= corner[:, j]) | (
                corner[:, j] + size[:, j] + GAP <= corner[:, i]
            )
            clash |= there[:, i] & there[:, j] & ~apart.any(axis=1)
    return clash


def _relative_position(places: dict[str, Ints], sizes: dict[str, Ints]) -> ec.Table:
    """1 where the upper square's centre lies in the upper half, else -1 (also without squares)."""
    upper = np.zeros(len(places["square"]), bool)
    for name in ("square", "second square"):
        y = places[name][:, 0]
        upper |= (y >= 0) & (y + sizes[name][:, 0] / 2 < SIDE / 2)
    return np.where(upper, 1, -1).astype(np.int8)


def _backgrounds(configuration: ec.Configuration, table: ec.Table, rng: np.random.Generator) -> Images:
    dark = configuration.column(table, "background.colour") == 1
    grey = np.broadcast_to(np.where(dark, *BACKGROUNDS[::-1])[:, None, None], (len(table), SIDE, SIDE)).astype(np.uint8)
    textured = np.flatnonzero(configuration.column(table, "background.texture") == 1)
    specks = rng.random((len(textured), SIDE, SIDE), np.float32) < SPECKLED
    grey[textured] = np.where(specks, np.uint8(SPECK), grey[textured])
    return np.repeat(grey[..., None], 3, axis=-1)


def _press(images: Images, which: Ints, stamp: ec.Mask, corners: Ints, colours: Images, striped: ec.Mask) -> None:
    """Draw the stamp at its corner of every image; every other `STRIPE` columns of striped ones are black."""
    dy, dx = np.nonzero(stamp)
    black = striped[:, None] & ((dx // STRIPE) % 2 == 1)
    values = np.where(black[..., None], np.uint8(0), colours[:, None, :])
    images[which[:, None], corners[:, :1] + dy, corners[:, 1:] + dx] = values


# --- Learning ---


class Network(nn.Module):
    """Three convolutions of stride 2 on blocks of 2 x 2 pixels and their height, averaged, and a hidden layer.

    Parameters
    ----------
    n_outputs
        Logits.
    seed
        Of the first weights.
    """

    def __init__(self, n_outputs: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in ((13, 32), (32, 64), (64, 64)):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.hidden = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU())
        self.last = nn.Linear(HIDDEN, n_outputs)

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Averages of the convolutions over uint8 images (n, side, side, 3)."""
        n, half = len(pixels), SIDE // 2
        blocks = pixels.view(n, half, 2, half, 6).permute(0, 1, 3, 2, 4).reshape(n, half, half, 12)
        height = torch.linspace(-1, 1, half).reshape(1, half, 1, 1).expand(n, half, half, 1)
        x = torch.cat([blocks.float().sub_(200).div_(64), height], dim=-1).permute(0, 3, 1, 2)
        return self.features(x).mean(dim=(2, 3))

    @torch.no_grad()
    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Averages of many images, without gradients and in evaluation mode."""
        self.eval()
        return torch.cat([self.pooled(batch) for batch in pixels.split(BATCH)])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        return self.last(self.hidden(self.pooled(pixels)))


def fit(network: Network, images: Images, labels: Ints, seed: int) -> None:
    """Train on noisy labels: first the hidden layer on what the pretrained convolutions see, then everything."""
    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels).float()
    order = torch.Generator().manual_seed(seed)
    seen = network.see(pixels)
    head = nn.Sequential(network.hidden, network.last)
    _train(head, seen, targets, HEAD_EPOCHS, HEAD_RATE, order)
    network.train()
    _train(network, pixels, targets, EPOCHS, RATE, order)
    network.eval()


def _train(
    module: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    epochs: int,
    rate: float,
    order: torch.Generator,
) -> None:
    steps = len(inputs) // BATCH
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=order)[: steps * BATCH].split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            nn.functional.binary_cross_entropy_with_logits(module(inputs[batch])[:, 0], targets[batch]).backward()
            optimiser.step()
            cycle.step()


@torch.inference_mode()
def judge(network: Network, drawn: Drawn) -> ec.Judged:
    """Embeddings and probabilities of drawn items."""
    network.eval()
    embedded = network.hidden(network.see(torch.from_numpy(drawn.images)))
    positive = torch.sigmoid(network.last(embedded)[:, 0])
    return ec.Judged(drawn.table, embedded.numpy(), positive.numpy())


def pretrained() -> dict[str, torch.Tensor]:
    """Return weights of the convolutions that tell the attributes apart, from the cache or trained now (minutes)."""
    path = folder().parent / "backbones" / f"{NAME}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.pt")
        torch.save(_pretrain(), part)
        part.replace(path)
    return torch.load(path, weights_only=True)


def _pretrain() -> dict[str, torch.Tensor]:
    layers = [f"{layer}.presence" for layer in ec.OPTIONS if layer != "background"]
    options = [f"{layer}.{option}" for layer, options in ec.OPTIONS.items() for option in options]
    everything = ec.Configuration((*layers, *options, ec.POSITION), ())
    network = Network(len(everything.names), 0)
    optimiser = torch.optim.Adam(network.parameters())
    steps = N_TRAIN // BATCH
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=PRETRAINING * steps)
    for epoch in range(PRETRAINING):
        drawn = draw(everything, N_TRAIN, ec.generator(0, 1_000 + epoch))
        known = drawn.table.copy()
        known[known[:, 0] == -1, -1] = 0
        pixels, targets = torch.from_numpy(drawn.images), torch.from_numpy(known).float()
        for batch in torch.arange(steps * BATCH).split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            losses = nn.functional.softplus(-targets[batch] * network(pixels[batch])) * targets[batch].abs()
            loss = losses.mean()
            loss.backward()
            optimiser.step()
            cycle.step()
    return network.features.state_dict()


if __name__ == "__main__":
    ec.fill(attempt, NAME, int(sys.argv[1]), int(sys.argv[2]))
