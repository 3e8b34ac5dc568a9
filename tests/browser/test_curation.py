"""Curation by hand against the real store: every gesture in a real JupyterLab, and all of it there in a new kernel."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.mongo, pytest.mark.slow]

PARTS = Path(__file__).parents[1] / "lab" / "conftest.py"

LOAD = """
import os
os.environ["SLICELAB_HOME"] = "<home>"
import slicelab as sl
lab = sl.load("parts", "<folder>/images", "<folder>/labels.csv", {"v3": "<folder>/v3.csv", "v4": "<folder>/v4.csv"})
lab.embed(progress=False)
lab.project(progress=False)  # the map may not move under the mouse
found = lab.discover("v3", progress=False)
explorer = lab.explore("v3")
"""
SHOW = "explorer"
AGAIN = """
import os
os.environ["SLICELAB_HOME"] = "<home>"
import slicelab as sl
lab = sl.open("parts")
explorer = lab.explore("v3")
"""
ODD = """
odd = sl.load("odd", "<folder>/odd", "<folder>/odd.csv", {"v3": "<folder>/odd.csv"}, progress=False)
odd.embed(progress=False)
odd.project(progress=False)
"""
SHOW_ODD = """
whole = open("<folder>/odd/broken.png", "rb").read()
open("<folder>/odd/broken.png", "wb").write(whole[: len(whole) // 2])  # damaged since it was loaded
odd.explore("v3")
"""
KEPT = "print(lab.suite('release').cases[0].name, len(lab.queue('review').items()), len(lab.dismissed()))"
DRAWN = """() => { const map = document.querySelector('.slicelab-map');
    return !!(map?.querySelector('.nsewdrag') && map.dataset.colour && Number(map.dataset.painted)); }"""


def write(server, name: str, folder: Path, *cells: str) -> str:
    known = {"<home>": str(folder / "home"), "<folder>": str(folder)}
    sources = [re.sub("|".join(known), lambda m: known[m.group()], cell.strip()) for cell in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(s) for s in sources], metadata=kernel), server.folder / name)
    return name


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """Files of a data set of two classes and two models."""
    spec = importlib.util.spec_from_file_location("parts_of_the_lab_tests", PARTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("curated")
    draw_odd(folder)
    return module.draw(folder)


def draw_odd(folder: Path) -> None:
    """Pictures that a careless viewer shows wrongly: bright above, dark below, in the upright picture."""
    (folder / "odd").mkdir()
    ramp = np.linspace(1, 0, 60)[:, None] * np.ones((1, 90))  # 90 x 60
    eight = Image.fromarray((250 * ramp).astype(np.uint8))
    Image.fromarray((65000 * ramp).astype(np.uint16)).save(folder / "odd" / "sixteen.png")
    alpha = Image.merge("RGBA", [eight] * 3 + [Image.new("L", eight.size, 255)])
    alpha.save(folder / "odd" / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # stored lying on its side: the viewer turns it by 90 degrees
    eight.rotate(90, expand=True).save(folder / "odd" / "turned.jpg", exif=turned)
    eight.resize((9000, 6000)).save(folder / "odd" / "huge.png")
    eight.convert("P").save(folder / "odd" / "palette.png")
    noise = np.random.default_rng(0).integers(0, 255, (60, 90), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "odd" / "broken.png")
    names = ["sixteen.png", "alpha.png", "turned.jpg", "huge.png", "palette.png", "broken.png"]
    lines = [f"{name},bolt,{'bolt' if i % 2 else 'nut'},0.9" for i, name in enumerate(names)]
    (folder / "odd.csv").write_text("\n".join(["filepath,label,prediction,confidence", *lines, ""]))


class Explored:
    """The explorer in a page, in a person's words."""

    def __init__(self, page) -> None:
        self.page = page
        self.notice = page.locator(".slicelab-notice")
        self.title = page.locator(".slicelab-gallery .slicelab-title")
        self.fields = page.locator(".slicelab-actions input[type=text]")

    def row(self, name: str):
        return self.page.locator(".slicelab-slices tbody tr", has=self.page.get_by_text(name, exact=True)).first

    def name(self, name: str) -> None:
        self.page.get_by_placeholder("name of a slice").fill(name)

    def press(self, button: str) -> None:
        self.page.locator(f"button.slicelab-{button}").click()

    def lasso_upper_half(self) -> None:
        """Draw a lasso around the upper half of the map."""
        box = self.page.locator(".slicelab-map .nsewdrag").bounding_box()
        left, top = box["x"] + 4, box["y"] + 4
        right, middle = box["x"] + box["width"] - 4, box["y"] + box["height"] * 0.55
        self.page.mouse.move(left, top)
        self.page.mouse.down()
        for x, y in ((right, top), (right, middle), (left, middle), (left, top + 2)):
            self.page.mouse.move(x, y, steps=10)
        self.page.mouse.up()


def selected(title: str) -> int:
    found = re.match(r"([\d,]+) selected", title)
    return int(found.group(1).replace(",", "")) if found else 0


def test_the_whole_curation_and_a_new_kernel(page, server, run_notebook, shoot, parts) -> None:
    """Lasso to queue, undo and redo, two people on one slice; a new kernel finds slices, case, queue and state."""
    from playwright.sync_api import expect

    name = write(server, "curate.ipynb", parts, LOAD, SHOW)
    assert run_notebook(page, server, name) == []
    page.wait_for_function(DRAWN)
    explored = Explored(page)
    explored.lasso_upper_half()
    expect(explored.title).to_contain_text(re.compile(r"^[\d,]+ selected"))
    count = selected(explored.title.inner_text())
    assert 0 < count < 160
    expect(page.locator(".slicelab-inspector")).to_contain_text("Which models fail")
    page.wait_for_function("() => [...document.querySelectorAll('.slicelab-tile img')].some(i => i.naturalWidth > 1)")

    explored.name("upper")
    explored.press("new")
    expect(explored.notice).to_contain_text(f"saved, version 1: upper ({count} units)")
    explored.name("upper half")
    explored.press("rename")
    expect(explored.notice).to_contain_text("saved, version 2: upper half")
    page.get_by_placeholder("note of the chosen slice").fill("seen in the map")
    explored.press("write-note")
    expect(explored.notice).to_contain_text("saved, version 3: upper half")
    expect(page.locator(".slicelab-slices")).to_contain_text("seen in the map")

    # Marked pictures are taken out of the slice.
    tiles = page.locator(".slicelab-tile")
    tiles.nth(0).click(modifiers=["Control"])
    tiles.nth(1).click(modifiers=["Control"])
    page.get_by_role("button", name="Select them").click()
    expect(explored.title).to_contain_text("2 selected")
    page.locator(".slicelab-grid").focus()
    page.keyboard.press("r")
    expect(explored.notice).to_contain_text(f"saved, version 4: upper half ({count - 2} units)")
    page.keyboard.press("u")
    expect(explored.notice).to_contain_text("undone: undid: removed 2 units from 'upper half'")
    page.keyboard.press("z")
    expect(explored.notice).to_contain_text("done again: redid: removed 2 units from 'upper half'")
    page.keyboard.press("a")
    expect(explored.notice).to_contain_text(f"saved, version 7: upper half ({count} units)")

    # A candidate is confirmed; then it is taken back and dismissed, with a reason.
    candidate = page.locator(".slicelab-slices tbody tr[data-key='candidate 1']")
    candidate.click()
    explored.name("confirmed nuts")
    explored.press("confirm")
    expect(explored.notice).to_contain_text("saved, version 1: confirmed nuts")
    explored.press("undo")
    expect(explored.notice).to_contain_text("undone")
    candidate.click()
    page.get_by_placeholder("why it is none").fill("an artefact of the drawing")
    explored.press("dismiss")
    expect(explored.notice).to_contain_text("saved, version 1: dismissed/")
    expect(candidate).to_have_count(0)
    status = page.get_by_label("Show slices of one status")
    status.select_option("dismissed")
    expect(candidate).to_contain_text("an artefact of the drawing")
    status.select_option("")

    explored.name("dark nuts")
    page.get_by_placeholder('label == "knife" and confidence < 0.5').fill('label == "nut" and dark')
    explored.press("from-rule")
    expect(explored.notice).to_contain_text("saved, version 1: dark nuts (20 units)")
    expect(explored.row("dark nuts")).to_contain_text("100.0 %")
    explored.row("upper half").click(modifiers=["Control"])
    explored.name("both")
    explored.press("merge")
    expect(explored.notice).to_contain_text("saved, version 1: both")
    explored.press("split")
    expect(explored.notice).to_contain_text("both is now both 1")
    page.keyboard.press("Escape")
    explored.press("undo")
    expect(explored.notice).to_contain_text("undone")
    explored.press("undo")
    expect(explored.notice).to_contain_text("undone")
    expect(explored.row("dark nuts")).to_be_visible()
    expect(candidate).to_have_count(0)  # its units are a slice now, whoever made it
    status.select_option("kept")
    expect(candidate).to_contain_text("is slice dark nuts")
    status.select_option("")
    shoot(page, "curate-1-light")

    explored.row("dark nuts").click()
    explored.press("promote")
    expect(explored.notice).to_contain_text("saved, version 1: case dark nuts (recall >= 0.95) in suite release")
    explored.press("enqueue")
    expect(explored.notice).to_contain_text("saved: 20 units of dark nuts are new in queue review")

    # Somebody else renames the slice; the change of what was seen before is refused, and nothing is lost.
    other = "sl.open('parts').add_to_slice('dark nuts', [lab.units('v3').index[0]]); None"
    add_cell(page, other)
    page.get_by_placeholder("note of the chosen slice").fill("my note")
    explored.press("write-note")
    expect(explored.notice).to_contain_text("ConflictError: Somebody saved version 3 of slice 'dark nuts'")
    expect(explored.row("dark nuts")).to_contain_text("slice v3")
    shoot(page, "curate-2-conflict-light")
    assert page.seen.errors == []

    again = write(server, "again.ipynb", parts, AGAIN, SHOW, KEPT, ODD, SHOW_ODD)
    assert run_notebook(page, server, again) == []
    page.wait_for_function(DRAWN)
    expect(explored.row("dark nuts")).to_contain_text("slice v3")
    expect(explored.row("upper half")).to_contain_text("seen in the map")
    expect(page.locator(".jp-OutputArea-output", has_text="dark nuts 20 1").last).to_be_visible()
    explored.row("dark nuts").click()
    expect(explored.title.first).to_contain_text("21 selected")
    odd_pictures_are_shown_as_they_are(page)
    shoot(page, "curate-3-odd-light")
    assert page.seen.errors == []


def odd_pictures_are_shown_as_they_are(page) -> None:
    """Each picture is upright, bright above and dark below, and small; a broken one says what is wrong with it."""
    tiles = page.locator(".slicelab-gallery").last.locator(".slicelab-tile")
    page.locator(".slicelab-gallery").last.scroll_into_view_if_needed()
    tiles.locator("img").nth(4).wait_for()
    seen = tiles.evaluate_all(
        """all => Promise.all(all.map(async tile => {
            const img = tile.querySelector('img');
            const name = tile.title.split('\\n').at(-1);
            if (!img) return [name, tile.querySelector('.slicelab-broken').textContent];
            await img.decode();
            const canvas = document.createElement('canvas'), c = canvas.getContext('2d');
            [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
            c.drawImage(img, 0, 0);
            const at = y => c.getImageData(canvas.width / 2, y, 1, 1).data[0];
            return [name, [canvas.width, canvas.height, at(1), at(canvas.height >> 1), at(canvas.height - 2)]];
        }))"""
    )
    pictures = dict(seen)
    assert "truncated or damaged" in pictures.pop("broken.png")
    assert set(pictures) == {"sixteen.png", "alpha.png", "turned.jpg", "huge.png", "palette.png"}
    for name, (width, height, top, middle, bottom) in pictures.items():
        assert (width, height) == ((128, 85) if name == "huge.png" else (90, 60)), name
        assert top > 225, name
        assert 110 < middle < 140, name
        assert bottom < 25, name


def add_cell(page, source: str) -> None:
    """Run a line in a new cell below."""
    page.locator(".jp-Cell.jp-CodeCell .jp-InputArea").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        """() => { const marks = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')];
            return marks.every(mark => !mark.textContent.includes('*')) && /[0-9]/.test(marks.at(-1).textContent); }"""
    )
