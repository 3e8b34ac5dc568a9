"""FiftyOne's own expressions over the samples of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicelab.core import InvalidInputError, RuleError

if TYPE_CHECKING:
    import fiftyone as fo


def matching(dataset: fo.Dataset, expression: fo.ViewExpression) -> tuple[list[str], str]:
    """Return the keys of the samples that an expression matches, in the dataset's order, and it in words.

    Raises
    ------
    InvalidInputError
        It is no expression of FiftyOne's.
    RuleError
        The database can't compute it.
    """
    from fiftyone import ViewExpression

    if not isinstance(expression, ViewExpression):
        raise InvalidInputError(
            f"A rule is a text like 'confidence < 0.5', or an expression of fiftyone.ViewField; got "
            f"{type(expression).__name__}."
        )
    try:
        keys = [str(key) for key in dataset.match(expression).values("key")]
    except Exception as error:
        raise RuleError(f"FiftyOne can't match by {expression}: {error}") from error
    return keys, f"FiftyOne: {expression}"
