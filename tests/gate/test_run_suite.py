"""The gate judges a model on every case."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from slicelab.core import Bar, InvalidInputError, SuiteError
from slicelab.gate import freeze_case, load_suite, make_suite, run_suite, save_suite


def only(report):
    assert len(report.results) == 1
    return report.results[0]


@pytest.mark.parametrize(
    ("n_right", "bar", "verdict"),
    [
        # Wilson, corrected: 40 of 40 is 0.912 to 1; 36 of 40 is 0.754 to 0.967; 20 of 40 is 0.341 to 0.659.
        (40, Bar("accuracy", at_least=0.91), "pass"),
        (40, Bar("accuracy", at_least=0.92), "inconclusive"),
        (36, Bar("accuracy", at_least=0.75), "pass"),
        (36, Bar("accuracy", at_least=0.90), "inconclusive"),
        (36, Bar("accuracy", at_least=0.97), "fail"),
        (36, Bar("accuracy", at_least=0.90, strict=False), "pass"),
        (36, Bar("accuracy", at_least=0.91, strict=False), "fail"),
        (36, Bar("error_rate", at_most=0.25), "pass"),
        (36, Bar("error_rate", at_most=0.10), "inconclusive"),
        (36, Bar("error_rate", at_most=0.10, strict=False), "pass"),
        (20, Bar("error_rate", at_most=0.30), "fail"),
        (36, Bar("accuracy", at_least=0.75, min_units=41), "inconclusive"),
    ],
)
def test_the_verdict_is_the_hand_worked_one(small, n_right, bar, verdict):
    """Forty images of cats, some of them right, against bars on either side of Wilson's interval."""
    result = only(run_suite(small.one_case(small.cats, bar), small.right(small.cats, n_right)))
    assert result.verdict == verdict
    k = n_right if bar.metric == "accuracy" else 40 - n_right
    assert result.value == pytest.approx(k / 40)
    assert result.interval == pytest.approx(
        binomtest(k, 40).proportion_ci(method="exact" if k in (0, 40) else "wilsoncc")
    )
    assert (result.n_units, result.n_failures) == (40, 40 - n_right)
    assert len(result.failing) == 40 - n_right


def test_the_reason_says_how_many_units_more(small):
    """36 of 40 against 0.85: 0.05 - 1 / (2 n) = z sqrt(0.85 0.15 / n) at n = 215.5, so 176 more than 40."""
    result = only(run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.85)), small.right(small.cats, 36)))
    assert result.verdict == "inconclusive"
    assert "0.754 to 0.9675" in result.reason
    assert "About 176 more units" in result.reason


def test_values_agree_with_scikit_learn(small):
    """Accuracy and macro recall on a case's members are scikit-learn's on these rows."""
    random = np.random.default_rng(3)
    keys = [f"{i}" for i in range(200)]
    label = dict(zip(keys, random.choice(["cat", "dog"], 200).tolist(), strict=True))
    said = dict(zip(keys, random.choice(["cat", "dog"], 200).tolist(), strict=True))
    table, predictions = small.table(label), small.predictions(said)
    members = random.choice(keys, 70, replace=False).tolist()
    cases = [
        freeze_case(metric, suite="s", members=members, table=table, bar=Bar(metric, at_least=0.5))
        for metric in ("accuracy", "recall")
    ]
    accuracy, recall = run_suite(make_suite("s", cases, table), predictions).results
    true, predicted = [label[m] for m in members], [said[m] for m in members]
    assert accuracy.value == pytest.approx(accuracy_score(true, predicted))
    assert recall.value == pytest.approx(recall_score(true, predicted, average="macro"))


def test_failing_units_come_worst_first(small):
    """A confident mistake is worse than a doubtful one; equal ones go by id."""
    table = small.table(dict.fromkeys("abcd", "cat"))
    predictions = small.predictions(dict.fromkeys("abcd", "dog"))
    predictions.frame["confidence"] = [0.4, 0.9, 0.4, 0.6]
    result = only(run_suite(small.one_case(table, Bar("accuracy", at_least=0.5)), predictions))
    assert result.failing == ("b", "d", "a", "c")


