"""Comparisons of two models where units share groups: `python -m tests.benchmarks.comparisons [PART ...]`.

Parts: null (equal models, suites of 50 overlapping cases), suite (the same through `run_suite`, fewer), power,
interval (coverage, and bars at the very margin), resampled (precision, F1, average precision). Fixed seeds; beside each
figure its standard error. `--quick` draws a tenth.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import norm

from slicelab.core import BOX_COLUMNS, PREDICTED_BOX_COLUMNS, TEXT, Bar, Predictions, SampleTable
from slicelab.evaluation import f1_of, holm, mcnemar, paired_bootstrap, paired_shares
from slicelab.gate import freeze_case, make_suite, run_suite
from tests.benchmarks.comparisons.simulate import Bools, Ints, as_units, failures, flips, group_sizes

LEVEL = 0.05
CASES = 50


def durkalski(a: Bools, b: Bools, group: Ints) -> float:
    """p of Durkalski's test: the squared sum of the groups' net flips over the sum of their squares."""
    net = np.bincount(group, weights=a.astype(float) - b.astype(float))
    return float(2 * norm.sf(abs(net.sum()) / math.sqrt((net**2).sum()))) if net.any() else 1.0


TESTS: dict[str, Callable[[Bools, Bools, Ints], float]] = {
    "groups swapped (ours)": mcnemar,
    "McNemar, exact": lambda a, b, _group: mcnemar(a, b),
    "Durkalski": durkalski,
}


def error_of(share: float, n: int) -> str:
    return f"{share:.3f} \u00b1 {math.sqrt(max(share * (1 - share), 1 / n) / n):.3f}"


def null(suites: int) -> Iterator[str]:
    """Equal models: the share of suites with any "regressed" after Holm's correction over 50 overlapping cases."""
    yield "\n| groups x units | sizes | correlation | case | " + " | ".join(TESTS) + " |"
    yield "|---" * (4 + len(TESTS)) + "|"
    for (n_groups, mean), kind, correlation, by_group in [
        ((400, 1), "equal", 0.2, True),
        ((400, 10), "equal", 0.2, True),
        ((400, 10), "unequal", 0.2, True),
        ((400, 10), "unequal", 0.2, False),
        ((100, 40), "unequal", 0.5, True),
        ((60, 20), "equal", 0.05, False),
    ]:
        random = np.random.default_rng(20)
        sizes = group_sizes(kind, n_groups, mean)
        group = np.repeat(np.arange(n_groups), sizes)
        where = random.random((CASES, n_groups)) < random.uniform(0.05, 0.5, (CASES, 1))
        inside = where[:, group] if by_group else random.random((CASES, len(group))) < 0.2
        found = dict.fromkeys(TESTS, 0)
        for _ in range(suites):
            a, b, group = failures(sizes, 0.2, correlation, random)
            for name, test in TESTS.items():
                p = holm([test(a[m], b[m], group[m]) for m in inside])
                worse = np.array([a[m].sum() > b[m].sum() for m in inside])
                found[name] += bool(((p < LEVEL) & worse).any())
        told = " | ".join(error_of(k / suites, suites) for k in found.values())
        chosen = "groups" if by_group else "units"
        yield f"| {n_groups} x {mean} | {kind} | {correlation:g} | 50 of random {chosen} | {told} |"


