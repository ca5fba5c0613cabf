"""Session neighbours: the items of the training sessions that are most like a session.

**[ours, after V-SKNN (Ludewig & Jannach 2018, UMUAI)]** With step(s, i) the number of clicks from the latest
click on item i to the end of session s, and t one of the `sample` most recent training sessions with each
item of s,

    similarity(s, t) = Σ_{i ∈ s ∩ t} exp(−step(s, i) / recency) / Σ_{i ∈ s} exp(−step(s, i) / recency)
    score(s, j) = Σ_{t ∋ j} similarity(s, t) / (1 + min_{i ∈ s ∩ t} step(s, i))² · (1 + rarity · idf_j)

over the k most similar training sessions, the most recent ones first among equals;
`idf_j = ln(sessions / clicks of j)`, at least 0. Where the counts of `tpad.model.session.memory` look at one
item of the session at a time, neighbours look at all of them together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from tpad.data.sessions import Sessions
from tpad.model.session.sparse_rows import entries_of, restored
from tpad.settings import Count, Positive, Weight, settings

CHUNK = 64  # sessions whose neighbours are found at once
ROUNDING = 9  # decimals, so that equal sums in another order tie and recency decides


@settings
class NeighboursConfig:
    """Settings of the session neighbours."""

    k: Count = 500
    """Number of neighbouring sessions."""
    sample: Count = 1000
    """Number of most recent training sessions of each item that are compared."""
    recency: Positive = 4.0
    """Number of steps back over which the weight of a session's item decays by e."""
    rarity: Weight = 1.0
    """Weight of the inverse frequency of the next item."""


