"""A part of an index: some of its vectors, and the FAISS index that finds candidates among them."""

from typing import Any

import numpy as np

from tpad.settings import Count, CountOrZero, settings

METHODS = ("exact", "faiss", "ivf", "hnsw", "auto")
AUTO_SIZE = 200_000  # vectors from which "auto" is approximate; an exact search then takes 8 ms
MIN_APPROXIMATE = 1000  # vectors below which every search is exact
TOLERANCE = 1e-5  # of |query| · |item|; above the error of float32 sums of some thousand terms
BLOCK = 256  # scores whose maximum is compared first
CHUNK = 65_536  # vectors processed at once
KMEANS_STEPS = 10
LANES = 8  # numbers that FAISS decodes at once
POINTS_PER_LIST = 39  # FAISS warns of fewer


@settings
class IndexSettings:
    """Settings of the approximate methods."""

    nlist: Count | None = None
    """Lists of "ivf"; None: the square root of the number of vectors."""
    nprobe: Count = 32
    """Lists that a search of "ivf" reads."""
    links: Count = 48
    """Neighbours that each vector of "hnsw" is linked to (M in FAISS)."""
    ef_construction: Count = 200
    """Candidates of "hnsw" while a vector is added."""
    ef_search: Count | None = None
    """Candidates of "hnsw" during a search; None: twice the square root of the number of vectors, at
    least 512."""
    sample: Count = 64
    """Training vectors per list of "ivf"."""
    seed: CountOrZero = 0
    """Of the training sample and the initial centroids."""


class Part:
    """Consecutive vectors of an index, with one search method.

    Args:
        vectors: (n, d) float32; a row that is not finite is never returned.
        first: row number of the first vector.
        method: one of METHODS.
        settings: of the approximate methods.

    Attributes:
        n: number of rows, including those that are not finite.
        used: the method in use: "exact", "faiss", "ivf" or "hnsw".
    """

    def __init__(
        self, vectors: np.ndarray, first: int, method: str, settings: IndexSettings
    ) -> None:
        self.n, self.first = len(vectors), first
        starts = range(0, len(vectors), CHUNK)
        finite = [np.isfinite(vectors[start : start + CHUNK]).all(axis=1) for start in starts]
        kept = np.flatnonzero(np.concatenate([np.zeros(0, bool), *finite]))
        # If every row is finite, as usual, the vectors are not copied.
        self._kept = None if len(kept) == len(vectors) else kept  # (n_finite,)
        self.vectors = np.ascontiguousarray(vectors if self._kept is None else vectors[kept])
        self._largest = max(
            (
                float(np.linalg.norm(self.vectors[start : start + CHUNK], axis=1).max(initial=0.0))
                for start in starts
            ),
            default=0.0,
        )
        self.used = _method(method, len(self.vectors))
        self._faiss = _Faiss(self.vectors, self.used, settings) if self.used != "exact" else None

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Row numbers of positions in `vectors`."""
        return self.first + (positions if self._kept is None else self._kept[positions])

    def all_vectors(self) -> np.ndarray:
        """(n, d), NaN for rows that are not finite."""
        if self._kept is None:
            return self.vectors
        every = np.full((self.n, self.vectors.shape[1]), np.nan, np.float32)
        every[self._kept] = self.vectors
        return every

    def candidates(
        self, query: np.ndarray, k: int, exclude: np.ndarray, exact: bool = False
    ) -> np.ndarray:
        """Positions in `vectors` of the best k (among those that an approximate search visits), and
        possibly a few more.

        Args:
            query: (d,) float32.
            k: how many.
            exclude: unique rows that are not returned.
            exact: search all vectors.
        """
        n, left_out = len(self.vectors), self._positions(exclude)
        slack = TOLERANCE * float(np.linalg.norm(query)) * self._largest
        if self._faiss is not None and not exact:
            reach = k + len(left_out) + 16
            # Beyond a quarter of the vectors, an exact search is as fast.
            while (reach := min(reach, n)) <= (n if self._faiss.is_flat else n // 4):
                scores, found, everything = self._faiss.search(query, reach)
                kept = ~np.isin(found, left_out)
                scores, found = scores[kept], found[kept]
                near = within(found, scores, k, slack)
                # Complete only if the worst result of FAISS is not itself near the k-th best.
                if len(near) < len(found) or (
                    everything and len(found) >= min(k, n - len(left_out))
                ):
                    return near
                if everything:
                    break
                reach *= 2
        scores = self.vectors @ query  # (n_finite,)
        scores[left_out] = -np.inf
        return within(np.arange(n), scores, k, slack)

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Positions in `vectors` of those rows that are in this part."""
        rows = rows[(rows >= self.first) & (rows < self.first + self.n)] - self.first
        if self._kept is None:
            return rows
        places = np.searchsorted(self._kept, rows)
        places, rows = places[places < len(self._kept)], rows[places < len(self._kept)]
        return places[self._kept[places] == rows]


