"""What shoppers clicked next, counted: a sparse item-item model in closed form.

**[ours]** With g the number of steps from a click on item a to a later click on item b of the same session,

    C_ab = Σ exp(−(g − 1) / decay)                            over all such pairs of the training sessions
    M_ab = (C_ab + back · C_ba) / (clicks_a + shrinkage) / clicks_b ^ popularity
    memory(s, j) = Σ_i exp(−steps from i to the end of s / recency) · M_ij

The rows of rarely clicked items are shrunk towards zero, and the popularity exponent keeps popular items
from leading every list. Related: item-kNN with directed counts (Ludewig & Jannach 2018), SLIST (Choi et
al. 2021, arXiv 2103.16104), which fits such a matrix by least squares.

Time and memory are proportional to the clicks times the number of steps that count.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from tpad.data.sessions import Sessions
from tpad.model.session.session_matrix import decayed_rows
from tpad.model.session.sparse_rows import restored, state_of, weighted_sum
from tpad.settings import Positive, Weight, settings

NEGLIGIBLE = 0.02  # pairs that are so far apart that their weight is below this are not counted


@settings
class MemoryConfig:
    """Settings of the memory."""

    decay: Positive = 2.0
    """Number of steps over which the weight of a pair decays by e when counting."""
    back: Weight = 0.5
    """Weight of the opposite direction."""
    shrinkage: Weight = 10.0
    """Number of clicks that are added to those of each item before dividing by them."""
    popularity: Weight = 0.0
    """Exponent of the clicks of the next item by which its column is divided."""
    recency: Positive = 2.0
    """Number of steps back over which the weight of a session's item decays by e when scoring."""


class Memory:
    """Directed co-click counts of the training sessions.

    Args:
        matrix: (n_items, n_items) float32, M above; rows and columns of items without clicks are empty.
        config: settings.
    """

    def __init__(self, matrix: sparse.csr_array, config: MemoryConfig) -> None:
        self.matrix, self.config = matrix, config

    @classmethod
    def fit(
        cls, train: Sessions, n_items: int, config: MemoryConfig, *, mask_seen: bool
    ) -> "Memory":
        """Count the training sessions.

        Args:
            train: training sessions.
            n_items: number of items.
            config: settings.
            mask_seen: whether items of a session are excluded from its candidates; repeated clicks on
                an item are not counted then.
        """
        counts = count_pairs(train.items, n_items, config.decay)
        return cls.of_counts(counts, clicks_of(train, n_items), config, mask_seen=mask_seen)

    @classmethod
    def of_counts(
        cls,
        counts: sparse.csr_array,
        clicks: np.ndarray,
        config: MemoryConfig,
        *,
        mask_seen: bool,
    ) -> "Memory":
        """The memory of counted pairs, so that several settings share the counts.

        Args:
            counts: (n_items, n_items), as `count_pairs` returns it for `config.decay`.
            clicks: (n_items,), clicks of each item.
            config, mask_seen: as in `fit`.
        """
        both = (counts + config.back * counts.T).tocsr()  # (n_items, n_items)
        if mask_seen:
            both.setdiag(0)
            both.eliminate_zeros()
        rows = 1 / np.maximum(clicks + config.shrinkage, 1e-9)
        columns = np.maximum(clicks, 1) ** -config.popularity
        both.data *= np.repeat(rows, np.diff(both.indptr)) * columns[both.indices]
        return cls(sparse.csr_array(both, dtype=np.float32), config)

    @property
    def n_items(self) -> int:
        return self.matrix.shape[0]

    def scores(
        self, prefixes: Sequence[np.ndarray], stand_ins: sparse.csr_array | None = None
    ) -> sparse.csr_array:
        """Scores of all items as the next item: (n, n_items) float32, sparse.

        Args:
            prefixes: n arrays of item rows, the most recent item last.
            stand_ins: (n_all, n_items), the clicked items that stand in for each item, with weights; see
                `tpad.model.session.stand_ins`. With it, rows from 0 to n_all are scored.
        """
        n_all = self.n_items if stand_ins is None else stand_ins.shape[0]
        elements = decayed_rows(prefixes, n_all, self.config.recency, mean=False)  # (n, n_all)
        if stand_ins is None:
            return elements @ self.matrix
        return ((elements @ stand_ins) @ self.matrix) @ stand_ins.T

    def row(self, items: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of one session from its weighted items.

        Args:
            items: (m,) item rows; they may be repeated.
            weights: (m,).

        Returns:
            Items with a score above 0, in ascending order, and their scores (float64).
        """
        return weighted_sum(self.matrix, items, weights)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to be saved."""
        return state_of(self.matrix)

    @classmethod
    def restored(cls, state: dict[str, Any], n_items: int, config: MemoryConfig) -> "Memory":
        """The memory whose `state` was saved.

        Args:
            state: the arrays.
            n_items: number of items.
            config: settings.

        Raises:
            ValueError: the arrays are no memory of so many items.
        """
        matrix = restored(state, n_items, "memory")
        if matrix.shape[0] != n_items:
            raise ValueError(f"the memory has {matrix.shape[0]} items, not {n_items}")
        return cls(matrix, config)


def count_pairs(sessions: Sequence[np.ndarray], n_items: int, decay: float) -> sparse.csr_array:
    """C above: (n_items, n_items) float32; the row is the earlier item.

    Args:
        sessions: arrays of item rows.
        n_items: number of items.
        decay: number of steps over which the weight of a pair decays by e.
    """
    total = sparse.csr_array((n_items, n_items), dtype=np.float32)
    if not len(sessions):
        return total
    lengths = np.fromiter(map(len, sessions), np.int64, len(sessions))
    items = np.concatenate(sessions).astype(np.int64)  # (clicks,)
    session = np.repeat(np.arange(len(sessions)), lengths)  # (clicks,)
    farthest = min(int(lengths.max()) - 1, 1 + int(-decay * np.log(NEGLIGIBLE)))
    for gap in range(1, farthest + 1):
        same = session[gap:] == session[:-gap]
        earlier, later = items[:-gap][same], items[gap:][same]
        weight = np.full(len(earlier), np.exp(-(gap - 1) / decay), np.float32)
        total = total + sparse.csr_array((weight, (earlier, later)), shape=total.shape)
    return total.tocsr()


def clicks_of(sessions: Sessions, n_items: int) -> np.ndarray:
    """Number of clicks of each item: (n_items,) float64."""
    return np.bincount(sessions.clicks, minlength=n_items).astype(np.float64)