# What can't be judged is invalid.


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["samples"][3].update(label="dog"), "content hash"),
        (lambda d: d["samples"][3].update(sha256="other"), "content hash"),
        (lambda d: d["cases"][0]["members"].pop(), "content hash"),
        (lambda d: d["cases"][0].update(content_hash="0" * 64), "content hash"),
        (lambda d: d["samples"].pop(3), "1 member of 40 without a label in the suite: '03.png'"),
        (lambda d: d["samples"][3].update(label=None), "'03.png'"),
        (lambda d: d["cases"][0].update(members=[]), "no members"),
    ],
)
def test_a_tampered_case_is_invalid_and_the_others_count(small, tmp_path, change, told):
    """Editing truth, members or hash in the file makes that case invalid; a case it doesn't touch is judged."""
    import json

    bar = Bar("accuracy", at_least=0.5)
    keys = list(small.cats.samples.index)
    cases = [
        freeze_case("all", suite="s", members=keys, table=small.cats, bar=bar),
        freeze_case("rest", suite="s", members=keys[4:], table=small.cats, bar=bar),
    ]
    path = save_suite(make_suite("s", cases, small.cats), tmp_path / "s.json")
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    report = run_suite(load_suite(path), small.right(small.cats, 40))
    assert [r.verdict for r in report.results] == ["invalid", "pass"]
    assert told in report.results[0].reason
    assert math.isnan(report.results[0].value)
    assert report.exit_code() == 1
    assert not report.passed


def test_missing_predictions_make_a_case_invalid(small):
    """Leaving out the hard images can't make a case pass; the reason counts and names them."""
    predictions = small.right(small.cats, 40)
    fewer = replace(predictions, frame=predictions.frame.drop(["00.png", "07.png"]))
    result = only(run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), fewer))
    assert result.verdict == "invalid"
    assert "2 of 40 members have no prediction: '00.png', '07.png'" in result.reason


def test_a_prediction_without_a_label_is_missing(small):
    """A row of predictions whose label is NaN is no prediction."""
    predictions = small.right(small.cats, 40)
    predictions.frame.loc["05.png", "label"] = np.nan
    result = only(run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), predictions))
    assert result.verdict == "invalid"
    assert "'05.png'" in result.reason


def test_extra_predictions_and_unknown_confidences_dont_matter(small):
    """Predictions for images outside the suite, and NaN confidences, leave verdict and value as they are."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    predictions = small.right(small.cats, 36)
    more = small.predictions({f"other {i}": "dog" for i in range(500)})
    both = replace(predictions, frame=pd.concat([more.frame, predictions.frame.assign(confidence=np.nan)]))
    one, two = only(run_suite(suite, predictions)), only(run_suite(suite, both))
    assert (one.verdict, one.value, one.interval) == (two.verdict, two.value, two.interval)
    assert set(one.failing) == set(two.failing)


def test_two_predictions_for_an_image_are_an_error(small):
    """Which one counts can't be known: the error names the image."""
    predictions = small.right(small.cats, 40)
    twice = replace(predictions, frame=pd.concat([predictions.frame, predictions.frame.iloc[:1]]))
    with pytest.raises(InvalidInputError, match=r"twice: '00\.png'"):
        run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), twice)


def test_changed_images_make_a_case_invalid(small):
    """With hashes of the media as they are now, changed and lost images are named."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    predictions = small.right(small.cats, 40)
    media = {k: f"sha of {k}" for k in small.cats.samples.index}
    assert only(run_suite(suite, predictions, media=media)).verdict == "pass"
    media["03.png"] = "other"
    del media["09.png"]
    result = only(run_suite(suite, predictions, media=media))
    assert result.verdict == "invalid"
    assert "1 image can't be found: '09.png'" in result.reason
    assert "1 image changed since: '03.png'" in result.reason


def test_changed_labels_make_a_case_invalid(small):
    """With labels as they are now, the reason says what each changed label was and is."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    predictions = small.right(small.cats, 40)
    assert only(run_suite(suite, predictions, labels=small.cats)).verdict == "pass"
    now = {k: "cat" for k in small.cats.samples.index if k != "01.png"} | {"03.png": "dog"}
    result = only(run_suite(suite, predictions, labels=small.table(now)))
    assert result.verdict == "invalid"
    assert "'03.png' was 'cat', is 'dog'" in result.reason
    assert "1 member no longer labelled: '01.png'" in result.reason


def test_tasks_must_agree(small):
    """Predictions or labels of the other task are an error, as nothing could be judged."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    boxes = small.detections([("00.png", "1", "cat", 0, 0.9)])
    with pytest.raises(SuiteError, match="for classification"):
        run_suite(suite, boxes)
    with pytest.raises(InvalidInputError, match="for detection"):
        run_suite(suite, small.right(small.cats, 40), labels=small.detection_table(["a"], small.boxes([])))


def test_an_empty_suite_has_nothing_to_pass(small):
    """Without cases the gate doesn't pass: exit code 2."""
    report = run_suite(make_suite("s", [], small.cats), small.right(small.cats, 40))
    assert report.exit_code() == 2
    assert not report.passed


