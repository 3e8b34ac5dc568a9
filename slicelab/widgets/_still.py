"""What a saved notebook, an HTML or a PDF export shows where there is no kernel behind the widget."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any


class StillOutput:
    """An output beside a widget's own, which the page hides for as long as the widget is drawn.

    A page without the kernel can't draw the widget. It finds one output to it, and shows nothing when that fails: so
    the still page is an output of its own.

    Parameters
    ----------
    mark
        Class of the still page's outermost element; the widget's style sheet hides it.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._handle: Any = None

    def show(self, widget: Mapping[str, Any]) -> None:
        """Put an empty still page and then the widget's bundle below the running cell."""
        from IPython.display import display

        show: Any = display
        self._handle = show({"text/plain": ""}, raw=True, display_id=True)
        show(dict(widget), raw=True)

    def update(self, page: str, png: bytes, words: str) -> bool:
        """Put a page (HTML), its picture and its words in the place of the still one; tell whether it was shown."""
        if self._handle is None:
            return False
        picture = base64.b64encode(png).decode()  # for what can't show HTML, such as PDF
        marked = f'<div class="{self.mark}">{page}</div>'
        self._handle.update({"text/html": marked, "image/png": picture, "text/plain": words}, raw=True)
        return True