def suite(suites: int) -> Iterator[str]:
    """The same through `run_suite`: images of 10 objects, ten overlapping cases of 20 images, the metric recall."""
    random = np.random.default_rng(4)
    images = [f"{i:03d}" for i in range(80)]
    keys = np.repeat(images, 10)
    boxes = pd.DataFrame(
        [[k, f"{i % 10}", "cat", 20.0 * (i % 10), 0.0, 10.0, 10.0, False] for i, k in enumerate(keys)],
        columns=list(BOX_COLUMNS),
    )
    samples = pd.DataFrame(
        {"filepath": images, "sha256": images, "width": 300, "height": 30},
        index=pd.Index(images, name="key", dtype=TEXT),
    )
    table = SampleTable("detection", samples, boxes, ("cat", "dog"))
    cases = [
        freeze_case(
            f"{i}",
            suite="s",
            members=sorted(random.choice(images, 20, replace=False)),
            table=table,
            bar=Bar("recall", no_worse_than="v1", margin=0.02),
        )
        for i in range(10)
    ]
    whole = make_suite("s", cases, table)
    regressed = passed = 0
    for _ in range(suites):
        a, b, _ = failures(np.full(80, 10), 0.2, 0.2, random)
        models = [
            Predictions(
                f"v{i + 1}",
                "detection",
                pd.DataFrame(
                    {
                        "key": boxes["key"],
                        "box_id": boxes["label_id"],
                        "label": np.where(fails, "dog", "cat"),
                        **{c: boxes[c] for c in ("x", "y", "width", "height")},
                        "confidence": 0.9,
                    }
                )[list(PREDICTED_BOX_COLUMNS)],
                ("cat", "dog"),
            )
            for i, fails in enumerate((b, a))
        ]
        report = run_suite(whole, models[1], against=models[0], confidence=0.5)
        regressed += any(r.comparison == "regressed" for r in report.results)
        passed += sum(r.verdict == "pass" for r in report.results)
    yield f'\nrun_suite: any "regressed" in {error_of(regressed / suites, suites)} of {suites} suites of 10 cases'


def power(times: int) -> Iterator[str]:
    """A regression of .1 (4 % of the units come right, 14 % go wrong), one case, at 5 %."""
    yield "\n| groups x units | correlation | " + " | ".join(TESTS) + " |"
    yield "|---" * (2 + len(TESTS)) + "|"
    for n_groups, mean, correlation in [
        *((n, 1, 0.0) for n in (100, 200, 400)),
        *((n, 10, r) for r in (0.0, 0.2) for n in (10, 20, 50, 100)),
    ]:
        random = np.random.default_rng(7)
        sizes = np.full(n_groups, mean)
        found = dict.fromkeys(TESTS, 0)
        for only_a, only_b in zip(*flips(sizes, 0.14, 0.04, correlation, random, times=times), strict=True):
            units = as_units(sizes, only_a, only_b)
            for name, test in TESTS.items():
                found[name] += test(*units) < LEVEL and only_a.sum() > only_b.sum()
        told = " | ".join(error_of(k / times, times) for k in found.values())
        yield f"| {n_groups} x {mean} | {correlation:g} | {told} |"


def interval(times: int) -> Iterator[str]:
    """Coverage of `paired_shares`, and how often bars at the true change pass: `no_worse_than`, `improves_on`."""
    rows = []
    shares = (
        (0.02, 0.02),
        (0.05, 0.05),
        (0.15, 0.15),
        (0.02, 0.0),
        (0.05, 0.0),
        (0.15, 0.0),
        (0.15, 0.05),
        (0.3, 0.02),
    )
    grid = product(("equal", "unequal"), (20, 50, 200), (1, 2, 5, 20, 50), (0.0, 0.1, 0.3, 0.5), shares)
    for kind, n_groups, mean, correlation, (only_a, only_b) in grid:
        if mean == 1 and (kind == "unequal" or correlation):
            continue
        cell = (kind, n_groups, mean, correlation, only_a, only_b)
        found = _cell(*cell, times)
        if found[0] < 0.93 or max(found[1:3]) > 0.035:
            # It may be chance: what counts is drawn anew, twenty times as often.
            found = _cell(*cell, 20 * times, seed=2)
        rows.append((*cell, *found))
    columns = ["sizes", "groups", "units", "correlation", "only_a", "only_b"]
    columns += ["covers", "no_worse_than", "improves_on", "width", "ungrouped"]
    frame = pd.DataFrame(rows, columns=columns)
    yield f"\n{len(frame)} cells; covers {frame['covers'].min():.3f} to {frame['covers'].max():.3f};"
    yield f"no_worse_than at the margin passes in {frame['no_worse_than'].max():.4f} at most,"
    yield f"improves_on in {frame['improves_on'].max():.4f}."
    yield f"The ungrouped interval covers {frame['ungrouped'].min():.3f} at least."
    yield "\nmedian width, as a multiple of the ungrouped one, without correlation:"
    alone = frame[frame["correlation"] == 0]
    yield str(alone.pivot_table(index="groups", columns="units", values="width", aggfunc="median").round(3))
    yield "\nlowest coverage:"
    yield str(
        frame.pivot_table(index=["sizes", "groups"], columns="correlation", values="covers", aggfunc="min").round(3)
    )
    yield "\nthe ungrouped interval's:"
    yield str(
        frame.pivot_table(index=["sizes", "groups"], columns="correlation", values="ungrouped", aggfunc="min").round(3)
    )
    yield "\nthe cells in which a bar at the very margin passes most often:"
    worst = frame[["no_worse_than", "improves_on"]].max(axis=1).sort_values(ascending=False).index[:8]
    yield str(frame.loc[worst].round(4).to_string(index=False))


