"""The approximate searches where they are approximate, and rows that are added beside them."""

import numpy as np
import pytest

from tpad.errors import ConfigError, DataError
from tpad.index import Index, IndexSettings
from tpad.index.parts import MIN_APPROXIMATE, Part, within

N, WIDTH = 4000, 24
QUICK = IndexSettings(links=16, ef_construction=50, ef_search=200)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Families of look-alikes, as a catalogue has them."""
    rng = np.random.default_rng(0)
    families = rng.normal(size=(300, WIDTH))
    spread = rng.normal(size=(N, WIDTH)) * 0.4
    return (families[rng.integers(300, size=N)] + spread).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(40, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module", params=["ivf", "hnsw"])
def index(request, vectors) -> Index:
    return Index(vectors, request.param, QUICK)


def test_recall_is_high_and_is_what_is_found(index, vectors, queries):
    assert index.recall(queries, 20) >= 0.95
    exact = Index(vectors)
    shares = [
        len(set(index.search(query, 20)[0]) & set(exact.search(query, 20)[0])) / 20
        for query in queries
    ]
    assert index.recall(queries, 20) == pytest.approx(np.mean(shares))
    assert exact.recall(queries, 20) == 1.0


def test_too_narrow_a_search_shows_in_the_recall(vectors, queries):
    narrow = Index(vectors, "ivf", IndexSettings(nlist=100, nprobe=1))
    assert narrow.recall(queries) < 0.9


def test_scores_are_exact_and_sorted(index, vectors, queries):
    for query in queries[:5]:
        rows, scores = index.search(query, 20)
        expected = (vectors[rows] * query.astype(np.float64)).sum(1).astype(np.float32)
        assert scores.tobytes() == expected.tobytes()
        assert sorted(zip(-scores, rows, strict=True)) == list(zip(-scores, rows, strict=True))


def test_excluded_rows_make_room_for_others(index, vectors, queries):
    for query in queries[:5]:
        best = Index(vectors).search(query, 300)[0]
        rows, _ = index.search(query, 20, best)
        assert len(rows) == 20 and not set(rows) & set(best)


@pytest.mark.parametrize("k", [N // 3, 2 * N])
def test_a_large_k_is_searched_exactly(index, vectors, queries, k):
    rows, _ = index.search(queries[0], k)
    assert rows.tolist() == Index(vectors).search(queries[0], k)[0].tolist()


def test_short_lists_do_not_limit_the_results(vectors, queries):
    narrow = Index(vectors, "ivf", IndexSettings(nlist=100, nprobe=1))
    assert len(narrow.search(queries[0], 400)[0]) == 400


def test_equal_items_rank_by_the_lower_row(queries):
    one = np.random.default_rng(2).normal(size=(40, WIDTH)).astype(np.float32)
    vectors = np.tile(one, (50, 1))  # each fifty times, more than the search asks FAISS for
    for method in ("ivf", "hnsw"):
        index = Index(vectors, method, QUICK)
        assert index.used == method
        best = int(np.argmax(one @ queries[0]))
        assert index.search(queries[0], 5)[0].tolist() == [best + 40 * i for i in range(5)]


def test_rows_that_are_not_finite_are_never_found(vectors, queries):
    spoilt = vectors.copy()
    lost = Index(vectors).search(queries[0], 10)[0]
    spoilt[lost, 3] = np.nan
    for method in ("ivf", "hnsw"):
        rows, _ = Index(spoilt, method, QUICK).search(queries[0], 30, [int(lost[0])])
        assert len(rows) == 30 and not set(rows) & set(lost)


def test_the_same_seed_gives_the_same_index(index, vectors, queries):
    again = Index(vectors, index.method, QUICK)
    for query in queries:
        np.testing.assert_array_equal(index.search(query, 50)[0], again.search(query, 50)[0])


def test_auto_grows_from_exact_to_ivf(vectors, monkeypatch):
    assert Index(vectors, "auto").used == "exact"
    monkeypatch.setattr("tpad.index.parts.AUTO_SIZE", N)
    assert Index(vectors, "auto").used == "ivf"
    assert Index(vectors[:-1], "auto").used == "exact"
    assert Index(vectors[: MIN_APPROXIMATE - 1], "ivf").used == "exact"


@pytest.mark.parametrize("method", ["exact", "faiss", "ivf"])
class TestWithRows:
    def test_they_are_ranked_among_the_others(self, vectors, queries, method):
        before = Index(vectors[:-500], method)
        index = before.with_rows(vectors[-500:-100]).with_rows(vectors[-100:])
        assert (before.n_items, index.n_items) == (N - 500, N)
        for query in queries[:10]:
            new = vectors[-500:] @ query
            rows, scores = index.search(query, 20)
            both = np.concatenate([before.search(query, 20)[1], new])
            np.testing.assert_allclose(scores, np.sort(both)[::-1][:20], rtol=1e-4, atol=1e-5)
            assert rows[rows >= N - 500].size == (np.sort(both)[::-1][19] <= new).sum()
        if method != "ivf":
            assert index.recall(queries) == 1.0

    def test_the_index_is_not_rebuilt(self, vectors, queries, method, monkeypatch):
        index, built = Index(vectors[:-500], method), []
        monkeypatch.setattr(
            "tpad.index.index.Part", lambda v, *rest: built.append(len(v)) or Part(v, *rest)
        )
        grown = index.with_rows(vectors[-500:-1]).with_rows(vectors[-1:])
        assert built == [499, 500]
        # Far more rows than there were: all are indexed together.
        grown.with_rows(vectors)
        assert built[2:] == [2 * N]

    def test_exclusion_ties_and_lost_rows(self, method, vectors, queries):
        twin, lost = vectors[:2], np.full((1, WIDTH), np.nan)
        index = Index(vectors, method).with_rows(twin).with_rows(lost).with_rows(twin)
        query = vectors[1]
        found = index.search(query, N + 5, [0])[0].tolist()
        assert len(found) == N + 3 and N + 2 not in found and 0 not in found
        at = found.index(1)
        assert found[at : at + 3] == [1, N + 1, N + 4]


def test_errors_are_reported(vectors, queries):
    with pytest.raises(ConfigError, match="nprobe must be at least 1"):
        IndexSettings(nprobe=0)
    with pytest.raises(ConfigError, match="nlist"):
        IndexSettings(nlist=0)
    with pytest.raises(ConfigError, match="at least one"):
        Index(vectors).recall(queries[:0])
    with pytest.raises(DataError, match="vectors of 24 numbers, not 3"):
        Index(vectors).with_rows(np.ones((1, 3)))


def test_the_quick_way_to_the_best_scores_is_the_same():
    """Scores enough to be looked at in blocks, with ties, and some that cannot be scored."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 3000, 50_000).astype(np.float32)
    scores[rng.random(50_000) < 0.1] = -np.inf
    scores[rng.random(50_000) < 0.1] = np.nan
    for k, slack in ((1, 0.0), (20, 0.0), (20, 2.0), (60_000, 0.0)):
        known = np.sort(scores[scores > -np.inf])[::-1]
        least = known[min(k, len(known)) - 1] - 2 * slack if k < len(known) else -np.inf
        found = within(np.arange(len(scores)), scores, k, slack)
        np.testing.assert_array_equal(found, np.flatnonzero((scores >= least) & (scores > -np.inf)))
