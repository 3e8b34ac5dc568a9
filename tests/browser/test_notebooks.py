"""The first notebook as a user runs it: the real kernel, database and dataset, in JupyterLab in a browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.mongo]

ROOT = Path(__file__).parents[2]


def test_notebook_01_runs_and_its_widget_shows_real_digits(server, page, run_notebook, shoot, samples):
    """Every cell runs, the map is drawn, the gallery has pictures, and the widget's slices are the database's."""
    folder = server.folder / "work" / "notebooks"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "01_images_to_slices.ipynb", folder)
    os.symlink(samples, server.folder / "work" / "data_samples")
    errors = run_notebook(page, server, "work/notebooks/01_images_to_slices.ipynb", timeout=400)
    assert errors == []
    page.wait_for_function(
        "() => Number(document.querySelector('.slicelab-map')?.dataset.painted) >= 1797",
        timeout=60_000,
    )
    page.locator(".slicelab-map").first.scroll_into_view_if_needed()
    page.wait_for_function(
        """() => [...document.querySelectorAll('.slicelab-tile img')].filter(i => i.naturalWidth > 0).length >= 8""",
        timeout=60_000,
    )
    page.get_by_text("1 taken for 2").first.wait_for(timeout=30_000)
    shoot(page, "notebook-01")
