"""What is special about a selection, as lines to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from slicelab.core import Contrast, Inspection, Rule, Share, visible

_LINES = 5


def inspection_lines(inspection: Inspection | None, rule: Rule | None = None) -> list[dict[str, Any]]:
    """Return an inspection as groups of lines.

    Returns
    -------
    Per group `title` and `lines`, each line with `words`, `value` (text), and `inside`, `outside` in [0, 1] to be
    drawn as bars (None: no bars). JSON values only.
    """
    if inspection is None or not inspection.size:
        return []
    groups = [_group("Failures", [_rate(inspection)])]
    groups.append(_group("Confusions", [_share(s) for s in inspection.confusions[:_LINES]]))
    groups.append(_group("Which models fail", [_share(s) for s in inspection.agreement]))
    groups.append(_group("What sets it apart", [_contrast(c) for c in inspection.contrasts]))
    if rule is not None:
        words = f"precision {rule.precision:.0%}, recall {rule.recall:.0%} on held-out units"
        groups.append(_group("Rule", [{"words": visible(rule.expression), "value": words, **_NO_BARS}]))
    return [group for group in groups if group["lines"]]


_NO_BARS: dict[str, Any] = {"inside": None, "outside": None}


def _group(title: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "lines": lines}


def _rate(inspection: Inspection) -> dict[str, Any]:
    rate = inspection.failures / inspection.size
    low, high = inspection.interval
    rest = "" if np.isnan(inspection.rest_rate) else f", the rest {inspection.rest_rate:.1%}"
    few = inspection.n_groups is not None and inspection.n_groups < inspection.size
    words = f"{inspection.failures:,} of {inspection.size:,}" + (f", {inspection.n_groups:,} groups" if few else "")
    value = f"{rate:.1%} ({low:.1%} to {high:.1%}){rest}"
    return {"words": words, "value": value, "inside": rate, "outside": _bar(inspection.rest_rate)}


def _share(share: Share) -> dict[str, Any]:
    outside = "" if np.isnan(share.outside) else f", the rest {share.outside:.1%}"
    value = f"{share.count:,}: {share.inside:.1%}{outside}"
    return {"words": visible(share.words), "value": value, "inside": share.inside, "outside": _bar(share.outside)}


def _contrast(contrast: Contrast) -> dict[str, Any]:
    if contrast.value:
        words = visible(f"{contrast.column} = {contrast.value}")
        value = f"{contrast.inside:.1%}, the rest {contrast.outside:.1%}"
        return {"words": words, "value": value, "inside": contrast.inside, "outside": contrast.outside}
    more = "higher" if contrast.effect > 0 else "lower"
    value = f"{contrast.inside:.3g}, the rest {contrast.outside:.3g} ({abs(contrast.effect):.1f} deviations {more})"
    return {"words": visible(contrast.column), "value": value, **_NO_BARS}


def _bar(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