class _Faiss:
    """A FAISS index by inner product.

    "ivf" stores vectors in half precision, which halves the time of a search; the vectors that it finds are
    scored again. They are divided by their largest value, which half precision can represent, and their
    width is a multiple of `LANES`, without which FAISS is ten times slower. The centroids of "ivf" come from spherical k-means on a bounded sample. The graph of "hnsw" is built
    by one thread, because several threads would not build the same graph twice. Equal vectors share a
    node, since a node whose neighbours are all equal to itself is a dead end. With the inner product, a
    graph would link all nodes to the longest vectors. Therefore each vector gets one more dimension that
    makes all vectors equally long, and the query a zero there: then the nearest neighbours by distance
    are those with the largest inner product (Bachrach et al. 2014, RecSys).
    """

    def __init__(self, vectors: np.ndarray, method: str, settings: IndexSettings) -> None:
        faiss = _faiss()
        n, d = vectors.shape
        self.is_flat, self._parameters = method == "faiss", None
        self._vectors, self._groups = vectors, None
        self._padding = 0
        if method == "ivf":
            nlist = min(settings.nlist or round(n**0.5), max(1, n // POINTS_PER_LIST))
            self._padding = -d % LANES
            self._quantizer = faiss.IndexFlatIP(d + self._padding)  # FAISS does not own it
            self.index: Any = faiss.IndexIVFScalarQuantizer(
                self._quantizer,
                d + self._padding,
                nlist,
                faiss.ScalarQuantizer.QT_fp16,
                faiss.METRIC_INNER_PRODUCT,
                False,  # store the vectors themselves, not their distance from the centroid
            )
            self.index.cp.niter, self.index.cp.seed = KMEANS_STEPS, settings.seed
            self.index.cp.max_points_per_centroid = n  # the sample is drawn here
            size = min(n, nlist * max(settings.sample, POINTS_PER_LIST))
            drawn = np.random.default_rng(settings.seed).choice(n, size, replace=False)
            largest = np.float32(np.abs(vectors).max(initial=0.0) or 1.0)
            self.index.train(self._padded(vectors[np.sort(drawn)] / largest))
            self._parameters = faiss.SearchParametersIVF(nprobe=min(settings.nprobe, nlist))
        elif method == "hnsw":
            self.index = faiss.IndexHNSWFlat(d + 1, settings.links)
            self.index.hnsw.efConstruction = settings.ef_construction
            self._ef_search = settings.ef_search or max(512, round(2 * n**0.5))
            self._groups = _Groups(vectors)
            vectors = _equally_long(vectors[self._groups.firsts])
        else:
            self.index = faiss.IndexFlatIP(d)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1 if method == "hnsw" else threads)
        try:
            if method == "ivf":
                for start in range(0, n, CHUNK):
                    self.index.add(self._padded(vectors[start : start + CHUNK] / largest))
            else:
                self.index.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)

    def search(self, query: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Scores and positions of the best `reach` vectors and their duplicates, and whether the
        search can find no more."""
        parameters, asked = self._parameters, self._padded(query[None])
        if self._groups is not None:
            parameters = _faiss().SearchParametersHNSW(efSearch=max(self._ef_search, reach))
            asked = np.append(query, np.float32(0))[None]
        scores, found = self.index.search(asked, reach, params=parameters)
        there = found[0] >= 0  # −1: no more results
        scores, found = scores[0][there], found[0][there]
        everything = len(found) < reach or reach == self.index.ntotal
        if self._groups is not None:
            found = self._groups.members(found)
        if not self.is_flat:  # the graph returns distances, and the lists are in half precision
            scores = self._vectors[found] @ query
        return scores, found, everything

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        """Append zeros: (n, d) -> (n, d + padding)."""
        return np.pad(vectors, ((0, 0), (0, self._padding))) if self._padding else vectors


class _Groups:
    """Groups of equal vectors.

    Attributes:
        firsts: (n_groups,) position of the first vector of each group.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        whole = vectors.view(np.dtype((np.void, vectors.itemsize * vectors.shape[1])))[:, 0]
        _, first, of = np.unique(whole, return_index=True, return_inverse=True)
        # Ordered by their first position, so that the graph is built in the order of the table.
        place = np.empty(len(first), np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        self.firsts = np.sort(first)
        self._order = np.argsort(place[of], kind="stable")  # (n,)
        self._ends = np.cumsum(np.bincount(place[of], minlength=len(first)))

    def members(self, groups: np.ndarray) -> np.ndarray:
        """All positions of some groups, concatenated."""
        ends = self._ends[groups]
        starts = np.where(groups > 0, self._ends[groups - 1], 0)
        found = [self._order[a:b] for a, b in zip(starts, ends, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *found])


def _equally_long(vectors: np.ndarray) -> np.ndarray:
    """Append a dimension that makes all vectors as long as the longest: (n, d) -> (n, d + 1) float32."""
    squares = np.einsum("nd,nd->n", vectors, vectors)
    more = np.sqrt(squares.max() - squares)
    return np.concatenate([vectors, more[:, None]], axis=1)


def _faiss() -> Any:
    import faiss  # slow to import, and not needed for an exact search

    return faiss


def _method(method: str, n: int) -> str:
    if method == "auto":
        method = "exact" if n < AUTO_SIZE else "ivf"
    return "exact" if n == 0 or (method in ("ivf", "hnsw") and n < MIN_APPROXIMATE) else method


def within(rows: np.ndarray, scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """The rows whose score is at most twice `slack` below the k-th best, without NaN and −inf."""
    if np.isnan(scores).any():
        known = ~np.isnan(scores)
        rows, scores = rows[known], scores[known]
    n_blocks = len(scores) // BLOCK
    if n_blocks > 4 * k:
        # The k-th best of the blocks' largest scores is not above the k-th best of all.
        largest = scores[: n_blocks * BLOCK].reshape(n_blocks, BLOCK).max(axis=1)
        bound = np.partition(largest, n_blocks - k)[n_blocks - k]
        near = np.flatnonzero(scores >= bound - 2 * slack)
        rows, scores = rows[near], scores[near]
    if len(scores) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = np.flatnonzero(scores >= kth - 2 * slack)
        rows, scores = rows[near], scores[near]
    return rows[scores > -np.inf]
