"""The benchmark's metrics on examples small enough to count by hand."""

import numpy as np
import pytest

from tests.benchmarks.discovery import metrics
from tests.benchmarks.discovery.setting import Proposed, Setting


def mask(*units, n=20):
    found = np.zeros(n, bool)
    found[list(units)] = True
    return found


FIRST = mask(*range(5))
SECOND = mask(*range(10, 20))


def test_a_slice_at_both_thresholds_is_discovered():
    found = mask(0, 1, 2, 3, 9)  # 4 of 5 found are true, 4 of 5 true are found
    assert metrics.precisions([found], [FIRST]).tolist() == [[0.8]]
    assert metrics.recalls([found], [FIRST]).tolist() == [0.8]
    assert metrics.discovery_rate([found], [FIRST]) == 1
    assert metrics.false_discovery_rate([found], [FIRST]) == 0


def test_one_unit_less_is_not_discovered():
    assert metrics.discovery_rate([mask(0, 1, 2)], [FIRST]) == 0  # recall .6
    assert metrics.discovery_rate([mask(0, 1, 2, 3, 8, 9)], [FIRST]) == 0  # precision .67
    assert metrics.false_discovery_rate([mask(0, 1, 2, 3, 8, 9)], [FIRST]) == 1


def test_pieces_cover_a_slice_together():
    pieces = [mask(10, 11, 12, 13), mask(13, 14, 15, 16), mask(17)]
    assert metrics.recalls(pieces, [FIRST, SECOND]).tolist() == [0, 0.8]
    assert metrics.discovery_rate(pieces, [FIRST, SECOND]) == 0.5


def test_a_piece_that_does_not_belong_adds_no_recall():
    pieces = [mask(10, 11, 12, 13, 14, 15, 16), mask(17, 18, 5, 6)]
    assert metrics.recalls(pieces, [SECOND]).tolist() == [0.7]


def test_false_discovery_rate_over_all_and_over_the_first_ones():
    found = [FIRST] + [mask(7)] * 10
    assert metrics.false_discovery_rate(found, [FIRST]) == pytest.approx(10 / 11)
    assert metrics.false_discovery_rate(found, [FIRST], top=10) == 0.9
    assert metrics.false_discovery_rate(found, [FIRST], top=1) == 0


def test_false_discovery_rate_without_found_or_true_slices():
    assert metrics.false_discovery_rate([], [FIRST]) == 0
    assert metrics.false_discovery_rate([FIRST], []) == 1
    assert metrics.false_discovery_rate([mask()], [FIRST]) == 1


def test_plateau_is_the_shortest_prefix_that_discovers_as_much():
    found = [mask(7), FIRST, mask(8), SECOND, mask(9), mask(6)]
    assert metrics.plateau(found, [FIRST, SECOND]) == 4
    assert metrics.false_discovery_rate_at_plateau(found, [FIRST, SECOND]) == 0.5
    assert metrics.false_discovery_rate(found, [FIRST, SECOND]) == pytest.approx(4 / 6)


def test_plateau_beyond_the_tenth_does_not_count():
    found = [mask(7)] * 10 + [FIRST]
    assert metrics.plateau(found, [FIRST]) == 1
    assert metrics.false_discovery_rate_at_plateau(found, [FIRST]) == 1
    assert metrics.false_discovery_rate_at_plateau([], [FIRST]) == 0


def test_precision_at_k_takes_the_earlier_of_equal_scores():
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.1])
    assert metrics.precision_at_k(scores, mask(0, 1, n=5), k=2) == 1
    assert metrics.precision_at_k(scores, mask(1, 2, 3, n=5), k=2) == 0.5
    assert metrics.precision_at_k(scores, mask(0, 1, 2, 3, 4, n=5), k=10) == 0.5


def test_best_precision_at_k_is_over_the_first_five_rankings():
    scores = np.zeros((20, 6))
    scores[:4, 1] = 1  # 4 of 5 in FIRST at k = 5, then unit 4 by order
    scores[10:15, 5] = 1
    assert metrics.best_precisions_at_k(scores, [FIRST, SECOND], k=5).tolist() == [1, 0]
    assert metrics.best_precisions_at_k(scores, [FIRST, SECOND], k=5, top=6).tolist() == [1, 1]
    assert metrics.best_precisions_at_k(np.zeros((20, 0)), [FIRST], k=5).tolist() == [0]


def test_success_starts_at_the_threshold():
    assert metrics.success_rate([0.8, 0.79, 1.0, 0.0]) == 0.5


