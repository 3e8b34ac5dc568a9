"""What each outcome looks like: a colour that colour-blind people can tell apart, and a symbol besides.

Colours: M. Okabe and K. Ito, "Color Universal Design" (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
GREY = "#8C8C8C"


@dataclass(frozen=True)
class Mark:
    """Colour, plotly symbol name and plotly symbol number."""

    colour: str
    symbol: str
    code: int


RIGHT = Mark("#56B4E9", "circle", 0)
FAILURE = Mark("#D55E00", "x", 4)
OTHER = Mark(GREY, "circle", 0)

OUTCOME_MARKS = {
    "correct": RIGHT,
    "tp": RIGHT,
    "wrong": FAILURE,
    "misclassified": FAILURE,
    "unpredicted": Mark("#CC79A7", "diamond", 2),
    "missed": Mark("#CC79A7", "diamond", 2),
    "mislocalised": Mark("#E69F00", "square", 1),
    "spurious": Mark("#0072B2", "triangle-up", 5),
    "duplicate": Mark("#009E73", "cross", 3),
}
