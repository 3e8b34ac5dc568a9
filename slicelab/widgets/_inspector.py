"""What is special about the selection, beside the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets
from ipywidgets import Layout

from slicelab.core import Inspection, Rule
from slicelab.views import inspection_lines
from slicelab.widgets._gestures import GestureWidget, module, refuse_unknown, style


class Inspector(GestureWidget):
    """Failures, confusions, models and columns of a selection against the rest.

    Parameters
    ----------
    inspection
        What `lab.inspect(units, model)` returns; None: nothing is selected.
    """

    _esm = module("inspector.js")
    _css = style("inspector.css")
    groups = traitlets.List().tag(sync=True)
    describable = traitlets.Bool(False).tag(sync=True)

    def __init__(self, inspection: Inspection | None = None, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        self._describe_callbacks: list[Callable[[], None]] = []
        super().__init__(layout=Layout(min_width="0"))
        self.show(inspection)

    def show(self, inspection: Inspection | None, rule: Rule | None = None) -> None:
        """Show another selection, with the rule that describes it where one is known."""
        with self.hold_sync():
            self.groups = inspection_lines(inspection, rule)
            self.describable = bool(self._describe_callbacks) and bool(inspection and inspection.size)

    def on_describe(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a person asks for a rule that describes the selection."""
        self._describe_callbacks.append(callback)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"describe": self._describe}

    def _describe(self, _content: dict[str, Any]) -> None:
        for callback in self._describe_callbacks:
            callback()
