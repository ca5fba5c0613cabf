"""The index: every search gives the same on a small catalogue, in a fixed order."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tpad.errors import ConfigError, DataError
from tpad.index import METHODS, Index, top_k


def brute_force(vectors, query, k, exclude=()):
    """Rows by exact inner product, ties by the lower row."""
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(1).astype(np.float32)
    rows = [r for r in range(len(vectors)) if r not in set(exclude) and np.isfinite(scores[r])]
    return sorted(rows, key=lambda r: (-scores[r], r))[:k]


@pytest.mark.parametrize("method", METHODS)
class TestEvery:
    def test_finds_the_largest_inner_products(self, method):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(500, 33)).astype(np.float32)
        index = Index(vectors, method)
        for query in rng.normal(size=(5, 33)).astype(np.float32):
            rows, scores = index.search(query, 20)
            assert rows.tolist() == brute_force(vectors, query, 20)
            np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-4, atol=1e-5)

    def test_ties_rank_by_the_lower_row(self, method):
        vectors = np.tile(np.array([[1, 0], [0, 1], [1, 1]], np.float32), (50, 1))
        rows, scores = Index(vectors, method).search(np.array([1, 0], np.float32), 7)
        assert rows.tolist() == [0, 2, 3, 5, 6, 8, 9]
        assert scores.tolist() == [1.0] * 7

    def test_all_equal(self, method):
        rows, _ = Index(np.ones((300, 4), np.float32), method).search(np.ones(4, np.float32), 3)
        assert rows.tolist() == [0, 1, 2]

    def test_excluded_rows_make_room_for_others(self, method):
        vectors = np.arange(200, dtype=np.float32)[:, None]
        exclude = np.arange(100, 200)
        rows, _ = Index(vectors, method).search(np.ones(1, np.float32), 3, exclude)
        assert rows.tolist() == [99, 98, 97]

    def test_k_beyond_the_catalogue(self, method):
        vectors = np.array([[1.0], [3.0], [2.0]], np.float32)
        rows, scores = Index(vectors, method).search(np.ones(1, np.float32), 50, [1])
        assert rows.tolist() == [2, 0]
        assert scores.tolist() == [2.0, 1.0]

    def test_rows_that_are_not_finite_are_never_found(self, method):
        vectors = np.array([[1, 0], [np.inf, 1], [np.nan, 0], [-np.inf, 0], [2, 0]], np.float32)
        rows, scores = Index(vectors, method).search(np.array([1, 0], np.float32), 5)
        assert rows.tolist() == [4, 0]
        assert np.isfinite(scores).all()

    def test_everything_excluded_or_nothing_there(self, method):
        query = np.ones(2, np.float32)
        assert Index(np.ones((3, 2)), method).search(query, 2, [0, 1, 2])[0].size == 0
        assert Index(np.zeros((0, 2)), method).search(query, 2)[0].size == 0

    def test_the_query_is_checked(self, method):
        index = Index(np.ones((3, 2)), method)
        with pytest.raises(ConfigError, match="k must be at least 1"):
            index.search(np.ones(2), 0)
        with pytest.raises(DataError, match="finite"):
            index.search(np.array([1.0, np.nan]), 1)
        with pytest.raises(DataError, match="shape"):
            index.search(np.ones(3), 1)


# Few values and whole numbers, so that ties are common.
@settings(max_examples=60)
@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=n, max_size=n),
            st.lists(st.integers(-2, 2), min_size=3, max_size=3),
            st.integers(1, 70),
            st.sets(st.integers(0, n - 1)),
        )
    )
)
def test_all_equal_brute_force_with_many_ties(case):
    vectors, query, k, exclude = case
    vectors, query = np.array(vectors, np.float32) / 3, np.array(query, np.float32)
    expected = brute_force(vectors, query, k, exclude)
    results = [Index(vectors, method).search(query, k, sorted(exclude)) for method in METHODS]
    for rows, _ in results:
        assert rows.tolist() == expected
    for _, scores in results:
        assert scores.tobytes() == results[0][1].tobytes()


def test_near_ties_come_in_the_same_order():
    """Vectors that differ by less than float32 sums are off by."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=256).astype(np.float32)
    vectors = base + rng.normal(size=(400, 256)).astype(np.float32) * 1e-7
    results = [Index(vectors, method).search(base, 50) for method in METHODS]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_unknown_method_and_shape():
    with pytest.raises(ConfigError, match="choose one of exact, faiss, ivf, hnsw, auto"):
        Index(np.ones((2, 2)), "annoy")
    with pytest.raises(DataError, match="shape"):
        Index(np.ones(3))


class TestTopK:
    def test_skips_items_without_a_score(self):
        scores = np.array([-np.inf, 2.0, np.nan, 5.0, 2.0, -1.0])
        rows, values = top_k(scores, 10)
        assert rows.tolist() == [3, 1, 4, 5]
        assert values.tolist() == [5.0, 2.0, 2.0, -1.0]

    def test_exclusion_and_ties(self):
        scores = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
        assert top_k(scores, 2, [0])[0].tolist() == [1, 2]
        assert scores[0] == 1.0  # the caller's array is as it was

    def test_nothing_left(self):
        assert top_k(np.full(3, -np.inf), 2)[0].size == 0
        with pytest.raises(ConfigError, match="k must be"):
            top_k(np.ones(3), 0)
