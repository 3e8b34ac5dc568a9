"""Discovery on data whose failing groups are known."""

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError
from slicelab.discovery import discover


def _cluster_of(candidate, cluster):
    return int(np.bincount(cluster[candidate.members]).argmax())


def test_finds_the_planted_slices_and_no_other(found, planted):
    """Both failing clusters come back, nearly whole, confirmed on the half that didn't choose them."""
    assert len(found) == 2
    assert {_cluster_of(c, planted.cluster) for c in found} == set(planted.weak)
    for candidate in found:
        truth = np.flatnonzero(planted.cluster == _cluster_of(candidate, planted.cluster))
        jaccard = len(np.intersect1d(truth, candidate.members)) / len(np.union1d(truth, candidate.members))
        assert jaccard > 0.9
        assert candidate.status == "confirmed"
        assert candidate.kind == "slice"
        assert candidate.held_out.interval[0] > candidate.base_rate
        assert candidate.held_out.effect_interval[0] > 0
        assert candidate.stability > 0.8
        assert candidate.coherence > 0.8


def test_figures_count_their_members(found, planted):
    """Size, failures, rate, base rate and ids are those of the members."""
    for candidate in found:
        assert candidate.size == len(candidate.members) == len(set(candidate.members.tolist()))
        assert candidate.failures == planted.failures[candidate.members].sum()
        assert candidate.failure_rate == pytest.approx(candidate.failures / candidate.size)
        assert candidate.interval[0] < candidate.failure_rate < candidate.interval[1]
        label = planted.labels[candidate.members[0]]
        assert (planted.labels[candidate.members] == label).all()
        assert candidate.base_rate == pytest.approx(planted.failures[planted.labels == label].mean())
        assert candidate.unit_ids == tuple(f"u{i}" for i in candidate.members)
        assert np.flatnonzero(candidate.membership >= 0.5).tolist() == sorted(candidate.members.tolist())
        assert (np.diff(candidate.membership[candidate.members]) <= 0).all()


def test_held_out_figures_count_their_rows(found, planted):
    """Every held-out figure is that of the rows it names, all of one class and none of them on both sides."""
    for candidate in found:
        held_out = candidate.held_out
        inside, outside = planted.failures[held_out.rows], planted.failures[held_out.outside_rows]
        assert held_out.n == len(set(held_out.rows.tolist()))
        assert not np.isin(held_out.rows, held_out.outside_rows).any()
        assert len(set(planted.labels[np.concatenate([held_out.rows, held_out.outside_rows])])) == 1
        assert held_out.rate == pytest.approx(inside.mean())
        assert held_out.outside_rate == pytest.approx(outside.mean())
        assert held_out.effect == pytest.approx(inside.mean() - outside.mean())
        assert candidate.p_value == held_out.p_value == held_out.p_given_confidence


def test_describes_by_the_dominant_confusion(found):
    """The name says which class is taken for which."""
    assert sorted(c.name for c in found) == ["cat taken for dog", "dog taken for cat"]


def test_places_unseen_rows(found, planted):
    """New rows of a failing cluster belong to its slice, others don't."""
    membership = found.assign(planted.embeddings + 0.01)
    assert membership.shape == (len(planted.labels), 2)
    for j, candidate in enumerate(found):
        weak = planted.cluster == _cluster_of(candidate, planted.cluster)
        assert membership[weak, j].mean() > 0.8
        assert membership[~weak, j].mean() < 0.05


def test_takes_new_rows_of_the_same_embedder_only(found):
    """Another number of dimensions is refused; no rows give no rows."""
    with pytest.raises(InvalidInputError, match="16 dimensions; got 3"):
        found.assign(np.zeros((2, 3)))
    assert found.assign(np.zeros((0, 16))).shape == (0, 2)


def test_frame_has_a_row_per_slice(found):
    """The frame is the list."""
    frame = found.frame()
    assert frame["size"].tolist() == [c.size for c in found]
    assert frame["held_out_n"].tolist() == [c.held_out.n for c in found]
    assert frame["effect_low"].tolist() == [c.held_out.effect_interval[0] for c in found]
    assert "confirmed" in repr(found)
    assert found.projection.shape == (600, 2)


def test_is_silent_on_chance():
    """Failures that fall anywhere give no confirmed slice, and rarely a candidate."""
    embeddings = np.random.default_rng(5).normal(size=(300, 8))
    proposed = 0
    for seed in range(8):
        slices = discover(embeddings, np.random.default_rng(seed).random(300) < 0.1)
        assert all(c.status != "confirmed" for c in slices)
        proposed += len(slices)
    assert proposed <= 2


