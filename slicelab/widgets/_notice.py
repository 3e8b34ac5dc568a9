"""The line under a widget that says what was saved and what went wrong."""

from __future__ import annotations

import logging
import traceback

import traitlets

from slicelab.core import visible
from slicelab.widgets._gestures import STATIC, GestureWidget, module


class Notice(GestureWidget):
    """One line of text; an error's traceback is one click away.

    Attributes
    ----------
    kind
        "plain", "busy", "saved" or "error".
    text, details
        The line and the traceback ("" for none).
    """

    _esm = module("notice.js")
    _css = STATIC / "notice.css"
    kind = traitlets.Enum(("plain", "busy", "saved", "error"), "plain").tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    details = traitlets.Unicode().tag(sync=True)

    def say(self, text: str, *, kind: str = "plain") -> None:
        """Show a line."""
        with self.hold_sync():
            self.kind, self.text, self.details = kind, visible(text), ""

    def error(self, error: Exception) -> None:
        """Show an error; it is logged too."""
        logging.getLogger("slicelab").debug("Shown in the widget.", exc_info=error)
        with self.hold_sync():
            self.kind, self.text = "error", visible(f"{type(error).__name__}: {error}")
            lines = "".join(traceback.format_exception(error)).splitlines()
            self.details = "\n".join(visible(line) for line in lines)
