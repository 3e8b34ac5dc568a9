"""Agreement and consensus of annotators, against published figures and hand-worked ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from slicelab.core import Box, InvalidInputError
from slicelab.evaluation import (
    agreement,
    annotator_quality,
    box_answers,
    box_consensus,
    consensus,
    group_boxes,
    pair_boxes,
    same_boxes,
)

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: nominal alpha is 0.743.
KRIPPENDORFF = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
# Fleiss (1971) as worked on Wikipedia: 14 raters, 10 subjects, 5 categories; kappa is 0.210.
FLEISS = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]


def frame(rows):
    return pd.DataFrame(rows, columns=["unit", "annotator", "label"])


def test_krippendorffs_own_example():
    """Missing answers, five values: alpha 0.743; the unit with one answer doesn't count."""
    rows = [
        (str(n), who, word)
        for who, words in KRIPPENDORFF.items()
        for n, word in enumerate(words.split())
        if word != "."
    ]
    found = agreement(frame(rows))
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    assert (found.n_units, found.n_annotators, found.n_answers) == (11, 4, 40)
    assert len(found.pairs) == 6


def test_intervals_count_images_not_objects():
    """A hundred objects on five images, whose annotators agree on all of an image or on none: as five units say."""
    rng = np.random.default_rng(0)
    rows = []
    for image, agree in enumerate([True, True, False, True, False]):
        for n in range(20):
            label = str(rng.choice(["x", "y"]))
            other = label if agree else {"x": "y", "y": "x"}[label]
            rows += [(f"{image}#{n}", "a", label, f"{image}"), (f"{image}#{n}", "b", other, f"{image}")]
    answers = pd.DataFrame(rows, columns=["unit", "annotator", "label", "group"])
    grouped, alone = agreement(answers), agreement(answers.drop(columns="group"))
    assert (grouped.n_groups, alone.n_groups, grouped.n_units) == (5, 100, 100)
    assert (grouped.observed, grouped.alpha) == (alone.observed, alone.alpha) == (0.6, pytest.approx(alone.alpha))
    assert grouped.alpha_interval[0] < alone.alpha_interval[0] < alone.alpha < alone.alpha_interval[1]
    assert grouped.alpha_interval[1] > alone.alpha_interval[1]
    assert "in 5 groups" in str(grouped)


def test_alpha_of_resamples_is_krippendorffs():
    """Of sums over units, drawn again three times: what the `krippendorff` package says of those units."""
    import krippendorff

    from slicelab.evaluation._agreement import _alpha_interval, _alpha_of

    rng = np.random.default_rng(1)
    counts = rng.multinomial(4, [0.5, 0.3, 0.2], size=30)
    unlike = (16 - (counts**2).sum(axis=1)) / 3
    for _ in range(3):
        drawn = rng.integers(0, 30, 30)
        sums = np.column_stack([unlike, counts])[drawn].sum(axis=0)[None]
        wanted = krippendorff.alpha(value_counts=counts[drawn], level_of_measurement="nominal")
        assert _alpha_of(sums)[0] == pytest.approx(wanted)
    low, high = _alpha_interval(counts, np.arange(30))
    assert low < krippendorff.alpha(value_counts=counts, level_of_measurement="nominal") < high


def test_agreement_without_exception_has_no_interval_of_alpha():
    """Two units on which all agree: each draw of them is 1, which proves nothing."""
    rows = [("1", "a", "x"), ("1", "b", "x"), ("2", "a", "y"), ("2", "b", "y")]
    found = agreement(pd.DataFrame(rows, columns=["unit", "annotator", "label"]))
    assert found.alpha == pytest.approx(1.0)
    assert np.isnan(found.alpha_interval).all()
    assert found.observed_interval[0] < 0.5


def test_a_unit_whose_group_is_missing_is_by_itself():
    """Units of no group, one of them in between, count like units of groups of their own."""
    rows = [(str(u), who, "xy"[u % (2 if who == "a" else 3) % 2]) for u in range(12) for who in "ab"]
    answers = pd.DataFrame(rows, columns=["unit", "annotator", "label"])
    told = answers.assign(group=[None if int(u) % 2 else f"g{int(u) // 6}" for u in answers["unit"]])
    named = told.assign(group=told["group"].fillna("own " + told["unit"]))
    found, wanted = agreement(told), agreement(named)
    assert found.n_groups == wanted.n_groups == 8
    assert found.observed_interval == wanted.observed_interval
    right = pd.DataFrame({"annotator": "a", "right": 1.0, "group": [None, "g", "g", None]})
    low = annotator_quality(answers, right).loc["a", "low"]
    assert low == annotator_quality(answers, right.assign(group=["1", "g", "g", "2"])).loc["a", "low"]


def test_fleiss_own_example():
    """14 raters on 10 subjects: kappa 0.210, mean agreement 0.378."""
    rows = []
    for unit, counts in enumerate(FLEISS):
        labels = [str(c) for c, n in enumerate(counts) for _ in range(n)]
        rows += [(str(unit), f"r{i:02d}", label) for i, label in enumerate(labels)]
    found = agreement(frame(rows))
    assert found.fleiss == pytest.approx(0.210, abs=5e-4)
    assert found.observed == pytest.approx(0.378, abs=5e-4)
    assert found.fleiss_units == 10