def _cell(
    kind: str, n_groups: int, mean: int, correlation: float, only_a: float, only_b: float, times: int, seed: int = 1
) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    sizes, true = group_sizes(kind, n_groups, mean), only_a - only_b
    ends, plain = np.empty((times, 2)), np.empty((times // 4, 2))
    drawn = zip(*flips(sizes, only_a, only_b, correlation, random, times=times), strict=True)
    for i, (first, second) in enumerate(drawn):
        a, b, group = as_units(sizes, first, second)
        found = paired_shares(a, b, group)
        ends[i] = found.low, found.high
        if i < len(plain):
            single = paired_shares(a, b)
            plain[i] = single.low, single.high
    covers = ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean()
    alone = ((plain[:, 0] <= true) & (true <= plain[:, 1])).mean()
    width = (ends[:, 1] - ends[:, 0]).mean() / (plain[:, 1] - plain[:, 0]).mean()
    return (
        float(covers),
        float((ends[:, 1] < true).mean()),
        float((ends[:, 0] > true).mean()),
        float(width),
        float(alone),
    )


def resampled(times: int) -> Iterator[str]:
    """Equal models: how often precision, F1 and false positives differ at 5 %, and how often the interval has 0."""
    yield "\n| metric | groups x images x boxes | correlation | p < .05 | p < .005 | interval without 0 |"
    yield "|---" * 6 + "|"
    statistics: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "precision": lambda s: np.divide(s[:, 3], s[:, 2], out=np.full(len(s), np.nan), where=s[:, 2] > 0),
        "f1": f1_of,
        "false positives": lambda s: s[:, 2] - s[:, 3],
    }
    for name, (n_groups, images, correlation) in product(
        statistics, [(6, 1, 0.2), (10, 1, 0.2), (20, 1, 0.2), (50, 1, 0.2), (20, 5, 0.2), (200, 1, 0.2)]
    ):
        random = np.random.default_rng(3)
        low, lower, out = 0, 0, 0
        for _ in range(times):
            mine, base, groups = _counts(n_groups, images, correlation, random)
            found = paired_bootstrap(mine, base, statistics[name], groups)
            low += found.p_value < 0.05
            lower += found.p_value < 0.005
            out += not found.low <= 0 <= found.high
        told = " | ".join(error_of(k / times, times) for k in (low, lower, out))
        yield f"| {name} | {n_groups} x {images} x 8 | {correlation:g} | {told} |"


def _counts(
    n_groups: int, images: int, correlation: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Ints]:
    """Per image: labels, found, boxes, right ones, of two equal models; the group's rates are drawn for each model."""
    groups = np.repeat(np.arange(n_groups), images)
    labels = random.poisson(8, len(groups)) + 1
    sides = []
    concentration = (1 - correlation) / correlation
    for _ in range(2):
        rate = random.beta(0.8 * concentration, 0.2 * concentration, n_groups)[groups]
        found = random.binomial(labels, rate)
        spurious = random.poisson(2 * random.gamma(1, 1, n_groups)[groups])
        sides.append(np.stack([labels, found, found + spurious, found], axis=1).astype(float))
    return sides[0], sides[1], groups


def average_precision(times: int) -> Iterator[str]:
    """Equal models under `run_suite` with the metric ap50: how often p is below 5 %, and with confidences halved."""
    for scale in (1.0, 0.5):
        random = np.random.default_rng(6)
        low = out = 0
        for _ in range(times):
            table, models = _detections(25, 4, scale, random)
            bar = Bar("ap50", at_least=0.5)
            case = freeze_case("c", suite="s", members=list(table.samples.index), table=table, bar=bar)
            (result,) = run_suite(make_suite("s", [case], table), models[0], against=models[1], confidence=0.1).results
            low += (result.p_value or 0.0) < 0.05
            out += not result.change_interval[0] <= 0 <= result.change_interval[1]
        yield (
            f"\nap50, 25 images of 4 objects, confidences of one model times {scale:g}: p < .05 in "
            f"{error_of(low / times, times)}, interval without 0 in {error_of(out / times, times)}"
        )


def _detections(
    n_images: int, n_objects: int, scale: float, random: np.random.Generator
) -> tuple[SampleTable, list[Predictions]]:
    images = [f"{i:03d}" for i in range(n_images)]
    keys = np.repeat(images, n_objects)
    place = np.arange(len(keys)) % n_objects
    left = 40.0 * place
    boxes = pd.DataFrame(
        {"key": keys, "label_id": place.astype(str), "label": "cat", "x": left, "y": 0.0, "width": 10.0, "height": 10.0}
    ).assign(crowd=False)[list(BOX_COLUMNS)]
    samples = pd.DataFrame(
        {"filepath": images, "sha256": images, "width": 400, "height": 30},
        index=pd.Index(images, name="key", dtype=TEXT),
    )
    models = []
    for name, times in (("v2", scale), ("v1", 1.0)):
        found = random.random(len(keys)) < np.repeat(random.beta(3, 1, n_images), n_objects)
        spurious = random.random(len(keys)) < np.repeat(random.beta(1, 3, n_images), n_objects)
        x = np.concatenate([left[found], left[spurious] + 20])
        sure = np.concatenate([random.beta(4, 2, found.sum()), random.beta(2, 4, spurious.sum())])
        frame = pd.DataFrame(
            {
                "key": np.concatenate([keys[found], keys[spurious]]),
                "box_id": np.arange(len(x)).astype(str),
                "label": "cat",
                "x": x,
                "y": 0.0,
                "width": 10.0,
                "height": 10.0,
                "confidence": sure * times,
            }
        )[list(PREDICTED_BOX_COLUMNS)]
        models.append(Predictions(name, "detection", frame, ("cat",)))
    return SampleTable("detection", samples, boxes, ("cat",)), models


PARTS: dict[str, tuple[Callable[[int], Iterator[str]], int]] = {
    "null": (null, 1000),
    "suite": (suite, 200),
    "power": (power, 2000),
    "interval": (interval, 400),
    "resampled": (resampled, 1000),
    "average-precision": (average_precision, 300),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"There is no part {sorted(unknown)[0]!r}. Parts: {', '.join(PARTS)}.")
    for name, (part, times) in PARTS.items():
        if given.parts and name not in given.parts:
            continue
        print(f"\n## {name}\n\n{part.__doc__}")
        for line in part(times // 10 if given.quick else times):
            print(line, flush=True)


if __name__ == "__main__":
    main()