def test_best_f1():
    found = [mask(0, 1), mask(0, 1, 2, 3, 4, 5, 6)]
    assert metrics.f1(found[0], FIRST) == pytest.approx(4 / 7)
    assert metrics.best_f1(found, FIRST) == pytest.approx(10 / 12)
    assert metrics.best_f1([], FIRST) == 0
    assert metrics.mean_best_f1(found, [FIRST, SECOND]) == pytest.approx(5 / 12)


def test_average_precision():
    # Hits at ranks 1 and 3: (1 + 2/3) / 2.
    assert metrics.average_precision([4, 3, 2, 1], mask(0, 2, n=4)) == pytest.approx(5 / 6)
    assert metrics.average_precision([1, 1, 1, 1], mask(0, 2, n=4)) == pytest.approx(0.5)


def test_paired_bootstrap():
    assert metrics.paired_bootstrap([0.2, 0.2, 0.2]) == pytest.approx((0.2, 0.2, 0.2))
    differences = [0.0, 1.0] * 50
    mean, low, high = metrics.paired_bootstrap(differences)
    assert mean == 0.5
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.012)  # 0.5 -+ 1.96 * 0.05


def test_paired_bootstrap_follows_its_seed():
    differences = np.sqrt(np.arange(30.0))
    assert metrics.paired_bootstrap(differences) == metrics.paired_bootstrap(differences)
    assert metrics.paired_bootstrap(differences, seed=1) != metrics.paired_bootstrap(differences)


def test_clopper_pearson_upper_limit():
    assert metrics.clopper_pearson_upper(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert metrics.clopper_pearson_upper(10, 10) == 1
    assert metrics.clopper_pearson_upper(1, 2, 0.975) == pytest.approx(np.sqrt(0.975))


def drawn(fail_probability, labels, slices, **details):
    labels = np.array(labels)
    return Setting(
        name="drawn",
        seed=0,
        embeddings=np.zeros((len(labels), 1), np.float32),
        failures=np.zeros(len(labels), bool),
        labels=labels,
        predictions=labels,
        probabilities=np.eye(2, dtype=np.float32)[labels],
        slices=slices,
        fail_probability=None if fail_probability is None else np.array(fail_probability),
        details=details,
    )


def test_true_failures_are_compared_with_their_own_class():
    # Class 0: base .1, units 0 and 1 are the true slice (.5). Class 1: base .3.
    setting = drawn([0.5, 0.5, 0.1, 0.1, 0.3, 0.3], [0, 0, 0, 0, 1, 1], (mask(0, 1, n=6),))
    assert metrics.is_true_failure(mask(0, 1, n=6), setting)
    assert metrics.is_true_failure(mask(0, 2, n=6), setting)
    assert not metrics.is_true_failure(mask(2, 3, n=6), setting)
    assert not metrics.is_true_failure(mask(4, 5, n=6), setting)  # above class 0, not above its own
    assert not metrics.is_true_failure(mask(2, 4, n=6), setting)
    assert not metrics.is_true_failure(mask(n=6), setting)


def test_classes_before_label_noise_are_used_where_known():
    probabilities, truth = [0.5, 0.1, 0.1, 0.3, 0.3], (mask(0, n=5),)
    noisy = [0, 0, 0, 1, 0]  # unit 4 belongs to class 1
    assert metrics.is_true_failure(mask(4, n=5), drawn(probabilities, noisy, truth))
    setting = drawn(probabilities, noisy, truth, classes=np.array([0, 0, 0, 1, 1]))
    assert not metrics.is_true_failure(mask(4, n=5), setting)


def test_false_discovery_proportion():
    setting = drawn([0.5, 0.5, 0.1, 0.1], [0, 0, 0, 0], (mask(0, 1, n=4),))
    assert metrics.false_discovery_proportion([mask(0, n=4), mask(2, n=4)], setting) == 0.5
    assert metrics.false_discovery_proportion([], setting) == 0
    null = drawn([0.5, 0.1], [0, 0], ())
    assert metrics.false_discovery_proportion([mask(0, n=2)], null) == 1


def test_true_failures_need_known_probabilities():
    with pytest.raises(ValueError, match="fail_probability"):
        metrics.is_true_failure(FIRST, drawn(None, [0, 1], ()))


def test_confirmed_slices():
    members = (FIRST, SECOND)
    assert metrics.confirmed_slices(Proposed(members)) == members
    (claimed,) = metrics.confirmed_slices(Proposed(members, confirmed=(False, True)))
    assert claimed is SECOND
