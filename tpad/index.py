"""Nearest neighbours by inner product: exact matmul or FAISS, with equal results.

Either way finds candidates in float32, and the candidates alone are scored again in float64, row by
row. So both give the same items, scores and order, and equal scores rank by the lower row: in
float32 the two sum in different orders, and would now and then swap near-equal items.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tpad.errors import ConfigError, DataError

METHODS = ("exact", "faiss")
TOLERANCE = 1e-5  # of |query| · |item|: above what float32 sums of some thousand terms are off by


class Index:
    """The vectors of a catalogue, to find those with the largest inner product.

    Args:
        vectors: (n, d). A row that is not finite is never found.
        method: "exact" (numpy) or "faiss" (`IndexFlatIP`).

    Raises:
        ConfigError: no such method.
        DataError: `vectors` is no matrix.
    """

    def __init__(self, vectors: np.ndarray, method: str = "exact") -> None:
        if method not in METHODS:
            raise ConfigError(f"There is no search {method!r}; choose one of {', '.join(METHODS)}.")
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.ndim != 2:
            raise DataError(f"An index needs vectors of shape (n, d), not {vectors.shape}.")
        self.method, self.n_items = method, len(vectors)
        self._rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))  # (n_finite,)
        self._vectors = np.ascontiguousarray(vectors[self._rows])  # (n_finite, d)
        norms = np.linalg.norm(self._vectors, axis=1)
        self._largest = float(norms.max(initial=0.0))
        self._faiss = _faiss_index(self._vectors) if method == "faiss" else None

    def search(
        self, query: np.ndarray, k: int, exclude: Sequence[int] | np.ndarray = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the largest inner product with `query`.

        Args:
            query: (d,).
            k: how many, at least 1; fewer are returned if there are no more.
            exclude: rows that are not to be found.

        Returns:
            rows (m,) int64 and scores (m,) float32, best first, ties by the lower row; m <= k.

        Raises:
            ConfigError: k is below 1.
            DataError: the query is not finite or of another size.
        """
        _check_k(k)
        query = np.asarray(query, dtype=np.float32)
        if query.shape != self._vectors.shape[1:] or not np.isfinite(query).all():
            raise DataError(
                f"A query needs {self._vectors.shape[1]} finite numbers; "
                f"this one has shape {query.shape}."
            )
        left_out = np.isin(self._rows, np.asarray(exclude, dtype=np.int64))  # (n_finite,)
        found = self._candidates(query, k, left_out)  # positions in _vectors
        scores = (self._vectors[found] * query.astype(np.float64)).sum(axis=1)  # (n_found,)
        scores = scores.astype(np.float32)
        order = np.lexsort((found, -scores))[:k]
        return self._rows[found[order]], scores[order]

    def _candidates(self, query: np.ndarray, k: int, left_out: np.ndarray) -> np.ndarray:
        """Positions that hold the best k for certain, and perhaps a few more."""
        n = len(self._vectors)
        if n == 0:
            return np.zeros(0, np.int64)
        slack = TOLERANCE * float(np.linalg.norm(query)) * self._largest
        if self._faiss is None:
            scores = self._vectors @ query  # (n_finite,)
            scores[left_out] = -np.inf
            return _within(np.arange(n), scores, k, slack)
        reach = min(n, k + int(left_out.sum()) + 16)
        while True:
            scores, found = self._faiss.search(query[None], reach)
            scores, found = scores[0], found[0]
            kept = ~left_out[found]
            candidates = _within(found[kept], scores[kept], k, slack)
            # Complete only if the worst that FAISS gave is not itself near the k-th best.
            if reach == n or len(candidates) < kept.sum():
                return candidates
            reach = min(n, 2 * reach)


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
    rows = np.flatnonzero(scores > -np.inf)  # NaN is not
    rows = _within(rows, scores[rows], k, 0.0)
    rows = rows[np.lexsort((rows, -scores[rows]))[:k]]
    return rows, scores[rows]


def _within(rows: np.ndarray, scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """The rows whose score is not below the k-th best by more than twice `slack`."""
    finite = scores > -np.inf
    rows, scores = rows[finite], scores[finite]
    if len(rows) <= k:
        return rows
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    return rows[scores >= kth - 2 * slack]


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k must be at least 1, not {k}.")


def _faiss_index(vectors: np.ndarray) -> Any:
    import faiss  # slow to import, and only this method needs it

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index
