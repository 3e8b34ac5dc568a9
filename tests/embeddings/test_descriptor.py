"""What the default embedder promises: finite, steady, and useful."""

from __future__ import annotations

import numpy as np
import pytest

from slicelab.embeddings import DescriptorEmbedder


def describe(images):
    embedder = DescriptorEmbedder()
    prepared = np.stack([embedder.prepare(image) for image in images])
    return np.concatenate([embedder.embed(prepared[start : start + 64]) for start in range(0, len(prepared), 64)])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (64, 64), (300, 7)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_and_tiny_pictures_have_finite_vectors(shape, value):
    """No shape or colour gives NaN; a picture without edges has almost no shape."""
    vector = describe([np.full((*shape, 3), value, np.uint8)])[0]
    assert vector.shape == (DescriptorEmbedder.dim,)
    assert np.isfinite(vector).all()
    assert np.abs(vector[:128]).max() < 1e-3


def test_little_noise_moves_little():
    """One grey level of noise on grainy pictures moves a vector far less than another picture does."""
    random = np.random.default_rng(0)
    patches = np.kron(random.integers(40, 200, (2, 6, 6, 3)), np.ones((1, 12, 12, 1)))
    grainy = (patches + random.integers(0, 20, patches.shape)).astype(np.uint8)
    noisy = (grainy[0] + random.integers(0, 2, grainy[0].shape)).astype(np.uint8)
    first, other, near = describe([grainy[0], grainy[1], noisy])
    assert np.linalg.norm(first - near) < 0.2 * np.linalg.norm(first - other)


def test_direction_colour_texture_and_size_are_told_apart():
    """Pictures that differ in one respect only differ in their vectors."""
    columns = np.zeros((64, 64, 3), np.uint8)
    columns[:, ::8] = 200
    red = columns * np.array([1, 0, 0], np.uint8)
    fine = np.zeros_like(columns)
    fine[:, ::3] = 200
    large = np.repeat(np.repeat(columns, 4, axis=0), 4, axis=1)
    vectors = describe([columns, columns.transpose(1, 0, 2), red, fine, large])
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    assert distances[np.triu_indices(5, 1)].min() > 0.1


def test_five_neighbours_name_handwritten_digits():
    """Leave-one-out with five neighbours names more than 0.97 of scikit-learn's first 800 digits (chance: 0.10)."""
    from sklearn.datasets import load_digits
    from sklearn.neighbors import NearestNeighbors

    digits = load_digits()
    grey = (digits.images[:800] / 16 * 255).astype(np.uint8)
    vectors = describe(np.repeat(grey[..., None], 3, axis=3))
    near = NearestNeighbors(n_neighbors=5).fit(vectors).kneighbors(return_distance=False)
    votes = np.apply_along_axis(np.bincount, 1, digits.target[near], minlength=10)
    assert (votes.argmax(1) == digits.target[:800]).mean() > 0.97


def test_the_identity_holds_every_constant(monkeypatch):
    """Another constant, another identity; otherwise always the same."""
    from slicelab.embeddings import _descriptor

    before = DescriptorEmbedder().identity
    assert DescriptorEmbedder().identity == before
    monkeypatch.setitem(_descriptor._SPEC, "noise_floor", 0.06)
    assert DescriptorEmbedder().identity != before