def test_leads_are_what_stands_out_without_being_sure():
    """A cluster that fails too little to be told from chance is no candidate, yet the first lead."""
    random = np.random.default_rng(2)
    centres = random.normal(size=(12, 8)) * 6
    cluster = np.repeat(np.arange(12), 25)
    embeddings = centres[cluster] + random.normal(size=(300, 8))
    failures = np.zeros(300, bool)
    failures[::15] = True  # evenly, 20 of them
    failures[cluster == 4] = np.arange(25) % 4 == 0
    slices = discover(embeddings, failures, ids=[f"u{i}" for i in range(300)])
    assert len(slices) == 0
    assert "leads" in slices._repr_html_()
    lead = slices.leads[0]
    assert (cluster[lead.members] == 4).mean() > 0.8
    assert (lead.kind, lead.status, lead.held_out, lead.q_value) == ("lead", "candidate", None, 1.0)
    assert lead.failure_rate > lead.base_rate
    assert lead.unit_ids == tuple(f"u{i}" for i in lead.members)
    assert len(slices.leads) <= 10
    rows = [set(lead.members.tolist()) for lead in slices.leads]
    assert all(len(a & b) <= 0.75 * len(a | b) for i, a in enumerate(rows) for b in rows[:i])
    assert slices.assign(embeddings[:5], leads=True).shape == (5, len(slices.leads))


def test_leads_are_none_of_the_slices(found):
    """What was found isn't proposed again, though another cut of it may be."""
    slices = [set(c.members.tolist()) for c in found]
    rows = [set(lead.members.tolist()) for lead in found.leads]
    assert rows
    assert all(len(a & b) <= 0.75 * len(a | b) for a in slices for b in rows)


@pytest.fixture(scope="module")
def ring():
    """Units of an even plane, of which those of a ring fail: which they are, and what is found."""
    random = np.random.default_rng(0)
    plane = random.random((3000, 2))
    inside = np.abs(np.linalg.norm(plane - 0.5, axis=1) - 0.3) < 0.04
    return inside, discover(plane, random.random(3000) < np.where(inside, 0.7, 0.03))


def test_a_region_of_any_form_is_a_lead(ring):
    """Compact clusters can't be a ring, a region of failures can."""
    inside, found = ring
    best = max(2 * inside[c.members].sum() / (c.size + inside.sum()) for c in found.leads)
    assert best > 0.8


def test_leads_come_by_how_much_they_stand_out_and_how_well_the_trees_know_them(ring):
    """The order is that of the likelihood ratio times stability: failures can't put a group first that no tree has."""
    leads = ring[1].leads
    size, failed, base = (
        np.array([getattr(c, key) for c in leads], float) for key in ("size", "failures", "base_rate")
    )
    rate = np.clip(failed / size, 1e-12, 1 - 1e-12)
    ratio = size * (rate * np.log(rate / base) + (1 - rate) * np.log((1 - rate) / (1 - base)))
    known = np.array([lead.stability for lead in leads])
    assert ((known > 0) & (known <= 1)).all()
    assert (np.diff(ratio * known) <= 1e-9).all()
    assert (np.diff(ratio) > 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.zeros(5)}, r"2-D .* got shape \(5,\)"),
        ({"embeddings": np.full((100, 2), np.nan)}, "must be finite; 100 rows"),
        ({"failures": np.zeros(99)}, "100 values.*got shape"),
        ({"failures": np.full(100, 2.0)}, "from 0 to 1"),
        ({"failures": np.full(100, np.nan)}, "must be finite"),
        ({"failures": np.array(["a"] * 100)}, "booleans or numbers"),
        ({"labels": ["x"]}, "labels must be 100"),
        ({"predictions": ["x"]}, "predictions must be 100"),
        ({"confidences": [0.5]}, "confidences must be 100"),
        ({"confidences": ["sure"] * 100}, "confidences must be numbers"),
        ({"groups": [1]}, "groups must be 100"),
        ({"attributes": pd.DataFrame({"a": [1]})}, "attributes must have 100 rows"),
        ({"ids": ["a"]}, "100 ids"),
        ({"ids": ["a"] * 100}, "Every id must be there once"),
        ({"projection": np.zeros((3, 2))}, "projection must have 100 rows"),
        ({"max_slices": 0}, "max_slices must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_wrong_input_is_named(change, message):
    """Every wrong argument says what it should be and what came."""
    arguments = {"embeddings": np.random.default_rng(0).normal(size=(100, 3)), "failures": np.zeros(100)} | change
    with pytest.raises(InvalidInputError, match=message):
        discover(**arguments)
