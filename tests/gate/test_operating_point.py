"""A detection case is judged at a confidence that doesn't depend on other cases, and every report says which."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from slicelab.core import Bar, InvalidInputError, read_confidence
from slicelab.gate import diff_suites, explain_change, freeze_case, load_suite, make_suite, run_suite, save_suite
from slicelab.views import report_html

RECALL = Bar("recall", at_least=0.1)


@pytest.fixture
def belts(small):
    """Two images with a cat and a dog each."""
    boxes = [(k, i, label, x) for k in "ab" for i, label, x in (("1", "cat", 0), ("2", "dog", 50))]
    return small.detection_table(["a", "b"], small.boxes(boxes))


@pytest.fixture
def found(small):
    """All four objects, at falling confidence; on b a false alarm above its dog."""
    rows = [("a", "1", "cat", 0, 0.9), ("a", "2", "dog", 50, 0.3), ("b", "1", "cat", 0, 0.8)]
    return small.detections([*rows, ("b", "3", "dog", 120, 0.7), ("b", "2", "dog", 50, 0.1)])


def cases(table, members, bar=RECALL):
    return [freeze_case(n, suite="s", members=m, table=table, bar=bar) for n, m in members.items()]


def suite_of(table, members, **points):
    return make_suite("s", cases(table, members), table, **points)


def result(report, name="c"):
    return next(r for r in report.results if r.case.name == name)


@pytest.mark.parametrize(
    ("points", "given", "value", "confidence", "source"),
    [
        ({"operating_points": {"v4": 0.5}}, None, 0.5, 0.5, "suite"),
        ({"operating_points": {"v4": 0.2}, "others": 0.95}, None, 0.75, 0.2, "suite"),
        ({"operating_points": {"v3": 0.2}, "others": 0.85}, None, 0.25, 0.85, "others"),
        ({"operating_points": {"v4": {"cat": 0.85, "dog": 0.2}}}, None, 0.5, {"cat": 0.85, "dog": 0.2}, "suite"),
        ({"operating_points": {"v4": {"cat": 0.85, "*": 0.05}}}, None, 0.75, {"*": 0.05, "cat": 0.85}, "suite"),
        ({"operating_points": {"v4": 0.5}}, 0.05, 1.0, 0.05, "given"),
        # 4 of 4 labels found by 5 boxes, F1 8/9, is the best there is.
        ({}, None, 1.0, 0.1, "case"),
    ],
)
def test_who_says_the_operating_point(belts, found, points, given, value, confidence, source):
    """What is given for the run goes before the suite's number, that before the one for others, that before F1."""
    report = run_suite(suite_of(belts, {"c": ["a", "b"]}, **points), found, confidence=given)
    assert (result(report).value, result(report).confidence) == (value, confidence)
    assert report.operating_points["v4"].source == source


def test_without_a_number_each_case_has_its_own(belts, found):
    """F1 is highest at 0.3 on image a and at 0.1 on b (3 boxes, 2 right), whatever else the suite holds."""
    report = run_suite(suite_of(belts, {"a": ["a"], "b": ["b"]}), found)
    assert [r.confidence for r in report.results] == [0.3, 0.1]
    assert report.operating_points["v4"].confidence is None
    assert "that case's own images" in str(report)


@pytest.mark.parametrize("confidence", [{"cat": 0.5}, {"bird": 0.5}])
def test_a_class_without_a_confidence_is_told(belts, found, confidence):
    """Even where none of the suite's own images has it predicted: else it would depend on the cases."""
    with pytest.raises(InvalidInputError, match=r'given per class, but not for .*"\*"'):
        run_suite(suite_of(belts, {"c": ["a"]}, operating_points={"v4": confidence}), found)


def test_classification_has_none(small):
    with pytest.raises(InvalidInputError, match="no operating points"):
        make_suite("s", [], small.cats, operating_points={"v4": 0.5})
    assert (
        run_suite(
            small.one_case(small.cats, Bar("accuracy", at_least=0.5)), small.right(small.cats, 9)
        ).operating_points
        == {}
    )


@pytest.mark.parametrize(
    ("texts", "read"),
    [([], None), (["0.4"], 0.4), (["knife=.3", "0.5"], {"*": 0.5, "knife": 0.3}), (["a=b=1"], {"a=b": 1.0})],
)
def test_confidences_are_read_as_people_write_them(texts, read):
    assert read_confidence(texts) == read


@pytest.mark.parametrize("texts", [["high"], ["1.5"], ["nan"], ["0.4", "0.5"], ["knife="], ["=0.3"]])
def test_what_is_no_confidence_is_told(texts):
    with pytest.raises(InvalidInputError, match="confidence"):
        read_confidence(texts)


