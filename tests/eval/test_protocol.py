"""What the models are asked, and that how it is computed changes nothing."""

import numpy as np
import pytest
from small_shops import dataset_of

from eval.protocol import TestCases, rank_targets


class Fixed:
    """Scores that depend on the last item only."""

    can_score_new_items = True

    def __init__(self, table: np.ndarray) -> None:
        self.table = table.astype(np.float32)

    def fit(self, dataset):
        return self

    def scores(self, sessions):
        return self.table[[session[-1] for session in sessions]]


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
    cases = TestCases.of(data, mask_history=False)
    assert len(cases) == 5 and cases.left_out == 0
    assert cases.fingerprint != TestCases.of(data).fingerprint


def test_items_of_the_session_are_no_candidates(data):
    model = Fixed(np.tile([9.0, 1.0, 8.0, 0.0, -np.inf], (5, 1)))
    # after [0]: 1 is behind 2; after [0, 1]: 3 is behind 2; after [2, 2]: 1 is behind 0
    np.testing.assert_array_equal(rank_targets(model, TestCases.of(data), 5), [2, 2, 2])
    kept = TestCases.of(data, mask_history=False)
    np.testing.assert_array_equal(rank_targets(model, kept, 5), [3, 4, 2, 3, 2])


def test_ranking_leaves_the_models_own_scores_alone(data):
    model = Fixed(np.zeros((5, 5)))
    rank_targets(model, TestCases.of(data), 5)
    assert (model.table == 0).all()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_change_nothing(shop, chunk):
    model = Fixed(np.random.default_rng(0).integers(0, 5, (24, 24)))
    cases = TestCases.of(shop)
    seen = []
    ranks = rank_targets(
        model, cases, 24, chunk=chunk, progress=lambda done, of: seen.append((done, of))
    )
    np.testing.assert_array_equal(ranks, rank_targets(model, cases, 24))
    assert seen[-1] == (len(cases), len(cases))


def test_a_model_that_scores_other_items_is_refused(data):
    with pytest.raises(ValueError, match="shape"):
        rank_targets(Fixed(np.zeros((5, 4))), TestCases.of(data), 5)
