"""The pass over scores: ranks, lists and probabilities."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax
from small_shops import dataset_of

from eval.metrics.ranking import rank_all, top_items
from eval.metrics.ranks import target_ranks
from eval.protocol import Protocol, TestCases

N_ITEMS = 11

# Few distinct values, so that ties and −inf are common.
some_scores = st.tuples(st.integers(1, 5), st.integers(1, 9)).flatmap(
    lambda shape: arrays(
        np.float32, shape, elements=st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 2.0])
    )
)


class Table:
    """Scores that depend on the last item only."""

    can_score_new_items = True

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.asked: list[int] = []

    def fit(self, dataset):
        return self

    def scores(self, sessions):
        self.asked.append(len(sessions))
        return self.table[[session[-1] for session in sessions]]


def shop_cases(mask_history: bool = True) -> TestCases:
    rng = np.random.default_rng(0)
    test = [rng.permutation(N_ITEMS)[: rng.integers(2, 6)] for _ in range(12)]
    shop = dataset_of([[0, 1, 2]], [], test, N_ITEMS)
    return TestCases.of(shop, Protocol(mask_history=mask_history))


def random_table(ties: bool = True) -> np.ndarray:
    rng = np.random.default_rng(1)
    table = rng.integers(0, 4, (N_ITEMS, N_ITEMS)) if ties else rng.random((N_ITEMS, N_ITEMS))
    table = table.astype(np.float32)
    table[rng.random(table.shape) < 0.2] = -np.inf
    return table


@given(some_scores, st.integers(1, 11))
def test_lists_are_sorted_by_score_then_by_row(scores, k):
    lists, list_scores = top_items(scores, k)
    assert lists.shape == list_scores.shape == (len(scores), k)
    for row, items, values in zip(scores, lists, list_scores, strict=True):
        order = sorted(np.flatnonzero(row > -np.inf), key=lambda item: (-row[item], item))[:k]
        assert items.tolist() == order + [-1] * (k - len(order))
        assert values[: len(order)].tolist() == row[order].tolist()
        assert (values[len(order) :] == -np.inf).all()


@pytest.mark.parametrize("mask_history", [True, False])
def test_ranks_are_those_of_the_scores_case_by_case(mask_history):
    cases, model = shop_cases(mask_history), Table(random_table())
    found = rank_all(model, cases, N_ITEMS)
    for case, prefix in enumerate(cases.prefixes):
        scores = np.array(model.scores([prefix]), np.float32)  # (1, n_items)
        if mask_history:
            scores[0, prefix] = -np.inf
        own = target_ranks(scores, cases.targets[case : case + 1])
        assert (found.ranks.above[case], found.ranks.ties[case]) == (own.above[0], own.ties[0])
    assert (found.ranks.ties == 0).any() and (found.ranks.ties > 1).any()


def test_masked_history_is_never_shown():
    cases = shop_cases()
    lists = rank_all(Table(random_table()), cases, N_ITEMS, k=N_ITEMS).lists
    for prefix, shown in zip(cases.prefixes, lists, strict=True):
        assert not set(prefix) & set(shown)
    kept = shop_cases(mask_history=False)
    lists = rank_all(Table(random_table()), kept, N_ITEMS, k=N_ITEMS).lists
    assert any(set(p) & set(shown) for p, shown in zip(kept.prefixes, lists, strict=True))


def test_without_ties_the_rank_is_the_position_in_the_list():
    cases = shop_cases()
    found = rank_all(Table(random_table(ties=False)), cases, N_ITEMS, k=4)
    place = found.lists == cases.targets[:, None]
    ranks = found.ranks.expected
    np.testing.assert_array_equal(place.any(1), ranks <= 4)
    np.testing.assert_array_equal(place[place.any(1)].argmax(1) + 1, ranks[place.any(1)])


@pytest.mark.parametrize("temperature", [1.0, 0.3, 20.0])
def test_probabilities_are_a_softmax_over_the_candidates(temperature):
    cases, table = shop_cases(), random_table()
    found = rank_all(Table(table), cases, N_ITEMS, k=3, temperature=temperature)
    for i, (prefix, target) in enumerate(zip(cases.prefixes, cases.targets, strict=True)):
        row = table[prefix[-1]].astype(float)
        row[prefix] = -np.inf
        expected = log_softmax(row / temperature)
        assert found.log_probability[i] == pytest.approx(expected[target], abs=1e-5)
        shown = found.lists[i] >= 0
        np.testing.assert_allclose(
            found.list_log_probability[i][shown], expected[found.lists[i][shown]], atol=1e-5
        )
        assert found.collision[i] == pytest.approx((np.exp(expected) ** 2).sum(), abs=1e-6)


def test_a_case_without_candidates():
    cases = shop_cases()
    found = rank_all(Table(np.full((N_ITEMS, N_ITEMS), -np.inf, np.float32)), cases, N_ITEMS, k=2)
    assert (found.lists == -1).all() and np.isinf(found.ranks.expected).all()
    assert np.isneginf(found.log_probability).all() and (found.collision == 0).all()
    assert np.isneginf(found.list_log_probability).all()


def test_chunks_change_nothing_and_progress_is_reported():
    cases = shop_cases()
    rng = np.random.default_rng(3)
    wide = 9000  # more than numpy's buffer: sums must not depend on where a row begins in it
    table = rng.standard_normal((N_ITEMS, wide)).astype(np.float32)
    whole = rank_all(Table(table), cases, wide)
    told: list[tuple[int, int]] = []
    model = Table(table)
    parts = rank_all(model, cases, wide, chunk=5, progress=lambda done, of: told.append((done, of)))
    np.testing.assert_array_equal(parts.ranks.expected, whole.ranks.expected)
    np.testing.assert_array_equal(parts.ranks.ties, whole.ranks.ties)
    for name in ("lists", "list_scores", "target_scores", "log_normaliser", "collision"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)
    assert max(model.asked) == 5 and sum(model.asked) == len(cases)
    assert told[-1] == (len(cases), len(cases)) and told[0] == (5, len(cases))


def test_scores_are_computed_in_chunks_that_fit(monkeypatch):
    monkeypatch.setattr("eval.metrics.ranking.CELLS_AT_ONCE", 3 * N_ITEMS)
    model = Table(random_table())
    rank_all(model, shop_cases(), N_ITEMS)
    assert max(model.asked) == 3


@pytest.mark.parametrize("ties", [False, True])
def test_memory_does_not_grow_with_the_number_of_cases(monkeypatch, ties):
    n_items, chunk_bytes = 20_000, 4 * 10 * 20_000
    monkeypatch.setattr("eval.metrics.ranking.CELLS_AT_ONCE", 10 * n_items)
    table = np.random.default_rng(5).random((N_ITEMS, n_items)).astype(np.float32)
    model, once = Table(table.round(0 if ties else 9)), shop_cases()
    cases = replace(
        once,
        session=np.tile(once.session, 20),
        prefixes=once.prefixes * 20,
        targets=np.tile(once.targets, 20),
    )
    tracemalloc.start()
    rank_all(model, cases, n_items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cases) * n_items * 4 > 50 * chunk_bytes  # what all scores at once would take
    assert peak < 8 * chunk_bytes


def test_the_scores_of_a_model_stay_as_they_are():
    table = random_table()

    class Lends(Table):
        def scores(self, sessions):
            return self.table[: len(sessions)]  # a view

    kept = table.copy()
    rank_all(Lends(table), shop_cases(), N_ITEMS, chunk=4)
    np.testing.assert_array_equal(table, kept)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_cannot_be_ranked_are_refused(bad):
    table = random_table()
    table[:, 0] = bad
    with pytest.raises(ValueError, match=r"Table returned (nan|inf)"):
        rank_all(Table(table), shop_cases(), N_ITEMS)


def test_wrong_shapes_and_settings_are_refused():
    model, cases = Table(random_table()), shop_cases()
    with pytest.raises(ValueError, match="shape"):
        rank_all(model, cases, N_ITEMS + 1)
    with pytest.raises(ValueError, match="at least 1"):
        rank_all(model, cases, N_ITEMS, k=0)
    with pytest.raises(ValueError, match="temperature"):
        rank_all(model, cases, N_ITEMS, temperature=0)