def test_a_class_that_nobody_knows_is_refused(belts, found):
    """A class neither labelled nor predicted is a slip: it would change nothing."""
    suite = suite_of(belts, {"c": ["a", "b"]})
    with pytest.raises(InvalidInputError, match="Did you mean 'dog'"):
        run_suite(suite, found, confidence={"dgo": 0.5, "*": 0.5})
    assert result(run_suite(suite, found, confidence={"dog": 0.5, "*": 0.5})).verdict != "invalid"


def test_a_class_without_a_number_is_told_with_whose_it_is(belts, found):
    """Of models that the suite doesn't know when it is made; of one that it knows when a box of the class comes."""
    with pytest.raises(InvalidInputError, match=r"other models is given per class, but not for 'dog'"):
        suite_of(belts, {"c": ["a", "b"]}, others={"cat": 0.5})
    known = suite_of(belts, {"c": ["a", "b"]}, operating_points={"v4": {"cat": 0.5}})
    with pytest.raises(InvalidInputError, match=r"'v4' \(as it stands in the suite\) .* not for 'dog'"):
        run_suite(known, found)


def test_the_file_keeps_it(belts, found, tmp_path):
    """Numbers, numbers by class and the policy for others come back, and the same bytes are written."""
    points = {"v4": 0.5, "v3": {"*": 0.4, "dog": 0.1}}
    suite = suite_of(belts, {"c": ["a"]}, operating_points=points, others=0.25)
    path = save_suite(suite, tmp_path / "s.json")
    loaded = load_suite(path)
    assert (loaded.operating_points, loaded.others) == (points, 0.25)
    assert save_suite(loaded, tmp_path / "t.json").read_bytes() == path.read_bytes()
    changed = replace(suite, operating_points={"v4": 0.6}, others=None)
    told = diff_suites(suite, changed)
    assert "~ operating point of 'v4': 0.5 -> 0.6" in told
    assert any("of other models: 0.25 -> best F1 on each case's own images" in line for line in told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(operating_points={"v4": 1.5}), "operating_points"),
        (lambda d: d.update(operating_points={"v4": {}}), "operating_points"),
        (lambda d: d.update(operating_points={"v\u202e": 0.5}), "name of a model"),
        (lambda d: d.update(others="suite"), "others"),
        (lambda d: d.pop("others"), "no field 'others'"),
        (lambda d: d.update(schema_version=2), "unknown field"),
        (lambda d: d["cases"][0].update(schema_version=3), "newer SliceLab"),
    ],
)
def test_a_wrong_operating_point_in_a_file_says_where(belts, tmp_path, change, told):
    path = save_suite(suite_of(belts, {"c": ["a"]}, operating_points={"v4": 0.5}), tmp_path / "s.json")
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=told):
        load_suite(path)


def test_every_report_says_it(belts, found, tmp_path):
    """Text, JUnit, JSON, Markdown and HTML name the number, and where it comes from."""
    from slicelab.gate import write_json, write_junit, write_markdown

    suite = suite_of(belts, {"c": ["a"]}, operating_points={"v4": 0.35}, others=0.45)
    report = run_suite(suite, found, against=replace(found, model="v2"))
    writers = (write_junit, write_json, write_markdown)
    texts = [str(report), report_html(report), *(w(report, tmp_path / "x").read_text("utf-8") for w in writers)]
    for text in texts:
        assert "0.35" in text
        assert "0.45" in text


def test_a_changed_operating_point_explains_a_change(belts, found):
    """Between 0.5 and 0.05 the recall of one file goes from 0.5 to 1: all of it is the confidence's."""
    before, after = (suite_of(belts, {"c": ["a", "b"]}, operating_points={"v4": c}) for c in (0.5, 0.05))
    told = explain_change("c", before=(before, found), after=(after, found))
    assert told.changed == ("confidence",)
    assert told.shares == {"confidence": pytest.approx(0.5)}


# No verdict depends on another case.


