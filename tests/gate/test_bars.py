"""Bars that are another model's value, and metrics beside the plain shares."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from slicelab.core import METRICS, OWN_METRICS, Bar, InvalidInputError, Predictions, metric
from slicelab.gate import explain_change, load_suite, run_suite, save_suite

MODELS = st.from_regex(r"[a-z][\w .-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda t: t not in ("nan", "inf"))


def only(report):
    assert len(report.results) == 1
    return report.results[0]


@given(metric=st.sampled_from(METRICS), model=MODELS, side=st.sampled_from(["no_worse_than", "improves_on"]),
       margin=st.sampled_from([0.0, 0.01, 0.25]))  # fmt: skip
def test_a_bar_reads_as_it_is_written(metric, model, side, margin):
    """`parse` undoes `str` for bars that name a model."""
    bar = Bar(metric, **{side: model}, margin=margin)
    assert Bar.parse(str(bar)) == bar


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"at_least": 0.5, "no_worse_than": "v3"},
        {"no_worse_than": "v3", "improves_on": "v3"},
        {"at_least": 0.5, "margin": 0.1},
        {"no_worse_than": "v3", "margin": -0.1},
        {"no_worse_than": "v3", "margin": float("nan")},
        {"no_worse_than": ""},
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(InvalidInputError):
        Bar("recall", **wrong)


@pytest.mark.parametrize(
    ("old", "new", "bar", "verdict"),
    [
        # Forty units; Bonett and Price's interval of the change at 95 %.
        (20, 40, {"improves_on": "v3"}, "pass"),
        (40, 20, {"improves_on": "v3"}, "fail"),
        (40, 20, {"no_worse_than": "v3"}, "fail"),
        (40, 40, {"no_worse_than": "v3"}, "inconclusive"),
        (40, 40, {"no_worse_than": "v3", "margin": 0.1}, "pass"),
        (40, 40, {"no_worse_than": "v3", "strict": False}, "pass"),
        (40, 40, {"improves_on": "v3", "strict": False}, "fail"),
        (20, 40, {"improves_on": "v3", "margin": 0.6}, "inconclusive"),
        (20, 40, {"improves_on": "v3", "min_units": 41}, "inconclusive"),
    ],
)
def test_the_change_is_judged(small, old, new, bar, verdict):
    for name in ("accuracy", "error_rate"):
        suite = small.one_case(small.cats, Bar(name, **bar))
        report = run_suite(suite, small.right(small.cats, new), against=small.right(small.cats, old, model="v3"))
        assert only(report).verdict == verdict


def test_without_the_other_model_the_case_is_invalid(small):
    """Nothing passes by accident: no other model, or another one than the bar names."""
    suite = small.one_case(small.cats, Bar("accuracy", no_worse_than="v3", margin=0.2))
    mine = small.right(small.cats, 40)
    assert "--against v3=PATH" in only(run_suite(suite, mine)).reason
    result = only(run_suite(suite, mine, against=small.right(small.cats, 40, model="v2")))
    assert result.verdict == "invalid"
    assert "'v2'" in result.reason


def test_flips_name_the_units(small):
    """Of forty, the first 30 are right now and the last 30 were: 10 broke, 10 are fixed."""
    keys = list(small.cats.samples.index)
    old = small.predictions({k: "cat" if i >= 10 else "dog" for i, k in enumerate(keys)}, model="v3")
    result = only(
        run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), small.right(small.cats, 30), against=old)
    )
    assert sorted(result.broke) == keys[30:]
    assert sorted(result.fixed) == keys[:10]
    assert result.change_interval[0] < 0 < result.change_interval[1]


def probable(table, seed=0, *, n_classes=6):
    """Predictions with probabilities on a table of six classes."""
    random = np.random.default_rng(seed)
    classes = tuple("abcdef")[:n_classes]
    p = random.dirichlet(np.ones(n_classes), len(table.samples)).astype(np.float32)
    frame = pd.DataFrame(
        {
            "label": np.array(classes)[p.argmax(axis=1)],
            "confidence": p.max(axis=1),
        },
        index=table.samples.index,
    )
    return Predictions("v4", "classification", frame, classes, p)


def test_top_k_equals_scikit_learn(small):
    random = np.random.default_rng(1)
    table = small.table({f"{i:03}": "abcdef"[random.integers(6)] for i in range(300)}, classes=tuple("abcdef"))
    said = probable(table)
    for k in (1, 2, 3, 5):
        result = only(run_suite(small.one_case(table, Bar(f"top{k}", at_least=0.1)), said))
        expected = top_k_accuracy_score(table.samples["label"], said.probabilities, k=k, labels=list("abcdef"))
        assert result.value == pytest.approx(expected)
        assert len(result.failing) == result.n_failures == round(300 * (1 - expected))


def test_top_k_without_probabilities_is_invalid(small):
    result = only(run_suite(small.one_case(small.cats, Bar("top3", at_least=0.1)), small.right(small.cats, 40)))
    assert result.verdict == "invalid"
    assert "probabilities" in result.reason


def test_ece_by_hand(small):
    """Ten units at 0.95 of which 8 are right and ten at 0.55 of which 6 are: (10 x 0.15 + 10 x 0.05) / 20 = 0.1."""
    table = small.table({f"{i:02}": "cat" for i in range(20)})
    right = [i < 8 or 10 <= i < 16 for i in range(20)]
    frame = pd.DataFrame(
        {"label": np.where(right, "cat", "dog"), "confidence": np.repeat([0.95, 0.55], 10)}, index=table.samples.index
    )
    said = Predictions("v4", "classification", frame, ("cat", "dog"))
    assert only(run_suite(small.one_case(table, Bar("ece", at_most=0.5)), said)).value == pytest.approx(0.10)
    gap = only(run_suite(small.one_case(table, Bar("confidence_gap", at_most=0.5)), said))
    assert gap.value == pytest.approx(abs(0.75 - 0.70))
    frame.iloc[3, 1] = np.nan
    result = only(run_suite(small.one_case(table, Bar("ece", at_most=0.5)), said))
    assert result.verdict == "invalid"
    assert "confidence" in result.reason


def mean_loss(units):
    return units["loss"].mean()


@pytest.fixture
def own():
    metric("mean_loss", lower_is_better=True)(mean_loss)
    yield
    OWN_METRICS.clear()


def test_a_metric_of_ones_own(small, tmp_path, own):
    """It is judged, compared, saved with the hash of its source, and invalid where that isn't the source any more."""
    suite = small.one_case(small.cats, Bar("mean_loss", at_most=0.5))
    mine, base = small.right(small.cats, 36), small.right(small.cats, 20, model="v3")
    result = only(run_suite(suite, mine, against=base))
    assert result.value == pytest.approx((36 * 0.1 + 4 * 0.9) / 40)
    assert result.verdict == "pass"
    assert result.comparison == "improved"
    loaded = load_suite(save_suite(suite, tmp_path / "s.json"))
    assert loaded.cases == suite.cases

    OWN_METRICS.clear()
    assert "isn't registered" in only(run_suite(loaded, mine)).reason

    @metric("mean_loss", lower_is_better=True)
    def other(units):
        return 0.0

    result = only(run_suite(loaded, mine))
    assert result.verdict == "invalid"
    assert "changed since the bar was set" in result.reason


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall"])
def test_no_difference_on_five_images_proves_nothing(small, metric):
    """Two models that are right on five images may differ on the next one: not yet "no worse", whatever the metric."""
    few = small.table({f"{i}": "cat" for i in range(5)})
    suite = small.one_case(few, Bar(metric, no_worse_than="v3", margin=0.01))
    result = only(run_suite(suite, small.right(few, 5), against=small.right(few, 5, model="v3")))
    assert (result.verdict, result.change) == ("inconclusive", 0.0)
    assert result.change_interval[0] < -0.3
    assert result.change_interval[1] > 0.3


