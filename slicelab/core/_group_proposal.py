"""A way to say which images aren't independent, with what speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, eq=False)
class GroupProposal:
    """Groups that were found, not declared.

    Parameters
    ----------
    source
        "near-duplicates", "file names", "capture times" or "column".
    evidence
        What speaks for them, in words.
    groups
        Series of str, index `key`: the group of each image; missing where an image is by itself.
    column
        The metadata column that has them already; None: there is none.
    """

    source: str
    evidence: str
    groups: pd.Series[str]
    column: str | None = None

    @property
    def sizes(self) -> pd.Series[int]:
        """Number of images of each group of two and more, largest first."""
        counts = self.groups.value_counts()
        return counts[counts > 1]

    def __repr__(self) -> str:
        sizes = self.sizes
        largest = f", the largest of {sizes.iloc[0]}" if len(sizes) else ""
        name = self.source if self.column is None else f"{self.source} {self.column!r}"
        return f"<{name}: {len(sizes)} groups of {int(sizes.sum())} images{largest}; {self.evidence}>"