# Two models.


def test_the_comparison_is_mcnemars_exact_test(small):
    """p is statsmodels' exact McNemar on the members; 12 against 1 discordant is a regression."""
    keys = list(small.cats.samples.index)
    old = small.predictions({k: "dog" if i < 3 else "cat" for i, k in enumerate(keys)}, model="v3")
    new = small.predictions({k: "dog" if 2 <= i < 15 or i == 1 else "cat" for i, k in enumerate(keys)})
    result = only(run_suite(small.one_case(small.cats, Bar("accuracy", at_least=0.5)), new, against=old))
    failed = {m: np.array([p.frame.loc[k, "label"] == "dog" for k in keys]) for m, p in (("old", old), ("new", new))}
    table = pd.crosstab(failed["old"], failed["new"])
    assert result.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert result.p_value == pytest.approx(binomtest(1, 13).pvalue)
    assert result.baseline == pytest.approx(37 / 40)
    assert result.baseline_interval == pytest.approx(binomtest(37, 40).proportion_ci(method="wilsoncc"))
    assert result.change == pytest.approx(26 / 40 - 37 / 40)
    assert result.comparison == "regressed"


@pytest.mark.parametrize("metric", ["accuracy", "error_rate", "f1"])
def test_better_and_worse_follow_the_metric(small, metric):
    """A lower error rate is an improvement, a lower accuracy or F1 a regression."""
    side = {"at_most": 0.9} if metric == "error_rate" else {"at_least": 0.1}
    suite = small.one_case(small.cats, Bar(metric, **side))
    good, bad = small.right(small.cats, 38, model="good"), small.right(small.cats, 20, model="bad")
    assert only(run_suite(suite, good, against=bad)).comparison == "improved"
    assert only(run_suite(suite, bad, against=good)).comparison == "regressed"
    assert only(run_suite(suite, good, against=good)).comparison == "no evidence"


def test_holm_holds_over_the_suite(small):
    """Evidence in one case alone is none among ten comparisons: words follow statsmodels' Holm."""
    keys = list(small.cats.samples.index)
    bar = Bar("accuracy", at_least=0.5)
    groups = [keys[4 * i : 4 * i + n] for i in range(8) for n in (3, 4)] + [keys[:8], keys[:20]]
    cases = [freeze_case(f"{i}", suite="s", members=g, table=small.cats, bar=bar) for i, g in enumerate(groups)]
    old, new = small.right(small.cats, 40, model="v3"), small.right(small.cats, 0)
    report = run_suite(make_suite("s", cases, small.cats), new, against=old)
    rejected = multipletests([r.p_value for r in report.results], 0.05, method="holm")[0]
    assert [r.comparison == "regressed" for r in report.results] == rejected.tolist()
    assert 0 < sum(rejected) < len(rejected)
    # Eight of eight differ: evidence on its own.
    assert report.results[-2].p_value < 0.05
    assert report.results[-2].comparison == "no evidence"


def test_a_case_the_other_model_lacks_isnt_compared(small):
    """Without the other model's predictions the verdict stands and the reason says why there is no comparison."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    old = small.right(small.cats, 40, model="v3")
    fewer = replace(old, frame=old.frame.iloc[1:])
    result = only(run_suite(suite, small.right(small.cats, 40), against=fewer))
    assert result.verdict == "pass"
    assert result.baseline is None
    assert result.comparison == ""
    assert "Not compared: 1 of 40 members have no prediction: '00.png'" in result.reason


# Detection.


@pytest.fixture
def belts(small):
    """Three images: two with objects, one empty."""
    boxes = small.boxes([("a", "1", "cat", 0), ("a", "2", "dog", 50), ("b", "1", "cat", 0)])
    return small.detection_table(["a", "b", "c"], boxes)


@pytest.fixture
def found(small):
    """Two objects found, a#2 missed; one false alarm on b, two on c."""
    return small.detections(
        [
            ("a", "1", "cat", 0, 0.9),
            ("b", "1", "cat", 0, 0.8),
            ("b", "2", "dog", 100, 0.7),
            ("c", "1", "dog", 20, 0.6),
            ("c", "2", "cat", 80, 0.95),
        ]
    )


