"""The review of returned labels without a browser: what it sends, and what its gestures do."""

import pytest

from slicelab.core import ConflictError, DrawnBox, MediaError, ReviewItem, ReviewPanel, StateError, Undone
from slicelab.widgets import Review

HOSTILE = "<img src=x onerror=window.__pwned=1>\u202e"


class Desk:
    """Answers kept in memory."""

    def __init__(self):
        self.states = {f"i{n}": "returned" for n in range(4)}
        self.asked = []
        self.before = []

    def review_items(self):
        panels = (
            ReviewPanel("old label", "nut"),
            ReviewPanel("returned", HOSTILE, (DrawnBox(0.1, 0.2, 0.3, 0.4, "unit", HOSTILE),)),
        )
        shown = [i for i, state in self.states.items() if state not in ("rejected", "merged")]
        return [ReviewItem(i, f"u{i}", f"k{i}", self.states[i], True, i != "i3", panels) for i in shown]

    def picture(self, key, *, size):
        if key == "ki2":
            raise MediaError("the picture is gone")
        return b"jpeg"

    def judge(self, verdict, *, items=None, rule=None):
        self.asked.append((verdict, items, rule))
        if rule == "conflict":
            raise ConflictError("Somebody was first.")
        if items == ["i3"] and verdict == "accepted":
            raise StateError("There is no agreed answer.")
        chosen = items or list(self.states)
        self.before.append((verdict, {i: self.states[i] for i in chosen}))
        self.states |= dict.fromkeys(chosen, verdict)
        return len(chosen)

    def undo(self):
        if not self.before:
            raise StateError("There is no verdict to take back.")
        verdict, was = self.before.pop()
        if any(self.states[i] != verdict for i in was):
            raise ConflictError("Somebody was first.")
        self.states |= was
        return Undone(verdict, tuple(was), tuple(f"u{i}" for i in was))


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def review(desk):
    return Review(desk)


def test_it_sends_an_answer_with_its_picture(review, send):
    """Panels with boxes, texts made visible; a broken picture is said in words."""
    ((message, buffers),) = send(review, {"kind": "want", "row": 0})
    assert [p["title"] for p in message["panels"]] == ["old label", "returned"]
    assert message["panels"][1]["boxes"][0][:5] == [0.1, 0.2, 0.3, 0.4, "unit"]
    assert "\u202e" not in message["panels"][1]["text"]
    assert (buffers, message["accept"]) == ([b"jpeg"], True)
    ((message, buffers),) = send(review, {"kind": "want", "row": 2})
    assert (message["problem"], buffers) == ("the picture is gone", [b""])


def test_keys_become_verdicts(review, desk, send):
    """Each key's message reaches the desk; states follow, and what was rejected keeps its row."""
    for row, verdict in enumerate(("accepted", "rejected", "needs_second_opinion")):
        send(review, {"kind": "judge", "row": row, "verdict": verdict})
    assert desk.asked == [
        ("accepted", ["i0"], None),
        ("rejected", ["i1"], None),
        ("needs_second_opinion", ["i2"], None),
    ]
    assert [state for state, _ in review.rows] == ["accepted", "rejected", "needs_second_opinion", "returned"]
    assert review.title == "1 accepted, 1 rejected, 1 needs second opinion, 1 returned"
    assert (review.kind, review.notice) == ("saved", "saved: 1 needs second opinion (ui2)")


def test_all_that_a_rule_describes(review, desk, send):
    """The rule goes to the desk as it was typed; an empty one is refused in words."""
    send(review, {"kind": "judge_rule", "rule": " new == prediction ", "verdict": "accepted"})
    assert desk.asked == [("accepted", None, "new == prediction")]
    assert {state for state, _ in review.rows} == {"accepted"}
    send(review, {"kind": "judge_rule", "rule": " ", "verdict": "accepted"})
    assert (review.kind, "Type a rule first" in review.notice) == ("error", True)


def test_the_last_verdict_is_taken_back_and_shown(review, desk, send):
    """Each undo takes one decision back, the last first, and goes to its first answer; then there is none left."""
    send(review, {"kind": "judge", "row": 1, "verdict": "rejected"})
    send(review, {"kind": "judge_rule", "rule": "changed", "verdict": "needs_second_opinion"})
    ((message, _),) = send(review, {"kind": "undo"})
    assert message == {"kind": "show", "row": 0}
    assert (review.kind, review.notice) == ("saved", "undone: 4 needs second opinion (ui0 and 3 more)")
    assert [state for state, _ in review.rows] == ["returned", "rejected", "returned", "returned"]
    ((message, _),) = send(review, {"kind": "undo"})
    assert message == {"kind": "show", "row": 1}
    assert review.notice == "undone: 1 rejected (ui1)"
    assert [state for state, _ in review.rows] == ["returned"] * 4
    assert send(review, {"kind": "undo"}) == []
    assert (review.kind, review.notice) == ("error", "StateError: There is no verdict to take back.")


def test_a_verdict_that_somebody_changed_is_not_taken_back(review, desk, send):
    """The refusal is said, and the present states are shown."""
    send(review, {"kind": "judge", "row": 0, "verdict": "accepted"})
    desk.states["i0"] = "needs_second_opinion"
    assert send(review, {"kind": "undo"}) == []
    assert (review.kind, "Somebody was first" in review.notice) == ("error", True)
    assert review.rows[0][0] == "needs_second_opinion"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "judge", "row": 3, "verdict": "accepted"}, "no agreed answer"),
        ({"kind": "judge", "row": 9, "verdict": "accepted"}, "Rows are 0 to 3"),
        ({"kind": "judge", "row": "0", "verdict": "accepted"}, "Rows are 0 to 3"),
        ({"kind": "judge", "row": 0, "verdict": "merged"}, "A verdict is one of"),
        ({"kind": "judge_rule", "rule": 5, "verdict": "accepted"}, "Type a rule first"),
        ({"kind": "want", "row": -1}, "Rows are 0 to 3"),
        ({"kind": "nonsense"}, "unknown message"),
        ({"kind": "judge_rule", "rule": "conflict", "verdict": "rejected"}, "Somebody was first"),
    ],
)
def test_what_goes_wrong_is_said(review, desk, send, content, words):
    """Wrong messages and refusals change nothing and are shown."""
    send(review, content)
    assert review.kind == "error"
    assert words in review.notice
    assert {state for state, _ in review.rows} == {"returned"}


def test_a_conflict_shows_what_the_other_one_did(review, desk, send):
    """Somebody judged an answer meanwhile: the refusal brings the present states."""
    desk.states["i0"] = "accepted"
    send(review, {"kind": "judge_rule", "rule": "conflict", "verdict": "rejected"})
    assert [state for state, _ in review.rows] == ["accepted", "returned", "returned", "returned"]
