"""The explorer as a person uses it: JupyterLab, Chromium, a mouse."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.browser

FAKES = Path(__file__).parents[1] / "widgets" / "fakes.py"
_spec = importlib.util.spec_from_file_location("browser_fakes", FAKES)
fakes = importlib.util.module_from_spec(_spec)
sys.modules["browser_fakes"] = fakes
_spec.loader.exec_module(fakes)

SETUP = """
from fakes import FakeDesk, HOSTILE, make_candidates, make_projection, make_units
from slicelab.widgets import Explorer
units, projection = make_units(COUNT), make_projection(COUNT)
desk = FakeDesk(units, broken=[units.index[5]])
explorer = Explorer(units, projection, desk=desk, candidates=make_candidates(units), model="v3")
"""
SHOW = "explorer"
LATE = "[anywidget] Failed to initialize model."
"""What anywidget says of a model that took long to start. We mend such models: the tests look at whether they hear."""

DRAWN = """() => { const map = document.querySelector('.slicelab-map'), canvas = map?.querySelector('.slicelab-field');
    return !!(map?.querySelector('.nsewdrag') && map.dataset.colour && Number(map.dataset.painted)
              && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)); }"""
"""Points are painted in the frame of plotly's, and pixels of the canvas say so."""


PAINTED = "() => document.querySelector('.slicelab-map').dataset.painted"
SELECTED_POINTS = "() => Number(document.querySelector('.slicelab-map').dataset.highlighted)"


def write_notebook(server, name: str, *cells: str, count: int = 200) -> str:
    shutil.copy(FAKES, server.folder / "fakes.py")
    sources = [cell.strip().replace("COUNT", str(count)) for cell in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(s) for s in sources], metadata=kernel), server.folder / name)
    return name


def lasso(page, corners: list[tuple[float, float]]) -> None:
    """Draw a lasso around a polygon in the map's own coordinates."""
    page.locator(".slicelab-map .js-plotly-plot").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    spots = page.evaluate(
        """corners => { const g = document.querySelector('.slicelab-map .js-plotly-plot'), l = g._fullLayout;
            const r = g.querySelector('.nsewdrag').getBoundingClientRect();
            const inside = (v, a, b) => Math.min(Math.max(v, a + 3), b - 3);  // outside, a drag is a zoom of the axis
            return corners.map(([x, y]) => [inside(r.left + l.xaxis.d2p(x), r.left, r.right),
                                            inside(r.top + l.yaxis.d2p(y), r.top, r.bottom)]); }""",
        corners,
    )
    page.mouse.move(*spots[0])
    page.mouse.down()
    for x, y in spots[1:]:
        page.mouse.move(x, y, steps=10)
    page.mouse.up()


def around(x: float, y: float, side: float = 1.9) -> list[tuple[float, float]]:
    return [
        (x - side, y - side),
        (x - side, y + side),
        (x + side, y + side),
        (x + side, y - side),
        (x - side + 0.1, y - side),
    ]


def loaded_pictures(page) -> int:
    return page.evaluate(
        "() => [...document.querySelectorAll('.slicelab-gallery .slicelab-tile img')]"
        ".filter(i => i.complete && i.naturalWidth > 1).length"
    )


