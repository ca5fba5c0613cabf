"""Finds the items with the highest fused score: exactly, or among candidates in a large catalogue.

Without the memories of clicks, a fused score is the inner product of `[w_n · network vector ; w_c · unit vector]`
with a vector of the session, plus the offset of unclicked items. So the candidates are the best items of an
index over these vectors, once for clicked and once for unclicked items, and the items that a memory could
bring among the best. Then each candidate gets its exact fused score.

Memories only add to a score. So an item without a score of a memory that is among the best k has no more than
k − 1 items above it in its index: the best k of each index suffice, and the recall of the list is that of the
indices.
"""

from collections.abc import Sequence

import numpy as np

from tpad.errors import ConfigError
from tpad.index import Index, IndexSettings
from tpad.index.index import check_k, mean_recall
from tpad.index.parts import AUTO_SIZE, TOLERANCE, within
from tpad.model.session.fused import FusedModel, SessionQuery
from tpad.model.session.sparse_rows import values_at

OF_MEMORY = 4_000
"""Most candidates from the memories, those with the highest scores."""
CHUNK = 65_536  # items whose vectors are joined at once


class FusedIndex:
    """Finds the items of a catalogue with the highest fused score.

    Args:
        model: scores the items.
        method: as in `Index`; "auto" is exact below `AUTO_SIZE` items and "ivf" from there.
        settings: of the approximate methods.
    """

    def __init__(
        self, model: FusedModel, method: str = "auto", settings: IndexSettings | None = None
    ) -> None:
        self.model, self.method = model, method
        self.settings = settings or IndexSettings()
        self._longest = _longest(model, np.arange(model.n_items))
        self._parts: tuple[_Part, ...] = ()
        if self.used != "exact":
            clicked = model.clicked
            groups = np.flatnonzero(clicked), np.flatnonzero(~clicked)
            self._parts = tuple(
                _Part(rows, Index(_vectors(model, rows), self.used, self.settings), bool(unclicked))
                for unclicked, rows in enumerate(groups)
            )

    @property
    def used(self) -> str:
        """The method in use; with "auto", the one that was chosen."""
        weights = self.model.weights
        if not (weights.network or weights.cosine):  # there are no vectors
            return "exact"
        if self.method == "auto":
            return "exact" if self.model.n_items < AUTO_SIZE else "ivf"
        return self.method

    def with_rows(self, model: FusedModel) -> "FusedIndex":
        """An index over a model that has further, unclicked items after those of this one."""
        rows = np.arange(self.model.n_items, model.n_items)
        grown = FusedIndex.__new__(FusedIndex)
        grown.model, grown.method, grown.settings = model, self.method, self.settings
        grown._longest = max(self._longest, _longest(model, rows))
        grown._parts = ()
        if not self._parts:
            return grown if grown.used == "exact" else FusedIndex(model, self.method, self.settings)
        known, new = self._parts
        index = new.index.with_rows(_vectors(model, rows))
        grown._parts = known, _Part(np.append(new.rows, rows), index, True)
        return grown

    def search(
        self, query: SessionQuery, k: int, exclude: Sequence[int] | np.ndarray = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the highest fused score.

        Args:
            query: of the session.
            k: how many, at least 1; fewer are returned only if there are no more.
            exclude: rows that are not returned.

        Returns:
            rows (m,) int64 and scores (m,) float32, best first, ties by the lower row; m <= k.

        Raises:
            ConfigError: k is below 1.
        """
        return self._search(query, k, exclude, exact=not self._parts)

    def recall(self, queries: Sequence[SessionQuery], k: int = 20) -> float:
        """Mean share of the k best items that `search` finds.

        Raises:
            ConfigError: there are no queries, or k is below 1.
        """
        if not queries:
            raise ConfigError("There are no sessions; give at least one.")
        return mean_recall(
            (self._search(query, k, (), exact=True)[0], self.search(query, k)[0])
            for query in queries
        )

    def _search(
        self, query: SessionQuery, k: int, exclude: Sequence[int] | np.ndarray, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        check_k(k)
        left_out = np.asarray(exclude, dtype=np.int64)
        if exact:
            rows = self._near(query, k, left_out)
        else:
            rows = self._candidates(query, k, left_out)
            rough = self.model.scores_at(query, rows, rough=True)
            rows = within(rows, rough, k, self._slack(query, rough))
        scores = self.model.scores_at(query, rows)
        kept = scores > -np.inf  # False for NaN
        rows, scores = rows[kept], scores[kept].astype(np.float32)
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

    def _near(self, query: SessionQuery, k: int, left_out: np.ndarray) -> np.ndarray:
        """The best k items, and a few more if their scores are nearly equal."""
        scores = self.model.match(query)
        scores[left_out] = -np.inf
        return within(np.arange(len(scores)), scores, k, self._slack(query, scores))

    def _slack(self, query: SessionQuery, scores: np.ndarray) -> float:
        """Upper bound of the rounding errors of scores in float32."""
        weights = self.model.weights
        size = weights.network * np.linalg.norm(query.network) * self._longest + weights.cosine
        largest = np.abs(scores[np.isfinite(scores)]).max(initial=0.0)
        return TOLERANCE * float(size + largest)

    def _candidates(self, query: SessionQuery, k: int, left_out: np.ndarray) -> np.ndarray:
        """Candidates for the best k items: unique rows."""
        vector = _joined_query(self.model, query)
        found: list[tuple[np.ndarray, np.ndarray]] = []  # rows and their scores without memories
        for part in self._parts:
            if not (part.unclicked and query.offset == -np.inf):
                place, scores = part.index.search(vector, k + len(left_out))
                offset = query.offset if part.unclicked else 0.0
                found.append((part.rows[place], scores + offset))
        rows, scores = (np.concatenate(column) for column in zip(*found, strict=True))
        items = _raised(query, rows, scores, k, left_out)
        return np.setdiff1d(np.concatenate([rows, items]), left_out)


class _Part:
    """An index over some of the items.

    Attributes:
        rows: (n,), rows of the items.
        index: over their vectors.
        unclicked: whether these are the items without training clicks.
    """

    def __init__(self, rows: np.ndarray, index: Index, unclicked: bool) -> None:
        self.rows, self.index, self.unclicked = rows, index, unclicked


def _raised(
    query: SessionQuery, rows: np.ndarray, scores: np.ndarray, k: int, left_out: np.ndarray
) -> np.ndarray:
    """Items that the memories of clicks could bring among the best k.

    Args:
        query, k, left_out: of the search.
        rows: (m,), the best items without memories.
        scores: (m,), their scores without memories.
    """
    items, gain = query.gains
    others = ~np.isin(rows, left_out)
    if others.sum() >= k:
        whole = (scores + values_at(items, gain, rows))[others]
        least = np.partition(whole, len(whole) - k)[len(whole) - k]
        # Without memories, no item scores higher than the best one of the indices.
        kept = gain + scores.max() >= least
        items, gain = items[kept], gain[kept]
    if len(items) > OF_MEMORY:
        items = items[np.argpartition(-gain, OF_MEMORY)[:OF_MEMORY]]
    return items


def _vectors(model: FusedModel, rows: np.ndarray) -> np.ndarray:
    """Vectors of some items, whose inner product with that of a session is the score without memory."""
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)] or [rows]
    joined: np.ndarray | None = None
    for number, chunk in enumerate(chunks):
        parts = []
        if model.weights.network:
            parts.append(np.float32(model.weights.network) * model.network.vectors_of(chunk))
        if model.weights.cosine:
            parts.append(np.float32(model.weights.cosine) * model.units_of(chunk))
        block = np.concatenate(parts, axis=1)
        if joined is None:
            joined = np.empty((len(rows), block.shape[1]), np.float32)
        joined[number * CHUNK : number * CHUNK + len(block)] = block
    assert joined is not None
    return joined


def _joined_query(model: FusedModel, query: SessionQuery) -> np.ndarray:
    """The vector of a session for `_vectors`."""
    parts = [query.network] if model.weights.network else []
    return np.concatenate(parts + ([query.content] if model.weights.cosine else []))


def _longest(model: FusedModel, rows: np.ndarray) -> float:
    """Largest length of the network's vectors of some items."""
    starts = range(0, len(rows), CHUNK)
    lengths = [
        np.nan_to_num(np.linalg.norm(model.network.vectors_of(rows[at : at + CHUNK]), axis=1)).max()
        for at in starts
    ]
    return float(max(lengths, default=0.0))
