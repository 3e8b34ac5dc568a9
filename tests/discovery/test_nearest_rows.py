"""Exact neighbours of new rows."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from slicelab.discovery._nearest_rows import nearest_rows


@pytest.fixture(scope="module")
def rows():
    """Five thousand rows far from the origin, a fifth of them copies of others, and queries on and beside them."""
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(5000, 24)) + 100).astype(np.float32)
    features[4000:] = features[rng.integers(0, 20, 1000)]
    queries = np.concatenate([features[:30], features[:300] + rng.normal(size=(300, 24)).astype(np.float32)])
    return features, queries


@pytest.mark.parametrize("k", [1, 10, 700])
def test_neighbours_are_those_of_all_pairs(rows, k):
    """Of equally near rows, more of them than asked for, the first are taken."""
    features, queries = rows
    indices, distances = nearest_rows(features, k, queries)
    every = cdist(queries.astype(float), features.astype(float))
    np.testing.assert_array_equal(indices, np.argsort(every, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], rtol=1e-12)


@pytest.mark.parametrize("cut", [1, 2, 17])
def test_a_query_is_answered_by_itself(rows, cut):
    """Cut into pieces, queries have the same neighbours at the same distances, to the last bit."""
    features, queries = rows
    whole = nearest_rows(features, 10, queries)
    parts = [nearest_rows(features, 10, piece) for piece in (queries[:cut], queries[cut:])]
    for i in range(2):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])


def test_few_or_equal_rows():
    """Fewer rows than asked for are all given; of rows that are all the same the first."""
    features = np.ones((3, 2), np.float32)
    indices, distances = nearest_rows(features, 10, np.zeros((2, 2), np.float32))
    assert indices.tolist() == [[0, 1, 2]] * 2
    np.testing.assert_allclose(distances, np.sqrt(2))
    same = nearest_rows(np.zeros((5000, 3), np.float32), 4, np.zeros((1, 3), np.float32))[0]
    assert same.tolist() == [[0, 1, 2, 3]]
