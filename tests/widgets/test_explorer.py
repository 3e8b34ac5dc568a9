"""The explorer without a browser: gestures arrive as the messages that the browser sends."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from slicelab.core import Bar, InvalidInputError, NotFoundError, StateError
from slicelab.widgets import Explorer

KNIVES = [0, 4, 8, 12]


def shown(gallery) -> list[int]:
    return np.frombuffer(gallery.rows, dtype="<i4").tolist()


def highlighted(explorer) -> list[int]:
    assert explorer.map.dimmed == (explorer.map.rows is not None)
    return sorted(np.frombuffer(explorer.map.selected, dtype="<i4").tolist())


def key_of(explorer, name: str) -> str:
    return next(row["key"] for row in explorer.table.rows if row["name"] == name)


def test_starts_with_all_units_failures_first(explorer, units) -> None:
    """Without a selection the pictures are all units: failures first, the greatest loss first."""
    first = shown(explorer.gallery)
    expected = units.assign(row=range(len(units))).sort_values(["failure", "loss"], ascending=False)["row"].tolist()
    assert first == expected
    assert explorer.selection == []
    assert explorer.gallery.title == f"nothing selected · failures of all 200: {100 * units.failure.mean():.1f} %"


def test_lasso_selects_everywhere(explorer, lasso, units) -> None:
    """A lasso on the map gives the ids, the pictures, the line of text and one call of each listener."""
    heard = []
    explorer.on_select(heard.append)
    lasso(explorer.map, [0, 1, 2, 3])
    assert explorer.selection == list(units.index[:4])
    assert sorted(shown(explorer.gallery)) == [0, 1, 2, 3]
    failures = int(units.failure.iloc[:4].sum())
    assert explorer.gallery.title.startswith(f"4 selected · {failures} failure")
    assert heard == [list(units.index[:4])]


def test_lasso_of_one_outcome_forgets_the_former_one(explorer, lasso, units) -> None:
    """A second lasso that holds only failures leaves nothing of the first one."""
    fails = np.flatnonzero(units.failure)[:3].tolist()
    lasso(explorer.map, list(range(50)))
    lasso(explorer.map, fails)
    assert explorer.selection == list(units.index[fails])


def test_double_click_gives_the_selection_up(explorer, lasso) -> None:
    """A selection of nothing shows everything again."""
    lasso(explorer.map, [0, 1])
    assert len(explorer.selection) == 2
    lasso(explorer.map, [])
    assert explorer.selection == []
    assert len(shown(explorer.gallery)) == 200


def test_row_of_the_table_selects_its_members(explorer, send, units) -> None:
    """A candidate that is clicked is highlighted on the map and shown as pictures, in its own order."""
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "knife taken for its neighbour")]})
    knives = np.flatnonzero(units.label == "knife")
    assert highlighted(explorer) == knives.tolist()
    assert explorer.selection == list(units.index[knives])
    assert explorer.actions.name == "knife taken for its neighbour"
    send(explorer.table, {"kind": "pick", "keys": []})
    assert explorer.selection == []
    assert highlighted(explorer) == []
    assert explorer.actions.name == ""


def test_a_typed_name_is_not_overwritten(explorer, send) -> None:
    """The suggestion of a candidate's name gives way to what a person typed."""
    explorer.actions.name = "mine"
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "knife taken for its neighbour")]})
    assert explorer.actions.name == "mine"


def test_select_by_code(explorer, units) -> None:
    """`select` does what a gesture does, and refuses ids that aren't there."""
    heard = []
    explorer.on_select(heard.append)
    ids = [units.index[7], units.index[3], units.index[7]]
    explorer.select(ids)
    assert explorer.selection == [units.index[7], units.index[3]]
    assert highlighted(explorer) == [3, 7]
    assert heard == [explorer.selection]
    with pytest.raises(NotFoundError, match=r"1 of 2 ids.*'nobody'"):
        explorer.select([units.index[0], "nobody"])
    assert len(explorer.selection) == 2
    explorer.select([])
    assert explorer.selection == []


