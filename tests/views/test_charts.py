"""Confusion table, intervals, order, words and still pages."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slicelab.core import InvalidInputError, Slice, Thumbnail
from slicelab.views import (
    caption,
    confusion_figure,
    explorer_html,
    failures_first,
    interval_figure,
    map_png,
    selection_line,
    slices_frame,
)


def test_confusion_shows_shares_of_each_label() -> None:
    """Colours are shares of the row, the written numbers are the counts, a label without units is all zero."""
    table = pd.DataFrame([[8, 2], [0, 0]], index=["<b>cup</b>", "2024-01-01"], columns=["cup", "x"])
    heat = confusion_figure(table).data[0]
    np.testing.assert_allclose(heat.z, [[0.8, 0.2], [0, 0]])
    np.testing.assert_array_equal(heat.text, table)
    axis = confusion_figure(table).layout.yaxis
    assert list(axis.ticktext) == ["&lt;b&gt;cup&lt;/b&gt;", "2024-01-01"]
    with pytest.raises(InvalidInputError, match="empty"):
        confusion_figure(pd.DataFrame())


def test_intervals_reach_from_low_to_high(units) -> None:
    """Each slice's whiskers end at its interval's ends."""
    frame = slices_frame([Slice("a", ("u0", "u1", "u2")), Slice("b", ("u4", "u5"))], units)
    dots, compared = interval_figure(frame, base_rate=0.5).data
    np.testing.assert_allclose(compared.x, frame["base_rate"])
    np.testing.assert_allclose(dots.x + dots.error_x.array, frame["high"])
    np.testing.assert_allclose(dots.x - dots.error_x.arrayminus, frame["low"])
    with pytest.raises(InvalidInputError, match="lacks the columns 'high'"):
        interval_figure(frame.drop(columns="high"))


def test_failures_come_first_by_loss(units) -> None:
    """Failures first, the greatest loss first, missing losses last; the same rows as were given."""
    units.loc["u3", "loss"] = np.nan
    rows = np.array([6, 0, 3, 1, 2])  # u0 and u6 are right
    assert failures_first(units, rows).tolist() == [2, 1, 3, 6, 0]


def test_words_of_a_selection(units) -> None:
    """The line counts what is selected and what fails of it."""
    assert selection_line(units, np.array([0, 1, 2])) == "3 selected · 2 failures (66.7 %) · of all 60: 83.3 %"
    assert selection_line(units, np.array([1])) == "1 selected · 1 failure (100.0 %) · of all 60: 83.3 %"
    assert selection_line(units, np.array([], dtype=np.int64)) == "nothing selected · failures of all 60: 83.3 %"
    assert caption(np.nan, "cup") == "\N{EN DASH} → cup"


def test_still_map_is_a_picture_with_the_members_strong(units, projection) -> None:
    """The PNG has the size that was asked for; the picture differs with the members."""
    plain, chosen = map_png(units, projection, width=300, height=200), map_png(units, projection, members=["u1"])
    assert Image.open(io.BytesIO(plain)).size == (300, 200)
    whole = np.asarray(Image.open(io.BytesIO(map_png(units, projection))).convert("L"), dtype=float)
    assert np.asarray(Image.open(io.BytesIO(chosen)).convert("L"), dtype=float).mean() > whole.mean()  # paler
    projection[:] = np.nan
    assert Image.open(io.BytesIO(map_png(units, projection))).convert("L").getextrema() == (255, 255)


def test_still_page_escapes_and_counts(units, projection) -> None:
    """Names, notes, captions and reasons are text; rows of the table beyond twenty are counted."""
    evil = "<img src=x onerror=alert(1)>"
    units["label"] = evil
    slices = slices_frame([Slice(f"{evil}{i}", ("u1",), note=evil) for i in range(23)], units)
    tiles = [Thumbnail("u1", b"\xff\xd8"), Thumbnail(evil, b"", problem=evil)]
    page = explorer_html(
        units, map_png(units, projection), slices=slices, rows=np.array([1]), thumbnails=tiles, title=evil
    )
    assert evil not in page
    assert page.count("&lt;img src=x") >= 40
    assert "and 3 more" in page
    assert "<script" not in page
