"""Vectors of a torch module, stored under a name."""

import numpy as np
import pytest
import torch
from torch import nn

from slicelab.core import InvalidInputError


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def test_a_module_in_either_precision(parts):
    """Each under its name, both nearly the same; what was computed in one precision isn't taken for the other."""
    whole = parts.embed(model=net(), size=32, name="whole", progress=False)
    half = parts.embed(model=net(), size=32, name="half", precision="bfloat16", progress=False)
    assert whole.shape == half.shape == (len(parts.units("v3")), 32)
    assert not np.array_equal(whole, half)
    np.testing.assert_allclose(half, whole, rtol=0, atol=0.02 * np.abs(whole).max())
    np.testing.assert_array_equal(parts.embeddings("half")[1], half)


def test_precision_belongs_to_a_module(parts):
    """Without one it is refused before anything is computed; so is one that isn't there."""
    with pytest.raises(InvalidInputError, match="precision= belongs to a torch module"):
        parts.embed(precision="bfloat16", progress=False)
    with pytest.raises(InvalidInputError, match="compiled= belongs to a torch module"):
        parts.embed(compiled=True, progress=False)
    with pytest.raises(InvalidInputError, match="precision must be one of"):
        parts.embed(model=net(), precision="int8", progress=False)
