"""In a notebook the explorer opens on a first map, and UMAP's arrives in it."""

import asyncio
import logging
import threading

import numpy as np
import pytest

import slicelab as sl
from slicelab import discovery
from slicelab.core import NotFoundError

THREAD = "slicelab map"


@pytest.fixture
def unmapped(load_parts, request):
    """A lab with vectors in five groups and without a map."""
    lab = load_parts(f"unmapped {request.node.name}", overwrite=True)
    rng = np.random.default_rng(0)
    n = len(lab.table.samples)
    lab.embed(rng.normal(size=(5, 16))[np.arange(n) % 5] * 3 + rng.normal(size=(n, 16)), progress=False)
    return lab


def _places(explorer):
    """Where the browser is told to paint the points."""
    return np.frombuffer(explorer.map.places, "<f4").reshape(-1, 2)


def _threads():
    return [t for t in threading.enumerate() if t.name == THREAD]


async def _until(true):
    while not true():
        await asyncio.sleep(0.02)


def test_it_opens_at_once_and_umap_arrives(unmapped):
    """In a loop: the principal components first, steps in between, the kept UMAP map in the end; the loop is free."""
    moved = []

    async def cell():
        explorer = unmapped.explore("v3")
        first = _places(explorer)
        assert not unmapped.has_map()
        assert explorer.notice.work == "Laying out the map"
        explorer.map.observe(lambda change: moved.append(change["new"]), "places")
        await _until(lambda: explorer.notice.work == "")
        return explorer, first

    explorer, first = asyncio.run(cell())
    units, vectors = unmapped.embeddings()
    np.testing.assert_array_equal(first, discovery.first_map(vectors))
    assert unmapped.has_map()
    wanted = unmapped.project(progress=False)
    assert wanted.index.tolist() == list(units)
    np.testing.assert_array_equal(_places(explorer), wanted.to_numpy())
    np.testing.assert_array_equal(wanted.to_numpy(), discovery.project(vectors))
    assert len(moved) > 1  # steps, and not only the end
    assert _threads() == []


def test_the_kept_map_is_shown_from_the_first(unmapped):
    """Once a map is kept, the explorer opens on it, and nothing goes on beside it."""
    wanted = unmapped.project(progress=False)

    async def cell():
        explorer = unmapped.explore("v3")
        assert explorer.notice.work == ""
        return explorer

    np.testing.assert_array_equal(_places(asyncio.run(cell())), wanted.to_numpy())
    assert _threads() == []


def test_outside_a_notebook_umap_is_made_first(unmapped):
    """Without a loop nobody would see it arrive: the explorer opens on the UMAP map."""
    explorer = unmapped.explore("v3")
    assert unmapped.has_map()
    np.testing.assert_array_equal(_places(explorer), unmapped.project(progress=False).to_numpy())
    assert _threads() == []


def test_units_move_to_their_own_places(unmapped):
    """An explorer with fewer units than the map, in another order, moves each to its own place."""
    units, _ = unmapped.embeddings()
    rng = np.random.default_rng(1)
    order = rng.permutation(len(units))
    unmapped.embed(rng.normal(size=(len(units), 8)), units=[units[i] for i in order], name="shuffled", progress=False)

    async def cell():
        explorer = unmapped.explore("v3", embeddings="shuffled")
        await _until(lambda: explorer.notice.work == "")
        return explorer

    explorer = asyncio.run(cell())
    wanted = unmapped.project("shuffled", progress=False)
    assert wanted.index.tolist() != units
    np.testing.assert_array_equal(_places(explorer), wanted.loc[units].to_numpy())


def test_vectors_that_change_meanwhile_move_no_unit_to_another_s_place(unmapped):
    """Vectors in another order and of fewer units, stored while it opens: each unit gets its own place, or none."""
    units, vectors = unmapped.embeddings()
    first = unmapped._maps.first

    def changed(name):
        frame = first(name)
        unmapped.embed(vectors[::-1][:100], units=units[::-1][:100], progress=False)
        return frame

    unmapped._maps.first = changed

    async def cell():
        explorer = unmapped.explore("v3")
        await _until(lambda: explorer.notice.work == "")
        return explorer

    explorer = asyncio.run(cell())
    kept = unmapped.project(progress=False)
    assert kept.index.tolist() == units[::-1][:100]
    np.testing.assert_array_equal(_places(explorer), kept.reindex(units).to_numpy())


