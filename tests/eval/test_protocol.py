"""The test cases, and that the way of computing does not change results."""

from dataclasses import replace

import numpy as np
import pytest
from small_models import LastItem
from small_shops import dataset_of

from eval.metrics.ranking import rank_all
from eval.protocol import Protocol, TestCases
from tpad import ConfigError

KEPT = Protocol(mask_history=False)
LAST = Protocol("last_item")


def rank_targets(model, cases, n_items, **options):
    """The expected ranks of `rank_all` alone."""
    return rank_all(model, cases, n_items, **options).ranks.expected


@pytest.fixture
def data():
    return dataset_of([[0, 1, 2]], [[0, 1]], [[0, 1, 3], [2, 2, 1, 2], [1]], 5)


def test_every_prefix_predicts_its_next_item_and_repeats_are_left_out(data):
    cases = TestCases.of(data)
    assert [list(prefix) for prefix in cases.prefixes] == [[0], [0, 1], [2, 2]]
    assert list(cases.targets) == [1, 3, 1]
    assert list(cases.session) == [0, 0, 1]
    assert cases.left_out == 2
    assert list(cases.cold) == [False, True, False]
    assert [int(cases.slice(name).sum()) for name in ("all", "warm", "cold")] == [3, 2, 1]


def test_history_can_be_kept(data):
    cases = TestCases.of(data, KEPT)
    assert len(cases) == 5 and cases.left_out == 0
    assert cases.fingerprint != TestCases.of(data).fingerprint


def test_only_the_last_item_can_be_evaluated(data):
    cases = TestCases.of(data, replace(LAST, mask_history=False))
    assert [list(prefix) for prefix in cases.prefixes] == [[0, 1], [2, 2, 1]]
    assert list(cases.targets) == [3, 2] and list(cases.session) == [0, 1]
    masked = TestCases.of(data, LAST)
    assert list(masked.targets) == [3] and masked.left_out == 1


def test_clicks_of_the_history_are_not_targets(data):
    known = replace(data.test, history=np.array([2, 3, 1]))
    with_history = replace(data, test=known)
    for cases in ("every_prefix", "last_item"):
        asked = TestCases.of(with_history, Protocol(cases, mask_history=False))
        assert [list(prefix) for prefix in asked.prefixes] == [[0, 1], [2, 2, 1]]


def test_cases_know_their_length_and_repeats(data):
    cases = TestCases.of(data, KEPT)
    assert cases.lengths.tolist() == [1, 2, 1, 2, 3]
    assert cases.repeats.tolist() == [False, False, True, False, True]
    assert not TestCases.of(data).repeats.any()


def test_a_protocol_is_recorded_in_one_line(data):
    # These lines enter the fingerprints of stored cases: another wording would orphan every run.
    assert str(Protocol()) == "every prefix, all items ranked, history masked"
    assert str(KEPT) == "every prefix, all items ranked, history kept"
    assert str(LAST) == "last item, all items ranked, history masked"
    assert TestCases.of(data).protocol == str(Protocol())


def test_the_fingerprint_of_stored_cases_stays_as_it_was(data):
    assert TestCases.of(data).fingerprint.startswith("e5c4108f553fe70f")


def test_unknown_cases_are_refused():
    with pytest.raises(ConfigError, match="every_prefix"):
        Protocol("first_item")


def test_items_of_the_session_are_no_candidates(data):
    model = LastItem(np.tile([9.0, 1.0, 8.0, 0.0, -np.inf], (5, 1)))
    # after [0]: 1 is behind 2; after [0, 1]: 3 is behind 2; after [2, 2]: 1 is behind 0
    np.testing.assert_array_equal(rank_targets(model, TestCases.of(data), 5), [2, 2, 2])
    kept = TestCases.of(data, KEPT)
    np.testing.assert_array_equal(rank_targets(model, kept, 5), [3, 4, 2, 3, 2])


def test_a_model_that_ties_everything_gets_the_expected_rank(data):
    # Of 5 items one or two are history; the target's place among the others is equally likely.
    constant = LastItem(np.ones((5, 5)))
    np.testing.assert_array_equal(rank_targets(constant, TestCases.of(data), 5), [2.5, 2, 2.5])
    # The order of the items in the catalogue, by which a sort would break ties, has no part in it.
    halves = LastItem(np.tile([1.0, 1.0, 1.0, 0.0, 0.0], (5, 1)))
    np.testing.assert_array_equal(
        rank_targets(halves, TestCases.of(data, KEPT), 5), [2, 4.5, 2, 2, 2]
    )


def test_ranking_leaves_the_models_own_scores_alone(data):
    model = LastItem(np.zeros((5, 5)))
    rank_targets(model, TestCases.of(data), 5)
    assert (model.table == 0).all()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_change_nothing(shop, chunk):
    model = LastItem(np.random.default_rng(0).integers(0, 5, (24, 24)))
    cases = TestCases.of(shop)
    seen = []
    ranks = rank_targets(
        model, cases, 24, chunk=chunk, progress=lambda done, of: seen.append((done, of))
    )
    np.testing.assert_array_equal(ranks, rank_targets(model, cases, 24))
    assert seen[-1] == (len(cases), len(cases))


def test_a_model_that_scores_other_items_is_refused(data):
    with pytest.raises(ValueError, match="shape"):
        rank_targets(LastItem(np.zeros((5, 4))), TestCases.of(data), 5)
