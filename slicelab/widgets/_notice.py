"""The line under a widget that says what was saved and what went wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

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
    work, share
        What goes on beside the notebook ("" for nothing) and how much of it is done, in [0, 1] (-1: unknown).
    """

    _esm = module("notice.js")
    _css = STATIC / "notice.css"
    kind = traitlets.Enum(("plain", "busy", "saved", "error"), "plain").tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    details = traitlets.Unicode().tag(sync=True)
    work = traitlets.Unicode().tag(sync=True)
    share = traitlets.Float(-1.0).tag(sync=True)
    _cancel: Callable[[], None] | None = None

    def begin(self, work: str, *, cancel: Callable[[], None]) -> None:
        """Show that something long has begun, with a button that calls `cancel`."""
        self._cancel = cancel
        self.tell(work, None)

    def tell(self, work: str, share: float | None) -> None:
        """Show what is being done and how much of it is done, in [0, 1]."""
        with self.hold_sync():
            self.work, self.share = visible(work), -1.0 if share is None else share

    def end(self) -> None:
        """Take the bar away."""
        self._cancel = None
        self.tell("", None)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"cancel": self._stop}

    def _stop(self, _content: dict[str, Any]) -> None:
        if self._cancel is not None:
            self.tell("stopping …", None)
            self._cancel()

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
