"""ONNX files as embedders, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from slicelab.core import InvalidInputError, MissingExtraError, SourceError, did_you_mean, hash_file, hash_value
from slicelab.embeddings._item import Image
from slicelab.embeddings._module import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_colour,
    check_size,
    in_pieces,
    plain_name,
)
from slicelab.embeddings._resize import resized

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class OnnxEmbedder:
    """Vectors from an ONNX model with one picture input, (b, 3, h, w) or (b, h, w, 3).

    Parameters
    ----------
    path
        The file; weights in files of their own lie beside it.
    layer
        Name of the output that is the vector; None: the first.
    size
        As in `ModuleEmbedder`; None: what the model declares, else 224.
    mean, std
        As in `ModuleEmbedder`. A model whose input is uint8 gets the pixels as they are.

    Raises
    ------
    MissingExtraError
        onnxruntime isn't installed.
    SourceError
        The file isn't such a model.
    InvalidInputError
        No such output, or a size that the model doesn't take.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        layer: str | None = None,
        size: int | tuple[int, int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        device: str = "cpu",
    ) -> None:
        self.path = Path(path)
        self.device = device
        self.mean, self.std = check_colour(mean, "mean"), check_colour(std, "std")
        self._content = hash_file(self.path)
        self._session = _open_session(self.path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise SourceError(
                f"{self.path.name} must take one tensor of pictures, (b, 3, h, w) or (b, h, w, 3) of float32, float16 "
                f"or uint8; it takes {found}."
            )
        self._input = inputs[0].name
        self._type = _TYPES[inputs[0].type]
        self.layer = self._output_name(layer)
        self._read_shape(inputs[0].shape, size)
        self._dim: int | None = None

    @property
    def identity(self) -> str:
        """Hash of the file, output, size and colours."""
        spec = ["onnx-v2", self._content, self.layer, self.height, self.width, self.mean, self.std]
        return f"{plain_name(self.path.stem)}-{hash_value(spec)[:32]}"

    @property
    def dim(self) -> int:
        """Number of dimensions; found by running one black picture."""
        if self._dim is None:
            self._dim = self.embed(np.zeros((1, self.height, self.width, 3), np.uint8)).shape[1]
        return self._dim

    def to(self, device: str) -> Self:
        """Return the embedder on `device`; where this onnxruntime has no such provider, it stays on the CPU."""
        if device.partition(":")[0] == self.device.partition(":")[0]:
            return self
        colours: dict[str, Any] = {"mean": self.mean, "std": self.std}
        return type(self)(self.path, layer=self.layer, size=(self.height, self.width), device=device, **colours)

    @property
    def at_least(self) -> tuple[int, int]:
        """(height, width) in pixels that are enough of a whole picture: twice what is seen, for the antialiasing."""
        return 2 * self.height, 2 * self.width

    def prepare(self, image: Image) -> Image:
        """Stretch to uint8 (height, width, 3)."""
        return resized(image, self.height, self.width)

    def embed(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the model on uint8 (b, height, width, 3); return float32 (b, dim)."""
        if self._batch is None:
            return self._forward(batch)
        return in_pieces(batch, self._batch, self._forward)

    def _forward(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        pixels = batch
        if self._type is not np.uint8:
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            pixels = (batch.astype(np.float32) / 255 - mean) / std
        if self._channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        feed = {self._input: np.ascontiguousarray(pixels, self._type)}
        return _pooled(self._session.run([self.layer], feed)[0], len(batch))

    def _output_name(self, layer: str | None) -> str:
        names = [output.name for output in self._session.get_outputs()]
        if layer is not None and layer not in names:
            raise InvalidInputError(
                f"{self.path.name} has no output {layer!r}.{did_you_mean(layer, names)} "
                "Inner layers must be made outputs when the model is exported."
            )
        return layer or str(names[0])

    def _read_shape(self, shape: Sequence[Any], size: int | tuple[int, int] | None) -> None:
        self._channels_first = shape[3] != 3 or shape[1] == 3
        high, wide = shape[2:] if self._channels_first else shape[1:3]
        declared = (high, wide) if isinstance(high, int) and isinstance(wide, int) else None
        self.height, self.width = check_size(size or declared or 224)
        if declared is not None and declared != (self.height, self.width):
            raise InvalidInputError(f"{self.path.name} takes pictures of {declared} pixels (h, w); got size={size}.")
        self._batch: int | None = shape[0] if isinstance(shape[0], int) else None


def _open_session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors
    except ImportError as error:
        raise MissingExtraError(
            f"{path.name} is an ONNX model, and onnxruntime isn't installed. Run: pip install 'slicelab[onnx]'"
        ) from error
    there = onnxruntime.get_available_providers()
    wanted = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}.get(device.partition(":")[0])
    providers = [p for p in (wanted, "CPUExecutionProvider") if p in there]
    try:
        return onnxruntime.InferenceSession(str(path), providers=providers)
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
    ) as error:
        reason = str(error).splitlines()[0][:300]
        raise SourceError(f"{path.name} can't be read as an ONNX model: {reason}") from error
    except (errors.NotImplemented, errors.RuntimeException) as error:
        reason = str(error).splitlines()[0][:300]
        raise SourceError(f"{path.name} can't be run by this onnxruntime: {reason} Try a newer one.") from error


def _pooled(output: npt.NDArray[Any], rows: int) -> npt.NDArray[np.float32]:
    """Make float32 (rows, d) of an output: the mean over positions, as for torch modules."""
    if output.ndim == 0 or len(output) != rows:
        raise InvalidInputError(
            f"The output must have one row per picture; got shape {output.shape} for {rows} pictures. "
            "Name another output as layer=."
        )
    values = output.astype(np.float32)
    if values.ndim == 3:
        values = values.mean(axis=1)
    elif values.ndim == 4:
        values = values.mean(axis=(2, 3))
    return values.reshape(rows, -1)
