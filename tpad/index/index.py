"""Nearest neighbours by inner product: exact matmul, exact FAISS, or approximate IVF and HNSW.

Each finds candidates in float32, and the candidates alone are scored again in float64, row by row.
So both exact searches give the same items, scores and order, and equal scores rank by the lower row:
in float32 the two sum in different orders, and would now and then swap near-equal items. An
approximate search may miss an item, but what it finds has the same score and order.

On vectors of a trained session model (97 wide, in families of look-alikes), "ivf" finds more than 99 %
of the best 20 at 100,000 and at 1,000,000 rows, for a twentieth of the time of "exact" at a million;
"hnsw" finds 98 % and more, takes twice as long a search, and far longer to build. `benchmarks/bench_recommend.py`
measures this, and `Index.recall` measures it on vectors of one's own.
"""

from collections.abc import Sequence

import numpy as np

from tpad.errors import ConfigError, DataError
from tpad.index.parts import AUTO_SIZE, METHODS, IndexSettings, Part, within

__all__ = ["AUTO_SIZE", "METHODS", "Index", "IndexSettings", "top_k"]

GROWN = 4  # an index is built anew when what was added is more than this part of it


class Index:
    """The vectors of a catalogue, to find those with the largest inner product.

    Args:
        vectors: (n, d). A row that is not finite is never found. A float32 array is not copied and
            must not be changed afterwards.
        method: "exact" (numpy), "faiss" (`IndexFlatIP`), "ivf" (`IndexIVFFlat`) or "hnsw"
            (`IndexHNSWFlat`), both approximate from 1,000 vectors on; or "auto": "exact" below
            `AUTO_SIZE` vectors and "ivf" from there.
        settings: of the approximate searches.

    Raises:
        ConfigError: no such method.
        DataError: `vectors` is no matrix.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        method: str = "exact",
        settings: IndexSettings | None = None,
    ) -> None:
        if method not in METHODS:
            raise ConfigError(f"There is no search {method!r}; choose one of {', '.join(METHODS)}.")
        self.method, self.settings = method, settings or IndexSettings()
        self._parts: tuple[Part, ...] = (Part(_matrix(vectors), 0, method, self.settings),)

    @property
    def n_items(self) -> int:
        return sum(part.n for part in self._parts)

    @property
    def used(self) -> str:
        """The search that is used: what "auto" came to."""
        return self._parts[0].used

    def with_rows(self, vectors: np.ndarray) -> "Index":
        """An index with further rows after those of this one, which stays as it is.

        The new rows are searched exactly beside the old ones, so that nothing is built again; only
        when they are more than a quarter of the old ones, all are indexed together.

        Args:
            vectors: (n, d).

        Raises:
            DataError: of another width.
        """
        vectors, main = _matrix(vectors), self._parts[0]
        width = main.vectors.shape[1]
        if vectors.shape[1] != width:
            raise DataError(f"The index has vectors of {width} numbers, not {vectors.shape[1]}.")
        vectors = np.concatenate([*(part.all_vectors() for part in self._parts[1:]), vectors])
        if len(vectors) > main.n // GROWN:
            return Index(np.concatenate([main.all_vectors(), vectors]), self.method, self.settings)
        grown = Index.__new__(Index)
        grown.method, grown.settings = self.method, self.settings
        grown._parts = (main, Part(vectors, main.n, "exact", self.settings))
        return grown

    def search(
        self, query: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the largest inner product with `query`.

        Args:
            query: (d,).
            k: how many, at least 1; fewer are returned only if there are no more.
            exclude: rows that are not to be found.

        Returns:
            rows (m,) int64 and scores (m,) float32, best first, ties by the lower row; m <= k.

        Raises:
            ConfigError: k is below 1.
            DataError: the query is not finite or of another size.
        """
        return self._search(query, k, exclude, exact=False)

    def recall(self, queries: np.ndarray, k: int = 20) -> float:
        """Mean share of the k best items that `search` finds, by exact search of the same queries.

        Args:
            queries: (n, d), at least one.
            k: how many.

        Errors as in `search`.
        """
        queries = _matrix(queries)
        if not len(queries):
            raise ConfigError("Recall is measured on queries; give at least one.")
        shares = []
        for query in queries:
            best, _ = self._search(query, k, (), exact=True)
            found, _ = self.search(query, k)
            shares.append(np.isin(best, found).mean() if len(best) else 1.0)
        return float(np.mean(shares))

    def _search(
        self, query: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        _check_k(k)
        query = np.asarray(query, dtype=np.float32)
        width = self._parts[0].vectors.shape[1:]
        if query.shape != width or not np.isfinite(query).all():
            raise DataError(
                f"A query needs {width[0]} finite numbers; this one has shape {query.shape}."
            )
        left_out = np.unique(np.asarray(exclude, dtype=np.int64))
        rows, scores = [], []
        for part in self._parts:
            found = part.candidates(query, k, left_out, exact)
            rows.append(part.rows(found))
            scores.append((part.vectors[found] * query.astype(np.float64)).sum(axis=1))
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores).astype(np.float32)
        order = np.lexsort((all_rows, -all_scores))[:k]
        return all_rows[order], all_scores[order]


def top_k(
    scores: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The k items with the highest of given scores.

    Args:
        scores: (n,); an item that cannot be scored has −inf (or NaN), and is never returned.
        k: how many, at least 1; fewer are returned if there are no more.
        exclude: rows that are not to be returned.

    Returns:
        rows (m,) int64 and scores (m,), best first, ties by the lower row; m <= k.
    """
    _check_k(k)
    scores = np.array(scores, copy=True)  # (n,)
    if len(exclude):
        scores[np.asarray(exclude, dtype=np.int64)] = -np.inf
    rows = within(np.arange(len(scores)), scores, k, 0.0)
    rows = rows[np.lexsort((rows, -scores[rows]))[:k]]
    return rows, scores[rows]


def _matrix(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise DataError(f"An index needs vectors of shape (n, d), not {vectors.shape}.")
    return vectors


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k must be at least 1, not {k}.")
