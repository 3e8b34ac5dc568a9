"""Whether a case still is what was frozen: members, all labels on their images, media and groups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from slicelab.core import Case, SampleTable, Suite, hash_value, listed, object_unit
from slicelab.gate._freeze_case import member_keys, suite_truth, table_truth
from slicelab.gate._hash_case import ImageTruth, Row, Truth
from slicelab.gate._plain_truth import plain_truth

_WORDS = {"membership": "members", "labels": "labels", "media": "media", "groups": "groups"}


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
        self._frozen = plain or suite_truth(suite)
        self._hashes: dict[str, dict[str, str]] = {}
        self._media = media
        self._sha256 = {} if media is None else suite.samples["sha256"].to_dict()
        self._labels = labels
        self._now: Truth | None = None
        if labels is not None:
            self._now = table_truth({m for c in suite.cases for m in c.members}, labels)

    @cached_property
    def _keys(self) -> set[str]:
        return set(self._suite.samples.index.to_numpy(object))

    def problems(self, case: Case) -> list[str]:
        """Say why a case can't be judged; empty when it can."""
        if not case.members:
            return ["It has no members."]
        missing = self._frozen.missing(case.members)
        if missing:
            return [
                f"{_some(missing, 'member')} of {len(case.members)} without a label in the suite: {listed(missing)}."
            ]
        if self._hash(case) != case.content_hash:
            told = f"Its {self._changed(case)} aren't those that were frozen: the content hash doesn't match."
            return [f"{told} If they are right as they are now, refreeze the suite in its dataset."]
        return [*self._media_problems(case), *self._label_problems(case)]

    def _hash(self, case: Case) -> str:
        whole = case.schema_version >= 2
        return hash_value(self.hashes(case)) if whole else self._frozen.hash(case.members, schema_version=1)

    def _changed(self, case: Case) -> str:
        now = self._frozen.hashes(case.members, schema_version=case.schema_version)
        # Other members have other labels, media and groups too.
        changed = [_WORDS[part] for part in now if part in case.hashes and case.hashes[part] != now[part]]
        if "members" in changed:
            return "members"
        if changed == ["labels"] and case.schema_version >= 2 and self._suite.task == "detection":
            return "labels (members' or others' on their images)"
        return " and ".join(changed) or "members, labels or media"

    def hashes(self, case: Case) -> dict[str, str]:
        """Return the hashes of membership, labels, media and groups that a case is judged by, as of schema 2."""
        found = self._hashes.get(case.name)
        if found is None:
            found = self._hashes[case.name] = self._frozen.hashes(case.members)
        return found

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
        before, now = self._frozen, self._now
        changed = [m for m in case.members if m in now.rows and now.rows[m] != before.rows[m]]
        told += _told("member", [_difference(before.rows[m], now.rows[m]) for m in changed])
        return told if case.schema_version < 2 else told + self._image_problems(case, before, now)

    def _image_problems(self, case: Case, before: Truth, now: Truth) -> list[str]:
        """Say what changed on the members' images beside the members."""
        keys = [key for key in before.keys(case.members) if key in now.images]
        known = set(case.members)
        others = [
            line
            for key in keys
            if key not in known  # else all that is on it was compared already
            for line in _other_boxes(key, before.images[key], now.images[key], known)
        ]
        told = _told("other label", others, where=" on the members' images")
        if self._labels is not None and self._labels.group is not None:
            moved = [k for k in keys if before.images[k].group != now.images[k].group]
            told += [f"{_some(moved, 'image')} in another group since: {listed(moved)}."] if moved else []
        return told


def _some(items: list[str], noun: str) -> str:
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''}"


def _told(noun: str, lines: list[str], *, where: str = "") -> list[str]:
    if not lines:
        return []
    more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
    return [f"{_some(lines, noun)}{where} changed since: {'; '.join(lines[:5])}{more}."]


def _difference(before: Row, after: Row) -> str:
    """Say in which of label, box and media two rows of one member differ."""
    unit = repr(before[0])
    if before[1] != after[1]:
        if isinstance(before[1], list):
            return f"{unit} has other boxes"
        return f"{unit} was {before[1]!r}, is {after[1]!r}"
    return f"{unit} has another box" if before[2] != after[2] else f"{unit} is another image"


def _other_boxes(key: str, before: ImageTruth, after: ImageTruth, members: set[str]) -> list[str]:
    """Say which boxes of an image, beside the members, came, went or changed."""
    then, now = ({object_unit(key, row[0]): row[1:] for row in image.boxes or ()} for image in (before, after))
    told = []
    for unit in sorted((then.keys() | now.keys()) - members):
        old, new = then.get(unit), now.get(unit)
        if old == new:
            continue
        if old is None or new is None:
            told.append(f"{unit!r} {'came' if old is None else 'went'}")
        elif old[0] != new[0]:
            told.append(f"{unit!r} was {old[0]!r}, is {new[0]!r}")
        else:
            told.append(f"{unit!r} has another box" if old[1] != new[1] else f"{unit!r} has another crowd flag")
    return told
