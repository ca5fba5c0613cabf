"""Popularity in the training sessions, and in the current session."""

import numpy as np

from tpad import Dataset


class Popularity:
    """Ranks by number of training clicks, regardless of the session."""

    can_score_new_items = False

    def fit(self, dataset: Dataset) -> "Popularity":
        counts = dataset.popularity.astype(np.float32)
        self._scores = np.where(dataset.cold, -np.inf, counts).astype(np.float32)
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return np.tile(self._scores, (len(sessions), 1))


class SessionPopularity:
    """Ranks by number of clicks in the current session, then by training clicks.

    Known as S-POP (Hidasi et al. 2016, ICLR). It predicts repeated items; if the history is masked, it is
    the same as `Popularity`.
    """

    can_score_new_items = False

    def fit(self, dataset: Dataset) -> "SessionPopularity":
        self._base = popularity_order(dataset.popularity) + 1.0  # (n_items,), [0, 1); cold −inf
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        result = np.tile(self._base, (len(sessions), 1))
        row = np.repeat(np.arange(len(sessions)), [len(session) for session in sessions])
        np.add.at(result, (row, _joined(sessions)), 1.0)
        return result


def popularity_order(popularity: np.ndarray) -> np.ndarray:
    """Negative scores in the order of training clicks.

    Nearest neighbour models use them for items that they cannot score, which are then ranked below all
    others by popularity.

    Args:
        popularity: (n_items,) training clicks.

    Returns:
        (n_items,) float32 in [−1, 0), equal for equal clicks; −inf for items without clicks.
    """
    counts, place = np.unique(popularity, return_inverse=True)
    order = (place / len(counts) - 1.0).astype(np.float32)
    return np.where(popularity > 0, order, -np.inf).astype(np.float32)


def _joined(sessions: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *sessions]).astype(np.int64)