def test_a_metric_of_ones_own_proves_nothing_on_one_group(small, own):
    """Forty scans of one patient: every resample is the same, which is no certainty."""
    table = replace(small.cats, samples=small.cats.samples.assign(patient="p"), group="patient")
    result = only(run_suite(small.one_case(table, Bar("mean_loss", at_most=0.5)), small.right(table, 36)))
    assert (result.verdict, result.n_groups) == ("inconclusive", 1)
    assert "no interval: more groups would tell" in result.reason


def test_a_metric_of_ones_own_is_not_certain_where_all_are_alike(small, own):
    """Five images with a loss of 0.1 each: every resample is the same, which proves no bar at 0.11."""
    bar = Bar("mean_loss", at_most=0.11)
    few = small.table({f"{i}": "cat" for i in range(5)})
    result = only(run_suite(small.one_case(few, bar), small.right(few, 5)))
    assert result.value == pytest.approx(0.1)
    assert result.verdict == "inconclusive"
    assert result.interval[1] > 0.4


def test_a_metric_that_raises_makes_its_case_invalid(small, own):
    @metric("mean_loss")
    def broken(units):
        return units["no such column"].mean()

    result = only(run_suite(small.one_case(small.cats, Bar("mean_loss", at_least=0.5)), small.right(small.cats, 40)))
    assert result.verdict == "invalid"
    assert "no such column" in result.reason


def test_what_changed_is_explained(small):
    """New labels on 8 units and a new model that loses 4 others: each explains its part, together all of it."""
    keys = list(small.cats.samples.index)
    bar = Bar("accuracy", at_least=0.7)
    relabelled = small.table({k: "dog" if i < 8 else "cat" for i, k in enumerate(keys)})
    before = small.one_case(small.cats, bar), small.right(small.cats, 40, model="v3")
    after = small.one_case(relabelled, bar), small.right(small.cats, 36)
    found = explain_change("c", before=before, after=after)
    assert set(found.changed) == {"labels", "predictions"}
    assert found.shares == pytest.approx({"labels": -8 / 40, "predictions": -4 / 40})
    assert sum(found.shares.values()) == pytest.approx(found.after.value - found.before.value)
    assert explain_change("c", before=before, after=before).changed == ()


def test_a_bar_on_another_model_has_no_verdict_in_an_explanation(small):
    """Without the other model there is none: the line says the two values alone."""
    case = small.one_case(small.cats, Bar("accuracy", no_worse_than="v0"))
    before, after = (case, small.right(small.cats, 40, model="v3")), (case, small.right(small.cats, 36))
    told = str(explain_change("c", before=before, after=after))
    assert told == "c: 1 -> 0.9: predictions -0.1"


def test_a_change_of_members_is_told_from_one_of_the_model(small):
    keys = list(small.cats.samples.index)
    bar = Bar("accuracy", at_least=0.7)
    before = small.one_case(small.cats, bar), small.right(small.cats, 30)
    after = small.one_case(small.cats, bar, keys[:30]), small.right(small.cats, 30)
    found = explain_change("c", before=before, after=after)
    assert found.shares["membership"] == pytest.approx(0.25)
    assert "predictions" not in found.shares or found.shares["predictions"] == pytest.approx(0)
