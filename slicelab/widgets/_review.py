"""Returned answers, one after the other: old label, returned label and prediction side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import traitlets

from slicelab.core import REVIEW_VERDICTS as VERDICTS
from slicelab.core import ConflictError, InvalidInputError, MediaError, ReviewDesk, ReviewItem, visible
from slicelab.widgets._gestures import GestureWidget, caught, module, refuse_unknown, style

SIDE = 512


class Review(GestureWidget):
    """Accept, reject, or ask for a second opinion, by keys or for all that a rule describes.

    Keys: `a` accepts, `r` rejects, `s` asks for a second opinion, `u` takes the last verdict back; the arrows go on
    and back without a verdict.

    Parameters
    ----------
    desk
        Gives the answers and takes the verdicts.

    Attributes
    ----------
    rows
        One ``[state, changed]`` per answer, in the order of the desk.
    notice, kind
        What was saved, or what went wrong ("saved" or "error").
    """

    _esm = module("review.js")
    _css = style("review.css")
    rows = traitlets.List().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Enum(("plain", "saved", "error"), "plain").tag(sync=True)

    def __init__(self, desk: ReviewDesk, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        self._desk = desk
        self._items: list[ReviewItem] = []
        super().__init__()
        self.on_error = self._say_error
        self.refresh()

    def refresh(self) -> None:
        """Show what the desk has now; answers keep their places."""
        now = {item.item: item for item in self._desk.review_items()}
        gone = [_left(item) for item in self._items if item.item not in now]
        kept = {item.item: now.pop(item.item) for item in self._items if item.item in now}
        left = {item.item: item for item in gone}
        self._items = [kept.get(i.item) or left[i.item] for i in self._items] + list(now.values())
        counts = Counter(item.state for item in self._items)
        with self.hold_sync():
            self.title = ", ".join(f"{n:,} {_word(state)}" for state, n in counts.items()) or "nothing came back"
            self.rows = [[item.state, item.changed] for item in self._items]

    def gestures(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"want": self._send_item, "judge": self._judge, "judge_rule": self._judge_rule, "undo": self._undo}

    def judge(self, row: int, verdict: str) -> None:
        """Give the answer in a row a verdict, as its key does."""
        item = self._items[row]
        self._tell(verdict, self._desk.judge(verdict, items=[item.item]), item.unit)

    def judge_rule(self, rule: str, verdict: str) -> None:
        """Give all answers that a rule describes a verdict."""
        self._tell(verdict, self._desk.judge(verdict, rule=rule), rule)

    def undo(self) -> None:
        """Take your last verdict back, as its key does, and show its first answer; again: the one before it."""
        undone = self._desk.undo()
        self.refresh()
        with self.hold_sync():
            self.kind, self.notice = "saved", visible(f"undone: {str(undone)[:120]}")
        rows = [row for row, item in enumerate(self._items) if item.item in undone.items]
        if rows:
            self.send({"kind": "show", "row": rows[0]})

    def _tell(self, verdict: str, n: int, what: str) -> None:
        self.refresh()
        with self.hold_sync():
            self.kind, self.notice = "saved", visible(f"saved: {n:,} {_word(verdict)} ({what[:80]})")

    def _judge(self, content: dict[str, Any]) -> None:
        with caught(self._say_error):
            self.judge(self._row(content), _verdict(content))

    def _undo(self, content: dict[str, Any]) -> None:
        with caught(self._say_error):
            self.undo()

    def _judge_rule(self, content: dict[str, Any]) -> None:
        with caught(self._say_error):
            rule = content.get("rule")
            if not isinstance(rule, str) or not rule.strip():
                raise InvalidInputError("Type a rule first, like: new == prediction and confidence > 0.9")
            self.judge_rule(rule.strip(), _verdict(content))

    def _send_item(self, content: dict[str, Any]) -> None:
        row = self._row(content)
        item, problem, picture = self._items[row], "", b""
        try:
            picture = self._desk.picture(item.key, size=SIDE)
        except MediaError as error:
            problem = str(error)
        panels = [
            {
                "title": visible(panel.title),
                "text": visible(panel.text),
                "boxes": [[b.x, b.y, b.width, b.height, b.role, visible(b.text)] for b in panel.boxes],
            }
            for panel in item.panels
        ]
        about = {"unit": visible(item.unit), "state": _word(item.state), "accept": item.can_accept}
        facts = [[name, visible(value)] for name, value in item.facts]
        self.send(
            {"kind": "item", "row": row, "panels": panels, "facts": facts, "problem": visible(problem), **about},
            [picture],
        )

    def _row(self, content: dict[str, Any]) -> int:
        row = content.get("row")
        if type(row) is not int or not 0 <= row < len(self._items):
            raise InvalidInputError(f"Rows are 0 to {len(self._items) - 1}; got {str(row)[:40]}.")
        return row

    def _say_error(self, error: Exception) -> None:
        if isinstance(error, ConflictError):
            self.refresh()
        with self.hold_sync():
            self.kind, self.notice = "error", visible(f"{type(error).__name__}: {error}")


def _verdict(content: dict[str, Any]) -> str:
    verdict = content.get("verdict")
    if verdict not in VERDICTS:
        raise InvalidInputError(f"A verdict is one of {', '.join(VERDICTS)}; got {str(verdict)[:40]!r}.")
    return str(verdict)


def _word(state: str) -> str:
    return state.replace("_", " ")


def _left(item: ReviewItem) -> ReviewItem:
    """Return an item that isn't up for review any more: it was rejected, or merged."""
    return replace(item, state="rejected" if item.state in ("returned", "needs_second_opinion") else item.state)
