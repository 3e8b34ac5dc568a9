"""What projection and discovery cost as units become many, and whether what is found stays the same.

Each class has twenty clusters of unequal size, of which the model fails on one or two. There is no peer: at these sizes
none of the others ran here in reasonable time. 100,000 x 512 project and discover, 1,000,000 x 64 discover.
"""

from __future__ import annotations

import statistics
from typing import Any

from tests.benchmarks.performance.measure import Steps, compare, python, spread

SIZES = ((20_000, 512, True), (50_000, 512, True), (100_000, 512, True), (1_000_000, 64, False))
CLASSES, CLUSTERS = 10, 20
FAILING = {7: range(CLASSES), 12: range(CLASSES // 2)}  # in which classes a cluster fails


def run(rounds: int) -> str:
    """Run every size in turn, each in a fresh process, and return the table; the largest only once."""
    lines = ["### Project and discover, by the number of units", ""]
    heads = (
        "units",
        "project, CPU s",
        "discover, CPU s",
        "wall s",
        "peak MiB",
        "returned",
        "confirmed",
        "planted found",
    )
    lines += ["| " + " | ".join(heads) + " |", "| " + " | ".join(["---:"] * len(heads)) + " |"]
    for n, d, projected in SIZES:
        times = rounds if n <= 100_000 else 1
        command = {"slicelab": python("scale:ours", n, d, projected)}
        result = compare(command, rounds=times, environment={"OMP_NUM_THREADS": "1"}, timeout=3600)
        steps, values = result.steps["slicelab"], result.values["slicelab"][-1]
        walls = [sum(one) for one in zip(*(figures.wall for figures in steps.values()), strict=True)]
        cells = [
            f"{n:,} x {d}",
            spread(steps["project"].cpu, 0) if projected else "",
            spread(steps["discover"].cpu, 0),
            spread(walls, 0),
            f"{statistics.median(steps['discover'].peak):.0f}",
            str(values["returned"]),
            str(values["confirmed"]),
            f"{values['hit']} of {values['planted']}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# -- what runs in a process of its own ------------------------------------------------------------------------------


def planted(n: int, d: int, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Return embeddings float32 (n, d), failures, classes and clusters of units (n,)."""
    import numpy as np

    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLASSES, CLUSTERS, 16)) * 2.2
    lift = (rng.normal(size=(16, d)) / 4).astype(np.float32)
    share = 1 / np.arange(1, CLUSTERS + 1)
    classes, clusters = rng.integers(0, CLASSES, n), rng.choice(CLUSTERS, n, p=share / share.sum())
    embeddings = np.empty((n, d), np.float32)
    for first in range(0, n, 50_000):
        of = slice(first, first + 50_000)
        places = centres[classes[of], clusters[of]]
        places = (places + rng.normal(size=places.shape)).astype(np.float32)
        embeddings[of] = np.maximum(places @ lift, -1) + 0.05 * rng.normal(size=(len(places), d))
    bad = np.zeros(n, bool)
    for cluster, where in FAILING.items():
        bad |= (clusters == cluster) & np.isin(classes, list(where))
    return embeddings, rng.random(n) < np.where(bad, 0.45, 0.06), classes, clusters


def ours(n: int, d: int, projected: bool) -> None:
    """Project and discover; count the planted groups that come back with precision and recall of 0.8."""
    import numpy as np

    from slicelab.discovery import discover, project

    steps = Steps()
    embeddings, failures, classes, clusters = planted(n, d)
    if projected:
        with steps.timed("project"):
            project(embeddings)
    with steps.timed("discover"):
        found = discover(embeddings, failures, labels=classes.astype(str), max_slices=40)
    groups = [(classes == one) & (clusters == cluster) for cluster, where in FAILING.items() for one in where]
    hit = sum(any(_is(candidate.members, group, np) for candidate in found) for group in groups)
    steps.value("returned", len(found))
    steps.value("confirmed", sum(candidate.status == "confirmed" for candidate in found))
    steps.value("hit", hit)
    steps.value("planted", len(groups))
    steps.write()


def _is(members: Any, group: Any, np: Any) -> bool:
    shared = int(np.count_nonzero(group[members]))
    return min(shared / len(members), shared / int(group.sum())) >= 0.8
