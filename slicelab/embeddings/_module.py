"""Any torch module as an embedder: its output, or that of a layer inside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError, did_you_mean, hash_value
from slicelab.embeddings._item import Image
from slicelab.embeddings._resize import resized
from slicelab.embeddings._torch import evaluating, fingerprint, first_tensor, in_precision, moved, pooled, same_device

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Precision = Literal["float32", "bfloat16", "float16"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_ROUNDING = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
"""How far, of a vector's length, rounding may take it."""


class ModuleEmbedder:
    """Vectors from a torch module that takes float32 (b, 3, h, w).

    Parameters
    ----------
    module
        The module. It is run in evaluation mode without gradients, and left as it was found.
    layer
        Name of the part whose output is the vector, as in `module.named_modules()`; None: the module's own output.
        A part that is called several times gives its last output. Outputs (b, c, h, w) are averaged over h and w,
        (b, tokens, d) over all tokens; of a tuple or mapping the first tensor is taken.
    size
        Side, or (height, width), to which every picture is stretched; the whole picture is kept.
    mean, std
        Per channel, for pixels in 0..1: the module gets (pixel - mean) / std. The default is ImageNet's.
    name
        Goes in front of the identity; the module's class where none is given.
    content
        Hash of what the module computes, where it is known (of the file it comes from); None: computed from its parts,
        weights and code each time `identity` is asked for.
    batch
        The only batch size that the module takes; None: any. Pictures are padded to it.
    precision
        "float32", or "bfloat16" or "float16" for what torch's autocast thinks fit for it, with vectors of their own.
        It is meant for GPUs: on a CPU only float32 has what `quickened` does.
    compiled
        Whether a long run compiles the module first (torch.compile), for a GPU and ten thousands of pictures: it takes
        up to a minute and a compiler beside torch, Triton for GPUs. The same vectors, beyond rounding.

    Raises
    ------
    InvalidInputError
        No such layer, or a size, colour or precision that can't be.
    """

    def __init__(
        self,
        module: Module,
        *,
        layer: str | None = None,
        size: int | tuple[int, int] = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        name: str | None = None,
        content: str | None = None,
        batch: int | None = None,
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        self.module = module
        self.layer = layer
        self.height, self.width = check_size(size)
        self.mean, self.std = check_colour(mean, "mean"), check_colour(std, "std")
        if min(self.std) <= 0:
            raise InvalidInputError(f"The std must be above 0 for each channel; got {std!r}.")
        self.name = name or type(module).__name__
        self.content = content
        self.batch = batch
        if precision not in get_args(Precision):
            raise InvalidInputError(f"The precision must be one of {get_args(Precision)}; got {precision!r}.")
        self.precision = precision
        self.compiled = compiled
        self._run: Callable[[Tensor], Tensor] | None = None
        self._at_once: int | None = None
        if layer is not None and layer not in (names := dict(module.named_modules())):
            raise InvalidInputError(f"The module has no layer {layer!r}.{did_you_mean(layer, filter(None, names))}")

    @property
    def identity(self) -> str:
        """Name and hash of module, layer, size and colours; changes when the weights change."""
        content = self.content or fingerprint(self.module)
        spec = ["module-v2", content, self.layer, self.height, self.width, self.mean, self.std, self.precision]
        return f"{plain_name(self.name)}-{hash_value(spec)[:32]}"

    @cached_property
    def dim(self) -> int:
        """Number of dimensions; found by running one black picture."""
        return int(self.embed(np.zeros((1, self.height, self.width, 3), np.uint8)).shape[1])

    @property
    def device(self) -> str:
        """Where the module's first tensor lies; "cpu" where it has none."""
        for tensor in [*self.module.parameters(), *self.module.buffers()]:
            return str(tensor.device)
        return "cpu"

    def to(self, device: str) -> Self:
        """Return an embedder on `device`: a copy of the module, so that yours stays where it is."""
        if same_device(self.device, device):
            return self
        moved = copy.copy(self)
        moved.module = copy.deepcopy(self.module).to(device)
        return moved

    def quickened(self) -> Self:
        """Return an embedder that computes the same with fewer passes over memory, for a long run.

        Where it is `compiled`, by torch.compile. Else on a CPU batch norms are folded into the convolutions before
        them, sums and ReLUs computed together with those, and a batch in pieces that fit a processor's cache. It is
        this one where that can't be done, or would take vectors further than rounding does.

        Raises
        ------
        InvalidInputError
            It is to be compiled, and torch can't.
        """
        from slicelab.embeddings._fold import AT_ONCE, folded, fused

        if self.compiled:
            return self._compiled()
        on_cpu = same_device(self.device, "cpu")
        quicker = folded(self.module) if on_cpu and self.precision == "float32" else None
        if quicker is None:
            return self
        pixels = np.random.default_rng(0).integers(0, 256, (2, self.height, self.width, 3), np.uint8)
        content = self.content or fingerprint(self.module)
        for module in (fused(quicker, self._normalised(moved(pixels, self.device))), quicker):
            quick = copy.copy(self)
            quick.module, quick.content, quick._at_once = cast("Module", module), content, AT_ONCE
            if module is not None and quick._agrees_with(self, pixels):
                return quick
        return self

    def _compiled(self) -> Self:
        import torch

        quick = copy.copy(self)
        quick.content = self.content or fingerprint(self.module)
        quick._run = torch.compile(self._vectors, dynamic=True)  # any batch size, as the last one is smaller
        pixels = np.random.default_rng(0).integers(0, 256, (2, self.height, self.width, 3), np.uint8)
        reason = "what it computes isn't the same."
        try:
            if _alike(quick.embed(pixels), self.embed(pixels), self.precision):
                return quick
        except Exception as error:  # noqa: BLE001 - whatever its compilers raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])  # "backend='inductor' raised:", then what
        raise InvalidInputError(f"torch.compile can't be used with this module here: {reason} Leave out compiled=True.")

    def _agrees_with(self, other: Self, pixels: npt.NDArray[np.uint8]) -> bool:
        try:
            return _alike(self.embed(pixels), other.embed(pixels), self.precision)
        except (InvalidInputError, AttributeError, RuntimeError, TypeError):  # the layer isn't there any more
            return False

    @property
    def at_least(self) -> tuple[int, int]:
        """(height, width) in pixels that are enough of a whole picture: twice what is seen, for the antialiasing."""
        return 2 * self.height, 2 * self.width

    def prepare(self, image: Image) -> Image:
        """Stretch to uint8 (height, width, 3)."""
        return resized(image, self.height, self.width)

    def embed(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the module on uint8 (b, height, width, 3); return float32 (b, dim)."""
        if self.batch is not None:
            return in_pieces(batch, self.batch, self._forward)
        step = self._at_once or max(1, len(batch))
        return np.concatenate([self._forward(batch[i : i + step]) for i in range(0, max(1, len(batch)), step)])

    def _forward(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with evaluating(self.module), in_precision(self.precision, self.device):
            run = self._run or self._vectors
            vectors: npt.NDArray[np.float32] = run(moved(batch, self.device)).cpu().numpy()
        return vectors

    def _vectors(self, pixels: Tensor) -> Tensor:
        """Return float32 (b, dim) of uint8 (b, height, width, 3)."""
        return pooled(first_tensor(self._output(self._normalised(pixels))), len(pixels))

    def _normalised(self, pixels: Tensor) -> Tensor:
        import torch

        # uint8 (b, h, w, 3) seen as (b, 3, h, w) is channels-last already, which convolutions like best.
        pixels = pixels.permute(0, 3, 1, 2)
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        normalised = pixels.float().div_(255).sub_(mean).div_(std)
        dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        return normalised.to(dtype)

    def _output(self, pixels: Tensor) -> Any:
        if self.layer is None:
            return self.module(pixels)
        caught: list[Any] = []
        part = self.module.get_submodule(self.layer)
        hook = part.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            self.module(pixels)
        finally:
            hook.remove()
        if not caught:
            raise InvalidInputError(
                f"The layer {self.layer!r} was not called when the module ran. "
                "Name another, or (TorchScript, torch.export) export the module so that it returns this layer's output."
            )
        return caught[-1]


def _alike(here: npt.NDArray[np.float32], there: npt.NDArray[np.float32], precision: Precision) -> bool:
    if here.shape != there.shape:
        return False
    apart = np.linalg.norm(here - there, axis=1)
    return bool((apart <= _ROUNDING[precision] * np.linalg.norm(there, axis=1)).all())


def in_pieces(batch: npt.NDArray[Any], size: int, run: Any) -> npt.NDArray[np.float32]:
    """Run a function that takes exactly `size` rows over a batch of any length; the last piece repeats its last row."""
    pieces = []
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        short = size - len(piece)
        padded = np.concatenate([piece, np.repeat(piece[-1:], short, axis=0)]) if short else piece
        pieces.append(run(padded)[: len(piece)])
    return np.concatenate(pieces)


def check_size(size: Any) -> tuple[int, int]:
    """Return (height, width), or raise `InvalidInputError`."""
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if (
        not isinstance(sides, tuple | list)
        or len(sides) != 2
        or not all(isinstance(s, int | np.integer) and not isinstance(s, bool) and s > 0 for s in sides)
    ):
        raise InvalidInputError(f"The size must be a side in pixels or (height, width); got {size!r}.")
    return int(sides[0]), int(sides[1])


def check_colour(values: Any, what: str) -> tuple[float, float, float]:
    """Return three finite numbers, or raise `InvalidInputError`."""
    try:
        red, green, blue = (float(v) for v in values)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"The {what} must be three numbers, for red, green and blue; got {values!r}."
        ) from error
    if not np.isfinite([red, green, blue]).all():
        raise InvalidInputError(f"The {what} must be three finite numbers; got {values!r}.")
    return red, green, blue


def plain_name(name: str) -> str:
    """Make a name fit for an identity."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in name)
    return plain[:80] or "module"