def test_click_on_a_point_opens_its_picture(explorer, lasso) -> None:
    """A point outside the selection becomes the selection; its picture is opened."""
    lasso(explorer.map, [5], click=True)
    assert explorer.gallery.picked == 5
    assert explorer.selection == []
    lasso(explorer.map, [0, 1])
    lasso(explorer.map, [9], click=True)
    assert explorer.gallery.picked == 9
    assert explorer.selection == ["0009.png"]


def test_new_slice_is_saved_and_chosen(explorer, lasso, desk, units) -> None:
    """New slice asks the desk once, says the version, and chooses the new row."""
    assert explorer.actions.missing["new"]
    lasso(explorer.map, KNIVES)
    assert explorer.actions.missing["new"] == "Type a name first."
    explorer.actions.name = " edge-on "
    assert not explorer.actions.missing["new"]
    explorer.actions.press("new")
    assert desk.kept["edge-on"].members == tuple(units.index[KNIVES])
    assert explorer.notice.kind == "saved"
    assert explorer.notice.text == "saved, version 1: edge-on (4 units)"
    assert explorer.table.picked == [key_of(explorer, "edge-on")]
    assert explorer.actions.name == ""


def test_lasso_then_add_and_remove(explorer, lasso, send, desk, units) -> None:
    """The chosen slice stays chosen while other units are lassoed, so that they can be added or removed."""
    desk.create_slice("s", units=list(units.index[:2]))
    explorer.refresh()
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    lasso(explorer.map, [1, 2, 3])
    explorer.actions.press("add")
    assert desk.kept["s"].members == tuple(units.index[:4])
    assert explorer.notice.text == "saved, version 2: s (4 units)"
    explorer.actions.press("remove")
    assert desk.kept["s"].members == (units.index[0],)
    assert [row["size"] for row in explorer.table.rows if row["name"] == "s"] == [1]


def test_rename_merge_delete_undo_redo(explorer, send, desk, units) -> None:
    """Each button does its one thing, and the table follows."""
    desk.create_slice("a", units=list(units.index[:2]))
    desk.create_slice("b", units=list(units.index[2:4]))
    explorer.refresh()
    act = explorer.actions
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "a")]})
    act.name = "c"
    act.press("rename")
    assert sorted(desk.kept) == ["b", "c"]
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "c"), key_of(explorer, "b")]})
    assert act.missing["delete"]
    act.name = "both"
    act.press("merge")
    assert {name: len(s) for name, s in desk.kept.items()} == {"both": 4}
    act.press("delete")
    assert desk.kept == {}
    assert explorer.notice.text == "deleted: both (Undo brings it back)"
    assert explorer.table.picked == []
    act.press("undo")
    assert explorer.notice.text == "undone: delete both"
    assert next(row["name"] for row in explorer.table.rows) == "both"
    act.press("redo")
    assert desk.kept == {}


def test_promote_and_queue(explorer, send, desk, units) -> None:
    """The fields of test case and queue arrive at the desk as they are shown."""
    desk.create_slice("s", units=list(units.index[:3]))
    explorer.refresh()
    act = explorer.actions
    assert act.missing["promote"]
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    act.metric, act.sense, act.bar, act.suite = "error_rate", "≤", 0.1, "nightly"
    act.press("promote")
    assert (desk.cases[0].bar, desk.cases[0].suite) == (Bar("error_rate", at_most=0.1), "nightly")
    assert explorer.notice.text.startswith("saved, version 1: case s (error_rate <= 0.1)")
    act.reason, act.queue = "investigate", "round-7"
    act.press("enqueue")
    assert desk.queued == {"round-7/investigate": set(units.index[:3])}
    assert explorer.notice.text == "saved: 3 units of s are new in queue round-7"


def test_a_refusal_is_shown_and_nothing_else_changes(explorer, lasso, desk, units) -> None:
    """What the desk refuses is told with its traceback; selection and name stay for another try."""
    desk.create_slice("taken", units=[units.index[0]])
    lasso(explorer.map, [1, 2])
    explorer.actions.name = "taken"
    explorer.actions.press("new")
    assert explorer.notice.kind == "error"
    assert explorer.notice.text.startswith("InvalidInputError: A slice named 'taken' is there already")
    assert "create_slice" in explorer.notice.details
    assert explorer.selection == list(units.index[1:3])
    assert explorer.actions.name == "taken"


