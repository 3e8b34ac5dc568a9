"""Keys of the explorer: one letter per action, anywhere but in a text field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets
from ipywidgets import Layout

from slicelab.widgets._gestures import STATIC, GestureWidget, module


class Keys(GestureWidget):
    """Listens for keys in the explorer around it, and shows what they do when `?` is pressed.

    Parameters
    ----------
    actions
        What each key does: its words and what is called.
    """

    _esm = module("keys.js")
    _css = STATIC / "keys.css"
    bindings = traitlets.List().tag(sync=True)

    def __init__(self, actions: Mapping[str, tuple[str, Callable[[], None]]]) -> None:
        self._actions = dict(actions)
        super().__init__(
            bindings=[[key, words] for key, (words, _) in actions.items()], layout=Layout(margin="0", min_width="0")
        )

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"key": self._press}

    def _press(self, content: dict[str, Any]) -> None:
        if content.get("key") in self._actions:
            self._actions[str(content["key"])][1]()
