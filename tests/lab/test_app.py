"""FiftyOne's App beside the explorer, and SliceLab's operators in it: FiftyOne's own server and executor."""

import time
from pathlib import Path

import httpx
import pytest

import slicelab as sl
from slicelab.store import install_plugin

pytestmark = [pytest.mark.mongo, pytest.mark.slow]

PLUGIN = Path(sl.__file__).parent / "lab" / "fiftyone_plugin"


@pytest.fixture
def run(parts, tmp_path, monkeypatch):
    """A function that runs one of our operators as the App's server does; FiftyOne finds it by its folder."""
    import fiftyone as fo
    import fiftyone.operators as foo

    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    placed = install_plugin(PLUGIN)
    assert placed.is_symlink()
    assert install_plugin(PLUGIN) == placed  # again is no harm

    def give(operator, *, selected=(), **params):
        context = {"dataset": parts.dataset, "view": parts.dataset.view(), "selected": list(selected)}
        answer = foo.execute_operator(f"@slicelab/slicelab/{operator}", ctx=context, params=params)
        return answer.result

    return give


def test_operators_do_what_the_lab_does(parts, run):
    """Discover, keep, promote and queue from the App: there in the lab; a refusal is said, and nothing is saved."""
    said = run("discover", model="v3")
    assert said["saved"]
    assert "kept" in said["said"]
    ids = dict(zip(*parts.dataset.values(["key", "id"]), strict=True))
    keys = list(parts.units("v3").index[:3])
    said = run("keep_slice", selected=[ids[key] for key in keys], name="from the App", model="v3")
    assert said["said"] == "saved, version 1: from the App (3 units)"
    assert set(parts.slice("from the App").members) == set(keys)
    again = run("keep_slice", selected=[ids[keys[0]]], name="from the App", model="v3")
    assert not again["saved"]
    assert "from the App" in again["said"]
    assert run("promote", slice="from the App", metric="recall", at_least=0.9, suite="app")["saved"]
    assert [case.name for case in parts.suite("app").cases] == ["from the App"]
    assert run("queue", slice="from the App", queue="app", reason="relabel")["said"].startswith("saved: 3 units")
    assert len(parts.queue("app").items()) == 3


def tell_server(app, ids):
    """Tell the App's server that another client selected samples, as a page does when a person clicks pictures."""
    origin = app.url.split("/datasets/")[0]
    event = {"event": "select_samples", "data": {"samples": [{"id": i} for i in ids]}, "subscription": "a page"}
    assert httpx.post(f"{origin}/event", json=event).status_code == 200


def test_selection_follows_both_ways(parts):
    """The explorer's selection is the App's, and the App's the explorer's, without an echo."""
    explorer = parts.explore("v3")
    app = parts.open_app(explorer)
    try:
        units = list(explorer._units.index[:4])
        explorer.select(units)
        assert sorted(app.selected()) == sorted(units)
        heard = []
        explorer.on_select(heard.append)
        ids = dict(zip(*parts.dataset.values(["key", "id"]), strict=True))
        other = units[1:2]
        end = time.monotonic() + 60
        while explorer.selection != other and time.monotonic() < end:
            tell_server(app, [ids[key] for key in other])
            time.sleep(1)
        assert explorer.selection == other
        time.sleep(0.5)
        assert heard == [other]
    finally:
        app.close()


def test_slices_follow_both_ways(parts):
    """A slice made or chosen in the explorer is a view in the App; a view chosen there is chosen in the explorer."""
    parts.create_slice("dark ones", rule='label == "nut" and dark')
    explorer = parts.explore("v3")
    app = parts.open_app(explorer)
    try:
        explorer.select(list(explorer._units.index[:5]))
        explorer.actions.name = "made beside the App"
        explorer.actions.press("new")
        assert explorer.notice.kind == "saved", explorer.notice.text
        assert app.session.dataset.has_saved_view("made beside the App")
        explorer.pick("dark ones")
        assert app.session.view.name == "dark ones"
        assert len(app.session.view) == 20
        slug = app.session.dataset._get_saved_view_doc("made beside the App").slug
        end = time.monotonic() + 60
        while len(explorer.selection) != 5 and time.monotonic() < end:
            choose_view(app, slug)  # again: a session that has just joined may not listen yet
            time.sleep(1)
        assert len(explorer.selection) == 5
        assert [row["name"] for row in explorer.table.rows if row["key"] in explorer.table.picked] == [
            "made beside the App"
        ]
    finally:
        app.close()


def choose_view(app, slug):
    """Tell the App's server that a page chose a saved view."""
    origin, _ = app.url.split("/datasets/")
    query = """mutation look($dataset: String!, $slug: String!) {
        setView(subscription: "a page", session: null, datasetName: $dataset, savedViewSlug: $slug, form: {})}"""
    variables = {"dataset": app.session.dataset.name, "slug": slug}
    answer = httpx.post(f"{origin}/graphql", json={"query": query, "variables": variables}, timeout=30).json()
    assert not answer.get("errors"), answer
