"""The review widget on a real queue in a real JupyterLab: keys, a rule, a second opinion; all of it in the database."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.mongo, pytest.mark.slow]

PARTS = Path(__file__).parents[1] / "lab" / "conftest.py"
CELLS = (
    """
import json, os
from pathlib import Path
os.environ["SLICELAB_HOME"] = "<folder>/home"
import slicelab as sl
models = {m: f"<folder>/{m}.json" for m in ("v3", "v4")}
lab = sl.load("scenes", "<folder>/images", "<folder>/labels.json", models, progress=False)
queue = lab.queue("round-1")
units = lab.units("v4").dropna(subset=["label_id"]).drop_duplicates("key")
queue.add(list(units.index[:12]), reason="relabel")
exported = queue.export("jsonl", "<folder>/out", images="none")
rows = [json.loads(line) for line in next(p for p in exported.paths if p.suffix == ".jsonl").read_text().splitlines()]
for row in rows[:8]:
    row["boxes"][0] |= {"x": row["boxes"][0]["x"] + 4, "label": "nut"}
Path("<folder>/ann.jsonl").write_text("\\n".join(json.dumps(r | {"reviewed": True}) for r in rows))
rows[0]["boxes"] = []
Path("<folder>/bob.jsonl").write_text("\\n".join(json.dumps(r | {"reviewed": True}) for r in rows[:1]))
returned = queue.receive("<folder>/ann.jsonl", annotator="ann <b onclick=window.__pwned=1>")
queue.receive("<folder>/bob.jsonl", annotator="bob")
""",
    "review = lab.review('round-1', model='v4')\nreview",
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Files of a detection data set."""
    spec = importlib.util.spec_from_file_location("scenes_of_the_lab_tests", PARTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw_boxes(tmp_path_factory.mktemp("reviewed"))


def test_answers_are_judged_by_keys_and_by_a_rule(page, server, run_notebook, scenes, shoot):
    """a, r and s judge and go on, u takes back and goes back; the rule takes the unchanged rest."""
    cells = [new_code_cell(c.strip().replace("<folder>", str(scenes))) for c in CELLS]
    after = "print(sorted(queue.counts().items()), queue.merge(returned, into='gt2', only_accepted=True).changed)"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), server.folder / "review.ipynb")
    assert run_notebook(page, server, "review.ipynb") == []
    review = page.locator(".slicelab-review")
    place = review.locator(".slicelab-place")
    review.locator("figure").nth(2).wait_for()
    assert "of 12" in place.inner_text()
    assert review.locator("figure img").count() == 3
    page.wait_for_function(
        "() => [...document.querySelectorAll('.slicelab-review img')].every(i => i.naturalWidth > 0)"
    )
    assert review.locator(".slicelab-box-label").count() == 2
    shoot(page, "review")
    review.focus()

    def step(key: str, state: str) -> None:
        before = place.inner_text()
        page.keyboard.press(key)
        review.get_by_text(state).first.wait_for()
        page.wait_for_function("([was]) => document.querySelector('.slicelab-place').textContent !== was", arg=[before])
        review.locator("figure").nth(2).wait_for()

    if "needs second opinion" in place.inner_text():  # what people don't agree on can't be accepted
        assert review.locator(".slicelab-accept").is_disabled()
        page.keyboard.press("ArrowRight")
        review.locator("figure").nth(2).wait_for()
    step("a", "saved: 1 accepted")
    step("r", "saved: 1 rejected")
    at = place.inner_text()
    for take_back in (lambda: page.keyboard.press("u"), review.locator(".slicelab-undo").click):
        step("s", "saved: 1 needs second opinion")
        take_back()
        review.get_by_text("undone: 1 needs second opinion").wait_for()
        page.wait_for_function("([at]) => document.querySelector('.slicelab-place').textContent === at", arg=[at])
        review.locator("figure").nth(2).wait_for()
        assert review.locator(".slicelab-accept").is_enabled()
        review.focus()
    shoot(page, "review undone")
    step("s", "saved: 1 needs second opinion")
    review.locator(".slicelab-bulk input").fill("not changed and")
    review.locator(".slicelab-accept-all").click()
    review.locator(".slicelab-said-error").wait_for()
    review.locator(".slicelab-bulk input").fill("not changed and state == 'returned'")
    review.locator(".slicelab-accept-all").click()
    review.locator(".slicelab-said-saved").wait_for()
    shoot(page, "review judged")
    assert page.evaluate("window.__pwned") is None
    assert page.seen.errors == []
    assert page.seen.hosts <= {"127.0.0.1"}
    again = [new_code_cell(c) for c in (REOPEN.strip().replace("<folder>", str(scenes)), after)]
    nbformat.write(new_notebook(cells=again, metadata=kernel), server.folder / "review2.ipynb")
    assert run_notebook(page, server, "review2.ipynb") == []
    said = page.locator(".jp-OutputArea-output").last.inner_text()
    assert "('merged', 0)" not in said
    assert "('rejected', 1)" in said
    assert "('needs_second_opinion', 2)" in said


LOADED = "() => [...document.querySelectorAll('.slicelab-review img')].every(i => i.naturalWidth > 0)"
REOPEN = """
import os
os.environ["SLICELAB_HOME"] = "<folder>/home"
import slicelab as sl
lab = sl.open("scenes")
queue = lab.queue("round-1")
returned = queue.returns()[0]
"""
