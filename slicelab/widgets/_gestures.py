"""How a widget and its JavaScript talk: gestures come in as messages, state goes out as traits.

So a value that Python sets never looks like a gesture, and linked widgets can't call each other in a ring.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from slicelab.core import InvalidInputError, did_you_mean, listed

STATIC = Path(__file__).parent / "static"
ErrorSink = Callable[[Exception], None]


def module(*names: str) -> str:
    """Return the JavaScript of one of our widgets from its files, with what all of them begin with."""
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in ("common.js", *names))


def style(name: str) -> str:
    """Return the style sheet of one of our widgets from its file, with the colours that all of them share."""
    return "".join((STATIC / each).read_text(encoding="utf-8") for each in ("theme.css", name))


def log_error(error: Exception) -> None:
    """Log an error from a callback, where nobody else shows it."""
    logging.getLogger("slicelab").error("A widget's callback failed: %s", error, exc_info=error)


@contextmanager
def caught(sink: ErrorSink) -> Iterator[None]:
    """Give any error inside to `sink`: what a callback raises would vanish into the kernel's log."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (the edge to the browser: nobody above could show it)
        sink(error)


def refuse_unknown(widget: object, unknown: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` when a widget was given keywords that it doesn't know."""
    if unknown:
        parameters = inspect.signature(type(widget).__init__).parameters.values()
        names = [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
        hint = did_you_mean(next(iter(unknown)), names)
        raise InvalidInputError(f"{type(widget).__name__} has no keyword {listed(unknown)}.{hint}")


class GestureWidget(anywidget.AnyWidget):
    """A widget whose JavaScript sends messages ``{"kind": ..., ...}``.

    Subclasses answer each kind in `gestures`; bytes that came with it are under "buffers". `on_error` is told of
    every error in an answer.
    """

    address = traitlets.Unicode().tag(sync=True)  # by which the page finds this widget's model

    def __init__(self, **state: Any) -> None:
        address = uuid4().hex
        super().__init__(address=address, model_id=address, **state)
        self.on_error: ErrorSink = log_error
        self.on_msg(self._receive)

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        """Return what answers each kind of message."""
        return {}

    def _receive(self, _widget: object, content: object, buffers: list[Any] | None) -> None:
        with caught(self.on_error):
            known = self.gestures()
            kind = content.get("kind") if isinstance(content, dict) else None
            if not isinstance(content, dict) or kind not in known:
                raise InvalidInputError(f"{type(self).__name__} got an unknown message {str(content)[:80]!r}.")
            known[str(kind)]({**content, "buffers": list(buffers or ())})
