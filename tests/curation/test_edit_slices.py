"""Edits of slices: what each makes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import Candidate, InvalidInputError, RuleError, Slice
from slicelab.curation import (
    add,
    create_slice,
    delete,
    evaluate_rule,
    from_candidate,
    merge,
    note,
    remove,
    rename,
    split,
)


@pytest.fixture
def units():
    return pd.DataFrame({"label": ["cat", "dog", "cat", "owl"]}, index=pd.Index(["a", "b", "c", "d"], name="unit"))


@pytest.fixture
def cats():
    return Slice("cats", ("a", "c"), rule='label == "cat"', note="why", model="v1", provenance={"by": "hand"})


@pytest.fixture
def dogs():
    return Slice("dogs", ("b", "c"), rule='label == "dog"', note="woof", model="v1")


def _after(change, position=0):
    return change.edits[position].after


def test_a_slice_from_units_keeps_their_order(units):
    """Most typical first is how they come."""
    change = create_slice("mine", members=["d", "a"], units=units, model="v1", note="n", provenance={"k": [1]})
    made = _after(change)
    assert (change.action, len(change.edits), change.edits[0].before) == ("create", 1, None)
    assert (made.name, made.members, made.rule, made.model, made.note) == ("mine", ("d", "a"), None, "v1", "n")
    assert (made.version, made.provenance) == (1, {"k": [1]})


def test_a_slice_from_a_rule_freezes_what_the_rule_finds(units):
    """Rule and membership are both kept."""
    made = _after(create_slice("cats", rule='label == "cat"', units=units))
    assert made.members == ("a", "c")
    assert made.rule == 'label == "cat"'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs members="),
        ({"rule": "label == 'cat'"}, "without units"),
        ({"members": []}, "at least one unit"),
        ({"members": ["a", "a"]}, "'a'"),
        ({"members": "abc"}, r"\['abc'\]"),
        ({"members": [1, "a"]}, "1 members"),
        ({"members": ["a"], "name": "cats"}, "already"),
        ({"members": ["a"], "name": " "}, "name of a slice"),
        ({"members": ["a"], "name": "x\u202ey"}, "control"),
        ({"members": ["a"], "note": 3}, "note"),
        ({"members": ["a"], "provenance": {"x": float("nan")}}, "JSON"),
        ({"members": ["a"], "provenance": {"x": object()}}, "JSON"),
    ],
)
def test_creating_refuses_in_words(cats, arguments, words):
    """Nothing to hold, held twice, taken names, values that can't be stored."""
    with pytest.raises(InvalidInputError, match=words):
        create_slice(**{"name": "new", "existing": [cats]} | arguments)


def test_unknown_members_and_rules_that_find_nothing_are_refused(units):
    """The error names the units, or says how many there were to find."""
    with pytest.raises(InvalidInputError, match="'z'"):
        create_slice("new", members=["a", "z"], units=units)
    with pytest.raises(InvalidInputError, match="none of the 4 units"):
        create_slice("new", rule="label == 'cow'", units=units)
    with pytest.raises(RuleError):
        create_slice("new", members=["a"], rule="label ==")


def test_names_are_compared_in_one_unicode_form():
    """The same name written with a combining accent is taken."""
    existing = [Slice("caf\u00e9", ("a",))]
    with pytest.raises(InvalidInputError, match="already"):
        create_slice("cafe\u0301", members=["b"], existing=existing)


def test_a_candidate_becomes_a_slice_with_its_figures():
    """Unit ids in their order; the figures are kept as provenance."""
    candidate = Candidate(
        members=np.array([2, 0]),
        membership=np.zeros(3, np.float32),
        size=2,
        failures=1,
        failure_rate=0.5,
        interval=(0.1, 0.9),
        base_rate=0.25,
        p_value=0.01,
        q_value=0.02,
        description="cats at night",
        unit_ids=("c", "a"),
    )
    made = _after(from_candidate(candidate, name="night cats", model="v1", provenance={"seed": 3}))
    assert made.members == ("c", "a")
    assert made.provenance["candidate"]["q_value"] == 0.02
    assert made.provenance["seed"] == 3
    with pytest.raises(InvalidInputError, match="ids"):
        from_candidate(Candidate(**{**vars(candidate), "unit_ids": ()}), name="x")


def test_renaming_makes_a_new_version_and_changes_nothing_else(cats, dogs):
    """The slice may keep company, but not the name of another."""
    change = rename(cats, "felines", [cats, dogs])
    assert change.action == "rename"
    assert change.edits[0].before is cats
    made = _after(change)
    assert (made.name, made.version, made.slice_id) == ("felines", 2, cats.slice_id)
    assert (made.members, made.rule, made.note, made.created_at) == (cats.members, cats.rule, "why", cats.created_at)
    with pytest.raises(InvalidInputError, match="'dogs'"):
        rename(cats, "dogs", [cats, dogs])
    with pytest.raises(InvalidInputError, match="already"):
        rename(cats, "cats", [cats, dogs])


