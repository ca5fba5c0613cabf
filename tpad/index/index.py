"""Nearest neighbours by inner product: exact matmul, exact FAISS, or approximate IVF and HNSW.

Each method finds candidates in float32 and scores only these again in float64, row by row. So both exact
methods return the same items, scores and order (in float32 they sum in different orders and would
sometimes swap near-equal items). Ties are broken by the lower row. An approximate search may miss an
item, but the items it finds have the same scores and order.

On vectors of a trained session model (97 dimensions, in clusters of similar items), "ivf" finds more than
99 % of the best 20 at 100,000 and at 1,000,000 rows, in a twentieth of the time of "exact" at a million;
"hnsw" finds at least 98 %, takes twice as long as "ivf" to search, and far longer to build.
`benchmarks/bench_recommend.py` measures this, and `Index.recall` measures it on your own vectors.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tpad.errors import ConfigError, DataError
from tpad.index.parts import AUTO_SIZE, METHODS, IndexSettings, Part, within

__all__ = ["AUTO_SIZE", "METHODS", "Index", "IndexSettings", "top_k"]

REBUILD = 4  # the index is rebuilt when the added rows exceed this fraction (1/4) of it


class Index:
    """Finds the vectors of a catalogue with the largest inner product.

    Args:
        vectors: (n, d). A row that is not finite is never returned. A float32 array is not copied
            and must not be changed afterwards.
        method: "exact" (numpy), "faiss" (`IndexFlatIP`), "ivf" (`IndexIVFScalarQuantizer`) or "hnsw"
            (`IndexHNSWFlat`), both approximate from 1,000 vectors on; or "auto": "exact" below
            `AUTO_SIZE` vectors and "ivf" from there.
        settings: of the approximate methods.

    Raises:
        ConfigError: there is no such method.
        DataError: `vectors` is not a matrix.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        method: str = "exact",
        settings: IndexSettings | None = None,
    ) -> None:
        if method not in METHODS:
            raise ConfigError(
                f"There is no search method {method!r}; choose one of {', '.join(METHODS)}."
            )
        self.method, self.settings = method, settings or IndexSettings()
        self._parts: tuple[Part, ...] = (Part(_matrix(vectors), 0, method, self.settings),)

    @property
    def n_items(self) -> int:
        return sum(part.n for part in self._parts)

    @property
    def used(self) -> str:
        """The method in use; with "auto", the one that was chosen."""
        return self._parts[0].used

    def with_rows(self, vectors: np.ndarray) -> "Index":
        """A new index with further rows after those of this one.

        The new rows are searched exactly, next to the index of the old ones. The index is rebuilt with
        all rows only when the new rows are more than a quarter of the old ones.

        Args:
            vectors: (n, d).

        Raises:
            DataError: the vectors have another width.
        """
        vectors, main = _matrix(vectors), self._parts[0]
        width = main.vectors.shape[1]
        if vectors.shape[1] != width:
            raise DataError(f"The index has vectors of {width} numbers, not {vectors.shape[1]}.")
        vectors = np.concatenate([*(part.all_vectors() for part in self._parts[1:]), vectors])
        if len(vectors) > main.n // REBUILD:
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
            exclude: rows that are not returned.

        Returns:
            rows (m,) int64 and scores (m,) float32, best first, ties by the lower row; m <= k.

        Raises:
            ConfigError: k is below 1.
            DataError: the query is not finite or has another size.
        """
        return self._search(query, k, exclude, exact=False)

    def recall(self, queries: np.ndarray, k: int = 20) -> float:
        """Recall at k of `search`, averaged over queries, with the exact search as the reference.

        Args:
            queries: (n, d), at least one.
            k: how many.

        Raises:
            ConfigError, DataError: as in `search`.
        """
        queries = _matrix(queries)
        if not len(queries):
            raise ConfigError("There are no queries; give at least one.")
        return mean_recall(
            (self._search(query, k, (), exact=True)[0], self.search(query, k)[0])
            for query in queries
        )

    def _search(
        self, query: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        check_k(k)
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


def mean_recall(lists: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean share of the best items that were found; 1 where there are none.

    Args:
        lists: at least one pair of rows: the best ones, and those that were found.
    """
    shares = [np.isin(best, found).mean() if len(best) else 1.0 for best, found in lists]
    return float(np.mean(shares))


def top_k(
    scores: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The k items with the highest scores.

    Args:
        scores: (n,); items with −inf or NaN cannot be scored and are never returned.
        k: how many, at least 1; fewer are returned if there are no more.
        exclude: rows that are not returned.

    Returns:
        rows (m,) int64 and scores (m,), best first, ties by the lower row; m <= k.
    """
    check_k(k)
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


def check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k must be at least 1, not {k}.")
