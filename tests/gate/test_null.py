"""What chance alone does to a suite: equal models, known shares, a known drop; fixed seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from slicelab.core import PREDICTED_BOX_COLUMNS, Bar, Predictions
from slicelab.evaluation import holm, mcnemar, paired_shares, wilson_interval
from slicelab.gate import freeze_case, make_suite, run_suite

SUITES, CASES = 1000, 50
LEVEL = 0.05


def mcnemar_of(only_a, only_b):
    """`mcnemar` of every pair of counts; each pair that occurs is computed once."""
    pairs, place = np.unique(np.stack([only_a.ravel(), only_b.ravel()]), axis=1, return_inverse=True)
    units = [np.repeat([True, False], pair) for pair in pairs.T]
    p = np.array([mcnemar(a, ~a) for a in units])
    return p[place].reshape(only_a.shape)


def share_with_a_finding(difference, membership):
    """Share of suites in which any case "regressed", from (suites, units) of -1, 0, 1 and (units, cases) of 0, 1."""
    worse, better = ((difference == sign).astype(np.float32) @ membership for sign in (1, -1))
    p = mcnemar_of(worse.astype(int), better.astype(int))
    adjusted = np.array([holm(row) for row in p])
    return float(((adjusted < LEVEL) & (worse > better)).any(axis=1).mean())


@pytest.mark.parametrize("overlapping", [False, True])
def test_equal_models_regress_in_few_suites(overlapping):
    """1,000 suites of 50 cases under two equal models: any "regressed" in at most 5 %, plus three standard errors."""
    random = np.random.default_rng(20)
    n_units = 5000
    if overlapping:
        membership = (random.random((n_units, CASES)) < random.uniform(0.01, 0.2, CASES)).astype(np.float32)
    else:
        membership = np.eye(CASES, dtype=np.float32)[random.integers(CASES, size=n_units)]
    # Units differ in how hard they are, and the models fail on the same ones more often than chance.
    hard = random.beta(0.6, 3.0, n_units)
    difference = np.stack(
        [
            (random.random(n_units) < hard).astype(np.int8) - (random.random(n_units) < hard).astype(np.int8)
            for _ in range(SUITES)
        ]
    )
    share = share_with_a_finding(difference, membership)
    assert share <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / SUITES)


def test_the_gate_says_of_equal_models_what_the_simulation_says(small):
    """`run_suite` itself, on fifteen suites of ten cases: its words are those of `mcnemar` and `holm`."""
    random = np.random.default_rng(3)
    table = small.table({f"{i:03}": "cat" for i in range(200)})
    keys = np.array(table.samples.index)
    members = [sorted(random.choice(keys, 60, replace=False)) for _ in range(10)]
    cases = [
        freeze_case(f"{i}", suite="s", members=m, table=table, bar=Bar("accuracy", at_least=0.5))
        for i, m in enumerate(members)
    ]
    suite = make_suite("s", cases, table)
    for _ in range(15):
        fails = random.random((2, len(keys))) < 0.2
        models = [
            small.predictions({k: "dog" if f else "cat" for k, f in zip(keys, row, strict=True)}, model=f"v{i}")
            for i, row in enumerate(fails)
        ]
        report = run_suite(suite, models[0], against=models[1])
        inside = [np.isin(keys, m) for m in members]
        p = [mcnemar(fails[0][m], fails[1][m]) for m in inside]
        assert [r.p_value for r in report.results] == pytest.approx(p)
        assert [r.comparison != "no evidence" for r in report.results] == (holm(p) < LEVEL).tolist()


def clustered(random, n_groups, size, *, rate=0.2, concentration=4):
    """Failures of two equal models, each with a failure rate of its own in each group: flips share a group."""
    chance = random.beta(rate * concentration, (1 - rate) * concentration, (2, n_groups))
    return random.random((2, n_groups * size)) < np.repeat(chance, size, axis=1)


def test_equal_models_whose_flips_share_images_regress_in_few_suites():
    """300 suites of 20 overlapping cases of whole images, ten objects each: at most 5 % plus three standard errors.

    McNemar's test, which takes objects as independent, finds one in more than three times as many.
    """
    random = np.random.default_rng(21)
    group = np.repeat(np.arange(120), 10)
    inside = (random.random((20, 120)) < random.uniform(0.1, 0.5, (20, 1)))[:, group]
    found = np.zeros((300, 2), bool)
    for row in found:
        a, b = clustered(random, 120, 10)
        worse = np.array([a[m].sum() > b[m].sum() for m in inside])
        row[0] = ((holm([mcnemar(a[m], b[m], group[m]) for m in inside]) < LEVEL) & worse).any()
        row[1] = ((holm([mcnemar(a[m], b[m]) for m in inside]) < LEVEL) & worse).any()
    shares = found.mean(axis=0)
    assert shares[0] <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / len(found))
    assert shares[1] > 3 * LEVEL


def test_the_gate_compares_objects_by_image(small):
    """`run_suite` on 12 images of 6 objects: its p is `mcnemar`'s with the images as groups, its interval too."""
    random = np.random.default_rng(10)
    images = [f"{i:02}" for i in range(12)]
    boxes = small.boxes([(k, f"{j}", "cat", 20 * j) for k in images for j in range(6)])
    table = small.detection_table(images, boxes)
    a, b = clustered(random, 12, 6)
    models = [
        Predictions(
            name,
            "detection",
            pd.DataFrame({"box_id": boxes["label_id"], "label": np.where(fails, "dog", "cat"), "confidence": 0.9}).join(
                boxes[["key", "x", "y", "width", "height"]]
            )[list(PREDICTED_BOX_COLUMNS)],
            ("cat", "dog"),
        )
        for name, fails in (("v4", a), ("v3", b))
    ]
    suite = small.one_case(table, Bar("recall", no_worse_than="v3", margin=0.05))
    (result,) = run_suite(suite, models[0], against=models[1], confidence=0.5).results
    group = np.repeat(np.arange(12), 6)
    wanted = paired_shares(a, b, group)
    assert result.p_value == pytest.approx(wanted.p_value)
    assert result.p_value != pytest.approx(mcnemar(a, b))
    assert result.change_interval == pytest.approx((-wanted.high, -wanted.low))
    assert "groups (such as images) beside these 12" in result.reason


