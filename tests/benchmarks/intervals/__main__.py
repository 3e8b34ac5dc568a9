"""Coverage of `proportion_interval` over a grid of groups: `python -m tests.benchmarks.intervals`.

Each cell draws data sets of groups whose units are right together (beta-binomial: every group has a rate of its own),
and asks in how many the 95 % interval holds the true share, and in how many a strict bar at that very share would
pass. Beside it, on the same draws: Wilson's corrected interval, which takes units as independent, and the percentile
interval of `scipy.stats.bootstrap`, which draws whole groups. A cell close to a limit is drawn again, ten times as
often.

    python -m tests.benchmarks.intervals [--draws 1000] [--quick] [--workers 2] [--all]
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from multiprocessing import Pool

import numpy as np
from scipy.stats import bootstrap

from slicelab.evaluation import proportion_interval, wilson_interval

SIZES = ("1", "2", "5", "10", "25", "50", "1 to 10", "1 to 50")
CORRELATIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
GROUPS = (10, 20, 50, 200, 2000)
SHARES = (0.5, 0.7, 0.9, 0.95, 0.99)
BOOTSTRAPS = 20
LOW, HIGH, STRICT, WIDE = 0.93, 0.985, 0.035, 1.10


@dataclass(frozen=True)
class Cell:
    """One setting, and what was seen in it."""

    sizes: str
    correlation: float
    groups: int
    share: float
    draws: int = 0
    covers: float = math.nan
    passes: float = math.nan
    width: float = math.nan
    wilson: float = math.nan
    bootstrap: float = math.nan
    holding: float = math.nan

    @property
    def dense(self) -> bool:
        """Twenty groups or more, of which ten or more are expected to hold a failure."""
        return self.groups >= 20 and self.holding >= 10

    def problems(self) -> list[str]:
        """What the cell was promised and doesn't keep."""
        told = []
        if self.covers < LOW:
            told.append(f"covers less than {LOW:.1%}")
        if self.dense and self.covers > HIGH:
            told.append(f"covers more than {HIGH:.1%}")
        if self.passes > STRICT:
            told.append(f"strict bar passes more than {STRICT:.1%}")
        if self.dense and not self.correlation and self.width > WIDE:
            told.append(f"wider than {WIDE:.2f} x Wilson's")
        return told

    def close(self) -> bool:
        """Whether a limit lies within three standard errors."""
        error = 3 * math.sqrt(0.06 / self.draws)
        return (
            self.covers < LOW + error
            or (self.dense and self.covers > HIGH - error / 2)
            or self.passes > STRICT - error * 0.7
        )


def group_sizes(sizes: str, n: int, random: np.random.Generator) -> np.ndarray:
    """One number for all, or log-uniform between two: most groups small, most units in few of them."""
    if " to " not in sizes:
        return np.full(n, int(sizes))
    low, high = map(int, sizes.split(" to "))
    return np.exp(random.uniform(math.log(low), math.log(high + 1), n)).astype(int).clip(low, high)


def draw(share: float, correlation: float, sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Successes by group; beta-binomial."""
    if correlation == 0:
        return random.binomial(sizes, share)
    scale = 1 / correlation - 1
    return random.binomial(sizes, random.beta(share * scale, (1 - share) * scale, len(sizes)))


def run(cell: Cell, draws: int, seed: int) -> Cell:
    """Fill a cell."""
    random = np.random.default_rng([seed, SIZES.index(cell.sizes), cell.groups, int(cell.share * 100)])
    covers = passes = width = wide = wilson = boot = holding = 0.0
    tried = 0
    for i in range(draws):
        sizes = group_sizes(cell.sizes, cell.groups, random)  # anew each time: no single set of sizes decides
        k = draw(cell.share, cell.correlation, sizes, random)
        low, high = proportion_interval(k, sizes)
        covers += low <= cell.share <= high
        passes += low >= cell.share
        plain_low, plain_high = wilson_interval(int(k.sum()), int(sizes.sum()), corrected=True)
        wilson += plain_low <= cell.share <= plain_high
        width, wide = width + high - low, wide + plain_high - plain_low
        holding += np.count_nonzero(sizes - k)
        if i < BOOTSTRAPS and cell.groups <= 200:
            tried += 1
            boot += resampled_covers(k, sizes, cell.share, random)
    return Cell(
        cell.sizes,
        cell.correlation,
        cell.groups,
        cell.share,
        draws,
        covers / draws,
        passes / draws,
        width / wide,
        wilson / draws,
        boot / tried if tried else math.nan,
        holding / draws,
    )


def resampled_covers(k: np.ndarray, sizes: np.ndarray, share: float, random: np.random.Generator) -> bool:
    """Whether scipy's bootstrap of groups covers."""
    if k.sum() in (0, sizes.sum()):
        return False  # all resamples are equal: an interval of no width
    found = bootstrap(
        (k, sizes),
        lambda hits, n, axis: hits.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=499,
        method="percentile",
        rng=random,
    ).confidence_interval
    return bool(found.low <= share <= found.high)


def judged(job: tuple[Cell, int, int]) -> Cell:
    """Run a cell, and again with ten times the draws where that is close to a limit."""
    cell, draws, seed = job
    found = run(cell, draws, seed)
    return run(cell, 10 * draws, seed + 1) if found.close() else found


def summary(sizes: str, correlation: float, cells: list[Cell]) -> str:
    """One row of the table."""
    dense = [c for c in cells if c.dense]
    most = f"{max(c.covers for c in dense):.3f}" if dense else ""
    width = f"{min(c.width for c in dense):.2f} to {max(c.width for c in dense):.2f}" if dense else ""
    return (
        f"| {sizes} | {correlation} | {len(cells)} | {min(c.covers for c in cells):.3f} | {most} "
        f"| {max(c.passes for c in cells):.3f} | {width} | {min(c.wilson for c in cells):.3f} "
        f"| {np.nanmean([c.bootstrap for c in cells]):.3f} |"
    )


def main() -> int:
    """Run the grid and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a part of the grid")
    parser.add_argument(
        "--all", action="store_true", help="print every cell, not only a summary by size and correlation"
    )
    asked = parser.parse_args()
    groups, shares = (GROUPS, SHARES) if not asked.quick else ((10, 20, 100), (0.5, 0.9, 0.99))
    cells = [
        Cell(*setting)
        for setting in itertools.product(SIZES, CORRELATIONS, groups, shares)
        if setting[0] != "1" or not setting[1]
    ]
    with Pool(asked.workers) as pool:
        done = list(pool.imap(judged, [(cell, asked.draws, asked.seed) for cell in cells], chunksize=4))
    heads = ["units a group", "correlation", "cells", "least coverage", "most, dense", "strict bar passes at most"]
    heads += ["width by Wilson's, dense", "Wilson's least coverage", "scipy's bootstrap, mean coverage"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for (sizes, correlation), rows in itertools.groupby(done, lambda c: (c.sizes, c.correlation)):
        print(summary(sizes, correlation, list(rows)))
    bad = [c for c in done if c.problems()]
    for c in done if asked.all else bad:
        print(
            f"{c.groups} groups of {c.sizes}, correlation {c.correlation}, share {c.share}: covers {c.covers:.4f}, "
            f"strict {c.passes:.4f}, width {c.width:.2f}, {c.holding:.1f} groups hold failures, {c.draws} draws; "
            f"{'; '.join(c.problems())}"
        )
    print(f"{len(done)} cells, {len(bad)} of them not as promised")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
