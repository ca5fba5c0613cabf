"""Item-kNN: items that often occur in the same sessions as the last item."""

import numpy as np
from scipy import sparse

from eval.baselines.popularity import popularity_order
from tpad import Dataset
from tpad.data.sessions import Sessions
from tpad.settings import Count, Weight, settings


@settings
class ItemKNNConfig:
    """Settings of item-kNN; the defaults are those of session-rec."""

    k: Count = 100
    """Number of neighbours of each item."""
    regularisation: Weight = 20.0
    """λ; reduces the similarity of rare items, which co-occur by chance."""


class ItemKNN:
    """Scores by the cosine between an item and the last item of the session.

    `sim(i, j) = n(i, j) / sqrt((n(i) + λ) · (n(j) + λ))` with the number n of training sessions
    that contain an item or both (Hidasi et al. 2016, ICLR; as ItemKNN of session-rec with alpha 0.5,
    except that repeated items of a session count once). All other items follow by popularity; after a
    cold item all items do.
    """

    can_score_new_items = False

    def __init__(self, config: ItemKNNConfig | None = None) -> None:
        self.config = config or ItemKNNConfig()

    def fit(self, dataset: Dataset) -> "ItemKNN":
        contains = incidence(dataset.train, len(dataset))  # (n_sessions, n_items)
        together = (contains.T @ contains).tocoo()  # (n_items, n_items), n(i, j)
        n = together.diagonal() + self.config.regularisation  # (n_items,)
        off = together.row != together.col
        item, other = together.row[off], together.col[off]
        similarity = together.data[off] / np.sqrt(n[item] * n[other])
        order = np.lexsort((other, -similarity, item))
        order = order[index_in_group(item[order]) < self.config.k]
        self._similarity = sparse.csr_array(
            (similarity[order].astype(np.float32), (item[order], other[order])), together.shape
        )
        self._rest = popularity_order(dataset.popularity)  # (n_items,)
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        result = np.tile(self._rest, (len(sessions), 1))
        rows = np.array([i for i, session in enumerate(sessions) if len(session)], dtype=np.int64)
        if len(rows):
            near = self._similarity[[int(sessions[row][-1]) for row in rows]].tocoo()
            result[rows[near.row], near.col] = near.data
        return result


def incidence(sessions: Sessions, n_items: int) -> sparse.csr_array:
    """(n_sessions, n_items) float64, 1 if the session contains the item."""
    row = np.repeat(np.arange(len(sessions)), sessions.lengths)
    keys = np.unique(row * np.int64(n_items) + sessions.clicks)
    row, item = np.divmod(keys, n_items)
    return sparse.csr_array((np.ones(len(keys)), (row, item)), (len(sessions), n_items))


def index_in_group(groups: np.ndarray) -> np.ndarray:
    """Index of each element in its group, from 0: (n,) with adjacent groups -> (n,)."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups)) - np.repeat(starts, lengths)