def world(small, seed, n_images=24):
    """A seeded table with groups and two models; some images are empty or unpredicted."""
    random = np.random.default_rng(seed)
    keys = [f"{i:03}" for i in range(n_images)]
    boxes = [
        (k, str(j), str(random.choice(["cat", "dog"])), int(random.integers(0, 150)))
        for k in keys
        for j in range(int(random.integers(0, 4)))
    ]
    table = small.detection_table(keys, small.boxes(boxes))
    table.boxes["crowd"] = random.random(len(boxes)) < 0.1
    videos = [f"v{i % 5}" if i % 4 else None for i in range(n_images)]
    table = replace(table, samples=table.samples.assign(video=videos), group="video")

    def model(name, shift):
        rows = [
            (k, str(i), label, x + int(random.integers(0, 4)) + shift, float(random.random().__round__(2)))
            for i, (k, _, label, x) in enumerate(boxes)
            if random.random() < 0.8
        ]
        rows += [(k, f"n{k}", "cat", 170, float(random.random().__round__(2))) for k in keys if random.random() < 0.3]
        return small.detections(rows, model=name)

    return table, model("v4", 0), model("v3", 1)


BARS = [
    Bar("recall", at_least=0.3),
    Bar("precision", at_least=0.3),
    Bar("f1", at_least=0.3, strict=False),
    Bar("map", at_least=0.1),
    Bar("false_positives_per_image", at_most=1.0, min_predicted=0.7),
    Bar("recall", no_worse_than="v3", margin=0.1),
    Bar("f1", no_worse_than="v3", margin=0.1),
    Bar("precision", at_least=0.2, min_predicted=0.0),
]


def random_case(name, table, random):
    units = [*table.samples.index, *(table.boxes["key"] + "#" + table.boxes["label_id"])[~table.boxes["crowd"]]]
    members = random.choice(units, size=int(random.integers(1, 6)), replace=False).tolist()
    bar = BARS[int(random.integers(len(BARS)))]
    return freeze_case(name, suite="s", members=members, table=table, bar=bar)


def edited(before, table, random):
    """Remove, split, rename, add and reorder cases; return them and those that weren't touched."""
    kept, untouched, new = [], set(), []
    for i, case in enumerate(before):
        what = random.choice(["keep", "remove", "split", "rename"], p=[0.55, 0.15, 0.15, 0.15])
        if what == "keep":
            kept.append(case)
            untouched.add(case.name)
        elif what == "rename":
            new.append(replace(case, name=f"renamed {i}"))
        elif what == "split" and len(case.members) > 1:
            halves = case.members[::2], case.members[1::2]
            new += [
                freeze_case(f"part {i}.{j}", suite="s", members=m, table=table, bar=case.bar)
                for j, m in enumerate(halves)
            ]
    new += [random_case(f"new {i}", table, random) for i in range(len(before) // 5)]
    return random.permutation(np.array([*kept, *new], dtype=object)).tolist(), untouched


def said_of(r):
    """Everything in a result that is a verdict's; what is adjusted over the suite's comparisons isn't."""
    return repr((r.verdict, r.reason, r.value, r.interval, r.n_units, r.n_failures, r.failing, sorted(r.hashes.items()),
                 r.confidence, r.n_images, r.n_predicted, r.baseline, r.baseline_interval, r.change,
                 r.p_value if r.case.bar.metric == "recall" else None))  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "policy", [{}, {"others": 0.4}, {"operating_points": {"v4": {"cat": 0.6, "*": 0.3}, "v3": 0.2}}]
)
def test_no_verdict_depends_on_another_case(small, seed, policy):
    """After a random edit of a suite each case that wasn't touched has the same verdict, value, interval and hashes."""
    table, predictions, other = world(small, seed)
    random = np.random.default_rng(seed)
    before = [random_case(f"{i}", table, random) for i in range(12)]
    after, untouched = edited(before, table, random)
    assert untouched
    first, second = (
        run_suite(make_suite("s", cs, table, **policy), predictions, against=other) for cs in (before, after)
    )
    assert len({r.verdict for r in first.results}) > 1
    for name in untouched:
        assert said_of(result(first, name)) == said_of(result(second, name))
    alone = sorted(untouched)[0]
    only = run_suite(
        make_suite("s", [c for c in before if c.name == alone], table, **policy), predictions, against=other
    )
    assert said_of(result(only, alone)) == said_of(result(first, alone))


def test_under_the_meaning_of_older_versions_they_do(small):
    """The control: with one confidence for all images of a suite the same edit changes cases that it doesn't touch."""
    table, predictions, other = world(small, 1)
    random = np.random.default_rng(1)
    before = [random_case(f"{i}", table, random) for i in range(12)]
    after, untouched = edited(before, table, random)
    old = {"schema_version": 2, "others": "suite"}
    first, second = (
        run_suite(replace(make_suite("s", cases, table), **old), predictions, against=other)
        for cases in (before, after)
    )
    assert any(said_of(result(first, name)) != said_of(result(second, name)) for name in untouched)
