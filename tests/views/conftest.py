"""Units to draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slicelab.core import TEXT

OUTCOMES = ("tp", "missed", "spurious", "misclassified", "mislocalised", "duplicate")


@pytest.fixture
def units() -> pd.DataFrame:
    """Sixty detection units, ten of each outcome in turn; spurious ones have no label, missed ones no prediction."""
    n = 60
    outcome = np.array(OUTCOMES, dtype=object)[np.arange(n) % 6]
    label = pd.Series(np.where(np.isin(outcome, ["spurious", "duplicate"]), None, "cup"), dtype=TEXT)
    prediction = pd.Series(np.where(outcome == "missed", None, "cup"), dtype=TEXT)
    frame = pd.DataFrame(
        {
            "key": [f"{i // 6}.png" for i in range(n)],
            "label": label,
            "prediction": prediction,
            "confidence": np.where(outcome == "missed", np.nan, np.linspace(0.1, 0.9, n)),
            "outcome": outcome,
            "failure": outcome != "tp",
            "loss": np.linspace(0, 1, n),
        }
    )
    frame.index = pd.Index([f"u{i}" for i in range(n)], name="unit")
    return frame


@pytest.fixture
def projection() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
