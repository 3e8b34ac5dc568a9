"""Undo and redo: whatever was done is taken back as new versions, unless someone else came between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import ConflictError, InvalidInputError, Slice
from slicelab.curation import add, create_slice, delete, describe, invert, merge, note, remove, rename, split

UNITS = list("abcdefgh")


def _apply(change, living):
    """Store a change as a store does: compare versions, then set."""
    living = dict(living)
    for edit in change.edits:
        slice_ = edit.after or edit.before
        assert living.get(slice_.slice_id) == edit.before
        if edit.after is None:
            del living[slice_.slice_id]
        else:
            living[slice_.slice_id] = edit.after
    return living


def _contents(living):
    return {(s.name, s.members, s.rule, s.note, s.model) for s in living.values()}


@st.composite
def edits(draw, living):
    """Draw any edit of these slices; None where the drawn one isn't allowed."""
    slices = list(living.values())
    name = draw(st.sampled_from(["one", "two", "three", "four", "five"]))
    some = draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=5, unique=True))
    action = draw(st.sampled_from(["create", "rename", "note", "add", "remove", "delete", "merge", "split"]))
    if action == "create" or not slices:
        action, one = "create", None
    else:
        one = draw(st.sampled_from(slices))
    ways = {
        "create": lambda: create_slice(
            name, members=some, rule=draw(st.sampled_from([None, "x > 1"])), existing=slices
        ),
        "rename": lambda: rename(one, name, slices),
        "note": lambda: note(one, draw(st.text(max_size=5))),
        "add": lambda: add(one, some),
        "remove": lambda: remove(one, some),
        "delete": lambda: delete(one),
        "merge": lambda: merge(draw(st.permutations(slices))[:2], name, slices),
        "split": lambda: split(one, {name: one.members[:1], f"{name}/rest": one.members[1:]}, slices),
    }
    try:
        return ways[action]()
    except InvalidInputError:
        return None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_undo_restores_and_redo_does_it_again(data):
    """After any row of edits, undoing all of them gives every earlier state, and redoing all of them every later one.

    Versions of a slice only rise, members stay unique, names stay unique.
    """
    living, changes, states, versions = {}, [], [set()], {}

    def step(change):
        nonlocal living
        living = _apply(change, living)
        for edit in change.edits:
            if edit.after is not None:
                assert edit.after.version > versions.get(edit.after.slice_id, 0)
                versions[edit.after.slice_id] = edit.after.version
        assert len({s.name for s in living.values()}) == len(living)
        assert all(len(set(s.members)) == len(s.members) > 0 for s in living.values())

    for _ in range(data.draw(st.integers(1, 6))):
        change = data.draw(edits(living))
        if change is not None:
            step(change)
            changes.append(change)
            states.append(_contents(living))
    undone = []
    for change, before in zip(reversed(changes), reversed(states[:-1]), strict=True):
        undo = invert(change, living)
        assert undo.action == "undo"
        step(undo)
        undone.append(undo)
        assert _contents(living) == before
    for undo, after in zip(reversed(undone), states[1:], strict=True):
        redo = invert(undo, living)
        assert redo.action == "redo"
        step(redo)
        assert _contents(living) == after


def test_a_slice_that_was_changed_since_is_not_overwritten():
    """The error holds what the change left and what is there now."""
    first = Slice("a", ("x",))
    change = rename(first, "b")
    theirs = note(change.edits[0].after, "mine now").edits[0].after
    with pytest.raises(ConflictError, match="version 3") as caught:
        invert(change, {first.slice_id: theirs})
    assert caught.value.mine == change.edits[0].after
    assert caught.value.theirs == theirs


def test_a_slice_that_is_gone_cannot_be_renamed_back():
    """Deleted meanwhile, whether the store says None or nothing."""
    first = Slice("a", ("x",))
    for current in ({}, {first.slice_id: None}):
        with pytest.raises(ConflictError, match="was deleted"):
            invert(rename(first, "b"), current)


def test_a_deleted_slice_that_is_back_already_is_not_brought_back_twice():
    """Someone else's undo came first."""
    first = Slice("a", ("x",))
    with pytest.raises(ConflictError):
        invert(delete(first), {first.slice_id: first})


def test_a_name_that_was_taken_meanwhile_is_not_doubled():
    """Undoing a deletion can't make two slices of one name."""
    first, other = Slice("a", ("x",)), Slice("a", ("y",))
    with pytest.raises(ConflictError, match="Rename") as caught:
        invert(delete(first), {other.slice_id: other})
    assert caught.value.theirs == other


def test_one_lost_part_stops_the_undo_of_a_whole_merge():
    """All edits of a change are taken back, or none."""
    parts = [Slice("a", ("x",)), Slice("b", ("y",))]
    change = merge(parts, "c")
    merged = change.edits[0].after
    with pytest.raises(ConflictError):
        invert(change, {merged.slice_id: merged, parts[1].slice_id: parts[1]})
    undo = invert(change, {merged.slice_id: merged})
    assert {e.after.name for e in undo.edits if e.after} == {"a", "b"}


def test_changes_are_described_in_words():
    """What the history shows for each action, its undo and its redo."""
    first, other = Slice("a", ("x", "y")), Slice("b", ("z",))
    changes = {
        "created 'c' (1 unit)": create_slice("c", members=["x"]),
        "renamed 'a' to 'b'": rename(first, "b"),
        "changed the note of 'a'": note(first, "n"),
        "added 2 units to 'a'": add(first, ["p", "q"]),
        "removed 1 unit from 'a'": remove(first, ["x"]),
        "deleted 'a' (2 units)": delete(first),
        "merged 'a', 'b' into 'c'": merge([first, other], "c"),
        "split 'a' into 'p', 'q'": split(first, {"p": ["x"], "q": ["y"]}),
    }
    for words, change in changes.items():
        assert describe(change) == words
        undo = invert(change, {e.after.slice_id: e.after for e in change.edits if e.after})
        assert describe(undo) == f"undid: {words}"
        redo = invert(undo, {e.after.slice_id: e.after for e in undo.edits if e.after})
        assert describe(redo) == f"redid: {words}"
