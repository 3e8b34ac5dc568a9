"""What a load found: every row counted, every refusal with its file, line and reason."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from slicelab.core._words import visible


@dataclass(frozen=True)
class Finding:
    """One thing that a load noticed.

    Parameters
    ----------
    kind
        A short word for it in kebab-case, like "missing-file", "nan-box", "duplicate-id".
    file
        The file in which it stands (or the image itself).
    line
        1-based line or row in that file; None where lines mean nothing.
    item
        Key or id of what it concerns.
    reason
        What is wrong and what was found, in words.
    refused
        True: the row was not loaded. False: the row was loaded, this is a notice.
    rows
        "samples", "labels" or "predictions:<model>": to which count a refusal belongs.
    """

    kind: str
    file: str
    line: int | None
    item: str
    reason: str
    refused: bool = True
    rows: str = "samples"


@dataclass(frozen=True)
class LoadReport:
    """Counts of a load: for every kind of rows, rows in = loaded + refused.

    Parameters
    ----------
    rows_in, loaded
        Number of rows by kind ("samples", "labels", "predictions:v3").
    findings
        Every refusal and notice.
    unchanged
        How many of the loaded rows were already there, equal ("samples", ...).
    seconds
        Wall time per stage.
    """

    rows_in: dict[str, int] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unchanged: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def refused(self) -> dict[str, int]:
        """Number of refused rows by kind."""
        return {kind: n - self.loaded.get(kind, 0) for kind, n in self.rows_in.items()}

    @property
    def ok(self) -> bool:
        """True when no row was refused."""
        return not any(self.refused.values())

    def counts(self) -> pd.DataFrame:
        """One row per kind of rows: rows_in, loaded, refused, unchanged."""
        kinds = list(self.rows_in)
        return pd.DataFrame(
            {
                "rows_in": [self.rows_in[k] for k in kinds],
                "loaded": [self.loaded.get(k, 0) for k in kinds],
                "refused": [self.refused[k] for k in kinds],
                "unchanged": [self.unchanged.get(k, 0) for k in kinds],
            },
            index=pd.Index(kinds, name="rows"),
        )

    def frame(self) -> pd.DataFrame:
        """One row per finding: rows, kind, file, line, item, reason, refused."""
        columns = ["rows", "kind", "file", "line", "item", "reason", "refused"]
        return pd.DataFrame([[getattr(f, c) for c in columns] for f in self.findings], columns=columns)

    def __str__(self) -> str:
        lines = [
            f"{kind}: {n} rows in, {self.loaded.get(kind, 0)} loaded, {self.refused[kind]} refused"
            for kind, n in self.rows_in.items()
        ]
        for (kind, refused), n in Counter((f.kind, f.refused) for f in self.findings).most_common():
            first = next(f for f in self.findings if f.kind == kind and f.refused == refused)
            where = first.file if first.line is None else f"{first.file}:{first.line}"
            word = "refused" if refused else "notice"
            lines.append(visible(f"  {word} {kind} x {n}; first: {where}{': ' * bool(where)}{first.reason}"))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
