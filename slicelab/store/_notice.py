"""Saying that something takes long, so that nobody takes it for a freeze."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("slicelab")


def waiting_notice(what: str) -> Callable[[float], None]:
    """Return a function that takes the seconds waited so far, and says so after 5, 15, 45, ... seconds."""
    due = [5.0]

    def notice(seconds: float) -> None:
        if seconds >= due[0]:
            logger.warning("%s ... %.0f s", what, seconds)
            due[0] *= 3

    return notice