def test_cohen_by_hand():
    """Of 50, both yes 20, both no 15, 5 and 10 crosswise: observed 0.7, kappa 0.4."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    rows = [(str(n), who, word) for n, both in enumerate(pairs) for who, word in zip("ab", both, strict=True)]
    (row,) = agreement(frame(rows)).pairs.to_dict("records")
    assert (row["first"], row["second"], row["n"]) == ("a", "b", 50)
    assert (row["observed"], row["cohen"]) == (pytest.approx(0.7), pytest.approx(0.4))


def test_what_is_not_defined_is_nan():
    """One label only, or nobody twice: shares are told, chance-corrected values are NaN."""
    same = agreement(frame([("1", "a", "x"), ("1", "b", "x"), ("2", "a", "x")]))
    assert (same.observed, same.n_units) == (1.0, 1)
    assert np.isnan([same.alpha, same.fleiss, same.pairs["cohen"].iloc[0]]).all()
    assert "no unit was answered" in str(agreement(frame([("1", "a", "x")])))
    with pytest.raises(InvalidInputError, match="a on 1"):
        agreement(frame([("1", "a", "x"), ("1", "a", "y")]))


def test_majority_and_ties():
    """Two of three lead; one of two leads nobody."""
    found = consensus(frame([("1", "a", "x"), ("1", "b", "y"), ("1", "c", "y"), ("2", "a", "x"), ("2", "b", "y")]))
    assert found.loc["1"].tolist() == ["y", pytest.approx(2 / 3), 3]
    assert pd.isna(found.loc["2", "label"])
    assert found.loc["2", "share"] == 0.5


def test_dawid_skene_trusts_the_reliable():
    """Two careless annotators outvote a good one in a majority; Dawid-Skene, told by the gold, follows the good one."""
    pytest.importorskip("crowdkit")
    rng = np.random.default_rng(0)
    truth = {f"u{i:03d}": "xyz"[i % 3] for i in range(240)}
    rows = []
    for unit, label in truth.items():
        for who, skill in (("good", 0.97), ("poor 1", 0.45), ("poor 2", 0.45)):
            answer = label if rng.random() < skill else rng.choice([c for c in "xyz" if c != label])
            rows.append((unit, who, str(answer)))
    answers = frame(rows)
    known = {u: truth[u] for u in list(truth)[:20]}
    right = {m: consensus(answers, method=m, known=known)["label"] for m in ("majority", "dawid-skene")}
    share = {m: np.mean([found.get(u) == label for u, label in truth.items()]) for m, found in right.items()}
    assert share["dawid-skene"] > 0.94
    assert share["majority"] < share["dawid-skene"] - 0.1
    assert consensus(answers, method="dawid-skene")["share"].between(0, 1).all()


def test_quality_on_probes():
    """9 of 10 probes right: 0.9, the interval between Wilson's and the exact one; who answered no probe has none."""
    answers = frame([("1", "a", "x"), ("1", "b", "x"), ("2", "a", "x"), ("2", "b", "y")])
    right = pd.DataFrame({"annotator": ["a"] * 10, "right": [1.0] * 9 + [0.0]})
    found = annotator_quality(answers, right)
    assert found.loc["a", ["answers", "probes", "accuracy", "agrees"]].tolist() == [2, 10, 0.9, 0.5]
    wilson, exact = (binomtest(9, 10).proportion_ci(method=m) for m in ("wilson", "exact"))
    assert exact.low - 0.02 <= found.loc["a", "low"] <= wilson.low + 0.01
    assert wilson.high - 0.01 <= found.loc["a", "high"] <= exact.high + 0.02
    assert np.isnan(found.loc["b", "accuracy"])


def box(label, x, y=0, w=10, h=10, label_id=""):
    return Box(label, x, y, w, h, label_id)


def test_boxes_are_paired_for_the_whole_not_greedily():
    """The best single overlap would leave the other box alone; the assignment pairs both."""
    ones, others = [box("a", 0), box("a", 3)], [box("a", 2), box("a", -2)]
    assert {(i, j) for i, j, _ in pair_boxes(ones, others, iou=0.4)} == {(0, 1), (1, 0)}
    assert same_boxes(ones, [box("a", 1), box("a", 3.5)])
    assert not same_boxes(ones, [box("a", 1), box("b", 3.5)])
    assert not same_boxes(ones, ones[:1])


def test_groups_do_not_depend_on_order():
    """Three people, two objects, one seen by two: the same groups in any order of people and boxes."""
    drawn = {"a": [box("x", 0), box("y", 50)], "b": [box("y", 51), box("x", 1)], "c": [box("x", 0, 1)]}
    found = group_boxes(drawn)
    assert [sorted(g) for g in found] == [["a", "b", "c"], ["a", "b"]]
    turned = {who: list(reversed(drawn[who])) for who in "cba"}
    assert group_boxes(turned) == found
    answers, overlap = box_answers({"img": {who: tuple(b) for who, b in drawn.items()}})
    assert answers.groupby("unit")["label"].agg(sorted).tolist() == [["x", "x", "x"], ["", "y", "y"]]
    assert 0.6 < overlap < 0.9
    assert set(answers["group"]) == {"img"}
    assert agreement(answers).observed == pytest.approx((3 + 1) / 6)


def test_box_consensus_takes_medians_and_leaves_out_what_one_saw():
    """Two of three see the second object, one a third: it isn't there; edges are medians, the id stays."""
    found = box_consensus(
        {
            "a": (box("x", 0, label_id="i"), box("y", 50)),
            "b": (box("x", 1, label_id="i"), box("y", 52)),
            "c": (box("x", 2, label_id="i"), box("z", 90)),
        }
    )
    assert [(b.label, b.x, b.label_id) for b in found.boxes] == [("x", 1, "i"), ("y", 51.0, "")]
    assert (found.share, found.n) == (pytest.approx(2 / 3), 3)
    torn = box_consensus({"a": (box("x", 0),), "b": ()})
    assert (torn.boxes, torn.share) == ((), 0.5)
    assert box_consensus({"a": (), "b": ()}).share == 1.0