def test_a_note_is_replaced(cats):
    """One version on."""
    made = _after(note(cats, "look at the ears"))
    assert (made.note, made.version, made.members) == ("look at the ears", 2, cats.members)


def test_adding_keeps_what_is_there_and_ends_the_rule(cats, units):
    """Known units stay in place, new ones come last; the old rule is remembered, as it holds no more."""
    made = _after(add(cats, ["c", "d"], units=units))
    assert made.members == ("a", "c", "d")
    assert (made.rule, made.version) == (None, 2)
    assert made.provenance == {"by": "hand", "rule_before_edit": 'label == "cat"'}
    with pytest.raises(InvalidInputError, match="already"):
        add(cats, ["a"])
    with pytest.raises(InvalidInputError, match="'z'"):
        add(cats, ["z"], units=units)
    with pytest.raises(InvalidInputError, match="'d'"):
        add(cats, ["d", "d"])


def test_removing_leaves_the_rest(cats):
    """Strangers are refused, and so is an empty slice."""
    made = _after(remove(cats, ["a"]))
    assert (made.members, made.rule, made.version) == (("c",), None, 2)
    with pytest.raises(InvalidInputError, match="not in the slice"):
        remove(cats, ["b"])
    with pytest.raises(InvalidInputError, match="Delete it"):
        remove(cats, ["a", "c"])


def test_deleting_leaves_nothing_after(cats):
    """The edit holds what was there, for undo."""
    change = delete(cats)
    assert (change.action, change.edits[0].before, change.edits[0].after) == ("delete", cats, None)


def test_merging_puts_one_slice_in_place_of_several(cats, dogs):
    """Members once and in order, rules joined, parents deleted in the same change and remembered."""
    change = merge([cats, dogs], "cats", [cats, dogs])
    made = _after(change)
    assert made.members == ("a", "c", "b")
    assert made.rule == '(label == "cat") or (label == "dog")'
    assert (made.note, made.model, made.version) == ("why\nwoof", "v1", 1)
    assert [p["slice_id"] for p in made.provenance["merged_from"]] == [cats.slice_id, dogs.slice_id]
    assert [p["version"] for p in made.provenance["merged_from"]] == [1, 1]
    assert [e.after for e in change.edits[1:]] == [None, None]
    frame = pd.DataFrame({"label": ["cat", "dog", "owl"]})
    assert evaluate_rule(made.rule, frame).tolist() == [True, True, False]


def test_a_merge_with_a_slice_without_rule_has_none(cats):
    """A rule that describes some of the members describes no slice."""
    by_hand = Slice("by hand", ("d",), model="v2")
    made = _after(merge([cats, by_hand], "both"))
    assert (made.rule, made.model) == (None, None)


def test_merging_needs_two_and_a_free_name(cats, dogs):
    """Not one, not the same twice, not under another slice's name."""
    other = Slice("owls", ("d",))
    with pytest.raises(InvalidInputError, match="two"):
        merge([cats], "x")
    with pytest.raises(InvalidInputError, match="once"):
        merge([cats, cats], "x")
    with pytest.raises(InvalidInputError, match="'owls'"):
        merge([cats, dogs], "owls", [cats, dogs, other])


def test_splitting_puts_several_slices_in_place_of_one(cats):
    """The parts carry where they come from; one may keep the name."""
    change = split(cats, {"cats": ["c"], "kittens": ["a"]}, [cats])
    assert [(e.after.name, e.after.members) for e in change.edits[:2]] == [("cats", ("c",)), ("kittens", ("a",))]
    assert _after(change).provenance["split_from"]["slice_id"] == cats.slice_id
    assert _after(change).provenance["by"] == "hand"
    assert _after(change).slice_id != cats.slice_id
    assert (change.edits[2].before, change.edits[2].after) == (cats, None)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"x": ["a", "c"]}, "two groups"),
        ({"x": ["a"], "y": []}, "at least one"),
        ({"x": ["a"], "y": ["a", "c"]}, "'a'"),
        ({"x": ["a"], "y": ["z"]}, "'z'"),
        ({"x": ["a"], "dogs": ["c"]}, "'dogs'"),
        ({"caf\u00e9": ["a"], "cafe\u0301": ["c"]}, "occur again"),
    ],
)
def test_splits_that_lose_or_double_units_are_refused(cats, dogs, groups, words):
    """Every member goes into exactly one part, every part has a name of its own."""
    with pytest.raises(InvalidInputError, match=words):
        split(cats, groups, [cats, dogs])
    with pytest.raises(InvalidInputError, match="in no group"):
        split(Slice("abc", ("a", "b", "c")), {"x": ["a"], "y": ["b"]})
