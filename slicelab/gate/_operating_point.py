"""At which confidence a model is judged, and who says so."""

from __future__ import annotations

from slicelab.core import Confidence, OperatingPoint, Suite, check_confidence


def operating_point(suite: Suite, model: str, *, confidence: Confidence | None = None) -> OperatingPoint | None:
    """Say at which confidence a suite judges a model; None in classification, where every prediction counts.

    Parameters
    ----------
    suite
        With the numbers of the models that it knows, and what holds for the others.
    model
        Its name.
    confidence
        Given for this run: it goes before everything else.

    Returns
    -------
    OperatingPoint
        What was given for the run; else the suite's number for the model; else its number for models that it doesn't
        know; else each case is judged where the model's F1 on that case's own images is highest ("case"; no number).
        "old suite" has no number yet either: of schema 3 and older it is the best F1 over the suite's images.
    """
    if suite.task != "detection":
        return None
    if confidence is not None:
        return OperatingPoint(check_confidence(confidence), "given")
    if suite.others == "suite":
        return OperatingPoint(None, "old suite")
    if model in suite.operating_points:
        return OperatingPoint(suite.operating_points[model], "suite")
    if suite.others is not None:
        return OperatingPoint(suite.others, "others")
    return OperatingPoint(None, "case")