def test_lasso_shows_pictures_and_keeps_a_slice(page, server, run_notebook, shoot) -> None:
    """Points lassoed with the mouse become pictures, a named slice, a row of the table and a saved version."""
    from playwright.sync_api import expect

    name = write_notebook(server, "explorer.ipynb", SETUP, SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    shoot(page, "1-start-light")
    lasso(page, around(0, 0))

    title = page.locator(".slicelab-gallery .slicelab-title")
    expect(title).to_contain_text(re.compile(r"^50 selected · \d+ failures"))
    page.wait_for_function("() => document.querySelectorAll('.slicelab-gallery .slicelab-tile img').length >= 8")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.slicelab-gallery .slicelab-tile img')].every(i => i.naturalWidth > 1)"
    )
    assert loaded_pictures(page) >= 8
    captions = page.locator(".slicelab-gallery .slicelab-caption").all_inner_texts()
    assert captions[0] == "knife → fork"  # failures first

    page.locator(".slicelab-actions input[type=text]").first.fill("edge-on knives")
    page.locator("button.slicelab-new").click()
    expect(page.locator(".slicelab-notice")).to_contain_text("saved, version 1")
    row = page.locator(".slicelab-slices tbody tr", has_text="edge-on knives")
    expect(row).to_contain_text("slice v1")
    expect(row).to_have_attribute("aria-selected", "true")
    shoot(page, "2-lasso-light")

    page.locator(".slicelab-gallery .slicelab-tile").first.click()
    expect(page.locator(".slicelab-detail .slicelab-facts")).to_contain_text("knife")
    page.wait_for_function("() => document.querySelector('.slicelab-detail img')?.naturalWidth === 512")
    assert page.locator(".slicelab-detail .slicelab-large .slicelab-box").count() == 2
    page.keyboard.press("ArrowRight")
    expect(page.locator(".slicelab-count")).to_have_text("2 of 50")
    page.get_by_role("button", name="Next picture").click()
    page.wait_for_function("() => document.querySelector('.slicelab-detail img')?.naturalWidth === 512")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".slicelab-count")).to_have_text("4 of 50")
    shoot(page, "3-detail-light")
    still = page.locator("[class^=slicelab-still]")
    expect(still).to_have_count(1)
    expect(still).to_be_hidden()  # as long as the explorer is there
    page.locator(".jp-NotebookPanel-toolbar [data-command='docmanager:save']").click()
    while "slicelab-still" not in (server.folder / name).read_text(encoding="utf-8"):
        page.wait_for_timeout(200)
    assert page.seen.hosts == {"127.0.0.1"}
    assert page.seen.errors == []
    exported(page, server.folder / name)
    shoot(page, "3-exported-light")


def exported(page, notebook: Path) -> None:
    """Make HTML of a saved notebook, as nbconvert does: without kernel and network there is a picture of the map."""
    from nbconvert import HTMLExporter
    from playwright.sync_api import expect

    html, _ = HTMLExporter().from_filename(str(notebook))
    page.context.set_offline(True)
    (notebook.parent / "exported.html").write_text(html, encoding="utf-8")
    page.goto((notebook.parent / "exported.html").as_uri(), wait_until="domcontentloaded")
    still = page.locator("[class^=slicelab-still]")
    expect(still).to_be_visible()
    expect(still).to_contain_text("failures of all 200")
    expect(still.locator("tbody tr").first).to_contain_text("knife taken for its neighbour")
    pictures = still.locator("img").evaluate_all("all => all.map(img => [img.naturalWidth, img.alt])")
    assert pictures[0] == [520, "Map of the units, coloured by outcome"]
    assert len(pictures) in (18, 19)  # one of the first units may be the broken one
    assert all(width > 1 for width, _ in pictures)


def test_table_colours_and_keys_in_the_dark(page, server, run_notebook, shoot) -> None:
    """A row of the table selects its members everywhere, with the mouse and with keys; another colour keeps it."""
    from playwright.sync_api import expect

    name = write_notebook(server, "dark.ipynb", SETUP, SHOW, count=6000)
    assert run_notebook(page, server, name, dark=True) == []
    page.wait_for_function(DRAWN)
    assert page.evaluate(PAINTED) == "6000"
    shoot(page, "4-start-dark")
    page.locator(".slicelab-slices tbody tr", has_text="cup taken").click()
    title = page.locator(".slicelab-gallery .slicelab-title")
    expect(title).to_contain_text("1,500 selected")
    assert page.evaluate(SELECTED_POINTS) == 1500

    page.locator(".slicelab-slices tbody tr", has_text="cup taken").press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".slicelab-slices tbody tr", has_text="knife taken")).to_have_attribute("aria-selected", "true")
    page.locator(".slicelab-map select").select_option("label")
    page.wait_for_function("() => document.querySelectorAll('.slicelab-map .js-plotly-plot .legendtext').length === 4")
    page.wait_for_function(DRAWN)
    assert page.evaluate(SELECTED_POINTS) == 1500
    page.locator(".slicelab-grid").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.slicelab-detail img')?.naturalWidth === 512")
    shoot(page, "5-label-dark")
    page.keyboard.press("Escape")
    expect(page.locator(".slicelab-detail")).to_be_hidden()
    page.locator(".slicelab-grid").evaluate("g => { g.scrollTop = 20000; }")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.slicelab-gallery .slicelab-tile')].some(t => t.querySelector('img'))"
    )
    assert page.locator(".slicelab-tile").count() < 60
    assert page.seen.errors == []


