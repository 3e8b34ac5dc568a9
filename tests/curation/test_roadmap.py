"""What fixing a slice would give, and how sure that is."""

import numpy as np
import pandas as pd
import pytest

from slicelab.core import Slice
from slicelab.curation import roadmap
from slicelab.evaluation import proportion_interval


def test_the_interval_counts_images_not_objects():
    """The ends are those of the failure rate with five images as groups, less the rest's rate, in points of all."""
    n = 200
    image = np.append(np.repeat(np.arange(5), 10), 5 + np.arange(150) // 5)
    failure = np.append(np.repeat([True, True, False, True, False], 10), np.arange(150) % 10 == 0)
    units = pd.DataFrame(
        {
            "key": image.astype(str),
            "group_id": image.astype(str),
            "label": "cat",
            "prediction": "cat",
            "outcome": "tp",
            "failure": failure,
            "confidence": 0.5,
        },
        index=pd.Index([f"u{i}" for i in range(n)], name="unit"),
    )
    dark = Slice("dark", tuple(units.index[:50]))
    (row,) = roadmap(units, [dark]).to_dict("records")
    low, high = proportion_interval([10, 10, 0, 10, 0], [10] * 5)
    assert row["points"] == pytest.approx(100 * (30 - 0.1 * 50) / n)
    assert (row["low"], row["high"]) == pytest.approx(tuple(max(100 * 50 * (end - 0.1) / n, 0) for end in (low, high)))
