"""Small suites that every test of the gate starts from."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from slicelab.core import BOX_COLUMNS, PREDICTED_BOX_COLUMNS, TEXT, Bar, Predictions, SampleTable, Suite
from slicelab.gate import freeze_case, make_suite


def make_table(labels: dict[str, str | None], classes: Sequence[str] = ("cat", "dog")) -> SampleTable:
    """Classification: key -> label."""
    samples = pd.DataFrame(
        {
            "filepath": [f"/images/{k}" for k in labels],
            "sha256": [f"sha of {k}" for k in labels],
            "width": 32,
            "height": 24,
            "label": pd.array(list(labels.values()), dtype=pd.StringDtype(na_value=np.nan)),
        },
        index=pd.Index(list(labels), name="key", dtype=TEXT),
    )
    return SampleTable("classification", samples, pd.DataFrame(columns=list(BOX_COLUMNS)), tuple(classes))


def make_predictions(said: dict[str, str], *, model: str = "v4", confidence: float = 0.9) -> Predictions:
    """Classification: key -> predicted label."""
    frame = pd.DataFrame(
        {"label": list(said.values()), "confidence": confidence},
        index=pd.Index(list(said), name="key", dtype=TEXT),
    )
    return Predictions(model, "classification", frame, ("cat", "dog"))


def make_boxes(rows: Sequence[tuple[str, str, str, float]]) -> pd.DataFrame:
    """Labelled boxes of 10 x 10 px: (key, label id, label, x)."""
    values = [[key, label_id, label, float(x), 0.0, 10.0, 10.0, False] for key, label_id, label, x in rows]
    return pd.DataFrame(values, columns=list(BOX_COLUMNS))


def make_detection_table(images: Sequence[str], boxes: pd.DataFrame) -> SampleTable:
    samples = make_table(dict.fromkeys(images)).samples.drop(columns="label").assign(width=200)
    return SampleTable("detection", samples, boxes, ("cat", "dog"))


def make_detections(rows: Sequence[tuple[str, str, str, float, float]], *, model: str = "v4") -> Predictions:
    """Predicted boxes of 10 x 10 px: (key, box id, label, x, confidence)."""
    values = [[key, box_id, label, float(x), 0.0, 10.0, 10.0, c] for key, box_id, label, x, c in rows]
    return Predictions(model, "detection", pd.DataFrame(values, columns=list(PREDICTED_BOX_COLUMNS)), ("cat", "dog"))


def one_case(table: SampleTable, bar: Bar, members: Sequence[str] | None = None, **more: object) -> Suite:
    """A suite "s" with the single case "c" (members: all samples)."""
    members = list(table.samples.index) if members is None else members
    return make_suite("s", [freeze_case("c", suite="s", members=members, table=table, bar=bar, **more)], table)


def right(table: SampleTable, n: int, *, model: str = "v4") -> Predictions:
    """Predictions of which the first n are right, the others wrong."""
    keys = list(table.samples.index)
    return make_predictions({k: "cat" if i < n else "dog" for i, k in enumerate(keys)}, model=model)


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """The makers above, and forty images of cats."""
    makers = (make_table, make_predictions, make_boxes, make_detection_table, make_detections, one_case, right)
    cats = make_table({f"{i:02}.png": "cat" for i in range(40)})
    return SimpleNamespace(cats=cats, **{maker.__name__.removeprefix("make_"): maker for maker in makers})