@pytest.mark.parametrize(
    ("members", "bar", "value", "failing"),
    [
        (["a#1", "a#2", "b#1"], Bar("recall", at_least=0.5), 2 / 3, ("a#2",)),
        (["a#1"], Bar("recall", at_least=0.5), 1.0, ()),
        (["a"], Bar("recall", at_least=0.5), 0.5, ("a#2",)),
        (["a", "b", "c"], Bar("precision", at_least=0.5), 2 / 5, ("c#pred:v4:2", "b#pred:v4:2", "c#pred:v4:1")),
        (["b", "c"], Bar("false_positives_per_image", at_most=0.5), 1.5, ("c#pred:v4:2", "b#pred:v4:2", "c#pred:v4:1")),
        (["a#2", "c"], Bar("error_rate", at_most=0.5), 1.0, ("a#2",)),
        (["a", "b"], Bar("f1", at_least=0.5), 2 / 3, ("a#2", "b#pred:v4:2")),
        # cat: both found before any false alarm on these images, AP 1; dog: not found, AP 0.
        (["a", "b"], Bar("ap50", at_least=0.5), 0.5, ("a#2", "b#pred:v4:2")),
        (["a#1", "b#1"], Bar("map", at_least=0.5), 1.0, ("b#pred:v4:2",)),
    ],
)
def test_detection_by_hand(small, belts, found, members, bar, value, failing):
    """Each metric on objects and images has the hand-worked value, and names what it counts as failing."""
    result = only(run_suite(small.one_case(belts, bar, members), found, confidence=0.5))
    assert result.value == pytest.approx(value)
    assert result.failing == failing


def test_an_image_without_boxes_is_predicted(small, belts, found):
    """Files of boxes can't tell an image without boxes from one left out: its objects are missed, the case stands."""
    nothing_on_a = replace(found, frame=found.frame[found.frame["key"] != "a"])
    result = only(run_suite(small.one_case(belts, Bar("recall", at_least=0.5), ["a#1", "a#2", "b#1"]), nothing_on_a))
    assert result.value == pytest.approx(1 / 3)
    assert result.failing == ("a#1", "a#2")
    assert result.verdict != "invalid"


def test_predictions_of_other_images_are_invalid(small, belts):
    """Predictions that hold none of a case's images are for another dataset, or name images otherwise."""
    strangers = small.detections([("images/a.jpg", "1", "cat", 0, 0.9)])
    suite = small.one_case(belts, Bar("recall", at_least=0.5), ["a#1"])
    result = only(run_suite(suite, strangers))
    assert result.verdict == "invalid"
    assert "'images/a.jpg'" in result.reason
    nothing = only(run_suite(suite, small.detections([])))
    assert nothing.verdict == "invalid"
    assert "they have no row at all" in nothing.reason


def test_a_box_without_confidence_is_an_error(small, belts, found):
    """NaN confidences can't be ranked: an error that names the image, not a silent order."""
    found.frame.loc[0, "confidence"] = np.nan
    with pytest.raises(InvalidInputError, match="confidence"):
        run_suite(small.one_case(belts, Bar("map", at_least=0.5), ["a"]), found)


def test_moved_boxes_make_a_case_invalid(small, belts, found):
    """With labels as they are now, moved, relabelled, new and deleted boxes are told apart."""
    suite = small.one_case(belts, Bar("recall", at_least=0.5), ["a#1", "a#2", "b#1", "c"])
    now = small.boxes([("a", "1", "cat", 5), ("a", "2", "cat", 50), ("c", "1", "dog", 0)])
    result = only(run_suite(suite, found, labels=small.detection_table(["a", "b", "c"], now)))
    assert result.verdict == "invalid"
    for told in (
        "'a#1' has another box",
        "'a#2' was 'dog', is 'cat'",
        "'c' has other boxes",
        "no longer labelled: 'b#1'",
    ):
        assert told in result.reason


