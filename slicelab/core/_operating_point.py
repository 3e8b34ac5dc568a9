"""The operating point: the confidence from which on a model's predicted boxes count."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from slicelab.core._checks import check_fraction
from slicelab.core._errors import InvalidInputError
from slicelab.core._words import did_you_mean, listed

Confidence = float | Mapping[str, float]
"""A number for all classes, or one per class; `OTHER_CLASSES` stands for the classes that aren't named."""

OTHER_CLASSES = "*"
"""In a confidence per class: the classes that aren't named."""

PointSource = Literal["given", "suite", "others", "case", "old suite"]

_WHERE: dict[PointSource, str] = {
    "given": "as it was given for this run",
    "suite": "as it stands in the suite",
    "others": "the suite's number for models that it doesn't know",
    "case": "each case where the model's F1 on that case's own images is highest, as the suite has no number for it",
    "old suite": "where F1 over all images of the suite is highest, as suites of older versions are judged",
}


@dataclass(frozen=True)
class OperatingPoint:
    """The confidence from which on a model's predicted boxes count, and where it comes from.

    Parameters
    ----------
    confidence
        A number, one per class, or None: each case is judged where F1 on its own images is highest.
    source
        "given": for this run; "suite": the suite has it for this model; "others": the suite's number for models that
        it doesn't know; "case": nobody has set one, so it is found for each case; "old suite": the best over all
        images of a suite of schema 3 or older.
    """

    confidence: float | dict[str, float] | None = field(hash=False)
    source: PointSource

    @property
    def where(self) -> str:
        """Where it comes from, in words."""
        return _WHERE[self.source]

    def __str__(self) -> str:
        if self.confidence is None:
            return self.where
        return f"confidence {confidence_words(self.confidence)}, {self.where}"


def check_confidence(
    value: object, what: str = "confidence", *, classes: Collection[str] | None = None
) -> float | dict[str, float]:
    """Return a confidence as a number, or as a dict sorted by class.

    Parameters
    ----------
    value
        A number from 0 to 1, or a mapping from classes to such numbers; the class "*" stands for all that aren't
        named.
    what
        The word for the error messages.
    classes
        Those that there are; a class that isn't among them is refused. None: any.

    Raises
    ------
    InvalidInputError
        It is neither, or names a class that there isn't.
    """
    if isinstance(value, str):
        raise InvalidInputError(
            f'The {what} must be a number from 0 to 1, or such numbers by class, {{"knife": 0.3, "*": 0.5}}; '
            f"got the text {value!r}."
        )
    if not isinstance(value, Mapping):
        return check_fraction(value, what)  # type: ignore[arg-type]
    if not value or not all(isinstance(name, str) for name in value):
        raise InvalidInputError(
            f'The {what} must be a number, or numbers by class such as {{"knife": 0.3, "*": 0.5}}; got {value!r}.'
        )
    unknown = [] if classes is None else [n for n in value if n != OTHER_CLASSES and n not in classes]
    if unknown:
        hint = did_you_mean(unknown[0], list(classes or ()))
        raise InvalidInputError(f"The {what} names classes that there aren't: {listed(unknown)}.{hint}")
    return {name: check_fraction(value[name], f"{what} of {name!r}") for name in sorted(value)}


def confidence_by_class(
    confidence: Confidence, classes: Iterable[str], *, what: str = "confidence"
) -> npt.NDArray[np.float64]:
    """Return the confidence of each of `classes`, in their order; `what` is the word for the error message.

    Raises
    ------
    InvalidInputError
        It is given per class, and one of them has neither a number nor the one of "*".
    """
    names = list(classes)
    if not isinstance(confidence, Mapping):
        return np.full(len(names), float(confidence))
    other = confidence.get(OTHER_CLASSES, math.nan)
    found = np.array([confidence.get(name, other) for name in names], dtype=np.float64)
    lacking = [name for name, value in zip(names, found.tolist(), strict=True) if value != value]
    if lacking:
        raise InvalidInputError(
            f"The {what} is given per class, but not for {listed(lacking)}. Name every class that is predicted, "
            f'or give a number for all others under "{OTHER_CLASSES}".'
        )
    return found


def read_confidence(texts: Iterable[str]) -> float | dict[str, float] | None:
    """Read confidences as people write them: "0.4" for all classes, "knife=0.3" for one; None where there is none.

    Raises
    ------
    InvalidInputError
        One isn't a number from 0 to 1, or a class has two.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        name = name if sign else OTHER_CLASSES
        try:
            value = check_fraction(float(number if name else text), "confidence")
        except ValueError as error:
            raise InvalidInputError(
                f"A confidence reads like 0.4 or knife=0.3, with a number from 0 to 1; got {text!r}."
            ) from error
        if name in found:
            whose = "all other classes" if name == OTHER_CLASSES else repr(name)
            raise InvalidInputError(f"The confidence of {whose} is given twice: {found[name]:g} and {value:g}.")
        found[name] = value
    if not found:
        return None
    return found[OTHER_CLASSES] if set(found) == {OTHER_CLASSES} else dict(sorted(found.items()))


def confidence_words(confidence: Confidence | None) -> str:
    """Write a confidence for people: "0.4", "fork 0.5, knife 0.3"."""
    if confidence is None:
        return "none"
    if not isinstance(confidence, Mapping):
        return f"{confidence:.4g}"
    named = [f"{'others' if name == OTHER_CLASSES else name} {value:.4g}" for name, value in confidence.items()]
    return ", ".join(named)
