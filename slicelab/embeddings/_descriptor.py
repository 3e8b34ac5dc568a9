"""The default embedder: shape, colour and texture by fixed formulas, so that nothing needs weights or a network.

The block weights are constants, chosen once so that on small natural photographs every block spreads by a set share:
shape 0.8, texture 0.6, colour 0.6, palette 0.6, contrast 0.3. No picture of the user's enters them.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from slicelab.core import hash_value
from slicelab.embeddings._item import Image
from slicelab.embeddings._resize import resized
from slicelab.embeddings._torch import one_thread, same_device

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 64
_PIXELS = SIDE * SIDE * 3
_PART = 16  # pictures at once on a CPU, so that what is between the steps stays in its cache
_SIZE_STEPS = 16  # per doubling of a side, so that 8 bits hold up to 2 ** 16 pixels

_SPEC: dict[str, Any] = {
    "version": 2,
    "side": SIDE,
    "grid": 4,
    "orientations": 8,
    "sharpness": 3,  # power of the cosine by which an edge falls into orientation bins
    "noise_floor": 0.05,  # edges much weaker than this count as flat
    "texture_grid": 2,
    "texture_step": 0.01,  # difference of lightness that counts as a step
    "scales": 4,
    "chroma": 3.0,  # a and b of Oklab beside its lightness
    "palette_bins": (6, 5, 5),  # of lightness, a and b
    "palette_reach": (0.1, 0.12),  # a and b beyond this count as this
    "weights": {"shape": 1.86, "colour": 0.66, "texture": 5.6, "contrast": 0.076, "size": 0.05, "palette": 1.0},
}

# Oklab (Ottosson 2020), from linear sRGB.
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


class DescriptorEmbedder:
    """A fixed descriptor, 464 dimensions, of the picture stretched to 64 x 64.

    ======== ==== ===============================================================================================
    shape     128 histograms of edge direction (8, undirected) on a 4 x 4 grid, each cell relative to its
                  neighbours' edges (after Dalal and Triggs, CVPR 2005)
    colour     96 mean and standard deviation of Oklab on a 4 x 4 grid
    texture    40 local binary patterns, uniform and rotation-invariant, on a 2 x 2 grid (Ojala et al., PAMI 2002),
                  with soft thresholds, so that rounding can't flip a pattern
    contrast   48 log energy of what each of four halvings of the size loses, on a 2 x 2 grid
    size        2 log2 of the original height and width, beside 128 pixels
    palette   150 square roots of a joint histogram of Oklab, 6 x 5 x 5, wherever in the picture the colours are
                  (after Swain and Ballard, IJCV 1991), with soft bins
    ======== ==== ===============================================================================================
    """

    dim = 464

    def __init__(self) -> None:
        self.device = "cpu"

    @property
    def identity(self) -> str:
        """Hash of all its constants."""
        return f"descriptor-{hash_value([_SPEC, _TO_CONES, _TO_OKLAB])[:32]}"

    def to(self, device: str) -> Self:
        """Return the embedder that computes on `device`."""
        if same_device(self.device, device):
            return self
        moved = copy.copy(self)
        moved.device = device
        return moved

    def prepare(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return uint8 (12290,): the pixels at 64 x 64, then height and width in sixteenths of a doubling."""
        sides = [min(255, round(_SIZE_STEPS * math.log2(side))) for side in image.shape[:2]]
        return np.concatenate([resized(image, SIDE, SIDE).ravel(), np.array(sides, np.uint8)])

    def embed(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Describe uint8 (b, 12290); return float32 (b, 464)."""
        import torch

        with torch.inference_mode():
            data = torch.from_numpy(np.ascontiguousarray(batch))
            if not same_device(self.device, "cpu"):
                return _as_numpy(_described(data.to(self.device)))
            with one_thread():
                parts = [_described(data[start : start + _PART]) for start in range(0, len(data), _PART)]
            return _as_numpy(torch.cat(parts))


def _described(data: Tensor) -> Tensor:
    import torch

    oklab = _oklab(data[:, :_PIXELS].reshape(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2))
    blocks = {
        "shape": _shape(oklab[:, :1]),
        "colour": _colour(oklab),
        "texture": _texture(oklab[:, :1]),
        "contrast": _contrast(oklab),
        "size": data[:, _PIXELS:].float() / _SIZE_STEPS - 7,
        "palette": _palette(oklab),
    }
    weights = _SPEC["weights"]
    return torch.cat([blocks[name].flatten(1) * weights[name] for name in blocks], dim=1)


def _as_numpy(vectors: Tensor) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
    return result


def _oklab(pixels: Tensor) -> Tensor:
    """Oklab, (b, 3, h, w): lightness 0..1, then a and b, of uint8 sRGB."""
    import torch

    levels = torch.arange(256, device=pixels.device) / 255
    linear = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)[pixels.int()]
    cones = _mixed(linear, _TO_CONES).clamp_min(0) ** (1 / 3)
    return _mixed(cones, _TO_OKLAB)


def _mixed(channels: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    import torch

    return torch.einsum("ij,bjhw->bihw", torch.tensor(matrix, device=channels.device), channels)


def _shape(light: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    wide = _bordered(light, 1)
    across = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    squared = across * across + down * down + 1e-12
    # cosine and sine of twice the edge's angle: an edge and its reverse are the same direction
    cosine, sine = (across * across - down * down) / squared, 2 * across * down / squared
    bins = int(_SPEC["orientations"])
    angles = (torch.arange(bins, device=light.device) * (2 * math.pi / bins)).view(1, bins, 1, 1)
    share = torch.relu(cosine * angles.cos() + sine * angles.sin()) ** int(_SPEC["sharpness"])
    cells = _gridded(share * squared.sqrt(), int(_SPEC["grid"]))
    energy = functional.avg_pool2d(_bordered((cells * cells).sum(1, keepdim=True), 1), 3, 1)
    relative = (cells / (energy + float(_SPEC["noise_floor"]) ** 2).sqrt()).flatten(1)
    # the norm is about 4; the 0.5 keeps pictures without edges near zero
    norm = (relative * relative).sum(1, keepdim=True).sqrt()
    return relative / (norm + 0.5)


def _colour(oklab: Tensor) -> Tensor:
    import torch

    scaled = torch.cat([oklab[:, :1], oklab[:, 1:] * float(_SPEC["chroma"])], dim=1)
    grid = int(_SPEC["grid"])
    mean = _gridded(scaled, grid)
    # 1e-6 keeps the root's slope small where a cell is flat, so that rounding stays rounding
    spread = ((_gridded(scaled * scaled, grid) - mean * mean).clamp_min(0) + 1e-6).sqrt()
    return torch.cat([mean, spread], dim=1)


def _palette(oklab: Tensor) -> Tensor:
    import torch

    green_red, blue_yellow = _SPEC["palette_reach"]
    lows = (0.0, -green_red, -blue_yellow)
    highs = (1.0, green_red, blue_yellow)
    light, a, b = (
        _soft_bins(oklab[:, at].flatten(1), low, high, count)
        for at, (low, high, count) in enumerate(zip(lows, highs, _SPEC["palette_bins"], strict=True))
    )
    chroma = (a[:, :, None] * b[:, None]).flatten(1, 2)
    shares = torch.bmm(light, chroma.transpose(1, 2)).flatten(1) / light.shape[-1]
    # 1e-6 keeps the root's slope small where a bin is empty, so that rounding stays rounding
    return (shares + 1e-6).sqrt()


def _soft_bins(values: Tensor, low: float, high: float, count: int) -> Tensor:
    """Share every value, (b, p), between the two nearest of `count` bins from low to high: (b, count, p)."""
    import torch

    places = (values.clamp(low, high) - low) * ((count - 1) / (high - low))
    bins = torch.arange(count, device=values.device).view(1, count, 1)
    return torch.relu(1 - (places[:, None] - bins).abs())


def _texture(light: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    high, wide = light.shape[-2:]
    bordered = _bordered(light, 1)
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    around = torch.cat([bordered[:, :, y : y + high, x : x + wide] for y, x in ring], dim=1)
    brighter = torch.sigmoid((around - light) / float(_SPEC["texture_step"]))
    count = brighter.sum(1, keepdim=True)
    changes = (brighter - brighter.roll(1, 1)).abs().sum(1, keepdim=True)
    uniform = torch.sigmoid((3 - changes) / 0.3)
    steps = torch.arange(9, device=light.device).view(1, 9, 1, 1)
    patterns = torch.cat([torch.relu(1 - (count - steps).abs()) * uniform, 1 - uniform], dim=1)
    shares = (_gridded(patterns, int(_SPEC["texture_grid"])).flatten(1) + 1e-6).sqrt()
    return functional.normalize(shares, dim=1)


def _contrast(oklab: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    energies = []
    for _ in range(int(_SPEC["scales"])):
        smooth = functional.avg_pool2d(_bordered(oklab, 1), 3, 1)
        energies.append(_gridded((oklab - smooth) ** 2, int(_SPEC["texture_grid"])))
        oklab = functional.avg_pool2d(smooth, 2)
    return torch.log(torch.cat(energies, dim=1) + 1e-5) + 10  # photographs lie around 0


def _bordered(maps: Tensor, by: int) -> Tensor:
    from torch.nn import functional

    return functional.pad(maps, (by, by, by, by), mode="replicate")


def _gridded(maps: Tensor, cells: int) -> Tensor:
    """Mean over each cell of a square grid, with weights that fall linearly into the neighbouring cells."""
    import torch

    side = maps.shape[-1]
    width = side / cells
    pixel = torch.arange(side, device=maps.device) + 0.5
    centre = (torch.arange(cells, device=maps.device) + 0.5) * width
    weight = torch.relu(1 - (pixel - centre[:, None]).abs() / width)
    weight = weight / weight.sum(1, keepdim=True)
    return weight @ maps @ weight.T
