"""Published methods, written anew from their descriptions, with the parameters they are tuned over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.benchmarks.discovery.peers import (
    barlow,
    cleanlab_group,
    confusion,
    domino,
    george,
    hdbscan_map,
    kmeans,
    planespot,
    spotlight,
)
from tests.benchmarks.discovery.setting import Proposed

Propose = Callable[..., Proposed]

PEERS: dict[str, tuple[Propose, list[dict[str, Any]]]] = {
    "domino": (domino.propose, domino.GRID),
    "planespot": (planespot.propose, planespot.GRID),
    "spotlight": (spotlight.propose, spotlight.GRID),
    "barlow": (barlow.propose, barlow.GRID),
    "george": (george.propose, george.GRID),
    "kmeans": (kmeans.propose, kmeans.GRID),
    "hdbscan": (hdbscan_map.propose, hdbscan_map.GRID),
    "cleanlab": (cleanlab_group.propose, cleanlab_group.GRID),
    "confusion": (confusion.propose, confusion.GRID),
}
"""Name: the method and its tuning grid. Every one takes a setting and the grid's keywords."""