def test_a_conflict_shows_the_other_persons_change(explorer, lasso, send, desk, units) -> None:
    """After a conflict the table holds what is stored now."""
    desk.create_slice("s", units=[units.index[0]])
    explorer.refresh()
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    lasso(explorer.map, [1])
    desk.add_to_slice("s", [units.index[5]])
    explorer.actions.press("add")
    assert explorer.notice.text.startswith("ConflictError: ")
    assert [row["version"] for row in explorer.table.rows if row["name"] == "s"] == [2]


def test_errors_of_listeners_are_shown(explorer, lasso) -> None:
    """A listener that fails is told in the pane, and the other listeners still hear."""
    heard = []
    explorer.on_select(lambda ids: 1 / 0)
    explorer.on_select(heard.append)
    lasso(explorer.map, [1])
    assert explorer.notice.text == "ZeroDivisionError: division by zero"
    assert heard == [["0001.png"]]


def test_unknown_messages_and_keywords_are_refused(explorer, send, units, projection, desk) -> None:
    """A message of an unknown kind is told in the pane; an unknown keyword is refused with a hint."""
    for content in ({"kind": "eval"}, {}, "text", None):
        explorer.notice.say("")
        send(explorer.gallery, content)
        assert "unknown message" in explorer.notice.text
    with pytest.raises(InvalidInputError, match=r"Explorer has no keyword 'hight'\. Did you mean 'height'"):
        Explorer(units, projection, desk=desk, hight=3)
    with pytest.raises(InvalidInputError, match="lack the columns 'loss'"):
        Explorer(units.drop(columns="loss"), projection, desk=desk)
    with pytest.raises(InvalidInputError, match=r"shape \(200, 2\)"):
        Explorer(units, projection[:-1], desk=desk)


def test_members_of_other_models_are_left_out(explorer, desk, send, units) -> None:
    """A slice may hold units that this frame doesn't have: they are counted in words, not selected."""
    desk.create_slice("s", units=[units.index[0], "x#pred:v4:1"])
    explorer.refresh()
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    assert explorer.selection == [units.index[0]]
    row = next(row for row in explorer.table.rows if row["name"] == "s")
    assert row["size"] == 1
    assert "1 members are not among these units" in row["description"]


def test_still_page_and_bundle(explorer, lasso, desk) -> None:
    """A saved notebook holds a page without script; `to_html` adds pictures of the selection."""
    lasso(explorer.map, [0, 1, 2])
    page = explorer.to_html()
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("data:image/png;base64,") == 1
    assert "<script" not in page
    assert "3 selected" in page
    assert "knife taken for its neighbour" in page


def test_a_cell_shows_the_widget_and_a_still_page(explorer, lasso, outputs) -> None:
    """Two outputs: the still page, with a picture for PDF, and the widget; `freeze` puts in what is selected now."""
    explorer._ipython_display_()
    (empty, widget), (still,) = outputs["display"], outputs["update"]
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert "text/html" not in widget  # else an export would show the page twice
    assert widget["text/plain"] == "Explorer(model v3, 200 units, 0 slices, 2 candidates)"
    assert empty == {"text/plain": ""}
    assert still["text/html"].startswith(f'<div class="slicelab-still-{explorer.map.address}">')
    assert "nothing selected" in still["text/html"]
    assert still["text/html"].count("data:image/jpeg;base64,") == 18
    assert base64.b64decode(still["image/png"]).startswith(b"\x89PNG")
    assert len(still["text/html"]) < 250_000
    lasso(explorer.map, [0, 1, 2])
    explorer.freeze()
    assert "3 selected" in outputs["update"][1]["text/html"]


def test_freezing_what_was_not_shown_is_refused(explorer) -> None:
    """Without an output there is nothing to put the page into, and the error says so."""
    with pytest.raises(StateError, match="Show the explorer in a cell first"):
        explorer.freeze()


@pytest.fixture
def outputs(monkeypatch) -> dict[str, list[dict]]:
    """The bundles that IPython is given to show, and to put in the place of shown ones."""
    from IPython.core.interactiveshell import InteractiveShell

    seen = {"display": [], "update": []}
    shell = InteractiveShell.instance()
    publish = lambda data, *_, update=False, **__: seen["update" if update else "display"].append(data)  # noqa: E731
    monkeypatch.setattr(shell.display_pub, "publish", publish)
    yield seen
    InteractiveShell.clear_instance()


