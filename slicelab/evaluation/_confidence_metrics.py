"""Metrics of what a model says of its own certainty: calibration error, confidence gap, top-k."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Predictions

BINS = 15
CONFIDENCE_METRICS = ("ece", "confidence_gap")

Floats = npt.NDArray[np.float64]


def label_ranks(units: pd.DataFrame, predictions: Predictions) -> Floats:
    """Return at which place a model's probabilities put the true label.

    Parameters
    ----------
    units
        From `classification_units`.
    predictions
        The model's, with probabilities.

    Returns
    -------
    float64 (n,), 1.0 for the most probable class. Classes of equal probability all take the worst of their places, so
    that a model that says nothing gains nothing. inf where the model made no prediction or doesn't know the label;
    NaN where it gives no probabilities.
    """
    if predictions.probabilities is None or not len(predictions.frame):
        return np.full(len(units), np.nan)
    rows = predictions.frame.index.get_indexer(pd.Index(units["key"]))
    column = pd.Index(predictions.classes).get_indexer(pd.Index(units["label"]))
    given = predictions.probabilities[np.maximum(rows, 0)]
    own = given[np.arange(len(given)), np.maximum(column, 0)]
    ranks: Floats = np.count_nonzero(given >= own[:, None], axis=1).astype(np.float64)
    ranks[np.isnan(given).any(axis=1)] = np.nan
    ranks[(rows < 0) | (column < 0)] = np.inf
    return ranks


def confidence_sums(
    name: str, units: pd.DataFrame, image: npt.NDArray[np.intp], n_images: int
) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Return what is summed over images for "ece" or "confidence_gap", and the metric of such sums.

    Parameters
    ----------
    name
        Of the metric.
    units
        What the model predicted: samples, or predicted boxes.
    image, n_images
        Position of each unit's image, and how many there are.

    Returns
    -------
    float64 (n_images, c), and the statistic as in `bootstrap_interval`. One unknown confidence makes the value NaN.

    Notes
    -----
    Source: Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; Guo et al., "On
    calibration of modern neural networks", ICML 2017: 15 bins of equal width, each (low, high].
    """
    confidence = units["confidence"].to_numpy(np.float64)
    gap = confidence - units["outcome"].isin(["correct", "tp"]).to_numpy(np.float64)
    bins = BINS if name == "ece" else 1
    place = np.nan_to_num(np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1)).astype(np.intp)
    sums = np.zeros((n_images, bins + 1))
    order = np.lexsort((gap, place, image))  # the last bit of a sum must not depend on the order of rows
    np.add.at(sums, (image[order], place[order]), gap[order])
    np.add.at(sums[:, bins], image, 1.0)
    return sums, _mean_gap


def _mean_gap(sums: Floats) -> Floats:
    count = sums[:, -1]
    gap: Floats = np.abs(sums[:, :-1]).sum(axis=1)
    mean: Floats = np.divide(gap, count, out=np.full(len(sums), np.nan), where=count > 0)
    return mean
