"""Groups that every map cuts differently."""

import numpy as np
import pytest

from slicelab.discovery._landscape import ClusterMap, Landscape, Node
from slicelab.discovery._scan import earned, grow_tree

N = 200


def _landscape(*cuts):
    """Units along a line, and a map for each cut: units within it lie apart from the others, in no order."""
    rng = np.random.default_rng(0)
    places, line = np.arange(N), Landscape(np.arange(N, dtype=np.float32)[:, None], 0, N)
    maps = []
    for low, high in cuts:
        inside = (places >= low) & (places < high)
        tree = grow_tree((50 * inside[:, None] + rng.random((N, 2))).astype(np.float32), n_neighbors=N - 1)
        maps.append(ClusterMap(tree, np.ones(N - 1)))
    line.__dict__["maps"] = tuple(maps)  # in place of those it would make
    return line


@pytest.fixture
def failures():
    """Four of five units from 60 to 100 fail, and every tenth of the others."""
    places = np.arange(N)
    return np.where((places >= 60) & (places < 100), places % 5 != 0, places % 10 == 3).astype(float)


def _found(landscape, failures):
    rows = [np.flatnonzero(inside) for _, inside in landscape.scan(failures)]
    return [(int(each.min()), int(each.max())) for each in rows]


def test_what_most_maps_propose_is_a_group(failures):
    """No two of the three agree, and all drop out alone: what at least two of them propose stays."""
    assert _found(_landscape((60, 100), (74, 114), (46, 86)), failures) == [(60, 99)]


def test_what_the_maps_agree_on_is_there_once(failures):
    """The group that they all know is a node, and no group over again."""
    assert _found(_landscape((60, 100), (61, 101), (59, 99)), failures) == [(60, 99)]


def test_what_one_map_alone_proposes_is_no_group(failures):
    """The others put its units among those that don't fail."""
    assert _found(_landscape((60, 100), (0, 30), (150, 180)), failures) == []


@pytest.mark.parametrize(("failing", "groups"), [(10, 0), (14, 1)])
def test_what_is_shared_must_earn_more_than_a_node(failing, groups):
    """20 units of which half fail would do for a node, as the base rate is 0.14, but not for a part of several."""
    places = np.arange(N)
    inside = (places >= 60) & (places < 80)
    failures = np.where(inside, places < 60 + failing, places % 10 == 3).astype(float)
    assert earned(inside, failures) > 0
    landscape = _landscape((60, 100), (74, 114), (46, 86))
    shared = landscape._shared({Node(0, 0): inside, Node(1, 0): inside}, np.zeros(N, bool), failures, None)
    assert [each.tolist() for each in shared] == [inside.tolist()] * groups