def test_hostile_text_only_escaped(fakes) -> None:
    """No label, name, note, id or model's name gets into HTML or plotly as markup."""
    units = fakes.make_units(200, classes=fakes.HOSTILE)
    units.index = [f"{text} {i}" for i, text in enumerate(list(fakes.HOSTILE) * 10)]
    desk = fakes.FakeDesk(units, broken=list(units.index[:5]))
    for text in fakes.HOSTILE:
        desk.create_slice(text, units=list(units.index[:3]))
        desk.note_slice(text, text)
    explorer = Explorer(units, fakes.make_projection(), desk=desk, model=fakes.HOSTILE[0])
    explorer.map.recolour("label")
    page = explorer.to_html()
    explorer.select(list(units.index[:3]))
    plot = str([explorer.map.layers, explorer.map.outlines, explorer.map.scale])
    for text in fakes.HOSTILE:
        if "<" in text:
            assert text not in page
            assert text not in plot
    assert "&lt;script&gt;window.__pwned=1&lt;/script&gt;" in page
    assert "<script" not in plot
    assert "$\\\\href" not in plot
    assert "\u202e" not in page + plot + str(explorer.table.rows)


def test_another_colour_keeps_the_selection(explorer, lasso, units) -> None:
    """The map can be coloured again and again; it stays selected, and lassos tell exactly what they hold."""
    chosen = [0, 1, 2, 3, 4]
    explorer.select(list(units.index[chosen]))
    for colour in ("label", "confidence", "brightness", "outcome"):
        explorer.map.recolour(colour)
        assert highlighted(explorer) == chosen
        assert explorer.notice.kind == "plain"
        chosen = [row + 7 for row in chosen]
        lasso(explorer.map, chosen)
        assert explorer.selection == list(units.index[chosen])


def test_a_better_map_moves_what_is_placed(explorer, lasso, send, units, projection) -> None:
    """Other places reach the map, the outlines and the order by typicality; the selection stays."""
    lasso(explorer.map, [0, 1, 2, 3])
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "knife taken for its neighbour")]})
    (before,) = explorer.map.outlines
    selected = explorer.selection
    order = explorer.gallery.rows
    middle = np.full(2, 100.0)
    moved = projection[::-1] + middle
    explorer.move(moved)
    (after,) = explorer.map.outlines
    assert explorer.selection == selected
    np.testing.assert_array_equal(np.frombuffer(explorer.map.places, "<f4").reshape(-1, 2), moved.astype(np.float32))
    np.testing.assert_allclose([after["x"], after["y"]], np.median(moved[highlighted(explorer)], axis=0), rtol=1e-5)
    assert (before["x"], before["y"]) != (after["x"], after["y"])
    assert explorer.gallery.rows == order  # what a person looks at doesn't jump
    explorer.select(selected)
    explorer.gallery.sort("nearest the border")
    fresh = Explorer(units, moved, desk=explorer._desk, model="v3")
    fresh.select(selected)
    fresh.gallery.sort("nearest the border")
    assert shown(explorer.gallery) == shown(fresh.gallery)


def test_new_slice_from_a_rule(explorer, desk) -> None:
    """An expression makes a slice, frozen with its rule; a wrong one is told and nothing is made."""
    act = explorer.actions
    act.name, act.rule = "dark knives", 'label == "knife" and brightness < 0.2'
    act.press("from_rule")
    made = desk.kept["dark knives"]
    assert made.rule == 'label == "knife" and brightness < 0.2'
    assert 0 < len(made) < 50
    assert set(explorer.selection) == set(made.members)  # what a button does next is done to what is seen
    act.name, act.rule = "other", "labl == 3"
    act.press("from_rule")
    assert explorer.notice.text.startswith("RuleError: ")
    assert "Did you mean 'label'" in explorer.notice.text
    assert list(desk.kept) == ["dark knives"]