@pytest.mark.parametrize(
    "metric",
    [
        "recall",
        "precision",
        "f1",
        "macro_recall",
        "macro_precision",
        "macro_f1",
        "false_positives_per_image",
        "ap50",
        "map",
    ],
)
def test_every_metric_of_detection_compares(small, metric):
    """On thirty images a model that finds everything beats one that misses two thirds and cries wolf."""
    images = [f"{i:02}" for i in range(30)]
    table = small.detection_table(images, small.boxes([(k, "1", "cat", 0) for k in images]))
    good = small.detections([(k, "1", "cat", 0, 0.9) for k in images], model="good")
    hits = [(k, "1", "cat", 0, 0.9) for k in images[::3]]
    bad = small.detections([*hits, *((k, "2", "cat", 90, 0.95) for k in images[::2])], model="bad")
    side = {"at_most": 0.3} if metric == "false_positives_per_image" else {"at_least": 0.9}
    suite = small.one_case(table, Bar(metric, **side))
    better = only(run_suite(suite, good, against=bad, confidence=0.1))
    worse = only(run_suite(suite, bad, against=good, confidence=0.1))
    assert (better.comparison, worse.comparison) == ("improved", "regressed")
    assert worse.verdict == "fail"
    assert better.p_value < 0.05
    assert better.change == pytest.approx(-worse.change)
    same = only(run_suite(suite, good, against=good, confidence=0.1))
    assert (same.comparison, same.change, same.p_value) == ("no evidence", 0.0, 1.0)


def test_false_positives_are_per_image_in_every_draw_of_groups(small):
    """One false box more on each image of videos from 1 to 12 frames: the change is 1 whichever videos are drawn."""
    videos = [v for v in range(1, 13) for _ in range(v)]
    images = [f"{i:02}" for i in range(len(videos))]
    table = small.detection_table(images, small.boxes([(k, "1", "cat", 0) for k in images]))
    table = replace(table, samples=table.samples.assign(video=videos), group="video")
    hits = [(k, "1", "cat", 0, 0.9) for k in images]
    worse = small.detections([*hits, *((k, "2", "cat", 90, 0.9) for k in images)], model="worse")
    suite = small.one_case(table, Bar("false_positives_per_image", at_most=2.0))
    result = only(run_suite(suite, worse, against=small.detections(hits, model="good"), confidence=0.1))
    same = only(run_suite(suite, small.detections(hits), against=small.detections(hits, model="good"), confidence=0.1))
    assert (result.change, same.change) == (1.0, 0.0)
    # Every draw is 1, so what is left is the width that 12 groups without any difference have.
    assert result.change_interval == pytest.approx([1 + end for end in same.change_interval])


def test_the_threshold_is_told(small, belts, found):
    """The confidence that was used stands in the report, given or chosen."""
    suite = small.one_case(belts, Bar("recall", at_least=0.5), ["a#1"])
    assert run_suite(suite, found, confidence=0.85).provenance["confidence"] == 0.85
    assert only(run_suite(suite, found, confidence=0.95)).value == 0.0
    report = run_suite(suite, found, against=replace(found, model="v3"))
    assert report.provenance["confidence"] is None
    assert only(report).confidence == 0.9


# Properties and cost.


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_order_changes_nothing(small, data):
    """Shuffling samples, labels and predictions changes no number, verdict or failing unit."""
    images = [f"{i}" for i in range(6)]
    place = st.sampled_from([0, 4, 40, 90])
    rows = [(k, f"{j}", data.draw(st.sampled_from(["cat", "dog"])), data.draw(place)) for k in images for j in (1, 2)]
    said = [
        (k, f"{j}", data.draw(st.sampled_from(["cat", "dog"])), data.draw(place), 0.5 + j / 10)
        for k in images
        for j in (1, 2)
    ]
    table, predictions = small.detection_table(images, small.boxes(rows)), small.detections(said)
    shuffled = small.detection_table(data.draw(st.permutations(images)), small.boxes(data.draw(st.permutations(rows))))
    again = small.detections(data.draw(st.permutations(said)))
    members = [f"{k}#1" for k in images[:4]] + images[4:]

    def outcomes(table, predictions, members):
        bars = [Bar("recall", at_least=0.5), Bar("precision", at_least=0.5), Bar("map", at_least=0.2)]
        cases = [freeze_case(b.metric, suite="s", members=members, table=table, bar=b) for b in bars]
        report = run_suite(make_suite("s", cases, table), predictions, against=replace(predictions, model="v3"))
        return [(r.verdict, r.value, r.interval, r.failing, r.p_value, r.case.content_hash) for r in report.results]

    assert outcomes(table, predictions, members) == outcomes(shuffled, again, data.draw(st.permutations(members)))


def test_the_gate_is_light():
    """Importing and running the gate loads no database, no plots and no learning library."""
    code = """
import sys
import slicelab.gate
heavy = "fiftyone pymongo mongoengine torch umap plotly sklearn ipywidgets scipy jsonschema".split()
found = [name for name in heavy if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
