"""A Ray cluster of two nodes on this machine, for tests and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

STARTS = 4


@contextmanager
def two_nodes() -> Iterator[str]:
    """Start two nodes of one CPU each and give the cluster's address.

    Ray gives a node's helpers 15 seconds to start, which is too short where much else is running: it is tried again.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            _add_node(cluster)
        yield cluster.address
    finally:
        cluster.shutdown()


def _add_node(cluster: Any) -> None:
    for left in range(STARTS - 1, -1, -1):
        try:
            cluster.add_node(num_cpus=1, include_dashboard=False)
        except Exception:  # Ray raises just this
            if not left:
                raise
        else:
            return
