"""Ranks, overlap and rank-biased overlap."""

import numpy as np
import pandas as pd
import pytest

from app.compare.agreement import agreement, overlap, rank_biased_overlap
from app.shell.ranking import rank_table, ranks, top


def test_ranks_start_at_one_and_ties_keep_the_items_order():
    assert ranks(np.array([0.5, 2.0, 0.5, 1.0])).tolist() == [3, 1, 4, 2]


def test_seen_items_take_no_part():
    assert ranks(np.array([0.5, 2.0, 0.4, 1.0]), [1, 3]).tolist() == [1, 0, 2, 0]


def test_items_without_score_come_last():
    assert ranks(np.array([-np.inf, 1.0, np.nan, 0.0])).tolist() == [3, 1, 4, 2]


def test_top_lists_the_first_places_of_one_model():
    table = rank_table({"a": np.array([1.0, 3.0, 2.0]), "b": np.array([3.0, 2.0, 1.0])}, [1])
    assert top(table, "a", 2) == [2, 0]
    assert top(table, "b", 1) == [0]
    assert top(table, "b", 9) == [0, 2]


def test_overlap_counts_shared_items():
    assert overlap([1, 2, 3], [3, 4, 1]) == 2
    assert overlap([], [1]) == 0


def test_rank_biased_overlap_at_its_ends():
    assert rank_biased_overlap([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert rank_biased_overlap([1, 2, 3], [4, 5, 6]) == 0
    assert rank_biased_overlap([], []) == 0


def test_rank_biased_overlap_by_hand():
    # X_1 = 0, X_2 = 2: 2/2 · .81 + .1/.9 · (0 + 2/2 · .81)
    assert rank_biased_overlap([1, 2], [2, 1], p=0.9) == pytest.approx(0.81 + 0.1 / 0.9 * 0.81)


def test_agreement_near_the_top_counts_more():
    base = list(range(10))
    top_swapped = [1, 0, *range(2, 10)]
    end_swapped = [*range(8), 9, 8]
    assert rank_biased_overlap(base, top_swapped) < rank_biased_overlap(base, end_swapped)


def test_the_first_model_agrees_with_itself():
    rng = np.random.default_rng(0)
    table = rank_table({name: rng.normal(size=30) for name in "abc"})
    facts = agreement(table, 10)
    assert facts["model"].tolist() == ["a", "b", "c"]
    assert facts["shared"].iat[0] == 10
    assert facts["rbo"].iat[0] == pytest.approx(1)
    assert facts["shared"].iat[1] == len(set(top(table, "a", 10)) & set(top(table, "b", 10)))
    assert isinstance(facts, pd.DataFrame)