def test_equal_models_differ_in_few_resampled_metrics(small):
    """30 pairs of equal models on 15 images, whose boxes are wrong together: p < .05 in 5 %, plus three errors."""
    random = np.random.default_rng(12)
    images = [f"{i:02}" for i in range(15)]
    boxes = small.boxes([(k, f"{j}", "cat", 20 * j) for k in images for j in range(4)])
    table = small.detection_table(images, boxes)
    bars = [Bar("precision", at_least=0.5), Bar("f1", at_least=0.5), Bar("ap50", at_least=0.5)]
    bars.append(Bar("false_positives_per_image", at_most=1))
    cases = [freeze_case(bar.metric, suite="s", members=images, table=table, bar=bar) for bar in bars]
    suite, low = make_suite("s", cases, table), []
    for _ in range(30):
        models = []
        misses, spurious = clustered(random, 15, 4), random.integers(0, 3, (2, 15))
        for name, missed, n in zip(("v4", "v3"), misses, spurious, strict=True):
            found = boxes[~missed]
            rows = [(k, f"b{i}", "cat", x, random.random()) for i, k, x in found[["key", "x"]].itertuples()]
            spots = [(k, j) for k, m in zip(images, n, strict=True) for j in range(m)]
            rows += [(k, f"w{j}", "cat", 100 + 20 * j, random.random()) for k, j in spots]
            models.append(small.detections(rows, model=name))
        report = run_suite(suite, models[0], against=models[1], confidence=0.0)
        low.append([r.p_value < LEVEL for r in report.results])
    assert (np.mean(low, axis=0) <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / len(low))).all()


@pytest.mark.parametrize("n", [20, 25, 30, 50, 80, 100, 200, 500, 1000, 2000])
def test_intervals_cover_as_often_as_they_say(n):
    """Exact, no simulation: at every p = 0.5 to 0.99 at least 95 %, and a share at the bar passes in 2.5 % at most."""
    k = np.arange(n + 1)
    low, high = np.array([wilson_interval(int(i), n, corrected=True) for i in k]).T
    shares = np.append(np.arange(0.5, 0.99, 0.01), 0.99)
    chance = binom.pmf(k[None], n, shares[:, None])
    covered = (chance * ((low <= shares[:, None]) & (shares[:, None] <= high))).sum(axis=1)
    passed = (chance * (low > shares[:, None])).sum(axis=1)
    assert covered.min() >= 0.95
    assert passed.max() <= 0.025


def test_intervals_of_a_change_cover_as_often_as_they_say():
    """Two models on the same 50, 200 and 1,000 units, the second worse by 0, 5 or 10 points: at least 93 %."""
    random = np.random.default_rng(5)
    for n in (50, 200, 1000):
        for drop in (0.0, 0.05, 0.1):
            both = random.random((400, n))
            base, mine = both < 0.15, (both < 0.10) | ((both > 0.8) & (both < 0.85 + drop))
            found = [paired_shares(a, b) for a, b in zip(mine, base, strict=True)]
            covered = np.mean([d.low <= drop <= d.high for d in found])
            # Three standard errors of 400 draws.
            assert covered >= 0.93 - 3 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize("rates", [(0.15, 0.05), (0.05, 0.0), (0.15, 0.15)])
def test_intervals_of_a_change_cover_where_units_share_groups(rates):
    """40 groups of 10, correlation .5: at least 93 %, and a bar at the very margin passes in 3.5 % at most."""
    random = np.random.default_rng(6)
    p, group, n = np.append(rates, 1 - sum(rates)), np.repeat(np.arange(40), 10), 300
    true, covers, passes = p[0] - p[1], 0, 0
    for _ in range(n):
        weights = random.gamma(np.maximum(p, 1e-12), size=(40, 3)) + 1e-300
        chance = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[group]
        u = random.random(400)
        found = paired_shares(u < chance[:, 0], (u >= chance[:, 0]) & (u < chance[:, 1]), group)
        covers += found.low <= true <= found.high
        passes += found.high < true
    assert covers / n >= 0.93 - 3 * np.sqrt(0.95 * 0.05 / n)
    assert passes / n <= 0.035 + 3 * np.sqrt(0.025 * 0.975 / n)


def test_a_drop_of_ten_points_on_200_units_is_found():
    """Power of the comparison at 5 %: 90 % right falls to 80 %, 4 % of the units come right: at least 80 %."""
    random = np.random.default_rng(7)
    u = random.random((2000, 200))
    # 6 % fail under both, 4 % under the old model only, 14 % under the new one only.
    only_new, only_old = (u < 0.14).sum(axis=1), ((u >= 0.14) & (u < 0.18)).sum(axis=1)
    found = (mcnemar_of(only_new, only_old) < LEVEL) & (only_new > only_old)
    assert found.mean() >= 0.80
