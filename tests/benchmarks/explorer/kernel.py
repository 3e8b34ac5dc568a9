"""What a gesture costs the kernel, without a browser: CPU milliseconds, bytes, and memory over many gestures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import psutil


def measure(fakes: Any, count: int, gestures: int = 50, cycles: int = 500) -> dict[str, float]:
    """Select a quarter of the points again and again, as the map's JavaScript tells it.

    Returns
    -------
    CPU ms of a selection (median, p95), of a change of colour and of making the explorer; bytes per point that the
    browser is told at the start; growth of the resident memory in MiB over `cycles` of select, keep and undo.
    """
    from slicelab.widgets import Explorer

    units, projection = fakes.make_units(count), fakes.make_projection(count)
    desk = fakes.FakeDesk(units)
    desk.inspect(list(units.index[:2]), "v3")  # read once per dataset
    began = time.process_time()
    explorer = Explorer(units, projection, desk=desk, candidates=fakes.make_candidates(units), model="v3")
    ready = time.process_time() - began
    parts = [np.flatnonzero(np.arange(count) % 4 == part).astype("<i4").tobytes() for part in range(4)]
    select = [_timed(lambda i=i: _select(explorer, parts[i % 4])) for i in range(gestures)]
    colours = ["label", "confidence", "outcome", "brightness"]
    colour = [_timed(lambda i=i: explorer.map.recolour(colours[i % 4])) for i in range(gestures)]
    state = explorer.map
    sent = len(state.places) + len(state.codes) + len(state.values) + len(explorer.gallery.rows)
    small = [part[: 4 * 200] for part in parts]
    for i in range(50):
        _cycle(explorer, desk, small[i % 4], i)
    before = psutil.Process().memory_info().rss
    for i in range(cycles):
        _cycle(explorer, desk, small[i % 4], i)
    return {
        "select_ms": float(np.median(select)),
        "select_p95_ms": float(np.quantile(select, 0.95)),
        "colour_ms": float(np.median(colour)),
        "ready_ms": 1000 * ready,
        "bytes_per_point": sent / count,
        "memory_growth_mib": (psutil.Process().memory_info().rss - before) / 2**20,
    }


def _select(explorer: Any, rows: bytes) -> None:
    explorer.map._handle_custom_msg({"kind": "select", "way": "replace"}, [memoryview(rows)])


def _cycle(explorer: Any, desk: Any, rows: bytes, number: int) -> None:
    _select(explorer, rows)
    explorer.actions.name = f"slice {number}"
    explorer.actions.press("new")
    explorer.actions.press("undo")
    desk.past.clear()
    desk.future.clear()


def _timed(act: Any) -> float:
    began = time.process_time()
    act()
    return 1000 * (time.process_time() - began)
