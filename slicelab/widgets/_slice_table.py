"""Slices and candidates in the notebook: sort, filter, choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import traitlets
from ipywidgets import Layout

from slicelab.core import InvalidInputError, visible
from slicelab.widgets._gestures import GestureWidget, module, refuse_unknown, style


class SliceTable(GestureWidget):
    """A row per slice.

    Parameters
    ----------
    frame
        What `slicelab.views.slices_frame` returns.
    keys
        A key per row; None: "0", "1", ...
    height
        In CSS pixels.

    Attributes
    ----------
    picked
        The keys of the rows that are chosen.
    """

    _esm = module("slice_table.js")
    _css = style("slice_table.css")
    rows = traitlets.List().tag(sync=True)
    picked = traitlets.List(traitlets.Unicode()).tag(sync=True)
    height = traitlets.Int(220).tag(sync=True)

    def __init__(
        self,
        frame: pd.DataFrame | None = None,
        *,
        keys: Sequence[str] | None = None,
        height: int = 220,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        self._pick_callbacks: list[Callable[[list[str]], None]] = []
        super().__init__(height=height, layout=Layout(min_width="0"))
        if frame is not None:
            self.show(frame, keys=keys)

    def show(self, frame: pd.DataFrame, *, keys: Sequence[str] | None = None) -> None:
        """Show these rows; of the chosen ones those stay chosen whose key is still there."""
        keys = [str(i) for i in range(len(frame))] if keys is None else list(keys)
        if len(keys) != len(frame):
            raise InvalidInputError(f"A key for every row is needed: {len(frame)} rows, got {len(keys)} keys.")
        columns = {name: [_plain(value) for value in frame[name]] for name in frame.columns}
        with self.hold_sync():
            self.rows = [
                {"key": key, **{name: values[i] for name, values in columns.items()}} for i, key in enumerate(keys)
            ]
            self.picked = [key for key in self.picked if key in keys]

    def on_pick(self, callback: Callable[[list[str]], None]) -> None:
        """Call `callback` with the keys of the rows that a person chose (none: the last one was given up)."""
        self._pick_callbacks.append(callback)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"pick": self._pick}

    def _pick(self, content: dict[str, Any]) -> None:
        known = {row["key"] for row in self.rows}
        keys = content.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise InvalidInputError(f"The chosen rows must be a list of keys; got {str(keys)[:60]}.")
        self.picked = [key for key in keys if key in known]  # a row can be gone by the time the click arrives
        for callback in self._pick_callbacks:
            callback(list(self.picked))


def _plain(value: Any) -> Any:
    """JSON has no NaN or infinity and no numpy numbers; text shows as it is stored."""
    if isinstance(value, str):
        return visible(value)
    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
