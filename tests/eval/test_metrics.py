"""Ranks and metrics, compared with brute force and with their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    top_k_accuracy_score,
)

from eval.metrics import ranks as metrics
from eval.metrics.ranks import (
    CUTOFFS,
    KNOWN,
    METRICS,
    Ranks,
    all_case_values,
    case_values,
    metric_names,
    oracle_ratio,
    parse_metric,
    target_ranks,
)
from tpad import ConfigError

# Few distinct values, so that ties and −inf are common.
scores_and_targets = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])),
        arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)),
    )
)


def possible_ranks(row, target):
    """Every rank that the target can have, by brute force; none where it has −inf."""
    if row[target] == -np.inf:
        return []
    better = sum(1 for value in row if value > row[target])
    tied = sum(1 for value in row if value == row[target])
    return [better + place for place in range(1, tied + 1)]


GAINS = {
    "P": lambda rank: 1.0,
    "HR": lambda rank: 1.0,
    "Recall": lambda rank: 1.0,
    "MRR": lambda rank: 1 / rank,
    "NDCG": lambda rank: 1 / math.log2(rank + 1),
}


@given(scores_and_targets)
def test_expected_rank_is_the_mean_over_all_ways_to_break_ties(case):
    scores, targets = case
    ranks = target_ranks(scores, targets)
    for row, target, rank, ties in zip(scores, targets, ranks.expected, ranks.ties, strict=True):
        possible = possible_ranks(row, target)
        assert ties == len(possible)
        assert rank == (sum(possible) / len(possible) if possible else np.inf)


@given(scores_and_targets, st.sampled_from(KNOWN), st.integers(1, 12))
def test_a_value_is_the_mean_of_the_values_over_all_ways_to_break_ties(case, metric, k):
    scores, targets = case
    found = case_values(target_ranks(scores, targets), metric, k)
    for row, target, value in zip(scores, targets, found, strict=True):
        gains = [GAINS[metric](r) if r <= k else 0.0 for r in possible_ranks(row, target)]
        assert value == pytest.approx(sum(gains) / max(len(gains), 1), abs=1e-12)


@given(scores_and_targets, st.sampled_from(KNOWN), st.integers(1, 12), st.integers(0, 1000))
def test_a_value_is_what_random_orders_of_the_ties_come_to(case, metric, k, seed):
    """The targets of all tied items, one after the other, share what one fixed order gives them."""
    scores, _ = case
    row = scores[:1]
    items = np.flatnonzero(row[0] > -np.inf)
    found = case_values(target_ranks(np.repeat(row, len(items), 0), items), metric, k)
    order = np.random.default_rng(seed).permutation(items)
    order = order[np.argsort(-row[0, order], kind="stable")]
    gains = sum(GAINS[metric](rank) for rank in range(1, min(k, len(order)) + 1))
    assert found.sum() == pytest.approx(gains)


def test_the_value_of_a_tie_is_not_the_value_of_the_expected_rank():
    first_of_three = Ranks(np.array([0]), np.array([3]))  # expected rank 2
    assert case_values(first_of_three, "MRR", 20) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert case_values(first_of_three, "P", 1) == pytest.approx(1 / 3)
    across_the_cut = Ranks(np.array([18]), np.array([4]))  # ranks 19 to 22, expected 20.5
    assert case_values(across_the_cut, "P", 20) == 0.5
    assert case_values(across_the_cut, "MRR", 20) == pytest.approx((1 / 19 + 1 / 20) / 4)


def test_ranks_from_expected_ranks_have_the_fewest_ties():
    ranks = Ranks.from_expected(np.array([[1.0, 3.5], [np.inf, 7.0]]))
    assert ranks.above.tolist() == [[0, 2], [0, 6]] and ranks.ties.tolist() == [[1, 2], [0, 1]]
    np.testing.assert_array_equal(ranks.expected, [[1, 3.5], [np.inf, 7]])
    for wrong in (0.5, np.nan, -np.inf, 2.25):
        with pytest.raises(ValueError, match="at least 1"):
            Ranks.from_expected(np.array([wrong]))


def test_a_huge_cutoff_needs_little_memory():
    assert case_values(Ranks.from_expected(np.array([2.0])), "MRR", 10**12) == 0.5
    assert case_values(Ranks.empty(0), "MRR", 10**12).shape == (0,)
    assert case_values(Ranks.empty(1), "NDCG", 10**12) == 0


@given(scores_and_targets, st.integers(0, 1000))
def test_order_of_items_does_not_matter(case, seed):
    scores, targets = case
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    place = np.argsort(order)
    np.testing.assert_array_equal(
        target_ranks(scores, targets).expected,
        target_ranks(scores[:, order], place[targets]).expected,
    )


def test_ties_favour_no_item():
    scores = np.zeros((5, 5), dtype=np.float32)
    np.testing.assert_array_equal(target_ranks(scores, np.arange(5)).expected, np.full(5, 3.0))
    # A model that gives everything the same score finds as much as chance, whatever the order.
    values = case_values(target_ranks(np.zeros((100, 100)), np.arange(100)), "P", 20)
    np.testing.assert_allclose(values, 0.2)


def test_known_ranks():
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, -np.inf, 0.5], [1, 1, 0]])
    ranks = target_ranks(scores, np.array([1, 0, 1, 0]))
    np.testing.assert_array_equal(ranks.expected, [1, 3, np.inf, 1.5])


@pytest.mark.parametrize("cells", [1, 40, 10**6])
def test_the_chunk_size_does_not_change_ranks(monkeypatch, cells):
    scores = np.random.default_rng(0).integers(0, 5, (30, 11)).astype(np.float32)
    targets = np.arange(30) % 11
    whole = target_ranks(scores, targets).expected
    monkeypatch.setattr(metrics, "CELLS_IN_CACHE", cells)
    np.testing.assert_array_equal(target_ranks(scores, targets).expected, whole)
    scores[-1, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        target_ranks(scores, targets)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        target_ranks(np.array([[0.0, np.nan]]), np.array([0]))


def test_known_values():
    ranks = Ranks.from_expected(np.array([1, 2, 5, 5.5, 6, np.inf]))
    np.testing.assert_array_equal(case_values(ranks, "P", 5), [1, 1, 1, 0.5, 0, 0])
    np.testing.assert_allclose(case_values(ranks, "MRR", 5), [1, 0.5, 0.2, 0.1, 0, 0])
    expected = [1, 1 / math.log2(3), 1 / math.log2(6), 0.5 / math.log2(6), 0, 0]
    np.testing.assert_allclose(case_values(ranks, "NDCG", 5), expected)


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([1, 1.5, 2, 7, 20, 21, np.inf]))
)
def test_metrics_are_bounded_ordered_and_grow_with_k(expected):
    ranks = Ranks.from_expected(expected)
    for metric in METRICS:
        previous = np.zeros(len(ranks))
        for k in CUTOFFS:
            values = case_values(ranks, metric, k)
            assert (values >= previous).all() and (values <= 1).all()
            previous = values
    for k in CUTOFFS:
        mrr, ndcg, p = (case_values(ranks, metric, k) for metric in ("MRR", "NDCG", "P"))
        assert (mrr <= ndcg + 1e-12).all() and (ndcg <= p + 1e-12).all()


def test_all_values_are_in_the_order_of_their_names():
    ranks = Ranks.from_expected(np.array([[1.0, 8.0, np.inf], [3.0, 15.0, 2.0]]))
    values = all_case_values(ranks)  # (2, 3, n_metrics)
    assert values.shape == (2, 3, len(metric_names()))
    for column, (metric, k) in enumerate(metric_names()):
        np.testing.assert_array_equal(values[..., column], case_values(ranks, metric, k))


def test_unknown_metric_and_cutoff_are_refused():
    with pytest.raises(ValueError, match="Unknown metric"):
        case_values(Ranks.from_expected(np.ones(1)), "AUC", 5)
    with pytest.raises(ValueError, match="at least 1"):
        case_values(Ranks.from_expected(np.ones(1)), "P", 0)


def test_one_target_makes_hit_rate_and_recall_the_same():
    ranks = Ranks.from_expected(np.array([1, 4, 20, 20.5, np.inf]))
    for name in ("HR", "Recall"):
        np.testing.assert_array_equal(case_values(ranks, name, 20), case_values(ranks, "P", 20))


@given(scores_and_targets)
def test_only_the_order_of_scores_counts(case):
    scores, targets = case
    other = np.where(np.isneginf(scores), -np.inf, np.exp(scores) * 4 - 7)
    np.testing.assert_array_equal(
        target_ranks(scores, targets).expected, target_ranks(other, targets).expected
    )


@given(scores_and_targets, st.integers(0, 1000))
def test_order_of_cases_does_not_matter(case, seed):
    scores, targets = case
    order = np.random.default_rng(seed).permutation(len(targets))
    values = all_case_values(target_ranks(scores, targets))
    np.testing.assert_array_equal(
        all_case_values(target_ranks(scores[order], targets[order])), values[order]
    )


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_better_rank_is_never_worth_less(rank, k):
    for metric in KNOWN:
        better, worse = case_values(Ranks.from_expected(np.array([rank, rank + 0.5])), metric, k)
        assert better >= worse


def test_metrics_are_in_the_order_requested():
    ranks = Ranks.from_expected(np.array([2.0, 30.0]))
    values = all_case_values(ranks, ["Recall", "NDCG"], [1, 50])
    np.testing.assert_allclose(values, [[0, 1, 0, 1 / math.log2(3)], [0, 1, 0, 1 / math.log2(31)]])


def test_agreement_with_torchmetrics():
    """An independent library, on rankings without ties (it knows no expected rank)."""
    retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
    import torch

    theirs = {
        "P": retrieval.retrieval_hit_rate,
        "Recall": retrieval.retrieval_recall,
        "MRR": retrieval.retrieval_reciprocal_rank,
        "NDCG": retrieval.retrieval_normalized_dcg,
    }
    rng = np.random.default_rng(0)
    # From 1: it takes an item whose score is not above 0 for not retrieved.
    scores = rng.permuted(np.tile(np.arange(1, 41, dtype=np.float32), (30, 1)), axis=1)
    targets = rng.integers(0, 40, 30)
    relevant = torch.from_numpy(np.arange(40) == targets[:, None])
    for metric, function in theirs.items():
        for k in (1, 3, 10, 40):
            ours = case_values(target_ranks(scores, targets), metric, k)
            expected = [
                float(function(torch.from_numpy(row), right, top_k=k))
                for row, right in zip(scores, relevant, strict=True)
            ]
            np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=f"{metric}@{k}")


def test_agreement_with_scikit_learn():
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.tile(np.arange(25.0), (50, 1)), axis=1)
    targets = rng.integers(0, 25, 50)
    relevant = (np.arange(25) == targets[:, None]).astype(int)
    ranks = target_ranks(scores, targets)
    for k in (1, 5, 20):
        assert case_values(ranks, "P", k).mean() == pytest.approx(
            top_k_accuracy_score(targets, scores, k=k, labels=np.arange(25))
        )
        assert case_values(ranks, "NDCG", k).mean() == pytest.approx(
            ndcg_score(relevant, scores, k=k)
        )
    assert case_values(ranks, "MRR", 25).mean() == pytest.approx(
        label_ranking_average_precision_score(relevant, scores)
    )


def test_metrics_are_read_by_name():
    assert parse_metric("NDCG@10") == ("NDCG", 10)
    assert parse_metric(" mrr@5 ") == ("MRR", 5)
    for wrong in ("NDCG", "NDCG@0", "AUC@5", "P@-1", "P@x", ""):
        with pytest.raises(ConfigError, match="not a metric"):
            parse_metric(wrong)


def test_ratio_to_the_oracle():
    oracle = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    values = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    ratio = oracle_ratio(values, oracle)
    assert ratio[0] == 0.5 and np.isnan(ratio[1])
    assert oracle_ratio(values[:, 0], oracle[:, 0]) == 0.5
    assert oracle_ratio(oracle[:, 0], oracle[:, 0]) == 1
    assert np.isnan(oracle_ratio(np.zeros(0), np.zeros(0)))
    with pytest.raises(ValueError, match="same cases"):
        oracle_ratio(np.ones(2), np.ones(3))
