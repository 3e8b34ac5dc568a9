"""Curation on a real database: versions, undo over everything, conflicts, saved views."""

import pytest

import slicelab as sl
from slicelab.core import ConflictError, InvalidInputError, NotFoundError, RuleError

pytestmark = pytest.mark.mongo


@pytest.fixture
def lab(load_parts, request):
    return load_parts(f"curate {request.node.name}", overwrite=True)


def content(lab):
    return {s.name: (s.members, s.rule, s.note) for s in lab.slices()}


def test_discovery_finds_the_planted_slice_and_it_becomes_a_slice(parts):
    """Dark nuts are found, promoted with their figures, and are there in another kernel."""
    found = parts.discover("v3", progress=False)
    dark_nuts = set(parts.units("v3").query("label == 'nut' and dark").index)
    best = set(found[0].unit_ids)
    assert len(best & dark_nuts) / len(best | dark_nuts) > 0.8
    made = parts.promote_slice(found[0], name="dark nuts", note="as planted")
    again = sl.open(parts.name).slice("dark nuts")
    assert again == made
    assert (again.model, again.note, again.version) == ("v3", "as planted", 1)
    assert again.provenance["candidate"]["failures"] == found[0].failures
    assert again.provenance["discovery"]["random_state"] == 0
    case = parts.promote(again, bar=sl.Bar("accuracy", at_least=0.5), suite="provenance")
    assert case.provenance["found"] == again.provenance


def test_every_change_is_a_version_and_can_be_undone_and_done_again(lab):
    """Through nine kinds of change and back: every state comes back as it was, and forth again."""
    units = list(lab.units("v3").index)
    steps = [
        lambda: lab.create_slice("a", units=units[:6]),
        lambda: lab.create_slice("b", rule='label == "nut" and dark'),
        lambda: lab.rename_slice("a", "first"),
        lambda: lab.note_slice("first", "look at me"),
        lambda: lab.add_to_slice("first", units[6:9]),
        lambda: lab.remove_from_slice("first", units[:2]),
        lambda: lab.split_slice("first", {"left": units[2:5], "right": units[5:9]}),
        lambda: lab.merge_slices(["left", "b"], into="both"),
        lambda: lab.delete_slice("right"),
    ]
    states = [content(lab)]
    for step in steps:
        step()
        states.append(content(lab))
    assert len({str(s) for s in states}) == len(states)
    for before in reversed(states[:-1]):
        lab.undo()
        assert content(lab) == before
    assert lab.undo() == "nothing to undo"
    for after in states[1:]:
        lab.redo()
        assert content(lab) == after
    assert lab.redo() == "nothing to redo"
    versions = lab.slice_versions("both")
    assert [v.version for v in versions] == sorted({v.version for v in versions})


def test_undo_is_told_in_words(lab):
    """What was undone is said."""
    lab.create_slice("a", units=[lab.units("v3").index[0]])
    lab.rename_slice("a", "b")
    assert lab.undo() == "undid: renamed 'a' to 'b'"
    assert [s.name for s in lab.slices()] == ["a"]


def test_the_second_of_two_editors_sees_a_conflict(lab):
    """Two kernels hold version 1; the second to write gets both versions shown and loses nothing."""
    from slicelab import curation
    from slicelab.store import Slices, connect

    mine = lab.create_slice("shared", units=[lab.units("v3").index[0]])
    slices = Slices(connect().records, lab.name)
    lab.rename_slice("shared", "theirs")
    with pytest.raises(ConflictError, match="saved version 2") as conflict:
        slices.apply(curation.rename(mine, "mine"))
    assert (conflict.value.mine.name, conflict.value.theirs.name) == ("mine", "theirs")
    assert [s.name for s in lab.slices()] == ["theirs"]


def test_applying_a_change_again_does_nothing(lab):
    """A write that is repeated because the answer was lost counts once."""
    from slicelab import curation
    from slicelab.store import Slices, connect

    slices = Slices(connect().records, lab.name)
    change = curation.create_slice("once", members=[lab.units("v3").index[0]])
    slices.apply(change)
    slices.apply(change)
    assert [s.version for s in lab.slices()] == [1]
    assert len(slices.changes()) == 1


def test_slices_are_saved_views_in_fiftyone(lab):
    """The App has a view for each slice; it follows rename and delete, whatever the name is."""
    units = list(lab.units("v3").index)
    lab.create_slice("dark/nuts", units=units[:3])
    lab.create_slice("🔪", units=units[3:5])
    views = lab.dataset.list_saved_views()
    assert "dark/nuts" in views
    assert len(views) == 2
    assert lab.dataset.load_saved_view("dark/nuts").values("key") == units[:3]
    lab.rename_slice("dark/nuts", "nuts")
    lab.delete_slice("🔪")
    assert lab.dataset.list_saved_views() == ["nuts"]


def test_rules_may_ask_for_picture_statistics(lab):
    """A rule over brightness measures the pictures first."""
    dark = lab.create_slice("dark", rule="brightness < 0.4")
    assert set(dark.members) == set(lab.units("v3").query("dark").index)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda lab: lab.create_slice("", units=["part_000.png"]), InvalidInputError, "non-empty"),
        (lambda lab: lab.create_slice("x", units=["nowhere.png"]), InvalidInputError, "nowhere.png"),
        (lambda lab: lab.create_slice("x", rule="labl == 'nut'"), RuleError, "Did you mean 'label'"),
        (lambda lab: lab.create_slice("x", rule="__import__('os')"), RuleError, "__import__"),
        (lambda lab: lab.create_slice("x", rule="label == 'screw'"), InvalidInputError, "screw"),
        (lambda lab: lab.rename_slice("none", "x"), NotFoundError, "no slice 'none'"),
        (lambda lab: lab.promote(3, bar=sl.Bar("accuracy", at_least=0.5), suite="s"), InvalidInputError, "int"),
    ],
)
def test_wrong_curation_is_named_and_changes_nothing(parts, call, error, words):
    """A wrong call gives a typed error and leaves no trace."""
    before = content(parts)
    with pytest.raises(error, match=words):
        call(parts)
    assert content(parts) == before


def test_a_slice_from_fiftyones_own_expression(lab):
    """What a ViewField expression matches now becomes the members; what can't be matched is refused in words."""
    from fiftyone import ViewField

    made = lab.create_slice("by FiftyOne", rule=(ViewField("line") == "A") & (ViewField("dark") == True))  # noqa: E712
    units = lab.units("v3")
    assert set(made.members) == set(units.index[(units["line"] == "A") & units["dark"]])
    assert made.rule is None
    assert made.note.startswith("FiftyOne: ")
    assert "$line" in made.note
    with pytest.raises(RuleError, match="FiftyOne can't match by"):
        lab.create_slice("broken", rule=ViewField("line") / 2 > 1)  # a text, divided
    with pytest.raises(InvalidInputError, match="A rule is a text"):
        lab.create_slice("no rule", rule=3)
    with pytest.raises(InvalidInputError, match="not both"):
        lab.create_slice("both", rule=ViewField("dark"), units=list(units.index[:2]))
    lab.delete_slice("by FiftyOne")
