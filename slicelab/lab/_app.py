"""The explorer and FiftyOne's App, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slicelab.lab._units import Units
from slicelab.store import AppSession, install_plugin

if TYPE_CHECKING:
    import fiftyone as fo

    from slicelab.widgets import Explorer

PLUGIN = Path(__file__).parent / "fiftyone_plugin"


def open_app(dataset: fo.Dataset, units: Units, explorer: Explorer | None, port: int | None) -> AppSession:
    """Open FiftyOne's App with SliceLab's operators; see `Lab.open_app`."""
    install_plugin(PLUGIN)
    app = AppSession(dataset, port=port)
    if explorer is not None:
        link(app, units, explorer)
    return app


def link(app: AppSession, units: Units, explorer: Explorer) -> None:
    """Let selection, slices and what is looked at follow both ways, without an echo."""
    heard: list[list[str]] = []

    def to_app(ids: list[str]) -> None:
        if heard and heard[-1] == ids:  # it came from there
            return
        app.select(units.keys_of(ids))

    def from_app(keys: list[str]) -> None:
        chosen = explorer.units_of(keys)
        heard[:] = [chosen]
        explorer.select(chosen)

    def show(slices: list[str]) -> None:
        app.show(slices[0] if len(slices) == 1 else None)

    explorer.on_select(to_app)
    explorer.on_pick(show)
    explorer.on_change(app.refresh)
    app.on_select(from_app)
    app.on_view(explorer.pick)
    if explorer.selection:
        to_app(explorer.selection)
