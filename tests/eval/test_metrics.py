"""Ranks and metrics, against brute force and against their own definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.metrics import CUTOFFS, METRICS, all_case_values, case_values, metric_names, target_ranks

# Few distinct values, so that ties and −inf are common.
scores_and_targets = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])),
        arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)),
    )
)


@given(scores_and_targets)
def test_rank_is_the_mean_over_all_ways_to_break_ties(case):
    scores, targets = case
    ranks = target_ranks(scores, targets)
    for row, target, rank in zip(scores, targets, ranks, strict=True):
        if row[target] == -np.inf:
            assert rank == np.inf
            continue
        better = sum(1 for value in row if value > row[target])
        tied = sum(1 for value in row if value == row[target])
        possible = [better + place for place in range(1, tied + 1)]
        assert rank == sum(possible) / len(possible)


@given(scores_and_targets, st.integers(0, 1000))
def test_order_of_items_does_not_matter(case, seed):
    scores, targets = case
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    place = np.argsort(order)
    np.testing.assert_array_equal(
        target_ranks(scores, targets), target_ranks(scores[:, order], place[targets])
    )


def test_ties_are_broken_without_favour():
    scores = np.zeros((5, 5), dtype=np.float32)
    np.testing.assert_array_equal(target_ranks(scores, np.arange(5)), np.full(5, 3.0))
    # A model that gives everything the same score gains nothing by the order of the items.
    assert case_values(target_ranks(np.zeros((100, 100)), np.arange(100)), "P", 20).sum() == 0


def test_known_ranks():
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, -np.inf, 0.5], [1, 1, 0]])
    np.testing.assert_array_equal(target_ranks(scores, np.array([1, 0, 1, 0])), [1, 3, np.inf, 1.5])


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        target_ranks(np.array([[0.0, np.nan]]), np.array([0]))


def test_known_values():
    ranks = np.array([1, 2, 5, 5.5, 6, np.inf])
    np.testing.assert_array_equal(case_values(ranks, "P", 5), [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(case_values(ranks, "MRR", 5), [1, 0.5, 0.2, 0, 0, 0])
    expected = [1, 1 / math.log2(3), 1 / math.log2(6), 0, 0, 0]
    np.testing.assert_allclose(case_values(ranks, "NDCG", 5), expected)


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([1, 1.5, 2, 7, 20, 21, np.inf]))
)
def test_metrics_are_bounded_ordered_and_grow_with_k(ranks):
    for metric in METRICS:
        previous = np.zeros(len(ranks))
        for k in CUTOFFS:
            values = case_values(ranks, metric, k)
            assert (values >= previous).all() and (values <= 1).all()
            previous = values
    for k in CUTOFFS:
        mrr, ndcg, p = (case_values(ranks, metric, k) for metric in ("MRR", "NDCG", "P"))
        assert (mrr <= ndcg + 1e-12).all() and (ndcg <= p).all()


def test_all_values_are_in_the_order_of_their_names():
    ranks = np.array([[1.0, 8.0, np.inf], [3.0, 15.0, 2.0]])
    values = all_case_values(ranks)  # (2, 3, n_metrics)
    assert values.shape == (2, 3, len(metric_names()))
    for column, (metric, k) in enumerate(metric_names()):
        np.testing.assert_array_equal(values[..., column], case_values(ranks, metric, k))


def test_unknown_metric_and_cutoff_are_refused():
    with pytest.raises(ValueError, match="Unknown metric"):
        case_values(np.ones(1), "AUC", 5)
    with pytest.raises(ValueError, match="at least 1"):
        case_values(np.ones(1), "P", 0)
