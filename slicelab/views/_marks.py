"""What each outcome looks like: a colour that colour-blind people can tell apart, and a symbol besides.

Colours: M. Okabe and K. Ito, "Color Universal Design" (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
GREY = "#8C8C8C"


@dataclass(frozen=True)
class Mark:
    """Colour and name of plotly's symbol."""

    colour: str
    symbol: str


RIGHT = Mark("#56B4E9", "circle")
FAILURE = Mark("#D55E00", "x")
OTHER = Mark(GREY, "circle")

OUTCOME_MARKS = {
    "correct": RIGHT,
    "tp": RIGHT,
    "wrong": FAILURE,
    "misclassified": FAILURE,
    "unpredicted": Mark("#CC79A7", "diamond"),
    "missed": Mark("#CC79A7", "diamond"),
    "mislocalised": Mark("#E69F00", "square"),
    "spurious": Mark("#0072B2", "triangle-up"),
    "duplicate": Mark("#009E73", "cross"),
}
