"""The same slices under another model, and in newer data."""

from dataclasses import replace

import numpy as np
import pytest

from slicelab.core import Candidate, InvalidInputError
from slicelab.discovery import drift, match


def _candidate(name, ids, rate=0.5):
    n = len(ids)
    return Candidate(
        members=np.arange(n),
        membership=np.ones(n, np.float32),
        size=n,
        failures=round(rate * n),
        failure_rate=rate,
        interval=(0.0, 1.0),
        base_rate=0.1,
        p_value=0.01,
        q_value=0.01,
        name=name,
        unit_ids=tuple(ids),
    )


def test_pairs_gone_and_new():
    """Slices that share units are paired, whatever their names; the others are gone or new, with their rates."""
    before = [_candidate("night", "abcdef", 0.6), _candidate("fog", "ghij", 0.4)]
    after = [_candidate("snow", "wxyz", 0.3), _candidate("dark", "abcdxy", 0.2)]
    table = match(before, after)
    assert table[["before", "after", "change"]].to_numpy().tolist() == [
        ["night", "dark", "stays"],
        ["fog", "", "gone"],
        ["", "snow", "new"],
    ]
    assert table["jaccard"].tolist() == pytest.approx([4 / 8, 0, 0])
    np.testing.assert_allclose(table["rate_before"], [0.6, 0.4, np.nan])
    np.testing.assert_allclose(table["rate_after"], [0.2, np.nan, 0.3])


def test_the_pairing_is_the_best_overall():
    """The best pair gives way where two pairs together share more."""
    before = [_candidate("a", "012345"), _candidate("b", "456789")]
    after = [_candidate("c", "2345"), _candidate("d", "0123")]
    # a-c 4/6, a-d 4/6, b-c 2/8: a-d and b-c share more than a-c and b-d (0).
    table = match(before, after)
    assert table.loc[table["before"] == "a", "after"].item() == "d"


def test_a_slight_overlap_is_no_pair():
    """Slices that share less than 30 % are different ones."""
    table = match([_candidate("a", "0123")], [_candidate("b", "3456789")])
    assert table["change"].tolist() == ["gone", "new"]


def test_nothing_to_match_gives_nothing():
    """Empty lists are taken on either side."""
    one = [_candidate("a", "0123")]
    assert match([], one)["change"].tolist() == ["new"]
    assert match(one, [])["change"].tolist() == ["gone"]
    assert match([], []).empty


def test_slices_are_matched_with_themselves(found):
    """What discovery found is what discovery found."""
    table = match(found, found)
    assert table["before"].tolist() == table["after"].tolist() == [c.name for c in found]
    assert table["jaccard"].tolist() == [1.0, 1.0]


def test_candidates_without_ids_are_refused(found):
    """Rows alone can't be told to be the same units."""
    bare = replace(found[0], unit_ids=())
    for before, after in (([bare], found), (found, [bare])):
        with pytest.raises(InvalidInputError, match=r"no unit ids.*ids=units\.index"):
            match(before, after)


def test_drift_finds_a_slice_that_doubled(found, planted):
    """Twice as many units of one slice: its interval is above 0 and holds the change; the other's holds 0 or less."""
    first = found[0]
    cluster = np.bincount(planted.cluster[first.members]).argmax()
    of = np.flatnonzero(planted.cluster == cluster)
    others = np.flatnonzero(planted.cluster != cluster)
    share = len(of) / len(planted.cluster)
    kept = round(len(of) * (1 - 2 * share) / share)
    # The slice's rows twice, and of the others so few of every cluster that the slice has twice its share.
    rows = np.concatenate([of, of, np.random.default_rng(0).permutation(np.tile(others, 2))[:kept]])
    rows = rows[: len(of) * 2 + kept]
    table = drift(found, planted.embeddings[rows] + 0.01)
    assert table["name"].tolist() == [c.name for c in found]
    grown, other = table.iloc[0], table.iloc[1]
    assert grown["share_before"] == pytest.approx(share, abs=0.01)
    assert grown["share_now"] == pytest.approx(2 * len(of) / len(rows), abs=0.01)
    assert grown["change"] == pytest.approx(grown["share_now"] - grown["share_before"])
    assert 0 < grown["low"] < grown["change"] < grown["high"]
    assert other["low"] < 0


def test_the_same_data_has_not_drifted(found, planted):
    """The data itself, again: no change in any slice, and intervals around 0."""
    table = drift(found, planted.embeddings)
    assert table["change"].tolist() == [0.0, 0.0]
    assert (table["low"] < 0).all()
    assert (table["high"] > 0).all()


def test_drift_needs_new_rows_of_the_same_embedder(found):
    """No row, or rows of other dimensions, are refused."""
    with pytest.raises(InvalidInputError, match="at least one new embedding"):
        drift(found, np.zeros((0, 16)))
    with pytest.raises(InvalidInputError, match="16 dimensions; got 3"):
        drift(found, np.zeros((5, 3)))
