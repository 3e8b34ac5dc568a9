"""Edits of slices: each takes slices as they are and returns the `Change` that makes them what they should be.

Nothing is written here. A store takes all edits of a change or none, and `invert` in `_undo` takes a change back.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from slicelab.core import (
    MAX_NAME,
    Candidate,
    Change,
    Edit,
    InvalidInputError,
    Slice,
    canonical,
    check_name,
    check_unique,
    listed,
    now,
)
from slicelab.curation._rule_syntax import MAX_RULE_LENGTH, parse
from slicelab.curation._rules import evaluate_rule


def create_slice(
    name: str,
    *,
    members: Sequence[str] | None = None,
    rule: str | None = None,
    units: pd.DataFrame | None = None,
    existing: Sequence[Slice] = (),
    model: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    note: str = "",
) -> Change:
    """Make a slice from units, from a rule, or from units that a rule describes.

    Parameters
    ----------
    name
        Not yet the name of a slice in `existing`.
    members
        Unit ids, each once. None: all units for which the rule holds now; the membership is frozen either way.
    rule
        See `evaluate_rule`.
    units
        The units frame: needed to apply a rule, and to check that members exist.
    existing
        The living slices.
    model, provenance, note
        As in `Slice`; the provenance holds JSON values only.

    Returns
    -------
    Change "create" with one edit: the slice at version 1.

    Raises
    ------
    InvalidInputError
        The name is taken or can't be one, a member is there twice or unknown, or there is no member at all.
    RuleError
        The rule can't be read or applied.
    """
    if members is None:
        members = _ruled(rule, units)
    else:
        members = _checked_members(members, units)
        if rule is not None:
            parse(rule)
    slice_ = Slice(
        name=_free_name(name, existing),
        members=tuple(members),
        rule=rule,
        note=_checked_note(note),
        model=model,
        provenance=_checked_provenance(provenance),
    )
    return Change("create", (Edit(None, slice_),))


def from_candidate(
    candidate: Candidate,
    *,
    name: str,
    model: str | None = None,
    existing: Sequence[Slice] = (),
    provenance: Mapping[str, Any] | None = None,
    note: str = "",
) -> Change:
    """Make a slice of what discovery proposes; its figures go into the provenance under "candidate".

    Raises
    ------
    InvalidInputError
        The candidate has no unit ids, or as in `create_slice`.
    """
    if not candidate.unit_ids:
        raise InvalidInputError(
            f"The candidate {candidate.name or candidate.description!r} knows rows but no unit ids. "
            "Give discover(..., ids=units.index) and take its candidates."
        )
    figures = {
        "description": candidate.description,
        "status": candidate.status,
        "size": int(candidate.size),
        "failures": int(candidate.failures),
        "failure_rate": float(candidate.failure_rate),
        "base_rate": float(candidate.base_rate),
        "p_value": float(candidate.p_value),
        "q_value": float(candidate.q_value),
        "kind": candidate.kind,
        "rule": None if candidate.rule is None else candidate.rule.expression,
    }
    origin = {"origin": "discovery", "candidate": figures} | dict(provenance or {})
    return create_slice(name, members=candidate.unit_ids, existing=existing, model=model, provenance=origin, note=note)


def dismiss(candidate: Candidate, *, reason: str, model: str | None = None, existing: Sequence[Slice] = ()) -> Change:
    """Say that a candidate is no slice, and why.

    Parameters
    ----------
    candidate
        It must know its unit ids.
    reason
        A person's words; needed.
    model
        Under which it was found.
    existing
        The slices, dismissed ones too: their names are taken.

    Returns
    -------
    Change "dismiss": a slice that is `dismissed`, named after the candidate.

    Raises
    ------
    InvalidInputError
        No reason, or as in `from_candidate`.
    """
    if not _checked_note(reason).strip():
        raise InvalidInputError("Dismissing a candidate needs a reason, so that others know why. Write a few words.")
    taken = {s.name for s in existing}
    stem = f"dismissed/{candidate.name or candidate.description or 'candidate'}"[: MAX_NAME - 8]
    names = (stem if number == 1 else f"{stem} {number}" for number in itertools.count(1))
    made = from_candidate(candidate, name=next(n for n in names if n not in taken), model=model, note=reason)
    return Change("dismiss", tuple(replace(e, after=replace(e.after, dismissed=reason)) for e in made.edits if e.after))


def dismissal_of(candidate: Candidate, slices: Sequence[Slice]) -> Slice | None:
    """Return the dismissed slice that a candidate is again: at least half of their units are the same (Jaccard)."""
    return _again(candidate, [each for each in slices if each.dismissed])


def kept_of(candidate: Candidate, slices: Sequence[Slice]) -> Slice | None:
    """Return the living slice that a candidate is again: at least half of their units are the same (Jaccard)."""
    return _again(candidate, [each for each in slices if not each.dismissed])


def _again(candidate: Candidate, slices: Sequence[Slice]) -> Slice | None:
    members = set(candidate.unit_ids)
    for each in slices if members else ():
        shared = len(members.intersection(each.members))
        if 2 * shared >= len(members) + len(each.members) - shared:
            return each
    return None


def rename(slice_: Slice, new_name: str, existing: Sequence[Slice] = ()) -> Change:
    """Give a slice another name that no other slice in `existing` has."""
    name = _free_name(new_name, [s for s in existing if s.slice_id != slice_.slice_id])
    if name == slice_.name:
        raise InvalidInputError(f"The slice is called {name!r} already.")
    return Change("rename", (_edited(slice_, name=name),))


def note(slice_: Slice, text: str) -> Change:
    """Write a slice's note; it replaces the one that is there."""
    return Change("note", (_edited(slice_, note=_checked_note(text)),))


