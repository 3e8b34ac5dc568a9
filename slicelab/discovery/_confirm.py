"""What is known of a slice on the units that did not choose it: effect, interval, test, and what it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from slicelab.core import HeldOut
from slicelab.discovery._exact import exceedance, smallest_exceedance
from slicelab.evaluation import wilson_interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ALPHA = 0.1
BAND = 20
"""Units of one band of confidence: few, so that within a band the confidence says no more."""
BANDS = 200


def confidence_bands(confidences: FloatArray | None, classes: IntArray) -> IntArray | None:
    """Cut every class into bands of about 20 units with like confidence.

    Parameters
    ----------
    confidences
        float64 (n,), or None.
    classes
        int64 (n,), codes from 0.

    Returns
    -------
    int64 (n,), one code per class and band; None where a confidence is missing (an object that was not detected
    has none) or all are the same: then nothing can be said given the confidence.
    """
    if confidences is None or not len(confidences) or not np.isfinite(confidences).all():
        return None
    if np.ptp(confidences) == 0:
        return None
    bands = np.zeros(len(classes), np.int64)
    for code in np.unique(classes):
        of = np.flatnonzero(classes == code)
        count = int(np.clip(len(of) // BAND, 1, BANDS))
        order = of[np.argsort(confidences[of], kind="stable")]
        bands[order] = code * BANDS + np.arange(len(of)) * count // len(of)
    return bands


def hold_out(
    inside: Mask, failures: FloatArray, other: Mask, rows: IntArray, classes: IntArray, confidences: FloatArray | None
) -> HeldOut:
    """Judge a slice that one half of a population chose on the other half.

    Parameters
    ----------
    inside, failures, other
        (n,): the slice; failures in [0, 1]; units of the half that did not choose it.
    rows
        int64 (n,): row positions of the population.
    classes
        int64 (n,), codes from 0: what is compared is always of one class.
    confidences
        float64 (n,), or None.

    Returns
    -------
    HeldOut
    """
    held = np.flatnonzero(other)
    failed, within, strata = failures[held], inside[held], classes[held]
    p_value = exceedance(failed, within, strata)
    bands = confidence_bands(None if confidences is None else confidences[held], strata)
    p_given = p_value if bands is None else exceedance(failed, within, bands)
    smallest = smallest_exceedance(failed, within, strata)
    return _figures(
        rows[held[within]], rows[held[~within]], failed[within], failed[~within], p_value, p_given, smallest
    )


def pool(parts: Sequence[HeldOut], failures: FloatArray) -> HeldOut:
    """Put what the two halves say of one slice together.

    Parameters
    ----------
    parts
        One from each half, or a single one.
    failures
        float64 (n,) of all rows.

    Returns
    -------
    HeldOut whose rate is that of all units held out, and whose p-values are the smaller ones, doubled for two.
    """
    inside = np.concatenate([part.rows for part in parts])
    outside = np.concatenate([part.outside_rows for part in parts])
    p_value, p_given, smallest = (
        min(1.0, len(parts) * min(getattr(part, name) for part in parts))
        for name in ("p_value", "p_given_confidence", "smallest_p_value")
    )
    return _figures(inside, outside, failures[inside], failures[outside], p_value, p_given, smallest)


def _figures(
    rows: IntArray,
    outside_rows: IntArray,
    inside: FloatArray,
    outside: FloatArray,
    p_value: float,
    p_given: float,
    smallest: float,
) -> HeldOut:
    rate, base = (float(values.mean()) if len(values) else float("nan") for values in (inside, outside))
    return HeldOut(
        rows=rows,
        outside_rows=outside_rows,
        rate=rate,
        interval=wilson_interval(float(inside.sum()), len(inside)),
        outside_rate=base,
        effect=rate - base,
        effect_interval=difference_interval(float(inside.sum()), len(inside), float(outside.sum()), len(outside)),
        p_value=p_value,
        p_given_confidence=p_given,
        smallest_p_value=smallest,
    )


def difference_interval(k: float, n: int, k0: float, n0: int) -> tuple[float, float]:
    """Return the interval of k / n - k0 / n0 at 95 % (Newcombe 1998, method 10: from two score intervals)."""
    if not n or not n0:
        return -1.0, 1.0
    rate, base = k / n, k0 / n0
    (low, high), (base_low, base_high) = wilson_interval(k, n), wilson_interval(k0, n0)
    down, up = float(np.hypot(rate - low, base_high - base)), float(np.hypot(high - rate, base - base_low))
    return rate - base - down, rate - base + up


def q_values(p_values: Sequence[float]) -> FloatArray:
    """Adjust by Benjamini and Hochberg (1995); empty for none."""
    if not len(p_values):
        return np.zeros(0)
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(np.asarray(p_values, np.float64)))


def kind_of(
    held_out: HeldOut | None, q_class: float, q_both: float, tried: int
) -> Literal["slice", "boundary", "small"]:
    """Say what a slice amounts to: see `Candidate.kind`."""
    if held_out is None or q_both <= ALPHA:
        return "slice"
    if q_class <= ALPHA:
        return "boundary"
    return "small" if held_out.smallest_p_value * max(tried, 1) > ALPHA else "slice"
