"""Find where a vision model fails, and make what was found last.

Start with `load` (images, labels and predictions to a `Lab`) or `open` (one that was loaded before).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slicelab.core import Bar, Candidate, Case, LoadReport, Slice, SliceLabError, Suite, SuiteReport, metric
    from slicelab.lab import Lab, datasets, load
    from slicelab.lab import open_lab as open  # noqa: A004

__version__ = "0.1.0"

__all__ = [
    "Bar",
    "Candidate",
    "Case",
    "Lab",
    "LoadReport",
    "Slice",
    "SliceLabError",
    "Suite",
    "SuiteReport",
    "datasets",
    "load",
    "metric",
    "open",
]

_ROOMS = (
    "annotation",
    "core",
    "curation",
    "discovery",
    "embeddings",
    "evaluation",
    "gate",
    "sources",
    "store",
    "views",
    "widgets",
)
_CORE = ("Bar", "Candidate", "Case", "LoadReport", "Slice", "SliceLabError", "Suite", "SuiteReport", "metric")
_LAB = {"Lab": "Lab", "load": "load", "open": "open_lab", "datasets": "datasets"}


def __getattr__(name: str) -> Any:
    """Import rooms when they are asked for, so that `import slicelab` is fast."""
    if name in _CORE:
        return getattr(importlib.import_module("slicelab.core"), name)
    if name in _LAB:
        return getattr(importlib.import_module("slicelab.lab"), _LAB[name])
    if name in _ROOMS:
        return importlib.import_module(f"slicelab.{name}")
    raise AttributeError(f"module 'slicelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