def add(slice_: Slice, members: Sequence[str], *, units: pd.DataFrame | None = None) -> Change:
    """Add units to a slice; those that it has already stay where they are.

    A rule no longer describes the slice then: it moves to the provenance, as "rule_before_edit".

    Raises
    ------
    InvalidInputError
        A unit is given twice or isn't in `units`, or the slice has all of them already.
    """
    have = set(slice_.members)
    fresh = [m for m in _checked_members(members, units) if m not in have]
    if not fresh:
        raise InvalidInputError(f"The slice {slice_.name!r} has all of these {len(members)} units already.")
    return Change("add", (_with_members(slice_, (*slice_.members, *fresh)),))


def remove(slice_: Slice, members: Sequence[str]) -> Change:
    """Take units out of a slice. A rule moves to the provenance, as with `add`.

    Raises
    ------
    InvalidInputError
        A unit is given twice or isn't in the slice, or none would be left.
    """
    gone = set(_checked_members(members, None))
    foreign = sorted(gone.difference(slice_.members))
    if foreign:
        raise InvalidInputError(f"{len(foreign)} units are not in the slice {slice_.name!r}: {listed(foreign)}.")
    left = tuple(m for m in slice_.members if m not in gone)
    if not left:
        raise InvalidInputError(
            f"The slice {slice_.name!r} would be left without units. Delete it instead, if that is what you want."
        )
    return Change("remove", (_with_members(slice_, left),))


def delete(slice_: Slice) -> Change:
    """Delete a slice; `invert` of this change brings it back."""
    return Change("delete", (Edit(slice_, None),))


def merge(slices: Sequence[Slice], into: str, existing: Sequence[Slice] = (), *, note: str | None = None) -> Change:
    """Make one slice of several, in whose place it stands.

    Parameters
    ----------
    slices
        Two or more. They are deleted in the same change.
    into
        Name of the new slice; it may be the name of one of them.
    existing
        The living slices.
    note
        None: their notes, one below the other.

    Returns
    -------
    Change "merge": the new slice first (members in the order of the parts; the rules joined by "or" where every part
    has one; the model where all agree; ids, versions and names of the parts under provenance "merged_from"), then
    the parts.
    """
    check_unique([s.slice_id for s in slices], "slice")
    if len(slices) < 2:
        raise InvalidInputError(f"Merging needs two slices or more; got {listed(s.name for s in slices) or 'none'}.")
    gone = {s.slice_id for s in slices}
    rules = [s.rule for s in slices if s.rule is not None]
    rule = " or ".join(f"({r})" for r in dict.fromkeys(rules))
    models = {s.model for s in slices}
    merged = Slice(
        name=_free_name(into, [s for s in existing if s.slice_id not in gone]),
        members=tuple(dict.fromkeys(m for s in slices for m in s.members)),
        rule=rule if len(rules) == len(slices) and len(rule) <= MAX_RULE_LENGTH else None,
        note="\n".join(dict.fromkeys(s.note for s in slices if s.note)) if note is None else _checked_note(note),
        model=models.pop() if len(models) == 1 else None,
        provenance={"merged_from": [_reference(s) for s in slices]},
    )
    return Change("merge", (Edit(None, merged), *(Edit(s, None) for s in slices)))


