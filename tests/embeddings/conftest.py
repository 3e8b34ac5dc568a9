"""Small pictures with their hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicelab.core import hash_file
from slicelab.embeddings import ImageItem


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., ImageItem]:
    """Write pixels as a PNG and return its item."""

    def write(unit: str, pixels: np.ndarray, **fields: object) -> ImageItem:
        path = tmp_path / f"{unit}.png"
        Image.fromarray(pixels).save(path)
        return ImageItem(unit, str(path), hash_file(path), **fields)

    return write


@pytest.fixture
def pictures(save: Callable[..., ImageItem]) -> list[ImageItem]:
    """Twenty different noisy pictures."""
    random = np.random.default_rng(0)
    return [save(f"p{i:02}", random.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)) for i in range(20)]