def test_lasso_adds_to_the_chosen_slice_and_errors_are_told(page, server, run_notebook, shoot) -> None:
    """A lasso leaves the chosen slice chosen; a double click gives it up; a refusal is shown with its traceback."""
    from playwright.sync_api import expect

    keep = "desk.create_slice('taken', units=list(units.index[:3]))"
    name = write_notebook(server, "add.ipynb", SETUP, keep, "explorer.refresh()", SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    title = page.locator(".slicelab-gallery .slicelab-title")
    notice = page.locator(".slicelab-notice")
    row = page.locator(".slicelab-slices tbody tr", has_text="taken").first
    row.click()
    expect(title).to_contain_text("3 selected")
    lasso(page, around(5, 5))
    expect(title).to_contain_text("50 selected")
    page.locator("button.slicelab-add").click()
    expect(notice).to_contain_text("saved, version 2: taken (53 units)")
    page.locator("button.slicelab-undo").click()
    expect(notice).to_contain_text("undone: add to taken")
    expect(row).to_contain_text("slice v1")

    page.locator(".slicelab-slices tbody tr", has_text="knife taken").click()
    expect(title).to_contain_text("50 selected · 18 failures")
    page.wait_for_function(f"() => ({SELECTED_POINTS})() === 50")
    expect(page.locator(".slicelab-actions input[type=text]").first).to_have_value("knife taken for its neighbour")
    page.locator(".slicelab-actions input[type=text]").first.fill("taken")
    page.locator("button.slicelab-new").click()
    expect(notice).to_contain_text("is there already")
    expect(notice.locator("pre")).to_be_hidden()
    expect(title).to_contain_text("50 selected · 18 failures")
    notice.locator("summary").click()
    expect(notice.locator("pre")).to_contain_text("create_slice")
    shoot(page, "6-error-light")

    middle = page.locator(".slicelab-map .nsewdrag").bounding_box()
    page.mouse.dblclick(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    expect(title).to_contain_text("nothing selected")
    lasso(page, around(0, 5))
    expect(title).to_contain_text("50 selected")
    assert page.seen.errors == []


def test_point_click_shows_its_picture(page, server, run_notebook) -> None:
    """A click on a point opens the picture of that very unit."""
    from playwright.sync_api import expect

    name = write_notebook(server, "click.ipynb", SETUP, SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    page.locator(".slicelab-map").scroll_into_view_if_needed()
    row = int(np.flatnonzero(fakes.make_units(200)["failure"])[0])
    x, y = page.evaluate(
        """([x, y]) => { const g = document.querySelector('.slicelab-map .js-plotly-plot'), l = g._fullLayout;
            const r = g.querySelector('.nsewdrag').getBoundingClientRect();
            return [r.left + l.xaxis.d2p(x), r.top + l.yaxis.d2p(y)]; }""",
        fakes.make_projection(200)[row].tolist(),
    )
    page.mouse.move(x, y)
    expect(page.locator(".slicelab-tip")).to_contain_text("spoon → cup")  # the first failure
    expect(page.locator(".slicelab-tip")).to_contain_text("0002.png")
    page.mouse.click(x, y)
    expect(page.locator(".slicelab-detail .slicelab-facts")).to_contain_text("0002.png")
    page.wait_for_function("() => document.querySelectorAll('.slicelab-near img').length === 6")


REVIEW = """
from slicelab.core import Bar, Case, CaseResult, SuiteReport
from slicelab.widgets import CaseReview
failing = tuple(units.index[units["failure"]][:7])
cases = [Case(name, "s", Bar("accuracy", at_least=0.9), failing, "0" * 64) for name in ("day", "night <b>cars</b>")]
results = [CaseResult(cases[0], "pass", "well", 0.95, (0.91, 0.97), 200, 0),
           CaseResult(cases[1], "fail", "It misses.", 0.3, (0.2, 0.4), 10, 7, failing=failing)]
review = CaseReview(SuiteReport("s", "v3", None, tuple(results)), explorer)
review
"""


def test_choosing_a_case_shows_what_fails(page, server, run_notebook, shoot) -> None:
    """A case clicked in the list selects its failing units on the map and in the gallery."""
    from playwright.sync_api import expect

    name = write_notebook(server, "review.ipynb", SETUP, REVIEW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    page.locator("select[size]").select_option(label="✗ night <b>cars</b>")
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text("7 selected · 7 failures")
    page.wait_for_function(f"() => ({SELECTED_POINTS})() === 7")
    expect(page.locator(".widget-html", has_text="It misses.")).to_contain_text("7 of 7 failing units are selected")
    shoot(page, "case-review-light")
    assert page.seen.errors == []


def test_map_needs_no_webgl(open_page, server, run_notebook) -> None:
    """Where the browser has no WebGL the map is the same, and spends no context where there is one."""
    from playwright.sync_api import expect

    page = open_page(webgl=False)
    name = write_notebook(server, "nogl.ipynb", SETUP, SHOW, count=4000)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    assert page.evaluate(PAINTED) == "4000"
    lasso(page, around(0, 0, 2.2))
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text("1,000 selected")


def test_legend_hides_and_places_move(page, server, run_notebook, shoot) -> None:
    """What the legend hides is neither drawn nor selected; new places from the kernel are drawn, all in sight."""
    from playwright.sync_api import expect

    move = """
import pathlib, threading, time
def move():
    while not pathlib.Path('move.now').exists():
        time.sleep(0.1)
    explorer.move(10 - 20 * projection)
threading.Thread(target=move, daemon=True).start()
"""
    name = write_notebook(server, "move.ipynb", SETUP, move, SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    failures = int(fakes.make_units(200)["failure"].sum())
    page.locator(".slicelab-map .legendtoggle").last.click()  # after a moment, as a second click would mean another
    page.wait_for_function(f"() => ({PAINTED})() === '{200 - failures}'")
    lasso(page, around(0, 0))
    selected = page.locator(".slicelab-gallery .slicelab-title")
    expect(selected).to_contain_text(re.compile(r"^\d+ selected · 0 failures"))
    page.locator(".slicelab-map .legendtoggle").last.click()
    page.wait_for_function(f"() => ({PAINTED})() === '200'")
    (server.folder / "move.now").touch()
    ranges = "() => document.querySelector('.slicelab-map .js-plotly-plot')._fullLayout.xaxis.range"
    page.wait_for_function(f"() => ({ranges})()[0] < -80")
    assert page.evaluate(PAINTED) == "200"
    lasso(page, around(10, 10, 38))
    expect(selected).to_contain_text("50 selected")
    assert page.seen.errors == []


def test_drawn_every_time(page, server, run_notebook) -> None:
    """Twenty explorers in a row, made while the kernel is busy: each map holds its points, none is ever empty."""
    busy = """
import threading, time
stop = time.monotonic() + 20
def spin():
    while time.monotonic() < stop:
        sum(range(2000))
for _ in range(2):
    threading.Thread(target=spin, daemon=True).start()
"""
    show = "explorer = Explorer(units, projection, desk=desk, model='v3')\nmaps.append(explorer.map)\nexplorer.map"
    later = """
import pathlib
def highlight():
    while not pathlib.Path('twenty.drawn').exists():
        time.sleep(0.1)
    for map_ in maps:
        map_.highlight(range(7))
threading.Thread(target=highlight, daemon=True).start()
"""
    name = write_notebook(server, "twenty.ipynb", SETUP, busy, "maps = []", *[show] * 20, later)
    assert run_notebook(page, server, name, timeout=300) == []
    page.wait_for_function(
        """() => { const all = [...document.querySelectorAll('.slicelab-map')];
            return all.length === 20 && all.every(map => map.dataset.painted === '200' && map.dataset.colour); }""",
        timeout=180_000,
    )
    (server.folder / "twenty.drawn").touch()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.slicelab-map')].every(map => map.dataset.highlighted === '7')"
    )
    assert set(page.seen.errors) <= {LATE}


def test_late_models_are_told_everything_all_the_same(page, server, run_notebook) -> None:
    """Where a model takes longer to start than anywidget waits, the kernel's messages still arrive."""
    from playwright.sync_api import expect

    page.add_init_script(
        "const whole = AbortSignal.timeout; AbortSignal.timeout = ms => whole.call(AbortSignal, ms === 2000 ? 0 : ms);"
    )
    name = write_notebook(server, "late.ipynb", SETUP, SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    lasso(page, around(0, 0))
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text(re.compile(r"^50 selected"))
    page.wait_for_function("() => document.querySelectorAll('.slicelab-gallery .slicelab-tile img').length >= 8")
    page.locator(".slicelab-actions input[type=text]").first.fill("late")
    page.locator("button.slicelab-new").click()
    expect(page.locator(".slicelab-notice")).to_contain_text("saved, version 1")
    assert set(page.seen.errors) == {LATE}


def test_above_the_limit_a_density_and_points_when_near(page, server, run_notebook, shoot) -> None:
    """Above the limit the density is drawn; a lasso selects what it holds; zoomed in, the points are there."""
    from playwright.sync_api import expect

    show = """
from slicelab.widgets import Map
map_ = Map(units, projection, height=420, point_limit=3000)
map_.on_select(lambda rows: setattr(line, 'value', f'{len(rows)} selected'))
import ipywidgets
line = ipywidgets.Label()
ipywidgets.VBox([map_, line])
"""
    name = write_notebook(server, "many.ipynb", SETUP, show, count=20_000)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(f"() => ({PAINTED})() === 'density'")
    expect(page.locator(".slicelab-map-words")).to_contain_text("20,000 units: their density")
    lasso(page, around(0, 0, 2.2))
    expect(page.locator(".widget-label", has_text="selected")).to_contain_text("5000 selected")
    shoot(page, "density-light")
    page.evaluate("() => document.querySelector('.js-plotly-plot [data-val=zoom]').dispatchEvent(new Event('click'))")
    lasso(page, [(-0.35, -0.35), (0.35, 0.35)])
    page.wait_for_function("() => document.querySelector('.slicelab-map-words').textContent === ''")
    assert 500 < int(page.evaluate(PAINTED)) < 3000
    said = page.locator(".widget-label", has_text="selected")
    page.evaluate("() => document.querySelector('.js-plotly-plot [data-val=box]').dispatchEvent(new Event('click'))")
    lasso(page, [(-0.2, -0.2), (0.2, 0.2)])
    within = int((np.abs(fakes.make_projection(20_000)) <= 0.2).all(axis=1).sum())
    expect(said).to_contain_text(re.compile(r"^\d{2,3} selected"))
    assert abs(int(said.text_content().split()[0]) - within) <= 0.05 * within  # a pixel at the edges
    before = said.text_content()
    middle = page.locator(".slicelab-map .nsewdrag").bounding_box()
    page.mouse.move(middle["x"] + 20, middle["y"] + 20)
    page.mouse.down()
    page.mouse.move(middle["x"] + 120, middle["y"] + 120, steps=5)
    page.wait_for_timeout(300)  # a busy page draws the box a few frames later
    page.keyboard.press("Escape")
    page.mouse.up()
    page.wait_for_timeout(500)
    assert said.text_content() == before  # Escape gave the box up
    page.mouse.dblclick(middle["x"] + 50, middle["y"] + 50)
    expect(said).to_have_text("0 selected")
    assert page.evaluate(PAINTED) != "density"  # still near: the double click gave the selection up, not the place
    page.evaluate("() => document.querySelector('.js-plotly-plot [data-val=pan]').dispatchEvent(new Event('click'))")
    page.mouse.dblclick(middle["x"] + 50, middle["y"] + 50)
    page.wait_for_function(f"() => ({PAINTED})() === 'density'")  # while panning it shows all again
    assert page.seen.errors == []


HOSTILE_UNITS = """
from fakes import FakeDesk, hostile, make_candidates, make_projection, make_units
HOSTILE = hostile(500)
from dataclasses import replace
from IPython.display import HTML, display
from slicelab.widgets import Explorer
units = make_units(COUNT, classes=HOSTILE)
units.index = [f"{text} {i}" for i, text in enumerate(HOSTILE)]
units["tag"] = [HOSTILE[(7 * i) % 500] for i in range(500)]
units["<b>column</b><img src=x onerror=window.__pwned=1>"] = units["label"]
projection = make_projection(COUNT)
desk = FakeDesk(units, broken=list(units.index[:40]))
for i, text in enumerate(HOSTILE):
    desk.create_slice(text, units=[units.index[i], units.index[-1 - i], *units.index[:3]])
    desk.note_slice(text, text)
candidates = [replace(c, name=t, description=t, unit_ids=tuple(units.index[c.members]))
              for c, t in zip(make_candidates(units, HOSTILE[:40]), HOSTILE)]
explorer = Explorer(units, projection, desk=desk, candidates=candidates, model=HOSTILE[1])
explorer.on_select(lambda ids: 1 / 0 if len(ids) == 12 else None)
"""


def test_hostile_text_stays_text(page, server, run_notebook, shoot) -> None:
    """No label, name, note, id or error runs as script, though the page would run one that got through."""
    from playwright.sync_api import expect

    control = "display(HTML('<img src=x onerror=\"window.__control=1\">'))"
    still = "display(HTML(explorer.to_html()))"
    name = write_notebook(server, "hostile.ipynb", HOSTILE_UNITS, SHOW, still, control, count=500)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    page.wait_for_function("() => window.__control === 1")  # the page does run what gets through
    table = page.locator(".slicelab-slices tbody")
    expect(table).to_contain_text("<script>window.__pwned=1</script>")
    table.locator("tr").first.click()
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text("selected")
    page.locator("button.slicelab-delete").click()
    expect(page.locator(".slicelab-notice")).to_contain_text("deleted: ", timeout=60_000)
    for colour in ("label", "prediction", "tag"):
        page.locator(".slicelab-map select").select_option(colour)
        page.wait_for_function("() => document.querySelectorAll('.slicelab-map .legendtext').length === 8")
        page.wait_for_function(DRAWN)
    middle = page.locator(".slicelab-map .nsewdrag").bounding_box()
    for step in range(12):
        page.mouse.move(middle["x"] + 20 + 40 * step, middle["y"] + middle["height"] - 90)
        page.wait_for_timeout(60)
    for tile in (0, 1, 2):
        page.locator(".slicelab-tile").nth(tile).click()
        expect(page.locator(".slicelab-facts")).to_contain_text("window.__pwned=1")
        page.keyboard.press("Escape")
        expect(page.locator(".slicelab-detail")).to_be_hidden()
    page.locator(".slicelab-actions input[type=text]").first.fill("<img src=x onerror=window.__pwned=1>")
    page.locator("button.slicelab-new").click()
    expect(page.locator(".slicelab-notice")).to_contain_text("<img src=x onerror=window.__pwned=1>")
    # Every slice once: its name in the map, its pictures, its inspection; the whole gallery once.
    assert table.locator("tr").count() >= 500
    for row in range(0, 500, 25):
        table.locator("tr").nth(row).click()
    expect(page.locator(".slicelab-gallery .slicelab-title")).to_contain_text("selected")
    expect(page.locator(".slicelab-inspector dt").first).to_be_visible()
    table.locator("tr").nth(475).click()
    for top in range(0, 22_000, 1_000):
        page.locator(".slicelab-grid").evaluate("(g, top) => { g.scrollTop = top; }", top)
        page.wait_for_timeout(80)
    page.wait_for_timeout(1000)
    shoot(page, "7-hostile-light")
    assert page.evaluate("() => window.__pwned") is None
    assert page.locator(".slicelab a[href]:not([href='https://plotly.com/'])").count() == 0  # plotly's own logo
    assert page.seen.hosts == {"127.0.0.1"}
