"""V-SKNN: vector-multiplication session-based nearest neighbours."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import sparse

from eval.baselines.item_knn import incidence, index_in_group
from eval.baselines.popularity import popularity_order
from tpad import Dataset
from tpad.settings import Count, Weight, settings

CHUNK = 64  # sessions scored at once
Weighting = Literal["same", "linear", "div", "log", "quadratic"]
WEIGHTINGS: dict[Weighting, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "same": lambda i, n: np.ones(len(i)),
    "linear": lambda i, n: np.maximum(1 - 0.1 * (n - i), 0.0),
    "div": lambda i, n: i / n,
    "log": lambda i, n: 1 / np.log10(n - i + 1.7),
    "quadratic": lambda i, n: (i / n) ** 2,
}
"""Weight of the i-th of n clicks when sessions are compared; i and n (m,) -> (m,)."""
SCORE_WEIGHTINGS: dict[Weighting, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda step: np.ones(len(step)),
    "linear": lambda step: np.maximum(1 - 0.1 * step, 0.0),
    "div": lambda step: 1 / step,
    "log": lambda step: 1 / np.log10(step + 1.7),
    "quadratic": lambda step: 1 / step**2,
}
"""Weight of a neighbour whose most recent shared item is the step-th last: (m,) -> (m,)."""


@settings
class VSKNNConfig:
    """Settings of V-SKNN, named as in session-rec."""

    k: Count = 500
    """Number of neighbouring sessions."""
    sample_size: Count = 5000
    """Number of most recent sessions with a shared item that are compared."""
    similarity: Literal["dot", "cosine"] = "dot"
    """"dot" as in the paper and in session-rec (whose V-SKNN ignores its option of this name); "cosine"
    also divides by the norms of both sessions."""
    weighting: Weighting = "div"
    """Weight of a click by its position, see `WEIGHTINGS`; "div" is the linear decay of the paper."""
    weighting_score: Weighting = "div"
    """Weight of a neighbour by the most recent shared item, see `SCORE_WEIGHTINGS`."""
    idf_weighting: Weight = 5.0
    """Weight of the inverse frequency of items; 0: not used."""


class VSKNN:
    """Scores by the items of similar training sessions (Ludewig & Jannach 2018, UMUAI).

    As defined in session-rec: with the weights w of the distinct items of session s (by the latest click
    of each), and step(s, t) the position from the end of the latest item that s shares with t,

        sim(s, t) = Σ_{i ∈ s ∩ t} w_i / |s|
        score(s, j) = Σ_{t ∋ j} sim(s, t) · weighting_score(step(s, t)) · (1 + idf_weighting · idf_j)

    over the k most similar of the `sample_size` most recent training sessions that share an item;
    `idf_j = ln(sessions / clicks of j)`, at least 0. Of equally similar sessions the most
    recent ones are used, while session-rec chooses at random. Items of no neighbour follow by
    popularity, while they get zero in session-rec.
    """

    can_score_new_items = False

    def __init__(self, config: VSKNNConfig | None = None) -> None:
        self.config = config or VSKNNConfig()

    def fit(self, dataset: Dataset) -> "VSKNN":
        train = dataset.train
        ends = train.starts if train.times is None else np.array([t[-1] for t in train.times])
        recent = np.argsort(-np.asarray(ends), kind="stable")  # session 0 is the latest
        self._holds = incidence(train.take(recent), len(dataset))  # (n_sessions, n_items)
        by_item = self._holds.tocsc()
        by_item.sort_indices()
        # The sessions of each item, the latest first; older ones are never in a sample.
        item = np.repeat(np.arange(len(dataset)), np.diff(by_item.indptr))
        kept = index_in_group(item) < self.config.sample_size
        self._sessions = by_item.indices[kept].astype(np.int64)
        self._start = np.concatenate(
            [[0], np.cumsum(np.bincount(item[kept], minlength=len(dataset)))]
        )
        self._norm = np.sqrt(self._holds.sum(1))  # (n_sessions,)
        clicks = np.maximum(dataset.popularity, 1)
        idf = np.maximum(np.log(max(len(train), 1) / clicks), 0.0)
        self._gain = 1 + self.config.idf_weighting * idf  # (n_items,)
        self._rest = popularity_order(dataset.popularity)  # (n_items,)
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        result = np.tile(self._rest, (len(sessions), 1))
        for start in range(0, len(sessions), CHUNK):
            chunk = sessions[start : start + CHUNK]
            votes = self._neighbours(chunk) @ self._holds  # (chunk, n_items)
            votes = (votes.toarray() * self._gain).astype(np.float32)
            part = result[start : start + len(chunk)]
            np.copyto(part, votes, where=votes > 0)
        return result

    def _neighbours(self, sessions: list[np.ndarray]) -> sparse.csr_array:
        """(n, n_sessions), the weight of each neighbour; zero for other sessions."""
        shape = (len(sessions), self._holds.shape[0])
        row, item, step, length = _distinct(sessions, self._holds.shape[1])
        weight = WEIGHTINGS[self.config.weighting](length - step + 1, length)  # (m,)
        size = np.bincount(row, minlength=len(sessions))  # distinct items of each session
        squares = np.bincount(row, weight**2, minlength=len(sessions))
        # One entry per item and training session that contains it.
        counts = self._start[item + 1] - self._start[item]
        entry = np.repeat(np.arange(len(item)), counts)
        other = self._sessions[self._start[item[entry]] + index_in_group(entry)]
        key = row[entry] * np.int64(shape[1]) + other
        order = np.argsort(key, kind="stable")
        key, entry = key[order], entry[order]
        if not len(key):
            return sparse.csr_array(shape)
        begin = np.flatnonzero(np.diff(key, prepend=-1))
        similarity = np.add.reduceat(weight[entry], begin)
        latest = np.minimum.reduceat(step[entry], begin)
        row, other = np.divmod(key[begin], shape[1])
        if self.config.similarity == "cosine":
            similarity = similarity / (np.sqrt(squares[row]) * self._norm[other])
        else:
            similarity = similarity / size[row]
        near = (index_in_group(row) < self.config.sample_size) & (similarity > 0)
        row, other, similarity, latest = row[near], other[near], similarity[near], latest[near]
        # Rounded, so that equal sums in another order tie and recency decides.
        order = np.lexsort((other, -np.round(similarity, 12), row))
        order = order[index_in_group(row[order]) < self.config.k]
        vote = similarity[order] * SCORE_WEIGHTINGS[self.config.weighting_score](latest[order])
        return sparse.csr_array((vote, (row[order], other[order])), shape)


def _distinct(
    sessions: list[np.ndarray], n_items: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The distinct items of sessions.

    Returns:
        (m,) each: row of the session, item, position of its latest click from the end (1: the last),
        and the length of its session.
    """
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    row = np.repeat(np.arange(len(sessions)), lengths)
    # The latest click first, so that `unique` finds it.
    clicks = [np.zeros(0, np.int64), *(np.asarray(s, dtype=np.int64)[::-1] for s in sessions)]
    _, first = np.unique(row * np.int64(n_items) + np.concatenate(clicks), return_index=True)
    step = index_in_group(row) + 1
    return row[first], np.concatenate(clicks)[first], step[first], lengths[row[first]]
