"""Classification is judged by columns; row by row the same values and hashes come out, as they always did."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from slicelab.core import TEXT, Bar, InvalidInputError, Predictions
from slicelab.evaluation import classification_units, metric_value, unit_share
from slicelab.gate import case_hash, freeze_case, load_suite, make_suite, run_suite, save_suite
from slicelab.gate._check_case import CaseChecks
from slicelab.gate._evaluate_suite import ModelOnSuite
from slicelab.gate._hash_case import Truth, read_truth
from slicelab.gate._plain_truth import PlainTruth, plain_truth

METRICS = ("accuracy", "error_rate", "recall", "precision", "f1", "top1", "top2", "ece", "confidence_gap")
PLAIN = ("{:03d}.png", "a/{}.png", "grün/{}", "my file {}", "{}!")
NAMES = (*PLAIN, 'said "{}"', "back\\{}", "tab\t{}")


def random_suite(small, seed, name="{:03d}.png", metrics=METRICS):
    """Cases of random members that overlap, and predictions with probabilities, in no order; some have no label."""
    random = np.random.default_rng(seed)
    keys = [name.format(i) for i in range(60)] + [name.format(7) + end for end in (" z", "!", "0", "#")]
    said = {k: str(random.choice(["cat", "dog"])) for k in random.permutation(keys).tolist()}
    table = small.table(said)
    cases = [
        freeze_case(
            f"case {metric}",
            suite="s",
            members=random.choice(keys, size=int(random.integers(1, 50)), replace=False).tolist(),
            table=table,
            bar=Bar(metric, at_most=0.5) if metric in ("error_rate", "ece", "confidence_gap") else Bar(metric, 0.5),
        )
        for metric in metrics
    ]
    share = random.random(len(keys)).astype(np.float32)
    frame = pd.DataFrame(
        {"label": np.where(share > 0.5, "cat", "dog"), "confidence": np.maximum(share, 1 - share).astype(np.float64)},
        index=pd.Index(random.permutation(keys).tolist(), name="key", dtype=TEXT),
    )
    matrix = np.column_stack([share, 1 - share])
    predictions = Predictions("v4", "classification", frame.astype({"label": "str"}), ("cat", "dog"), matrix)
    return make_suite("s", cases, table), predictions


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("probabilities", [True, False])
def test_a_case_has_the_value_of_its_rows(small, seed, probabilities):
    """Every metric of a case is, to the bit, what `metric_value` gives for its rows of the units frame."""
    suite, predictions = random_suite(small, seed)
    predictions = predictions if probabilities else dataclasses.replace(predictions, probabilities=None)
    model = ModelOnSuite(suite, predictions, confidence=None)
    for case in suite.cases:
        part = model.part(case.members)
        units = model.units.loc[list(case.members)]
        for metric in METRICS if probabilities else [m for m in METRICS if not m.startswith("top")]:
            found, expected = part.metric(metric, confidence=0.9), metric_value(metric, units, confidence=0.9)
            np.testing.assert_equal(dataclasses.astuple(found), dataclasses.astuple(expected))


@pytest.mark.parametrize("failures", [[], [True], [False] * 7, [True, False, False] * 11])
def test_a_share_of_independent_units_is_a_metric_value(small, failures):
    """`unit_share` is accuracy and error rate as `metric_value` gives them."""
    table = small.table({f"{i}.png": "cat" for i in range(len(failures))})
    said = {k: "dog" if failed else "cat" for k, failed in zip(table.samples.index, failures, strict=True)}
    units = classification_units(table, small.predictions(said))
    for name in ("accuracy", "error_rate"):
        found = unit_share(name, np.array(failures, dtype=bool), confidence=0.9)
        np.testing.assert_equal(
            dataclasses.astuple(found), dataclasses.astuple(metric_value(name, units, confidence=0.9))
        )
    with pytest.raises(InvalidInputError, match="f1"):
        unit_share("f1", np.array(failures, dtype=bool))


def test_units_of_one_group_are_judged_as_the_frame_says(small):
    """Where the units frame names groups of several units, a share isn't taken for one of independent units."""
    suite, predictions = random_suite(small, 0)
    single, grouped = (ModelOnSuite(suite, predictions, confidence=None) for _ in range(2))
    grouped.units["group_id"] = "one"
    assert single.part(suite.cases[0].members).independent
    assert not grouped.part(suite.cases[0].members).independent


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shuffled", [False, True])
def test_hashes_by_column_are_those_by_row(small, name, shuffled):
    """Content, membership, labels and media have the hashes that `read_truth` and `case_hash` give, for any key."""
    suite, _ = random_suite(small, 1, name)
    if shuffled:
        suite = dataclasses.replace(suite, samples=suite.samples.sample(frac=1, random_state=0))
    found = plain_truth(suite)
    assert (found is not None) == (name in PLAIN and not shuffled)
    frozen = CaseChecks(suite)._frozen
    assert isinstance(frozen, PlainTruth if found else Truth)
    by_row = read_truth(set(suite.samples.index), samples=suite.samples, boxes=suite.boxes, task=suite.task, group=None)
    for case in suite.cases:
        expected = case_hash(case.members, samples=suite.samples, boxes=suite.boxes, task=suite.task)
        assert frozen.hash(case.members) == expected == case.content_hash
        assert frozen.hashes(case.members) == by_row.hashes(case.members) == case.hashes
        backwards = (*case.members[::-1], case.members[0])
        assert frozen.hash(backwards) == expected
        assert frozen.hashes(backwards) == case.hashes
        for members in (case.members, backwards):
            assert frozen.hash(members, schema_version=1) == by_row.hash(members, schema_version=1)
            assert frozen.hashes(members, schema_version=1) == by_row.hashes(members, schema_version=1)
    assert frozen.missing(("000", suite.cases[0].members[0], "nobody")) == ["000", "nobody"]