def test_a_rule_is_its_own_name_where_none_was_typed(explorer, send, desk) -> None:
    """The name that a chosen candidate suggests is not that of a slice from a rule."""
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "knife taken for its neighbour")]})
    explorer.actions.rule = 'label == "cup"'
    explorer.actions.press("from_rule")
    assert list(desk.kept) == ['label == "cup"']
    assert explorer.actions.name == ""


def test_note_and_split(explorer, send, desk, units) -> None:
    """A note is written; a slice is put into parts, of which the first is chosen."""
    desk.create_slice("s", units=list(units.index[:9]))
    explorer.refresh()
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    explorer.actions.note = "look"
    explorer.actions.press("write_note")
    assert desk.kept["s"].note == "look"
    explorer.actions.parts = 3
    explorer.actions.press("split")
    assert {name: len(s) for name, s in desk.kept.items()} == {"s 1": 3, "s 2": 3, "s 3": 3}
    assert explorer.table.picked == [key_of(explorer, "s 1")]


def test_confirm_and_dismiss(explorer, send, desk) -> None:
    """A candidate becomes a slice, or is dismissed with a reason; without one the button says what is missing."""
    act = explorer.actions
    send(explorer.table, {"kind": "pick", "keys": ["candidate 1"]})
    act.press("confirm")
    assert len(desk.kept["knife taken for its neighbour"]) == 50
    send(explorer.table, {"kind": "pick", "keys": ["candidate 2"]})
    assert act.missing["dismiss"]
    assert act.missing["dismiss"] == "Say why first."
    act.why = "an artefact"
    act.press("dismiss")
    row = next(row for row in explorer.table.rows if row["key"] == "candidate 2")
    assert row["status"] == "dismissed"
    assert row["description"].startswith("an artefact · ")
    assert next(row for row in explorer.table.rows if row["key"] == "candidate 1")["status"] == "kept"


def test_keys_press_buttons_or_say_what_is_missing(explorer, lasso, send, desk, units) -> None:
    """A letter does what its button does; where it can't, it says why; an unknown one does nothing."""
    send(explorer.shortcuts, {"kind": "key", "key": "a"})
    assert explorer.notice.text == "Add to slice: Select units first. Choose one slice in the table first."
    desk.create_slice("s", units=[units.index[0]])
    explorer.refresh()
    send(explorer.table, {"kind": "pick", "keys": [key_of(explorer, "s")]})
    lasso(explorer.map, [5])
    send(explorer.shortcuts, {"kind": "key", "key": "a"})
    assert len(desk.kept["s"]) == 2
    send(explorer.shortcuts, {"kind": "key", "key": "u"})
    assert len(desk.kept["s"]) == 1
    before = explorer.notice.text
    send(explorer.shortcuts, {"kind": "key", "key": "ß"})
    assert explorer.notice.text == before


def test_marked_pictures_become_the_selection(explorer, lasso, send, units) -> None:
    """Marked tiles are kept, or taken out; the map and the inspector follow."""
    lasso(explorer.map, [0, 4, 8, 12])
    send(explorer.gallery, {"kind": "choose", "way": "subtract", "rows": [4, 12]})
    assert highlighted(explorer) == [0, 8]
    send(explorer.gallery, {"kind": "choose", "way": "replace", "rows": [3]})
    assert explorer.selection == [units.index[3]]
    assert explorer.inspector.groups[0]["lines"][0]["words"].endswith(" of 1")
    send(explorer.gallery, {"kind": "choose", "way": "replace", "rows": [200]})
    assert "Rows are 0 to 199" in explorer.notice.text


def test_inspector_follows_and_finds_a_rule(explorer, lasso, send, units) -> None:
    """A selection's figures against the rest; a rule goes into the field of rules; none is said."""
    lasso(explorer.map, list(range(0, 200, 4)))
    titles = [group["title"] for group in explorer.inspector.groups]
    assert titles == ["Failures", "Confusions", "What sets it apart"]
    failures = int(units.failure[::4].sum())
    assert explorer.inspector.groups[0]["lines"][0]["words"] == f"{failures} of 50"
    send(explorer.inspector, {"kind": "describe"})
    assert explorer.actions.rule == "brightness < 0.5"
    assert explorer.inspector.groups[-1]["title"] == "Rule"
    lasso(explorer.map, [1])
    send(explorer.inspector, {"kind": "describe"})
    assert explorer.notice.text.startswith("No rule over")
    lasso(explorer.map, [])
    assert explorer.inspector.groups == []


