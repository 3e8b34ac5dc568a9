"""What stays of the explorer in a saved notebook or a mail: a picture of the map, a table, a page of thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw

from slicelab.core import FAILURES, TEXT, Thumbnail
from slicelab.views._marks import OTHER, OUTCOME_MARKS
from slicelab.views._safe_html import Safe, safe_html
from slicelab.views._selection import caption, rows_of, selection_line

_TABLE_ROWS = 20
_MAX_DRAWN = 40_000


def map_png(
    units: pd.DataFrame,
    projection: npt.ArrayLike,
    *,
    members: Iterable[Any] | None = None,
    width: int = 520,
    height: int = 420,
) -> bytes:
    """Return the map as a PNG picture, coloured by outcome, failures above; members are strong, the rest pale.

    Of more than 40,000 units every second, third ... is drawn.
    """
    scale = 2  # drawn larger and reduced: smooth edges
    picture = Image.new("RGB", (width * scale, height * scale), "white")
    places = np.asarray(projection, dtype=np.float64)
    shown = np.flatnonzero(np.isfinite(places).all(axis=1))
    chosen = np.ones(len(units), dtype=bool)
    if members is not None:
        chosen[:] = False
        chosen[rows_of(units, members)] = True
    draw = ImageDraw.Draw(picture, "RGBA")
    outcomes = units["outcome"].astype(TEXT).to_numpy(dtype=object)
    fails = np.array([outcome in FAILURES for outcome in outcomes], dtype=bool)
    pixels = _to_pixels(places, shown, width * scale, height * scale)
    order = shown[np.lexsort((fails[shown], chosen[shown]))]
    for row in order[:: 1 + len(order) // _MAX_DRAWN]:
        mark, (x, y) = OUTCOME_MARKS.get(outcomes[row], OTHER), pixels[row]
        radius, strength = (3.2 if fails[row] else 2.4) * scale, (220 if chosen[row] else 45)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_rgba(mark.colour, strength))
    buffer = io.BytesIO()
    picture.resize((width, height), Image.Resampling.LANCZOS).quantize(128).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def explorer_html(
    units: pd.DataFrame,
    png: bytes,
    *,
    slices: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    thumbnails: Sequence[Thumbnail] = (),
    title: str = "",
) -> Safe:
    """Return a still page: the map, the first twenty slices and thumbnails; no script, nothing loaded from elsewhere.

    Parameters
    ----------
    units
        The units frame.
    png
        The map, as `map_png` returns it.
    slices
        What `slices_frame` returns.
    rows
        The selection, row positions; empty: none.
    thumbnails
        Pictures to show, in order.
    """
    return safe_html(
        '<div style="font-family:sans-serif;font-size:13px"><p><strong>{title}</strong> {line}</p>'
        '<img alt="Map of the units, coloured by outcome" style="max-width:100%" src="data:image/png;base64,{png}">'
        "<p>{key}</p>{table}<div>{tiles}</div></div>",
        title=title,
        line=selection_line(units, rows),
        png=base64.b64encode(png).decode(),
        key=_key(units),
        table=_table(slices),
        tiles=[_tile(units, thumbnail) for thumbnail in thumbnails],
    )


def _key(units: pd.DataFrame) -> list[Safe]:
    counts = units["outcome"].astype(TEXT).value_counts()
    return [
        safe_html(
            '<span style="margin-right:12px"><span style="color:{colour}">●</span> {name} ({count})</span>',
            colour=OUTCOME_MARKS.get(str(name), OTHER).colour,
            name=name,
            count=f"{count:,}",
        )
        for name, count in counts.items()
    ]


def _table(slices: pd.DataFrame) -> Safe:
    if slices.empty:
        return safe_html("<p>No slices.</p>")
    lines = [_line(row) for row in slices.head(_TABLE_ROWS).itertuples(index=False)]
    more = f"and {len(slices) - _TABLE_ROWS} more" if len(slices) > _TABLE_ROWS else ""
    return safe_html(
        "<table><thead><tr><th>slice</th><th>units</th><th>failures</th><th>failure rate</th><th>status</th>"
        "<th>description</th></tr></thead><tbody>{lines}</tbody></table><p>{more}</p>",
        lines=lines,
        more=more,
    )


def _line(row: Any) -> Safe:
    return safe_html(
        "<tr><td>{name}</td><td>{size}</td><td>{failures}</td><td>{rate}</td><td>{status}</td><td>{words}</td></tr>",
        name=row.name,
        size=f"{row.size:,}",
        failures=f"{row.failures:,}",
        rate="" if row.failure_rate != row.failure_rate else f"{100 * row.failure_rate:.1f} %",
        status=f"{row.status} v{row.version}" if row.version else row.status,
        words=row.description,
    )


def _tile(units: pd.DataFrame, thumbnail: Thumbnail) -> Safe:
    text = thumbnail.unit
    if thumbnail.unit in units.index:
        unit = units.loc[thumbnail.unit]
        text = caption(unit["label"], unit["prediction"])
    if not thumbnail.image:
        shown = safe_html('<div style="width:96px;height:96px;background:#ccc;font-size:10px">{why}</div>',
                          why=thumbnail.problem or "no picture")  # fmt: skip
    else:
        shown = safe_html('<img alt="{text}" style="max-width:96px;max-height:96px" '
                          'src="data:image/jpeg;base64,{jpeg}">',
                          text=text, jpeg=base64.b64encode(thumbnail.image).decode())  # fmt: skip
    return safe_html(
        '<figure style="display:inline-block;width:100px;margin:3px;font-size:11px;overflow:hidden;'
        'vertical-align:bottom">{shown}<figcaption>{text}</figcaption></figure>',
        shown=shown,
        text=text,
    )


def _to_pixels(
    places: npt.NDArray[np.float64], shown: npt.NDArray[np.int64], width: int, height: int
) -> npt.NDArray[np.float64]:
    pixels = np.zeros_like(places)
    if not len(shown):
        return pixels
    low, high = places[shown].min(axis=0), places[shown].max(axis=0)
    margin = 12
    factor = (np.array([width, height]) - 2 * margin) / np.maximum(high - low, 1e-9)
    pixels[shown] = (places[shown] - low) * factor + margin
    pixels[shown, 1] = height - pixels[shown, 1]
    return pixels


def _rgba(colour: str, strength: int) -> tuple[int, int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, strength
