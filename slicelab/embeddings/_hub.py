"""Folders as transformers and timm save them, opened from disk only."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from slicelab.core import MissingExtraError, SourceError, hash_file, hash_value, listed
from slicelab.embeddings._item import Image
from slicelab.embeddings._module import ModuleEmbedder, plain_name
from slicelab.embeddings._torch import evaluating, first_tensor, pooled, same_device


class TransformersEmbedder:
    """Vectors from a transformers model folder, pictures prepared by its own processor.

    Models with picture features of their own (CLIP, SigLIP) give these; of others the last hidden state is averaged
    over all positions. Code in the folder is not run, and nothing is fetched.

    Parameters
    ----------
    folder
        As `save_pretrained` of the model and of its image processor write it.

    Raises
    ------
    MissingExtraError
        transformers isn't installed, or can't be imported.
    SourceError
        The folder doesn't hold a model and an image processor.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            from transformers import AutoImageProcessor, AutoModel
        except ImportError as error:
            raise MissingExtraError(
                f"{self.folder.name} is a transformers model, and transformers can't be imported ({error}). "
                "Run: pip install 'slicelab[transformers]'"
            ) from error
        try:
            self._processor = AutoImageProcessor.from_pretrained(str(self.folder), local_files_only=True)
            self.module, loading = AutoModel.from_pretrained(
                str(self.folder), local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise SourceError(
                f"{str(self.folder)!r} can't be opened as a transformers vision model: {reason[0]} "
                "It needs config.json, model.safetensors and preprocessor_config.json."
            ) from error
        # A pooler that the file lacks is filled with random numbers, and isn't used here.
        if missing := sorted(name for name in loading["missing_keys"] if "pooler" not in name):
            raise SourceError(
                f"{str(self.folder)!r} lacks weights of the model that its config.json names: {listed(missing)}. "
                "Save model and weights together with save_pretrained."
            )

    @cached_property
    def identity(self) -> str:
        """Hash of the folder's weights, configuration and processor, as files."""
        files = sorted(p for p in self.folder.iterdir() if p.suffix in {".json", ".safetensors", ".bin"})
        spec = ["transformers-v1", [[p.name, hash_file(p)] for p in files]]
        return f"{plain_name(self.folder.name)}-{hash_value(spec)[:32]}"

    @cached_property
    def dim(self) -> int:
        """Number of dimensions; found by running one black picture."""
        black = self.prepare(np.zeros((8, 8, 3), np.uint8))
        return int(self.embed(black[None]).shape[1])

    @property
    def device(self) -> str:
        """Where the weights lie."""
        return str(next(self.module.parameters()).device)

    def to(self, device: str) -> Self:
        """Return the embedder with a copy of the model on `device`."""
        if same_device(self.device, device):
            return self
        moved = copy.copy(self)
        moved.module = copy.deepcopy(self.module).to(device)
        return moved

    def prepare(self, image: Image) -> npt.NDArray[np.float32]:
        """Run the model's own processor; return float32 (3, h, w)."""
        pixels = self._processor(images=image, return_tensors="np", input_data_format="channels_last")["pixel_values"]
        return np.asarray(pixels[0], np.float32)

    def embed(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Run the model on float32 (b, 3, h, w); return float32 (b, dim)."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device, self.module.dtype)
        with evaluating(self.module):
            if hasattr(self.module, "get_image_features"):
                output = self.module.get_image_features(pixel_values=pixels)
            else:
                output = self.module(pixel_values=pixels)
                output = getattr(output, "last_hidden_state", output)
            vectors: npt.NDArray[np.float32] = pooled(first_tensor(output), len(batch)).cpu().numpy()
        return vectors


def load_timm(folder: str | Path) -> ModuleEmbedder:
    """Open a timm model folder (config.json, model.safetensors) without its head, with its own size and colours.

    Raises
    ------
    MissingExtraError
        timm isn't installed, or can't be imported beside this torch.
    SourceError
        The folder can't be opened.
    """
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise SourceError(
            f"{str(folder)!r} has no model.safetensors; pickled weights are not read. "
            "Save the model again with safetensors."
        )
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision for another torch
        reason = str(error).splitlines()[0]
        raise MissingExtraError(
            f"{folder.name} is a timm model, and timm can't be imported ({reason}). Run: pip install timm, "
            "with a torchvision that fits your torch."
        ) from error
    try:
        module = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        data = timm.data.resolve_model_data_config(module)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise SourceError(f"{str(folder)!r} can't be opened as a timm model: {error}") from error
    _, high, wide = data["input_size"]
    return ModuleEmbedder(module, size=(high, wide), mean=data["mean"], std=data["std"], name=folder.name)
