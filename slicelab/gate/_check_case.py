"""Whether a case still is what was frozen: members, labels, boxes, media."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import pandas as pd

from slicelab.core import Case, SampleTable, Suite, listed
from slicelab.gate._freeze_case import member_keys
from slicelab.gate._hash_case import Row, Truth, read_truth
from slicelab.gate._plain_truth import plain_truth


class CaseChecks:
    """Checks on a suite's cases, with the look-ups that they share.

    Parameters
    ----------
    suite
        With the truth that its cases are judged by.
    media
        SHA-256 of the images by key, as they are now; None: not checked.
    labels
        Samples and labels as they are now; None: not checked.
    """

    def __init__(
        self, suite: Suite, *, media: Mapping[str, str] | None = None, labels: SampleTable | None = None
    ) -> None:
        self._suite = suite
        # Labels that are compared are compared row by row; else hashes do.
        plain = plain_truth(suite) if labels is None else None
        self._frozen = plain or self._read(suite.samples, suite.boxes)
        self._media = media
        self._sha256 = {} if media is None else suite.samples["sha256"].to_dict()
        self._now: Truth | None = None
        if labels is not None:
            self._now = self._read(labels.samples, labels.boxes)

    @cached_property
    def _keys(self) -> set[str]:
        return set(self._suite.samples.index.to_numpy(object))

    def _read(self, samples: pd.DataFrame, boxes: pd.DataFrame) -> Truth:
        members = {m for c in self._suite.cases for m in c.members}
        return read_truth(members, samples=samples, boxes=boxes, task=self._suite.task)

    def problems(self, case: Case) -> list[str]:
        """Say why a case can't be judged; empty when it can."""
        if not case.members:
            return ["It has no members."]
        missing = self._frozen.missing(case.members)
        if missing:
            return [
                f"{_some(missing, 'member')} of {len(case.members)} without a label in the suite: {listed(missing)}."
            ]
        if self._frozen.hash(case.members) != case.content_hash:
            return [f"Its {self._changed(case)} aren't those that were frozen: the content hash doesn't match."]
        return [*self._media_problems(case), *self._label_problems(case)]

    def _changed(self, case: Case) -> str:
        now = self._frozen.hashes(case.members)
        # Other members have other labels and media too.
        words = {"membership": "members", "labels": "labels", "media": "media"}
        changed = [words[part] for part in words if part in case.hashes and case.hashes[part] != now[part]]
        return "members" if "members" in changed else " and ".join(changed) or "members, labels or media"

    def hashes(self, case: Case) -> dict[str, str]:
        """Return the hashes of membership, labels and media that a case is judged by."""
        return self._frozen.hashes(case.members)

    def _media_problems(self, case: Case) -> list[str]:
        if self._media is None:
            return []
        keys = sorted(member_keys(case.members, self._keys))
        gone = [k for k in keys if k not in self._media]
        changed = [k for k in keys if k in self._media and self._media[k] != self._sha256[k]]
        told = [f"{_some(gone, 'image')} can't be found: {listed(gone)}."] if gone else []
        return told + ([f"{_some(changed, 'image')} changed since: {listed(changed)}."] if changed else [])

    def _label_problems(self, case: Case) -> list[str]:
        if self._now is None or not isinstance(self._frozen, Truth):
            return []
        gone = self._now.missing(case.members)
        told = [f"{_some(gone, 'member')} no longer labelled: {listed(gone)}."] if gone else []
        before, now = self._frozen.rows, self._now.rows
        changed = [m for m in case.members if m in now and now[m] != before[m]]
        if changed:
            shown = "; ".join(_difference(before[m], now[m]) for m in changed[:5])
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            told.append(f"{_some(changed, 'member')} changed since: {shown}{more}.")
        return told


def _some(items: list[str], noun: str) -> str:
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''}"


def _difference(before: Row, after: Row) -> str:
    """Say in which of label, box and media two rows of one member differ."""
    unit = repr(before[0])
    if before[1] != after[1]:
        if isinstance(before[1], list):
            return f"{unit} has other boxes"
        return f"{unit} was {before[1]!r}, is {after[1]!r}"
    return f"{unit} has another box" if before[2] != after[2] else f"{unit} is another image"
