"""What is known of a slice on the units that did not choose it: effect, interval, test, and what it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from slicelab.core import HeldOut
from slicelab.discovery._grouped import (
    difference_interval,
    exceedance_by_group,
    share_interval,
    smallest_exceedance_by_group,
)

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
    inside: Mask,
    failures: FloatArray,
    other: Mask,
    rows: IntArray,
    classes: IntArray,
    confidences: FloatArray | None,
    groups: IntArray,
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
    groups
        int64 (n,): units of one group are not independent.

    Returns
    -------
    HeldOut
    """
    held = np.flatnonzero(other)
    failed, within, strata, of = failures[held], inside[held], classes[held], groups[held]
    p_value = exceedance_by_group(failed, within, strata, of)
    bands = confidence_bands(None if confidences is None else confidences[held], strata)
    p_given = p_value if bands is None else exceedance_by_group(failed, within, bands, of)
    return _figures(
        (rows[held[within]], rows[held[~within]]),
        (failed[within], failed[~within]),
        (of[within], of[~within]),
        (p_value, p_given, smallest_exceedance_by_group(failed, within, strata, of)),
    )


def hardest(held_out: HeldOut) -> float:
    """Return the p-value of the harder of its two tests, which is the one that is adjusted."""
    return max(held_out.p_value, held_out.p_given_confidence)


def pool(parts: Sequence[HeldOut], failures: FloatArray, groups: IntArray, *, times: int = 1) -> HeldOut:
    """Put what the two halves say of one slice together.

    Parameters
    ----------
    parts
        One from each half, or a single one.
    failures, groups
        float64 and int64 (n,) of all rows.
    times
        What p-values are multiplied by (Bonferroni's correction; Dunn 1961), for parts whose q-values are.

    Returns
    -------
    HeldOut whose rate is that of all units held out. Its p-values are both of one part, that with the smallest
    p-value of its harder test: the one by which the slice is confirmed or not, whose q-value is the smallest too. That
    several were tried is for the q-value to heed, which is made of all.
    """
    inside = np.concatenate([part.rows for part in parts])
    outside = np.concatenate([part.outside_rows for part in parts])
    best = min(parts, key=lambda part: (hardest(part), part.p_value))
    smallest = min(part.smallest_p_value for part in parts)
    p_value, p_given, smallest = (min(1.0, times * p) for p in (best.p_value, best.p_given_confidence, smallest))
    return _figures(
        (inside, outside),
        (failures[inside], failures[outside]),
        (groups[inside], groups[outside]),
        (p_value, p_given, smallest),
    )


def _figures(
    rows: tuple[IntArray, IntArray],
    failures: tuple[FloatArray, FloatArray],
    groups: tuple[IntArray, IntArray],
    p_values: tuple[float, float, float],
) -> HeldOut:
    """Count units inside and outside; the p-values are that among the class, given the confidence, and at best."""
    rate, base = (float(values.mean()) if len(values) else float("nan") for values in failures)
    return HeldOut(
        rows=rows[0],
        outside_rows=rows[1],
        rate=rate,
        interval=share_interval(failures[0], groups[0]),
        outside_rate=base,
        effect=rate - base,
        effect_interval=difference_interval(*failures, *groups),
        p_value=p_values[0],
        p_given_confidence=p_values[1],
        smallest_p_value=p_values[2],
        n_groups=len(np.unique(groups[0])),
    )


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
