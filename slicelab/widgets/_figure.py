"""A plotly figure that arrives in the browser with its data."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import traitlets


class SafeFigureWidget(go.FigureWidget):
    """A `FigureWidget` that is never empty.

    plotly 6 opens the connection to the browser before the figure has its data, sends the data afterwards, and its
    JavaScript ignores that second message: on a busy machine the plot stays empty. This one opens the connection
    once the figure is complete. Give data and layout to the constructor; a layout set between that and the first
    drawing can be lost in the same way.
    """

    _ready = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ready = True
        self.open()

    def open(self) -> None:
        """Open the connection, unless the figure is still being made."""
        if self._ready:
            super().open()

    def clear_outline(self) -> None:
        """Take away the outline that a lasso or box left.

        plotly doesn't tell Python of it: setting `layout.selections` would change nothing here and send nothing.
        """
        self._send_relayout_msg({"selections": []})

    @traitlets.observe("_js2py_pointsCallback")
    def _handler_js2py_pointsCallback(self, change: dict[str, Any]) -> None:  # noqa: N802 (plotly's name)
        # Without its outline plotly says that nothing is selected, naming no lasso or box: that is no gesture.
        event = change["new"]
        if event and event.get("event_type") == "plotly_selected" and not event.get("selector"):
            self._js2py_pointsCallback = None
            return
        super()._handler_js2py_pointsCallback(change)
