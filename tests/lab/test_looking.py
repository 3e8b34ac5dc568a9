"""What the explorer asks about units, on a real database; dismissals that last; edits of what was seen before."""

import numpy as np
import pytest

import slicelab as sl
from slicelab.core import ConflictError, InvalidInputError, NotFoundError, StateError

pytestmark = pytest.mark.mongo


def dark_nuts(lab):
    return list(lab.units("v3").query("label == 'nut' and dark").index)


def test_inspect_says_what_is_special(parts):
    """The planted failure is told by its confusion, by the model that fails, and by the column behind it."""
    found = parts.inspect(dark_nuts(parts), "v3")
    assert (found.size, found.failures) == (20, 20)
    assert found.rest_rate == 0
    assert found.confusions[0].words == "nut → bolt"
    assert {share.words: share.count for share in found.agreement}["only v3"] >= 18
    contrast = {c.column: c for c in found.contrasts}
    assert (contrast["dark"].value, contrast["dark"].inside) == ("True", 1.0)
    assert contrast["label"].value == "nut"
    with pytest.raises(NotFoundError, match="'nobody'"):
        parts.inspect(["nobody"], "v3")


def test_describe_finds_the_rule(parts):
    """The expression that was planted comes back, in the language of rules."""
    rule = parts.describe(dark_nuts(parts), "v3")
    assert rule is not None
    assert rule.precision == rule.recall == 1.0
    made = parts.create_slice("by its rule", rule=rule.expression, model="v3")
    assert set(made.members) == set(dark_nuts(parts))


def test_neighbours_are_right_and_of_the_same_label(parts):
    """The nearest handled ones are by hand: no failure, same label, nearest first, not the unit itself."""
    units, unit = parts.units("v3"), dark_nuts(parts)[0]
    near = parts.neighbours(unit, "v3", count=5)
    ids, vectors = parts.embeddings()
    right = [u for u in ids if u != unit and units.label[u] == "nut" and not units.failure[u]]
    place = {u: vectors[i] for i, u in enumerate(ids)}
    assert near == sorted(right, key=lambda u: np.square(place[u] - place[unit]).sum())[:5]
    assert parts.neighbours("nobody", "v3") == []


def test_regroup_splits_by_looks(parts):
    """Bright and dark nuts look different: clustered again they are parts of their own; undo joins them."""
    units = parts.units("v3")
    nuts = parts.create_slice("nuts", units=list(units.index[units["label"] == "nut"]))
    made = parts.regroup_slice(nuts, 2)
    assert [s.name for s in made] == ["nuts 1", "nuts 2"]
    assert [len(s) for s in made] == [60, 20]
    assert set(made[1].members) == set(dark_nuts(parts))
    parts.undo()
    assert set(parts.slice("nuts").members) == set(nuts.members)
    with pytest.raises(InvalidInputError, match="2 parts or more"):
        parts.regroup_slice("nuts", 1)
    with pytest.raises(StateError, match="at least 21"):
        parts.regroup_slice(parts.create_slice("few", units=dark_nuts(parts)), 21)


def test_a_dismissal_is_remembered_by_the_next_discovery(parts):
    """A dismissed candidate is in no list of slices, is recognised when it is found again, and can be taken back."""
    for made in parts.slices():
        parts.delete_slice(made)
    first = parts.discover("v3", progress=False)[0]
    with pytest.raises(InvalidInputError, match="needs a reason"):
        parts.dismiss(first, reason=" ")
    before = [s.name for s in parts.slices()]
    gone = parts.dismiss(first, reason="an artefact")
    assert gone.model == "v3"
    assert [s.name for s in parts.slices()] == before
    assert gone.name not in parts.dataset.list_saved_views()
    again = sl.open(parts.name)
    found = list(again.discover("v3", random_state=1, progress=False))
    reasons = again.dismissals(found)
    assert reasons[0] == "an artefact"
    explorer = again.explore("v3")
    row = next(row for row in explorer.table.rows if row["key"] == "candidate 1")
    assert row["status"] == "dismissed"
    assert row["description"].startswith("an artefact")
    assert "dismissed" in again.undo()
    assert again.dismissals(found)[0] == ""
    again.redo()
    assert again.dismissals(found)[0] == "an artefact"
    assert parts.dismiss(first, reason="once more").name != gone.name


def test_what_became_a_slice_is_not_proposed_again(parts):
    """A confirmed candidate, found by another discovery too, stands in the table as the slice that it became."""
    kept = parts.promote_slice(parts.discover("v3", progress=False)[0], name="nuts in the dark")
    again = sl.open(parts.name)
    found = list(again.discover("v3", random_state=1, progress=False))
    assert again.kept_as(found)[0] == kept.name
    rows = {row["key"]: row for row in again.explore("v3").table.rows}
    assert rows["candidate 1"]["status"] == "kept"
    assert "is slice nuts in the dark" in rows["candidate 1"]["description"]
    same = set(kept.members) == set(found[0].unit_ids)
    assert not same or rows["candidate 1"]["lift"] == rows[f"slice {kept.slice_id}"]["lift"]
    again.delete_slice(kept)
    assert again.kept_as(found)[0] == ""


def test_an_edit_of_what_was_seen_before_is_refused(parts):
    """A slice as one person saw it, changed by another: a conflict, and the other's change stands."""
    seen = parts.create_slice("shared", units=dark_nuts(parts))
    other = sl.open(parts.name)
    other.note_slice("shared", "theirs")
    for change in (
        lambda: parts.note_slice(seen, "mine"),
        lambda: parts.rename_slice(seen, "mine"),
        lambda: parts.delete_slice(seen),
        lambda: parts.remove_from_slice(seen, list(seen.members[:1])),
        lambda: parts.regroup_slice(seen, 2),
    ):
        with pytest.raises(ConflictError, match="version 2"):
            change()
    assert parts.slice("shared").note == "theirs"
    assert parts.note_slice("shared", "by name").version == 3


def test_explore_compares_models_and_opens_as_it_was(parts):
    """The table has the rate under the other model, the map a colour for who is wrong; `state` opens it again."""
    parts.create_slice("dark", units=dark_nuts(parts))
    explorer = parts.explore("v3")
    row = next(row for row in explorer.table.rows if row["name"] == "dark")
    assert row["failure_rate"] == 1.0
    assert "failures of v3" not in row  # that is the rate
    assert row["failures of v4"] < 0.5
    assert row["confusion"] == "nut → bolt (100%)"
    explorer.map.recolour("wrong under")
    names = {layer["name"].rsplit(" ", 1)[0] for layer in explorer.map.layers}
    assert {"none", "only v3", "only v4"} <= names
    explorer.gallery.sort("least confident")
    explorer.table.picked = [row["key"]]
    explorer.select(dark_nuts(parts)[:3])
    again = sl.open(parts.name).explore("v3", state=explorer.state)
    assert again.state == explorer.state
    assert again.selection == dark_nuts(parts)[:3]
    with pytest.raises(InvalidInputError, match=r"A state holds 'colour'.*got 'zoom'"):
        parts.explore("v3", state={"zoom": 3})
