"""A small one-stage detector in plain torch (object centres as heat, after CenterNet, Zhou et al. 2019).

Scans go in at half size; the heat map has one cell per four input pixels, so per eight scan pixels. Boxes are the four
distances from a cell to the box's edges, learnt by generalised IoU (Rezatofighi et al. 2019), per category.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CELL = 8  # scan pixels per heat-map cell
Spot = tuple[int, int, int, np.ndarray]  # category, row, column, the box in cells
LOWEST_SCORE = 0.05
SAME_OBJECT_IOU = 0.5


def block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """Convolve, normalise, rectify."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Detector(nn.Module):
    """Four halvings down, two doublings up, two heads; about 0.4 million weights."""

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.categories = categories
        self.stem = block(3, 24, stride=2)
        self.quarter = nn.Sequential(block(24, 48, stride=2), block(48, 48))
        self.eighth = nn.Sequential(block(48, 64, stride=2), block(64, 64))
        self.sixteenth = nn.Sequential(block(64, 96, stride=2), block(96, 96), block(96, 96))
        self.across_eighth, self.across_quarter = nn.Conv2d(96, 64, 1), nn.Conv2d(64, 48, 1)
        self.join_eighth, self.join_quarter = block(64, 64), block(48, 64)
        self.heat = nn.Sequential(block(64, 48), nn.Conv2d(48, categories, 1))
        self.edges = nn.Sequential(block(64, 48), nn.Conv2d(48, 4 * categories, 1))
        nn.init.constant_(self.heat[-1].bias, -3.5)
        nn.init.constant_(self.edges[-1].bias, 1.2)

    def forward(self, scans: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn scans (n, 3, 120, 160) into heat logits (n, c, 30, 40) and edge distances in cells (n, c, 4, 30, 40)."""
        quarter = self.quarter(self.stem(scans))
        eighth = self.eighth(quarter)
        up = F.interpolate(self.across_eighth(self.sixteenth(eighth)), size=eighth.shape[-2:], mode="nearest")
        eighth = self.join_eighth(eighth + up)
        up = F.interpolate(self.across_quarter(eighth), size=quarter.shape[-2:], mode="nearest")
        top = self.join_quarter(quarter + up)
        edges = self.edges(top).unflatten(1, (self.categories, 4))
        return self.heat(top), torch.exp(edges.clamp(max=4.0))


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Shrunk scans, and per scan its boxes and their categories."""

    scans: torch.Tensor  # uint8 (n, 3, 120, 160)
    boxes: list[np.ndarray]  # float32 (k, 4): left, top, right, bottom in scan pixels
    categories: list[np.ndarray]  # int (k,)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Average 2 x 2 pixels and put colours first: uint8 (240, 320, 3) to uint8 (3, 120, 160)."""
    blocks = pixels.reshape(120, 2, 160, 2, 3).mean(axis=(1, 3))
    return np.round(blocks).astype(np.uint8).transpose(2, 0, 1)


def targets(boxes: np.ndarray, categories: np.ndarray, count: int) -> tuple[np.ndarray, list[Spot]]:
    """Heat with a soft peak at each object's centre, and the spots around it that learn its box."""
    rows, columns = np.mgrid[0:30, 0:40]
    heat = np.zeros((count, 30, 40), dtype=np.float32)
    spots = []
    for box, category in zip(boxes / CELL, categories, strict=True):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        column, row = min(int(x), 39), min(int(y), 29)
        spread_x, spread_y = (max(0.7, 0.10 * (box[i + 2] - box[i])) for i in (0, 1))
        peak = np.exp(-(((columns - column) / spread_x) ** 2 + ((rows - row) / spread_y) ** 2) / 2)
        heat[category] = np.maximum(heat[category], peak)
        for r in range(max(0, row - 1), min(30, row + 2)):
            spots += [(int(category), r, c, box) for c in range(max(0, column - 1), min(40, column + 2))]
    return heat, spots


def heat_loss(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss of CenterNet (exponents 2 and 4), per object."""
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    centre = heat > 0.999
    at_centre = torch.where(centre, (1 - p) ** 2 * torch.log(p), 0)
    elsewhere = torch.where(centre, 0, (1 - heat) ** 4 * p**2 * torch.log(1 - p))
    return -(at_centre.sum() + elsewhere.sum()) / centre.sum().clamp(min=1)


def edge_loss(edges: torch.Tensor, spots: list[tuple[int, int, int, int, np.ndarray]]) -> torch.Tensor:
    """Mean of one minus generalised IoU over the cells around the centres."""
    if not spots:
        return edges.sum() * 0
    where = torch.tensor([spot[:4] for spot in spots])
    wanted = torch.tensor(np.stack([spot[4] for spot in spots]), dtype=torch.float32)
    found = edges[where[:, 0], where[:, 1], :, where[:, 2], where[:, 3]]
    x, y = where[:, 3] + 0.5, where[:, 2] + 0.5
    got = torch.stack([x - found[:, 0], y - found[:, 1], x + found[:, 2], y + found[:, 3]], dim=1)
    return (1 - generalised_iou(got, wanted)).mean()


def generalised_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Row by row over boxes (n, 4) as left, top, right, bottom."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return shared / union - (hull - union) / hull


def flipped(data: TrainingSet, which: int, rng: np.random.Generator) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """One scan as floats, mirrored by chance in both directions and a little brighter or darker."""
    scan, boxes = data.scans[which].float() / 255, data.boxes[which].copy()
    if rng.random() < 0.5:
        scan, boxes[:, [0, 2]] = scan.flip(2), 320 - boxes[:, [2, 0]]
    if rng.random() < 0.5:
        scan, boxes[:, [1, 3]] = scan.flip(1), 240 - boxes[:, [3, 1]]
    return 1 - (1 - scan) * rng.uniform(0.9, 1.1), boxes, data.categories[which]


def fit(data: TrainingSet, *, categories: int, epochs: int, seed: int, rate: float = 3e-3, batch: int = 16) -> Detector:
    """Train a detector; repeatable by seed on one machine with one build of torch."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(seed)
    model = Detector(categories).train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    steps = epochs * (len(data.boxes) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for epoch in range(epochs):
        order, told = rng.permutation(len(data.boxes)), []
        for start in range(0, len(order) - batch + 1, batch):
            scans, heats, spots = [], [], []
            for place, which in enumerate(order[start : start + batch]):
                scan, boxes, labels = flipped(data, int(which), rng)
                heat, around = targets(boxes, labels, categories)
                scans.append(scan)
                heats.append(heat)
                spots += [(place, *spot) for spot in around]
            logits, edges = model(torch.stack(scans).float().to(memory_format=torch.channels_last))
            loss = heat_loss(logits, torch.from_numpy(np.stack(heats))) + 2 * edge_loss(edges, spots)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            told.append(float(loss.detach()))
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(told):.3f}", flush=True)
    return model.eval()


@torch.no_grad()
def detect(model: Detector, pixels: np.ndarray) -> list[tuple[int, list[float], float]]:
    """Find objects in one scan, uint8 (240, 320, 3): (category, [left, top, width, height], score), best first."""
    logits, edges = model(torch.from_numpy(shrink(pixels)).float()[None] / 255)
    heat = torch.sigmoid(logits)[0]
    peaks = torch.where(F.max_pool2d(heat[None], 3, stride=1, padding=1)[0] == heat, heat, 0)
    found = []
    for category, row, column in (peaks >= LOWEST_SCORE).nonzero().tolist():
        left, top, right, bottom = edges[0, category, :, row, column].tolist()
        x, y = column + 0.5, row + 0.5
        corners = np.array([x - left, y - top, x + right, y + bottom]) * CELL
        found.append((category, np.clip(corners, 0, (320, 240, 320, 240)), float(heat[category, row, column])))
    found.sort(key=lambda one: -one[2])
    kept: list[tuple[int, np.ndarray, float]] = []
    for one in found:
        if all(one[0] != other[0] or plain_iou(one[1], other[1]) < SAME_OBJECT_IOU for other in kept):
            kept.append(one)
    return [(c, [round(float(v), 2) for v in (b[0], b[1], b[2] - b[0], b[3] - b[1])], round(s, 4)) for c, b, s in kept]


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes as left, top, right, bottom."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, tall)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared + 1e-9)