def split(slice_: Slice, groups: Mapping[str, Sequence[str]], existing: Sequence[Slice] = ()) -> Change:
    """Make several slices of one, in whose place they stand.

    Parameters
    ----------
    slice_
        It is deleted in the same change.
    groups
        Members by the name of their new slice; two groups or more, every member in exactly one of them.
    existing
        The living slices.

    Returns
    -------
    Change "split": the new slices in the order of `groups` (with the slice's note, model and provenance, and its id,
    version and name under provenance "split_from"), then the slice that was split.

    Raises
    ------
    InvalidInputError
        A member is in no group or in two, a group holds others or nothing, or a name is taken.
    """
    if len(groups) < 2:
        raise InvalidInputError(f"Splitting needs two groups or more; got {listed(groups) or 'none'}.")
    parts = {name: _checked_members(members, None) for name, members in groups.items()}
    _check_partition(slice_, parts)
    others = [s for s in existing if s.slice_id != slice_.slice_id]
    names = [_free_name(name, others) for name in parts]
    check_unique(names, "name of a slice")
    made = [
        Slice(
            name=name,
            members=tuple(members),
            note=slice_.note,
            model=slice_.model,
            provenance=slice_.provenance | {"split_from": _reference(slice_)},
        )
        for name, members in zip(names, parts.values(), strict=True)
    ]
    return Change("split", (*(Edit(None, s) for s in made), Edit(slice_, None)))


def _edited(slice_: Slice, **fields: Any) -> Edit:
    """Return the edit that gives a slice other fields, one version on."""
    return Edit(slice_, replace(slice_, **fields, version=slice_.version + 1, updated_at=now()))


def _with_members(slice_: Slice, members: tuple[str, ...]) -> Edit:
    provenance = slice_.provenance
    if slice_.rule is not None:
        provenance = provenance | {"rule_before_edit": slice_.rule}
    return _edited(slice_, members=members, rule=None, provenance=provenance)


def _reference(slice_: Slice) -> dict[str, Any]:
    return {"slice_id": slice_.slice_id, "name": slice_.name, "version": slice_.version, "rule": slice_.rule}


def _free_name(name: str, others: Sequence[Slice]) -> str:
    name = check_name(name, "name of a slice")
    if any(s.name == name for s in others):
        raise InvalidInputError(f"There is a slice called {name!r} already. Take another name, or change that slice.")
    return name


def _ruled(rule: str | None, units: pd.DataFrame | None) -> list[str]:
    """Return the units that a rule describes now."""
    if rule is None or units is None:
        raise InvalidInputError(
            "A slice needs members=, or a rule= with units= (the frame it is applied to); got "
            + ("neither." if rule is None else f"the rule {rule!r} without units.")
        )
    found = [str(u) for u in units.index[evaluate_rule(rule, units)]]
    if not found:
        raise InvalidInputError(f"The rule {rule!r} holds for none of the {len(units)} units. Widen it.")
    return found


def _checked_members(members: Sequence[str], units: pd.DataFrame | None) -> list[str]:
    if isinstance(members, str):
        raise InvalidInputError(
            f"Members must be a list of unit ids; got the single text {members!r}. Write [{members!r}]."
        )
    found = list(members)
    wrong = [m for m in found if not isinstance(m, str) or not m]
    if wrong:
        raise InvalidInputError(f"Unit ids are texts; {len(wrong)} members aren't: {listed(wrong)}. Take units.index.")
    found = [str(m) for m in found]
    if not found:
        raise InvalidInputError("A slice needs at least one unit; got none. Select some first.")
    check_unique(found, "unit")
    if units is not None:
        unknown = sorted(set(found).difference(units.index))
        if unknown:
            raise InvalidInputError(
                f"{len(unknown)} members are not among the {len(units)} units: {listed(unknown)}. "
                "Take ids of units.index."
            )
    return found


def _check_partition(slice_: Slice, parts: Mapping[str, list[str]]) -> None:
    given = [m for members in parts.values() for m in members]
    check_unique(given, "unit in the groups of a split")
    foreign = sorted(set(given).difference(slice_.members))
    if foreign:
        raise InvalidInputError(f"{len(foreign)} units are not in the slice {slice_.name!r}: {listed(foreign)}.")
    rest = sorted(set(slice_.members).difference(given))
    if rest:
        raise InvalidInputError(
            f"{len(rest)} units of the slice {slice_.name!r} are in no group: {listed(rest)}. "
            "Give them a group of their own, or remove them first."
        )


def _checked_note(text: str) -> str:
    if not isinstance(text, str):
        raise InvalidInputError(f"A note must be a text; got {text!r}.")
    return text


def _checked_provenance(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    found = dict(provenance or {})
    try:
        canonical(found)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"The provenance must hold JSON values only (no NaN): {error}.") from None
    return found
