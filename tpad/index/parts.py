"""One block of an index's vectors, and the FAISS structures that find candidates in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tpad.errors import ConfigError, check_seed

METHODS = ("exact", "faiss", "ivf", "hnsw", "auto")
AUTO_SIZE = (
    200_000  # vectors from which "auto" is approximate: an exact search takes some 8 ms there
)
SMALLEST = 1000  # vectors below which there is nothing to gain by an approximate search
TOLERANCE = 1e-5  # of |query| · |item|: above what float32 sums of some thousand terms are off by
BLOCK = 256  # scores of which only the largest is looked at first
CHUNK = 65_536  # vectors read at once
KMEANS_STEPS = 10
POINTS_PER_LIST = 39  # FAISS warns of fewer


@dataclass(frozen=True)
class IndexSettings:
    """How the approximate searches are built, and how far they look."""

    nlist: int | None = None
    """Lists of "ivf"; None: the square root of the number of vectors."""
    nprobe: int = 32
    """Lists of "ivf" that one search reads."""
    links: int = 48
    """Neighbours that a vector of "hnsw" is linked with (FAISS's M)."""
    ef_construction: int = 200
    """Candidates that "hnsw" keeps while a vector is linked."""
    ef_search: int | None = None
    """Candidates that "hnsw" keeps during one search; None: twice the square root of the number of
    vectors, at least 512."""
    sample: int = 64
    """Vectors a list that the lists' centres are learnt from; more are not read."""
    seed: int = 0
    """Of the sample and of the centres' start."""

    def __post_init__(self) -> None:
        for name in ("nprobe", "links", "ef_construction", "sample"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}.")
        check_seed(self.seed)
        for name in ("nlist", "ef_search"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1 or None, not {value}.")


class Part:
    """Vectors of rows that follow one another, and one way to search them.

    Args:
        vectors: (n, d) float32; a row that is not finite is never found.
        first: row of the first.
        method: one of METHODS.
        settings: of the approximate searches.

    Attributes:
        n: number of rows, those that are not finite included.
        used: the search that `method` came to: "exact", "faiss", "ivf" or "hnsw".
    """

    def __init__(
        self, vectors: np.ndarray, first: int, method: str, settings: IndexSettings
    ) -> None:
        self.n, self.first = len(vectors), first
        starts = range(0, len(vectors), CHUNK)
        finite = [np.isfinite(vectors[start : start + CHUNK]).all(axis=1) for start in starts]
        kept = np.flatnonzero(np.concatenate([np.zeros(0, bool), *finite]))
        # Where every row is finite, which is the rule, the vectors are not copied.
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
        """Rows of positions in `vectors`."""
        return self.first + (positions if self._kept is None else self._kept[positions])

    def all_vectors(self) -> np.ndarray:
        """(n, d), NaN where a row is not finite."""
        if self._kept is None:
            return self.vectors
        every = np.full((self.n, self.vectors.shape[1]), np.nan, np.float32)
        every[self._kept] = self.vectors
        return every

    def candidates(
        self, query: np.ndarray, k: int, exclude: np.ndarray, exact: bool = False
    ) -> np.ndarray:
        """Positions in `vectors` that hold the best k (of those that an approximate search meets),
        and perhaps a few more.

        Args:
            query: (d,) float32.
            k: how many.
            exclude: rows that are not to be found, unique.
            exact: look at every vector.
        """
        n, left_out = len(self.vectors), self._positions(exclude)
        slack = TOLERANCE * float(np.linalg.norm(query)) * self._largest
        if self._faiss is not None and not exact:
            reach = k + len(left_out) + 16
            # Beyond a quarter of the vectors, looking at all of them is as fast.
            while (reach := min(reach, n)) <= (n if self._faiss.is_flat else n // 4):
                scores, found, everything = self._faiss.search(query, reach)
                kept = ~np.isin(found, left_out)
                scores, found = scores[kept], found[kept]
                near = within(found, scores, k, slack)
                # Complete only if the worst that FAISS gave is not itself near the k-th best.
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
        """Positions in `vectors` of those of the rows that it holds."""
        rows = rows[(rows >= self.first) & (rows < self.first + self.n)] - self.first
        if self._kept is None:
            return rows
        places = np.searchsorted(self._kept, rows)
        places, rows = places[places < len(self._kept)], rows[places < len(self._kept)]
        return places[self._kept[places] == rows]


class _Faiss:
    """A FAISS index by inner product.

    Clusters are found by spherical k-means on a bounded sample. A graph is built by one thread: with
    several, no two would be equal. Equal vectors are one node of it: a node whose neighbours are all
    equal to itself is a dead end. By inner product a graph links everything to the longest vectors
    and misses its own surroundings; so each vector gets one more number that makes all equally long,
    and the query a zero: then the nearest are those of the largest inner product (Bachrach et al.
    2014, RecSys), and surroundings are those of a distance.
    """

    def __init__(self, vectors: np.ndarray, method: str, settings: IndexSettings) -> None:
        faiss = _faiss()
        n, d = vectors.shape
        self.is_flat, self._parameters = method == "faiss", None
        self._vectors, self._groups = vectors, None
        if method == "ivf":
            nlist = min(settings.nlist or round(n**0.5), max(1, n // POINTS_PER_LIST))
            self._quantizer = faiss.IndexFlatIP(d)  # kept: FAISS does not own it
            self.index: Any = faiss.IndexIVFFlat(
                self._quantizer, d, nlist, faiss.METRIC_INNER_PRODUCT
            )
            self.index.cp.niter, self.index.cp.seed = KMEANS_STEPS, settings.seed
            self.index.cp.max_points_per_centroid = n  # the sample is drawn here
            size = min(n, nlist * max(settings.sample, POINTS_PER_LIST))
            drawn = np.random.default_rng(settings.seed).choice(n, size, replace=False)
            self.index.train(vectors[np.sort(drawn)])
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
            self.index.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)

    def search(self, query: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Scores and positions of the best `reach` (with all that equal them), and whether these
        are all that the search can meet."""
        parameters, asked = self._parameters, query[None]
        if self._groups is not None:
            parameters = _faiss().SearchParametersHNSW(efSearch=max(self._ef_search, reach))
            asked = np.append(query, np.float32(0))[None]
        scores, found = self.index.search(asked, reach, params=parameters)
        there = found[0] >= 0  # −1 where there is no more
        scores, found = scores[0][there], found[0][there]
        everything = len(found) < reach or reach == self.index.ntotal
        if self._groups is not None:
            found = self._groups.members(found)
            scores = self._vectors[found] @ query  # what the graph gives are distances
        return scores, found, everything


class _Groups:
    """Positions by equal vectors.

    Attributes:
        firsts: (n_groups,) position of one vector of each.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        whole = vectors.view(np.dtype((np.void, vectors.itemsize * vectors.shape[1])))[:, 0]
        _, first, of = np.unique(whole, return_index=True, return_inverse=True)
        # Groups in the order of their first position, so that the graph grows in that of the table.
        place = np.empty(len(first), np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        self.firsts = np.sort(first)
        self._order = np.argsort(place[of], kind="stable")  # (n,)
        self._ends = np.cumsum(np.bincount(place[of], minlength=len(first)))

    def members(self, groups: np.ndarray) -> np.ndarray:
        """All positions of some groups, one group after the other."""
        ends = self._ends[groups]
        starts = np.where(groups > 0, self._ends[groups - 1], 0)
        found = [self._order[a:b] for a, b in zip(starts, ends, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *found])


def _equally_long(vectors: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d + 1) float32, with the number that brings each to the length of the longest."""
    squares = np.einsum("nd,nd->n", vectors, vectors)
    more = np.sqrt(squares.max() - squares)
    return np.concatenate([vectors, more[:, None]], axis=1)


def _faiss() -> Any:
    import faiss  # slow to import, and an exact search needs none of it

    return faiss


def _method(method: str, n: int) -> str:
    if method == "auto":
        method = "exact" if n < AUTO_SIZE else "ivf"
    return "exact" if n == 0 or (method in ("ivf", "hnsw") and n < SMALLEST) else method


def within(rows: np.ndarray, scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """The rows whose score is not below the k-th best by more than twice `slack`; none whose score
    is NaN or −inf."""
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