@pytest.mark.parametrize("missing", [False, True])
def test_groups_are_hashed_by_column_too(small, missing):
    """Where every image has one; a group that is missing is read by row."""
    table = small.table({f"{i}.png": "cat" for i in range(9)})
    videos = [None if missing and not i else f"v{i % 3}" for i in range(9)]
    table = dataclasses.replace(table, samples=table.samples.assign(video=videos), group="video")
    suite = small.one_case(table, Bar("accuracy", 0.5))
    found = plain_truth(suite)
    assert (found is None) == missing
    assert CaseChecks(suite).hashes(suite.cases[0]) == suite.cases[0].hashes
    assert CaseChecks(suite).problems(suite.cases[0]) == []


def test_an_unknown_label_is_missing_by_row(small):
    """A suite with a sample without a label isn't read by column: its member is missing, not hashed as a text."""
    table = small.table({"a.png": "cat", "b.png": "cat"})
    suite = small.one_case(table, Bar("accuracy", 0.5))
    unknown = suite.samples.assign(label=pd.array(["cat", None], dtype=TEXT))
    suite = dataclasses.replace(suite, samples=unknown)
    assert plain_truth(suite) is None
    result = run_suite(suite, small.predictions({"a.png": "cat", "b.png": "cat"})).results[0]
    assert (result.verdict, "b.png" in result.reason) == ("invalid", True)


@pytest.mark.parametrize("probabilities", [True, False])
def test_the_hash_of_predictions_is_that_of_their_rows(small, probabilities):
    """What a result tells of the predictions is the hash of the case's rows in them, whatever their order."""
    suite, predictions = random_suite(small, 2)
    predictions = predictions if probabilities else dataclasses.replace(predictions, probabilities=None)
    again = predictions.frame.sample(frac=1, random_state=1)
    rows = predictions.frame.index.get_indexer(again.index)
    matrix = None if predictions.probabilities is None else predictions.probabilities[rows]
    shuffled = dataclasses.replace(predictions, frame=again, probabilities=matrix)
    first, second = (run_suite(suite, p) for p in (predictions, shuffled))
    assert [r.hashes for r in first.results] == [r.hashes for r in second.results]
    key = suite.cases[0].members[0]
    other = predictions.frame.copy()
    other.loc[key, "confidence"] = 0.77
    moved = run_suite(suite, dataclasses.replace(predictions, frame=other)).results
    assert moved[0].hashes["predictions"] != first.results[0].hashes["predictions"]


TRUTH = {
    "membership": "6a7bc9bb951ad64c1fd7109da6a56f88904f54ab514fc15d0afc61ded558fa94",
    "labels": "435c1ecb36966cfa6907e50ad9343e594c5afd7fe719514f5e11779caac9e53d",
    "media": "b3ff4156356bd3c1a837b9fe750095046e5bfc90d004e26f2774d22e3066ff04",
    "content": "69b6b05c00ec22d4a924d2944ad11934b415074e784d9fc6e65a36ccaadec55c",
}
PREDICTED = {
    True: "dbd8b6662bdc1e52c80fca06f3af173ca363ab2a5bc3f1491c27896f55c55d83",
    False: "781eeb1e36528bd02dc0e1192f0066ee93b84d71c9e2efe7306673ecbdfeddd5",
}
"""With and without probabilities."""


@pytest.mark.parametrize("probabilities", [True, False])
def test_hashes_stay_what_they_were(small, tmp_path, probabilities):
    """Hashes that version 0.1 wrote: a suite of then still counts, and a report can be compared with one of then."""
    table = small.table({f"{i:03d}.png": "cat" if i % 3 else "dog" for i in range(30)})
    bar = Bar("accuracy", at_least=0.5)
    suite = make_suite(
        "s",
        [freeze_case("c", suite="s", members=[f"{i:03d}.png" for i in range(0, 30, 2)], table=table, bar=bar)],
        table,
    )
    share = np.arange(30, dtype=np.float32) / 32
    frame = pd.DataFrame(
        {"label": np.where(share > 0.5, "cat", "dog"), "confidence": np.maximum(share, 1 - share).astype(np.float64)},
        index=pd.Index([f"{i:03d}.png" for i in range(30)], name="key", dtype=TEXT),
    ).astype({"label": "str"})
    matrix = np.column_stack([share, 1 - share]) if probabilities else None
    predictions = Predictions("v4", "classification", frame, ("cat", "dog"), matrix)
    loaded = load_suite(save_suite(suite, tmp_path / "s.json", sidecar=True))
    (result,) = run_suite(loaded, predictions).results
    assert result.hashes["predictions"] == PREDICTED[probabilities]
    frozen, members = CaseChecks(loaded)._frozen, result.case.members
    old = frozen.hashes(members, schema_version=1) | {"content": frozen.hash(members, schema_version=1)}
    assert (old, type(frozen)) == (TRUTH, PlainTruth)
    assert (result.value, result.n_units, result.n_failures) == (7 / 15, 15, 8)