class SessionNeighbours:
    """The training sessions, searched for those that share items with a session.

    Args:
        items: (n_sessions, n_items) CSR, the distinct items of each training session, the most recent
            session first; the values are not read.
        clicks: (n_items,) clicks of each item.
        config: settings.
    """

    def __init__(
        self, items: sparse.csr_array, clicks: np.ndarray, config: NeighboursConfig
    ) -> None:
        self.items, self.clicks, self.config = items, clicks, config
        self._of_item = _latest(items, config.sample)  # (n_items, n_sessions)
        idf = np.log(np.maximum(items.shape[0], 1) / np.maximum(clicks, 1)).clip(min=0)
        self._gain = 1 + config.rarity * idf  # (n_items,)

    @classmethod
    def fit(cls, train: Sessions, n_items: int, config: NeighboursConfig) -> "SessionNeighbours":
        """Index the training sessions.

        Args:
            train: training sessions.
            n_items: number of items.
            config: settings.
        """
        ends = train.starts if train.times is None else np.array([t[-1] for t in train.times])
        recent = np.argsort(-np.asarray(ends), kind="stable")  # the latest session first
        lengths = train.lengths[recent]
        clicks = np.concatenate([np.zeros(0, np.int64), *(train.items[row] for row in recent)])
        row = np.repeat(np.arange(len(recent)), lengths)
        items = sparse.csr_array(
            (np.ones(len(row), np.float32), (row, clicks)), shape=(len(recent), n_items)
        )
        items.sum_duplicates()
        items.data[:] = 1.0
        counts = np.bincount(clicks.astype(np.int64), minlength=n_items).astype(np.float64)
        return cls(items, counts, config)

    def with_config(self, config: NeighboursConfig) -> "SessionNeighbours":
        """The same sessions with other settings."""
        return SessionNeighbours(self.items, self.clicks, config)

    def scores(
        self, prefixes: Sequence[np.ndarray], stand_ins: sparse.csr_array | None = None
    ) -> sparse.csr_array:
        """Scores of all items as the next item: (n, n_items) float32, sparse.

        Args:
            prefixes: n arrays of item rows, the most recent item last.
            stand_ins: (n_all, n_items), see `tpad.model.session.stand_ins`. With it, rows from 0 to n_all
                are scored.
        """
        found = [sparse.csr_array((0, self.items.shape[1]), dtype=np.float32)]
        for start in range(0, len(prefixes), CHUNK):
            chunk = prefixes[start : start + CHUNK]
            row = np.repeat(np.arange(len(chunk)), [len(each) for each in chunk])
            step = np.concatenate([np.arange(len(each))[::-1] for each in chunk])
            item, weight = np.concatenate(chunk), np.ones(len(row))
            if stand_ins is not None:
                place, owner = entries_of(stand_ins, item)
                row, step = row[owner], step[owner]
                item, weight = stand_ins.indices[place], stand_ins.data[place]
            votes = self._votes(len(chunk), row, item, step, weight) @ self.items
            votes.data *= self._gain[votes.indices]
            found.append(votes.astype(np.float32))
        scores = sparse.csr_array(sparse.vstack(found, "csr"))
        return scores if stand_ins is None else scores @ stand_ins.T

    def row(
        self, items: np.ndarray, steps: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores of one session.

        Args:
            items: (m,) rows of clicked items; they may be repeated.
            steps: (m,) number of clicks after each of them.
            weights: (m,) weight of each item as a stand-in; 1 for an item of the session itself.

        Returns:
            Items with a score above 0, in ascending order, and their scores (float64).
        """
        votes = self._votes(1, np.zeros(len(items), np.int64), items, steps, weights)
        place, owner = entries_of(self.items, votes.indices)
        columns, inverse = np.unique(self.items.indices[place], return_inverse=True)
        return columns, np.bincount(inverse, votes.data[owner], len(columns)) * self._gain[columns]

    def _votes(
        self, n: int, row: np.ndarray, item: np.ndarray, step: np.ndarray, weight: np.ndarray
    ) -> sparse.csr_array:
        """What each neighbour contributes to the scores of n sessions: (n, n_sessions).

        Args:
            n: number of sessions.
            row, item, step, weight: (m,) each, the items of the sessions: session, item, clicks after it,
                and its weight as a stand-in.
        """
        shape = (n, self.items.shape[0])
        # Of several clicks on an item, the latest one counts.
        order = np.lexsort((step, item, row))
        key = row[order] * np.int64(self.items.shape[1]) + item[order]
        order = order[np.flatnonzero(np.diff(key, prepend=-1))]
        row, item, step, weight = row[order], item[order], step[order], weight[order]
        weight = weight * np.exp(-step / self.config.recency)
        place, entry = entries_of(self._of_item, item)  # one for each shared item
        key = row[entry] * np.int64(shape[1]) + self._of_item.indices[place]
        order = np.argsort(key, kind="stable")
        key, entry = key[order], entry[order]
        if not len(key):
            return sparse.csr_array(shape)
        begin = np.flatnonzero(np.diff(key, prepend=-1))
        total = np.bincount(row, weight, n)
        session, other = np.divmod(key[begin], shape[1])
        similarity = np.add.reduceat(weight[entry], begin) / total[session]
        latest = np.minimum.reduceat(step[entry], begin)
        best = np.lexsort((other, -np.round(similarity, ROUNDING), session))
        starts = np.searchsorted(session, np.arange(n))  # `session` ascends, also when sorted
        best = best[np.arange(len(best)) - starts[session] < self.config.k]
        votes = similarity[best] / (1 + latest[best]) ** 2
        return sparse.csr_array((votes, (session[best], other[best])), shape)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to be saved."""
        return {
            "indices": self.items.indices.astype(np.int32),
            "indptr": self.items.indptr.astype(np.int64),
            "clicks": self.clicks.astype(np.int64),
        }

    @classmethod
    def restored(
        cls, state: dict[str, Any], n_items: int, config: NeighboursConfig
    ) -> "SessionNeighbours":
        """The neighbours whose `state` was saved.

        Args:
            state: the arrays.
            n_items: number of items.
            config: settings.

        Raises:
            ValueError: the arrays are no sessions of so many items.
        """
        clicks = state.get("clicks")
        if clicks is None or clicks.dtype != np.int64 or clicks.shape != (n_items,):
            raise ValueError("the clicks of the session neighbours are missing or damaged")
        if (clicks < 0).any():
            raise ValueError("an item of the session neighbours has fewer than 0 clicks")
        indices = state.get("indices")
        ones = np.ones(0 if indices is None else len(indices), np.float32)
        items = restored({**state, "data": ones}, n_items, "list of training sessions")
        return cls(items, clicks.astype(np.float64), config)


def _latest(items: sparse.csr_array, sample: int) -> sparse.csr_array:
    """The `sample` most recent sessions of each item, in order: (n_items, n_sessions)."""
    of_item = items.tocsc()
    of_item.sort_indices()
    lengths = np.diff(of_item.indptr)
    kept = np.minimum(lengths, sample)
    starts = np.repeat(of_item.indptr[:-1].astype(np.int64), kept)
    indptr = np.concatenate([[0], np.cumsum(kept)])
    place = starts + np.arange(indptr[-1]) - np.repeat(indptr[:-1], kept)
    shape = (items.shape[1], items.shape[0])
    return sparse.csr_array(
        (np.ones(len(place), np.float32), of_item.indices[place], indptr), shape
    )
