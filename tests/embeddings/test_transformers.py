"""Folders of transformers models, with tiny untrained ones; left out where transformers isn't installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slicelab.core import SourceError
from slicelab.embeddings import load_embedder

transformers = pytest.importorskip("transformers")
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture
def images():
    return [np.random.default_rng(i).integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(3)]


def saved(folder, model, family, **processor):
    """Save a model with its image processor, the one that needs no torchvision where there are two."""
    kind = getattr(transformers, f"{family}ImageProcessorPil", None) or getattr(transformers, f"{family}ImageProcessor")
    model.save_pretrained(folder)
    kind(**processor).save_pretrained(folder)
    return folder


def check(folder, images, expected):
    embedder, again = load_embedder(folder), load_embedder(folder)
    batch = np.stack([embedder.prepare(image) for image in images])
    with torch.no_grad():
        np.testing.assert_allclose(embedder.embed(batch), expected(torch.from_numpy(batch)).numpy(), atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(batch), again.embed(batch))
    assert embedder.identity == again.identity
    assert embedder.dim == embedder.embed(batch).shape[1]


def test_clip_gives_its_image_features(tmp_path, images):
    """The projected picture vector, not the text's."""
    torch.manual_seed(0)
    text = {k: v for k, v in VISION.items() if k not in ("image_size", "patch_size")} | {"vocab_size": 99}
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    ).eval()
    folder = saved(tmp_path / "m", model, "CLIP", size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    check(folder, images, lambda x: model.visual_projection(model.vision_model(pixel_values=x).pooler_output))


def test_a_classifier_gives_the_mean_of_its_tokens(tmp_path, images):
    """The file has no pooler, which is then random: it is not used, so that two loads agree."""
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**VISION)).eval()
    folder = saved(tmp_path / "m", model, "ViT", size={"height": 32, "width": 32})
    check(folder, images, lambda x: model.vit(pixel_values=x).last_hidden_state.mean(1))


def test_missing_weights_are_refused(tmp_path):
    """A model that would be filled with random numbers is no embedder."""
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path / "m", transformers.ViTModel(transformers.ViTConfig(**VISION)), "ViT")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "mlp" in name or "intermediate" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match="lacks weights"):
        load_embedder(folder)