@pytest.mark.parametrize("way", ["closed", "cancelled"])
def test_closing_or_cancelling_ends_the_work(unmapped, way, monkeypatch):
    """The thread ends at its next step, no map is kept, and the explorer stays as it was; later the map can be made."""
    begun, may_go_on = threading.Event(), threading.Event()
    project = discovery.project

    def watched(vectors, *, on_epoch, **more):
        def step(*values):
            begun.set()
            may_go_on.wait(60)
            on_epoch(*values)

        return project(vectors, on_epoch=step, **more)

    monkeypatch.setattr(discovery, "project", watched)

    async def cell():
        explorer = unmapped.explore("v3")
        first = _places(explorer)
        (thread,) = _threads()
        await _until(begun.is_set)
        explorer.close() if way == "closed" else explorer.notice.gestures()["cancel"]({})
        may_go_on.set()
        await _until(lambda: not thread.is_alive())
        await asyncio.sleep(0.05)
        return explorer, first

    explorer, first = asyncio.run(cell())
    monkeypatch.undo()
    np.testing.assert_array_equal(_places(explorer), first)
    assert explorer.notice.work == "" or way == "closed"
    assert explorer.notice.kind != "error"
    assert not unmapped.has_map()
    assert len(unmapped.project(progress=False)) == len(first)


def test_an_error_on_the_thread_is_shown(unmapped, caplog):
    """What goes wrong beside the notebook is logged and shown in the widget; the first map stays."""
    folder = unmapped._vectors._folder

    async def cell():
        explorer = unmapped.explore("v3")
        first = _places(explorer)
        await _until(lambda: explorer.notice.kind == "error")
        return explorer, first

    loaded = unmapped._vectors.load
    calls = []

    def gone(name):
        calls.append(name)
        if len(calls) == 2:  # the thread's
            next(folder.glob("*.npy")).unlink()
        return loaded(name)

    unmapped._vectors.load = gone
    with caplog.at_level(logging.ERROR, logger="slicelab"):
        explorer, first = asyncio.run(cell())
    assert "StoreError" in explorer.notice.text
    assert "gone from disk" in explorer.notice.text
    assert explorer.notice.work == ""
    assert "The map could not be made" in caplog.text
    np.testing.assert_array_equal(_places(explorer), first)


def test_who_comes_second_gets_the_same_map(unmapped):
    """Two explorers and `project` at once: the map is made once, and all have it."""
    made = []
    save = unmapped._vectors.save
    unmapped._vectors.save = lambda *a, **k: (made.append(a[0]), save(*a, **k))

    async def cell():
        explorers = [unmapped.explore("v3"), unmapped.explore("v4")]
        wanted = unmapped.project(progress=False)
        await _until(lambda: all(explorer.notice.work == "" for explorer in explorers))
        return explorers, wanted

    explorers, wanted = asyncio.run(cell())
    assert made == ["map of default"]
    for explorer in explorers:
        np.testing.assert_array_equal(_places(explorer), wanted.to_numpy())


def test_a_loop_that_is_gone_ends_the_work(unmapped):
    """When the kernel's loop ends before the map is there, the thread ends too, without an error."""

    async def cell():
        return unmapped.explore("v3"), _threads()

    explorer, (thread,) = asyncio.run(cell())
    thread.join(60)
    assert not thread.is_alive()
    assert explorer.notice.kind != "error"


def test_opening_in_a_notebook_warms_up(unmapped):
    """In a loop `open` prepares the first map on a thread, where none is kept; in a script it doesn't."""
    asked = "slicelab warm-up"

    async def cell():
        sl.open(unmapped.name)
        return [t for t in threading.enumerate() if t.name == asked]

    (thread,) = asyncio.run(cell())
    thread.join(120)
    sl.open(unmapped.name)
    assert asked not in {t.name for t in threading.enumerate()}
    unmapped.project(progress=False)
    assert asyncio.run(cell()) == []
    with pytest.raises(NotFoundError):
        sl.open("not there")
