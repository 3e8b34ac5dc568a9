"""Pictures are sent as binary buffers, only those that are asked for."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from slicelab.core import InvalidInputError, MediaError
from slicelab.widgets import Gallery, Map, SliceTable
from slicelab.widgets._gallery import MAX_TILES


def test_wanted_pictures_come_as_jpeg_buffers(units, desk, send) -> None:
    """Each row that is asked for gets its facts and one JPEG buffer, in order."""
    gallery = Gallery(units, desk=desk)
    [(message, buffers)] = send(gallery, {"kind": "want", "rows": [7, 3], "size": 128})
    assert [tile["row"] for tile in message["tiles"]] == [7, 3]
    assert [Image.open(io.BytesIO(b)).size for b in buffers] == [(128, 96), (128, 96)]
    assert desk.asked == [(("0007.png", "0003.png"), 128)]
    tile = message["tiles"][0]
    assert tile["text"] == f"{units.label.iloc[7]} → {units.prediction.iloc[7]}"
    assert tile["sure"] == f"{units.confidence.iloc[7]:.2f}"
    assert [box[4] for box in tile["boxes"]] == ["label", "prediction"]
    json.dumps(message, allow_nan=False)


def test_showing_asks_for_no_pictures(units, desk) -> None:
    """The desk is asked by what is in sight, not by what is shown."""
    gallery = Gallery(units, desk=desk)
    gallery.show(np.arange(200), title="all")
    assert desk.asked == []


def test_broken_picture_says_why(fakes, units, send) -> None:
    """A picture that can't be read is an empty buffer with its reason; the others come."""
    gallery = Gallery(units, desk=fakes.FakeDesk(units, broken=["0001.png"]))
    [(message, buffers)] = send(gallery, {"kind": "want", "rows": [0, 1], "size": 512})
    assert [tile["problem"] for tile in message["tiles"]] == ["", "cannot identify image file"]
    assert [len(b) > 0 for b in buffers] == [True, False]


def test_failing_desk_is_told_and_answered(units, fakes, send) -> None:
    """When the desk fails, the tiles show the reason instead of waiting for ever, and the error is told."""

    class Failing(fakes.FakeDesk):
        def thumbnails(self, units, *, size=128):
            raise MediaError("The disk is gone.")

    told = []
    gallery = Gallery(units, desk=Failing(units))
    gallery.on_error = told.append
    [(message, _)] = send(gallery, {"kind": "want", "rows": [0, 1], "size": 128})
    assert [tile["problem"] for tile in message["tiles"]] == ["The disk is gone."] * 2
    assert [type(error) for error in told] == [MediaError]


@pytest.mark.parametrize("rows", [[], [-1], [200], ["0"], [True], None, "0", list(range(65)), [1.5]])
def test_bad_rows_are_refused(units, desk, send, rows) -> None:
    """Rows that no gallery asks for are refused before the desk is asked."""
    told = []
    gallery = Gallery(units, desk=desk)
    gallery.on_error = told.append
    assert send(gallery, {"kind": "want", "rows": rows, "size": 128}) == []
    assert send(gallery, {"kind": "want", "rows": [0], "size": 9999}) == []
    assert [type(error) for error in told] == [InvalidInputError] * 2
    assert desk.asked == []


def test_missing_values_are_dashes(units, desk, send) -> None:
    """Units without label, prediction or confidence have a caption all the same."""
    units = units.copy()
    units.loc["0000.png", ["label", "confidence", "loss"]] = [np.nan, np.nan, np.nan]
    desk.boxes = False
    [(message, _)] = send(Gallery(units, desk=desk), {"kind": "want", "rows": [0], "size": 128})
    tile = message["tiles"][0]
    assert tile["text"].startswith("\N{EN DASH} → ")
    assert tile["sure"] == ""
    assert dict(tile["facts"])["loss"] == "\N{EN DASH}"
    json.dumps(message, allow_nan=False)


def test_pick_is_told(units, desk, send) -> None:
    """A click on a tile tells its row; a row that isn't there doesn't."""
    heard, told = [], []
    gallery = Gallery(units, desk=desk)
    gallery.on_pick(heard.append)
    gallery.on_error = told.append
    send(gallery, {"kind": "pick", "row": 3})
    send(gallery, {"kind": "pick", "row": 300})
    assert heard == [3]
    assert len(told) == 1


def test_endless_selection_is_cut_in_words(units, desk) -> None:
    """More tiles than a browser can scroll over are cut, and the line says so."""
    gallery = Gallery(units, desk=desk)
    gallery.show(np.zeros(MAX_TILES + 1, dtype=np.int64), title="many")
    assert len(gallery.rows) == 4 * MAX_TILES
    assert gallery.title == "many (the first 100,000 are shown)"


def test_errors_without_an_explorer_are_logged(units, desk, send, caplog) -> None:
    """A widget that stands alone logs what goes wrong in its callbacks."""
    gallery = Gallery(units, desk=desk)
    gallery.on_pick(lambda row: 1 / 0)
    send(gallery, {"kind": "pick", "row": 3})
    assert "division by zero" in caplog.text


@pytest.mark.parametrize("make", [
    lambda u, p, d: Gallery(u, desk=d, tiles=3),
    lambda u, p, d: Map(u, p, color="label"),
    lambda u, p, d: SliceTable(key=["a"]),
])  # fmt: skip
def test_unknown_keywords_are_refused(make, units, projection, desk) -> None:
    """A keyword that a widget doesn't know is an error with a hint, not ignored."""
    with pytest.raises(InvalidInputError, match=r"has no keyword .* Did you mean"):
        make(units, projection, desk)
