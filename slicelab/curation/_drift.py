"""What a rule describes now, beside what was frozen."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from slicelab.core import Drift, InvalidInputError, is_spurious
from slicelab.curation._rules import evaluate_rule


def rule_drift(name: str, rule: str | None, members: Sequence[str], units: pd.DataFrame) -> Drift:
    """Tell how the units that a rule describes now differ from a frozen membership.

    Parameters
    ----------
    name
        Of the case.
    rule, members
        As they were frozen.
    units
        The units frame to which the rule is applied. Spurious boxes belong to one model and don't count.

    Raises
    ------
    InvalidInputError
        There is no rule, so nothing can drift.
    RuleError
        The rule can't be applied to these units.
    """
    if rule is None:
        raise InvalidInputError(f"The case {name!r} has no rule: its members are all there is to it.")
    now = {str(u) for u in units.index[evaluate_rule(rule, units)] if not is_spurious(str(u))}
    frozen = set(members)
    return Drift(name, tuple(sorted(now - frozen)), tuple(sorted(frozen - now)))
