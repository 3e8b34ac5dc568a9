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
    """Let the selection follow both ways, without an echo."""
    heard: list[list[str]] = []

    def to_app(ids: list[str]) -> None:
        if heard and heard[-1] == ids:  # it came from there
            return
        app.select(units.keys_of(ids))

    def from_app(keys: list[str]) -> None:
        chosen = explorer.units_of(keys)
        heard[:] = [chosen]
        explorer.select(chosen)
        explorer.refresh()

    explorer.on_select(to_app)
    app.on_select(from_app)
    if explorer.selection:
        to_app(explorer.selection)
