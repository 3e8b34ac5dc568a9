"""Orders of a gallery, by values."""

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.views import ORDERS, Ordering


@pytest.fixture
def ordering():
    units = pd.DataFrame(
        {
            "key": list("abcde"),
            "label": "x",
            "prediction": "x",
            "confidence": [0.5, np.nan, 0.9, 0.1, 0.7],
            "outcome": "wrong",
            "failure": [False, True, False, True, False],
            "loss": [0.5, 0.2, 0.1, 0.9, np.nan],
        },
        index=list("abcde"),
    )
    return Ordering(units, np.array([[0, 0], [1, 0], [9, 0], [2, 0], [np.nan, np.nan]], dtype=np.float32))


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("as given", [4, 3, 2, 1, 0]),
        ("failures first", [3, 1, 0, 2, 4]),
        ("greatest loss", [3, 0, 1, 2, 4]),
        ("least confident", [3, 0, 4, 2, 1]),
        ("most confident", [2, 4, 0, 3, 1]),
        ("most typical", [3, 1, 0, 2, 4]),  # the median is at 1.5
        ("nearest the border", [2, 0, 3, 1, 4]),
    ],
)
def test_orders(ordering, by, expected):
    """Each order by hand; what is missing comes last."""
    assert ordering.order(np.array([4, 3, 2, 1, 0]), by).tolist() == expected


def test_a_given_order_of_typicality_is_kept(ordering):
    """Members of a candidate come most typical first: that is not measured on the map again."""
    rows = np.array([2, 0, 3])
    assert ordering.order(rows, "most typical", typical_first=True).tolist() == [2, 0, 3]
    assert ordering.order(rows, "nearest the border", typical_first=True).tolist() == [3, 0, 2]
    with pytest.raises(InvalidInputError, match="Did you mean 'most typical'"):
        ordering.order(rows, "most typicl")
    for by in ORDERS:
        assert ordering.order(np.array([], dtype=np.int64), by).tolist() == []
