"""The value that a metric must reach: a number, or another model's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicelab.core._checks import check_fraction, check_name
from slicelab.core._errors import InvalidInputError
from slicelab.core._metric_names import METRICS, top_k
from slicelab.core._own_metric import OWN_METRICS
from slicelab.core._words import did_you_mean

_LOWER_IS_BETTER = ("error_rate", "false_positives_per_image", "ece", "confidence_gap")
_SHARES = tuple(m for m in METRICS if m != "false_positives_per_image")
_SIDES = ("at_least", "at_most", "no_worse_than", "improves_on")


def lower_is_better(metric: str) -> bool:
    """Tell whether a smaller value of a metric is the better one."""
    own = OWN_METRICS.get(metric)
    return metric in _LOWER_IS_BETTER or (own is not None and own.lower_is_better)


@dataclass(frozen=True)
class Bar:
    """The value that a metric must reach on a case.

    Parameters
    ----------
    metric
        One of `METRICS`, "top<k>" (like "top3"), or the name of a function registered by `slicelab.metric`.
    at_least, at_most, no_worse_than, improves_on
        The bar, exactly one of the four: a number in the metric's unit, or the name of another model. "No worse than"
        allows to be worse by the margin, "improves on" wants to be better by more than it. Models are compared on the
        same units, so what is judged is the interval of the difference.
    margin
        Of the last two, in the metric's unit, from 0.
    confidence
        Of the interval by which it is judged.
    strict
        True: the interval's nearer end must reach the bar; an interval that straddles it is inconclusive.
        False: the value itself is judged.
    min_units
        With fewer units the verdict is never "pass".
    min_predicted
        Detection: the share, from 0 to 1, of the case's images that must have a predicted box, at any confidence; with
        fewer the verdict is never "pass". A file of boxes can't tell images on which nothing was found from images
        that were never looked at. None: one image is enough, and a case of which the predictions hold no image at all
        is invalid; 0.0: none is needed, for cases on which a good model finds nothing.
    code
        SHA-256 of the source of the user's own metric as it was when the bar was set; filled in by itself. A metric
        whose source is another then makes the case invalid.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    confidence: float = 0.95
    strict: bool = True
    min_units: int = 1
    no_worse_than: str | None = None
    improves_on: str | None = None
    margin: float = 0.0
    code: str | None = None
    min_predicted: float | None = None

    def __post_init__(self) -> None:
        self._check_metric()
        if self.min_predicted is not None:
            check_fraction(self.min_predicted, "min_predicted")
        given = [side for side in _SIDES if getattr(self, side) is not None]
        if len(given) != 1:
            got = ", ".join(f"{side}={getattr(self, side)!r}" for side in given) or "none of them"
            raise InvalidInputError(
                f"A bar needs exactly one of at_least=, at_most=, no_worse_than= and improves_on=; got {got}."
            )
        if self.against is None:
            self._check_number(self.at_least if self.at_least is not None else self.at_most, "bar")
            if self.margin:
                raise InvalidInputError(
                    f"A margin belongs to no_worse_than= and improves_on=; got margin={self.margin} with {given[0]}=."
                )
        else:
            check_name(self.against, "name of the other model")
            self._check_number(self.margin, "margin")
        check_fraction(self.confidence, "confidence")
        if not 0 < self.confidence < 1:
            raise InvalidInputError(f"The confidence must lie between 0 and 1; got {self.confidence}.")

    @property
    def against(self) -> str | None:
        """Name of the model that the bar compares with; None: the bar is a number."""
        return self.no_worse_than if self.no_worse_than is not None else self.improves_on

    @property
    def lower_is_better(self) -> bool:
        """Whether a value below the bar is on its good side."""
        if self.against is None:
            return self.at_most is not None
        return lower_is_better(self.metric)

    @property
    def least_gain(self) -> float:
        """By how much the other model must be bettered (negative: may be missed)."""
        return -self.margin if self.no_worse_than is not None else self.margin

    def target(self, baseline: float | None = None) -> float | None:
        """Return the value to reach, given the other model's (None: it isn't there)."""
        if self.against is None:
            return float(self.at_least if self.at_least is not None else self.at_most)  # type: ignore[arg-type]
        if baseline is None or baseline != baseline:
            return None
        return baseline - self.least_gain if self.lower_is_better else baseline + self.least_gain

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        confidence: float = 0.95,
        strict: bool = True,
        min_units: int = 1,
        min_predicted: float | None = None,
    ) -> Bar:
        """Read a bar as people write it.

        "recall >= 0.95" and "error_rate<=0.1" are numbers; "recall >= v3" is no worse than the model v3,
        "recall >= v3 - 0.02" allows a margin, "recall > v3" must improve on it.

        Raises
        ------
        InvalidInputError
            It isn't a metric, one of these signs, and a number or a model.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=|>|<)\s*(.*?)\s*", text, re.DOTALL)
        side = _read_side(*match.groups()) if match else None
        if match is None or side is None:
            raise InvalidInputError(
                f'A bar reads like "recall >= 0.95", "error_rate <= 0.1" or "recall >= v3 - 0.02"; got {text!r}.'
            )
        return cls(
            match[1],
            **side,
            confidence=confidence,
            strict=strict,
            min_units=min_units,
            min_predicted=min_predicted,
        )

    def __str__(self) -> str:
        if self.against is None:
            return f"{self.metric} {'<=' if self.lower_is_better else '>='} {self.target():g}"
        sign = "<" if self.lower_is_better else ">"
        sign += "=" if self.no_worse_than is not None else ""
        # What is allowed lies on the bad side of the other model's value, what is wanted on its good side.
        plus = self.lower_is_better == (self.no_worse_than is not None)
        margin = f" {'+' if plus else '-'} {self.margin:g}" if self.margin else ""
        return f"{self.metric} {sign} {self.against}{margin}"

    def _check_metric(self) -> None:
        own = OWN_METRICS.get(self.metric)
        if own is not None and self.code is None:
            object.__setattr__(self, "code", own.code)
        if self.metric not in METRICS and self.code is None and top_k(str(self.metric)) is None:
            raise InvalidInputError(
                f"The metric must be one of {', '.join(METRICS)} or one of your own (slicelab.metric); got "
                f"{self.metric!r}.{did_you_mean(str(self.metric), [*METRICS, *OWN_METRICS])}"
            )

    def _check_number(self, value: object, what: str) -> None:
        if self.metric in _SHARES or top_k(self.metric):
            check_fraction(value, what)  # type: ignore[arg-type]
        elif (
            not isinstance(value, (int, float, np.number))
            or isinstance(value, bool)
            or not np.isfinite(value)
            or (value < 0 and (what == "margin" or self.code is None))
        ):
            raise InvalidInputError(f"The {what} must be a finite number from 0; got {value!r}.")


def _read_side(metric: str, sign: str, text: str) -> dict[str, Any] | None:
    """Read what stands right of the sign; None where it is nothing."""
    number = _number(text)
    if number is not None:
        sides: dict[str, dict[str, Any]] = {">=": {"at_least": number}, "<=": {"at_most": number}}
        return sides.get(sign)
    match = re.fullmatch(r"(.+?)\s+([+-])\s+(\S+)", text)
    margin = _number(match[3]) if match else 0.0
    if not text or margin is None or margin != margin or text.casefold() in ("nan", "inf", "-inf"):
        return None
    name = match[1] if match else text
    if (sign[0] == "<") != lower_is_better(metric):
        return None
    loose = len(sign) == 2
    if match and (match[2] == "+") != ((sign[0] == "<") == loose):
        return None
    return {"no_worse_than" if loose else "improves_on": name, "margin": margin}


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else None
