"""What stays in memory after many gestures."""

from __future__ import annotations

import gc
import tracemalloc

import psutil


def test_memory_stays_flat_over_many_cycles(explorer, desk, lasso) -> None:
    """Select, keep, take back, 500 times: the kernel holds no more than before."""
    parts = [list(range(part, 200, 4)) for part in range(4)]

    def cycle(number: int) -> None:
        lasso(explorer.map, parts[number % 4])
        explorer.actions.name = f"slice {number}"
        explorer.actions.press("new")
        assert explorer.notice.kind == "saved", explorer.notice.text
        explorer.actions.press("undo")
        desk.past.clear()  # the desk's own memory isn't the widget's
        desk.future.clear()

    for number in range(50):  # what is read and kept once
        cycle(number)
    tracemalloc.start()
    try:
        gc.collect()
        before, resident = tracemalloc.get_traced_memory()[0], psutil.Process().memory_info().rss
        for number in range(500):
            cycle(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 500_000  # a kilobyte a cycle: less than the ids of what was selected
    assert psutil.Process().memory_info().rss - resident < 30 * 2**20
    assert len(explorer.table.rows) == 2  # the two candidates: all slices were taken back
