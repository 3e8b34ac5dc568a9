"""What every embedder can do; write your own class with these five and it fits."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from slicelab.embeddings._item import Image


class Embedder(Protocol):
    """Turns pictures into vectors.

    It may also have `at_least`, the (height, width) in pixels that are enough for it: then JPEGs much larger than that
    are decoded at a fraction of their size.
    """

    @property
    def identity(self) -> str:
        """Name of the function from picture to vector: other weights, preprocessing or code, another identity.

        1 to 120 characters of A-Z a-z 0-9 . _ -, not starting with a dot; vectors are cached under it.
        """
        ...

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        ...

    def prepare(self, image: Image) -> npt.NDArray[Any]:
        """Bring one picture, uint8 (h, w, 3) RGB, to the fixed shape that `embed` takes; called from threads."""
        ...

    def embed(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Turn prepared pictures, stacked along axis 0, into float32 (b, dim)."""
        ...

    def to(self, device: str) -> Self:
        """Return this embedder on a torch device ("cpu", "cuda", "cuda:1", "mps"); itself where it is there."""
        ...