def test_orders_and_neighbours_of_the_gallery(explorer, lasso, send, units) -> None:
    """Another order shows the same units sorted; a picture's neighbours are handled right and of its label."""
    lasso(explorer.map, list(range(20)))
    send(explorer.gallery, {"kind": "sort", "order": "least confident"})
    expected = units["confidence"].iloc[:20].to_numpy().argsort(kind="stable").tolist()
    assert shown(explorer.gallery) == expected
    ((content, _),) = send(explorer.gallery, {"kind": "near", "row": 2})
    assert len(content["rows"]) == 6
    near = units.iloc[content["rows"]]
    assert set(near["label"]) == {units["label"].iloc[2]}
    assert not near["failure"].any()
    send(explorer.gallery, {"kind": "sort", "order": "by magic"})
    assert explorer.gallery.order == "least confident"
    assert "order" in explorer.notice.text


def test_discovery_is_told_and_found(explorer, desk, fakes, units) -> None:
    """The button begins a search; its progress is shown, and what it finds takes the place of the old candidates."""
    explorer.table._handle_custom_msg({"kind": "pick", "keys": ["candidate 1"]}, [])
    explorer.actions.press("discover")
    assert explorer.notice.work == "Discovering slices"
    assert explorer.actions.missing["discover"]
    desk.work.tell("Measuring", 0.25)
    assert (explorer.notice.work, explorer.notice.share) == ("Measuring", 0.25)
    desk.work.done(fakes.make_candidates(units, ["spoon"]))
    assert [row["name"] for row in explorer.table.rows] == ["spoon taken for its neighbour"]
    assert explorer.table.picked == []  # it was another candidate that had this key
    assert explorer.notice.work == ""
    assert explorer.notice.text == "1 candidates, 0 of them confirmed on held-out units"
    assert not explorer.actions.missing["discover"]


def test_discovery_is_stopped_or_fails(explorer, desk) -> None:
    """Cancel stops it and changes nothing; an error is shown with its traceback; both can be tried again."""
    before = list(explorer.table.rows)
    explorer.actions.press("discover")
    explorer.notice._handle_custom_msg({"kind": "cancel"}, [])
    assert desk.work.stopped
    assert explorer.notice.text == "stopped; the candidates are as they were"
    explorer.actions.press("discover")
    desk.work.failed(StateError("No vectors."))
    assert explorer.notice.text == "StateError: No vectors."
    assert explorer.table.rows == before
    assert (explorer.notice.work, explorer.actions.missing["discover"]) == ("", "")
    explorer.notice._handle_custom_msg({"kind": "cancel"}, [])  # a late click
    assert explorer.notice.text == "StateError: No vectors."


def test_what_is_typed_and_pressed_arrives_in_order(explorer, lasso, send, desk, units) -> None:
    """Each key stroke and each press is a message: a slice never gets half of its name."""
    lasso(explorer.map, KNIVES)
    for typed in ("e", "ed", "edge"):
        send(explorer.actions, {"kind": "write", "field": "name", "value": typed})
    send(explorer.actions, {"kind": "press", "button": "new"})
    assert desk.kept["edge"].members == tuple(units.index[KNIVES])
    assert explorer.actions.name == ""


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"kind": "write", "field": "parts", "value": 21}, "parts"),
        ({"kind": "write", "field": "bar", "value": -1}, "bar"),
        ({"kind": "write", "field": "metric", "value": "luck"}, "metric"),
        ({"kind": "write", "field": "name", "value": {"a": 1}}, "name"),
        ({"kind": "write", "field": "missing", "value": {}}, "no field 'missing'"),
        ({"kind": "press", "button": "format disk"}, "no button 'format disk'"),
    ],
)
def test_a_field_takes_only_what_it_is_for(explorer, send, message, words) -> None:
    """A value or a name that can't be is refused, said, and changes nothing."""
    act = explorer.actions
    before = (act.parts, act.bar, act.metric, act.name, act.missing)
    send(act, message)
    assert explorer.notice.kind == "error"
    assert words in explorer.notice.text
    assert (act.parts, act.bar, act.metric, act.name, act.missing) == before
