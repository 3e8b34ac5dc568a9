"""How two suites differ, in lines for people."""

from __future__ import annotations

from slicelab.core import Case, Suite, confidence_words, listed
from slicelab.gate._freeze_case import suite_truth
from slicelab.gate._hash_case import Truth


def diff_suites(before: Suite, after: Suite) -> list[str]:
    """Tell how a suite differs from another.

    Parameters
    ----------
    before, after
        Any two suites; they are compared case by case, by name.

    Returns
    -------
    list of str
        A line per difference: "+" what came, "-" what went, "~" what changed. Empty: they judge alike (ids, notes,
        dates and provenance don't count).
    """
    lines = [
        f"~ {what}: {old!r} -> {new!r}"
        for what, old, new in (("name", before.name, after.name), ("task", before.task, after.task))
        if old != new
    ]
    if before.classes != after.classes:
        lines.append(f"~ classes: {listed(before.classes)} -> {listed(after.classes)}")
    old, new = {c.name: c for c in before.cases}, {c.name: c for c in after.cases}
    lines += _point_lines(before, after)
    truths = suite_truth(before), suite_truth(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            lines.append(f"- case {name!r} ({old[name].bar}, {len(old[name].members)} units)")
        elif name not in old:
            lines.append(f"+ case {name!r} ({new[name].bar}, {len(new[name].members)} units)")
        else:
            lines += _case_lines(old[name], new[name], *truths)
    return lines


def _point_lines(before: Suite, after: Suite) -> list[str]:
    old, new = before.operating_points, after.operating_points
    lines = [
        f"~ operating point of {model!r}: {confidence_words(old.get(model))} -> {confidence_words(new.get(model))}"
        for model in sorted(old.keys() | new.keys())
        if old.get(model) != new.get(model)
    ]
    if before.others != after.others:
        lines.append(f"~ operating point of other models: {_others(before)} -> {_others(after)}")
    return lines


def _others(suite: Suite) -> str:
    if suite.others == "suite":
        return "best F1 over the suite's images"
    return "best F1 on each case's own images" if suite.others is None else confidence_words(suite.others)


def _case_lines(old: Case, new: Case, old_truth: Truth, new_truth: Truth) -> list[str]:
    at = f"~ case {old.name!r}"
    lines = []
    if old.bar != new.bar:
        lines.append(f"{at}: bar {_bar(old)} -> {_bar(new)}")
    if old.rule != new.rule:
        lines.append(f"{at}: rule {old.rule!r} -> {new.rule!r}")
    came, went = sorted(set(new.members) - set(old.members)), sorted(set(old.members) - set(new.members))
    lines += [f"{at}: {len(came)} members came: {listed(came)}"] if came else []
    lines += [f"{at}: {len(went)} members went: {listed(went)}"] if went else []
    stayed = [m for m in new.members if m in set(old.members) and m in old_truth.rows and m in new_truth.rows]
    pairs = [(m, old_truth.rows[m], new_truth.rows[m]) for m in stayed]
    labels = [m for m, a, b in pairs if a[:-1] != b[:-1]]
    media = [m for m, a, b in pairs if a[-1] != b[-1]]
    shared = sorted({*old_truth.keys(old.members)} & {*new_truth.keys(new.members)})
    images = [(k, old_truth.images[k], new_truth.images[k]) for k in shared]
    others = [k for k, a, b in images if (a.label, a.boxes) != (b.label, b.boxes) and k not in stayed]
    groups = [k for k, a, b in images if a.group != b.group]
    lines += [f"{at}: {len(labels)} members labelled otherwise: {listed(labels)}"] if labels else []
    lines += [f"{at}: the images of {len(media)} members changed: {listed(media)}"] if media else []
    lines += [f"{at}: {len(others)} images have other labels on them: {listed(others)}"] if others else []
    lines += [f"{at}: {len(groups)} images are in other groups: {listed(groups)}"] if groups else []
    if old.schema_version != new.schema_version:
        lines.append(f"{at}: frozen by schema {old.schema_version} -> {new.schema_version}")
    return lines


def _bar(case: Case) -> str:
    bar = case.bar
    more = [f"confidence {bar.confidence:g}"]
    more += [] if bar.strict else ["lenient"]
    more += [f"at least {bar.min_units} units"] if bar.min_units > 1 else []
    more += [f"boxes on at least {bar.min_predicted:g} of the images"] if bar.min_predicted is not None else []
    more += [f"code {bar.code[:12]}"] if bar.code else []
    return f"{bar} ({', '.join(more)})"
