"""Metrics of lists, compared with loops and on small examples."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cosine

from eval.metrics.lists import (
    catalogue_coverage,
    diversity_values,
    exposure,
    gini,
    item_values,
    list_metrics,
    popularity_percentile,
    self_information,
)

LISTS = np.array([[0, 1, 2], [0, 3, -1], [-1, -1, -1]], dtype=np.int32)
POPULARITY = np.array([8, 4, 4, 0, 0])


def test_exposure_and_coverage():
    np.testing.assert_array_equal(exposure(LISTS, 5), [2, 1, 1, 1, 0])
    assert catalogue_coverage(exposure(LISTS, 5)) == 0.8


def test_gini_of_extremes():
    assert gini(np.full(10, 3)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 7])) == pytest.approx(3 / 4)
    assert math.isnan(gini(np.zeros(4)))


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50)))
def test_gini_is_half_the_relative_mean_difference(shown):
    if not shown.sum():
        return
    differences = np.abs(shown[:, None] - shown).mean()
    assert gini(shown) == pytest.approx(differences / (2 * shown.mean()), abs=1e-9)
    assert -1e-12 <= gini(shown) < 1
    assert gini(shown) == pytest.approx(gini(7 * shown[::-1]), abs=1e-9)


def test_mean_popularity_of_each_list():
    values = item_values(LISTS, POPULARITY)
    np.testing.assert_array_equal(values, [16 / 3, 4, np.nan])


def test_percentile_shares_ties_and_averages_a_half():
    np.testing.assert_allclose(popularity_percentile(POPULARITY), [0.9, 0.6, 0.6, 0.2, 0.2])
    clicks = np.random.default_rng(0).integers(0, 9, 200)
    assert popularity_percentile(clicks).mean() == pytest.approx(0.5)


def test_novelty_is_smoothed_self_information():
    # 16 clicks and one more for each of five items: 21.
    expected = [-math.log2((clicks + 1) / 21) for clicks in POPULARITY]
    np.testing.assert_allclose(self_information(POPULARITY), expected)
    np.testing.assert_allclose(self_information(np.zeros(8)), 3.0)
    assert (2.0 ** -self_information(POPULARITY, 0.1)).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="smoothing"):
        self_information(POPULARITY, 0)


@given(st.integers(0, 10_000))
def test_diversity_is_the_mean_over_pairs(seed):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((9, 4))
    features[3], features[4, 0] = 0, np.nan  # items without features
    lists = np.stack([rng.permutation(9)[:5] for _ in range(6)]).astype(np.int32)
    lists[0, 3:] = -1
    for row, value in zip(lists, diversity_values(lists, features), strict=True):
        items = [item for item in row if item >= 0 and item not in (3, 4)]
        pairs = [cosine(features[a], features[b]) for a, b in itertools.combinations(items, 2)]
        if pairs:
            assert value == pytest.approx(np.mean(pairs), abs=1e-9)
        else:
            assert math.isnan(value)


def test_diversity_of_extremes_and_of_short_lists():
    features = np.array([[1.0, 0], [2, 0], [0, 3], [-1, 0]])
    lists = np.array([[0, 1], [0, 2], [0, 3], [0, -1], [-1, -1]], dtype=np.int32)
    np.testing.assert_allclose(diversity_values(lists, features), [0, 1, 2, np.nan, np.nan])


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    features, lists = rng.random((50, 8)), rng.integers(0, 50, (40, 5)).astype(np.int32)
    whole = diversity_values(lists, features)
    monkeypatch.setattr("eval.metrics.lists.CELLS_AT_ONCE", 7 * 5 * 8)
    np.testing.assert_array_equal(diversity_values(lists, features), whole)


def test_all_metrics_at_a_cutoff():
    figures = list_metrics(LISTS, POPULARITY, np.eye(5), k=1)
    assert figures["coverage"] == 0.2
    assert figures["gini"] == pytest.approx(0.8)
    assert figures["popularity"] == 8
    assert figures["popularity_percentile"] == pytest.approx(0.9)
    assert figures["novelty"] == pytest.approx(-math.log2(9 / 21))
    assert math.isnan(figures["diversity"])  # lists of one item
    assert list_metrics(LISTS, POPULARITY, np.eye(5))["diversity"] == pytest.approx(1)
    assert "diversity" not in list_metrics(LISTS, POPULARITY)
    with pytest.raises(ValueError, match="at least 1"):
        list_metrics(LISTS, POPULARITY, k=0)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_metrics_are_bounded_and_do_not_depend_on_the_order_of_cases(seed, k):
    rng = np.random.default_rng(seed)
    lists = rng.integers(-1, 12, (7, 5)).astype(np.int32)
    popularity, features = rng.integers(0, 20, 12), rng.standard_normal((12, 3))
    figures = list_metrics(lists, popularity, features, k=k)
    other = list_metrics(lists[rng.permutation(7)], popularity, features, k=k)
    for name, value in figures.items():
        assert other[name] == pytest.approx(value, nan_ok=True)
    for name, high in (
        ("coverage", 1),
        ("gini", 1),
        ("popularity_percentile", 1),
        ("diversity", 2),
    ):
        assert math.isnan(figures[name]) or 0 <= figures[name] <= high
    shorter = list_metrics(lists, popularity, k=max(1, k - 1))
    assert shorter["coverage"] <= figures["coverage"]
