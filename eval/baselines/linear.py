"""Base class of linear item-item models: a dense weight matrix applied to weighted sessions."""

from typing import Self

import numpy as np

from eval.baselines.popularity import popularity_order
from tpad import DataError, Dataset
from tpad.data.sessions import Sessions
from tpad.model.session.session_matrix import decayed_rows

MOST_ITEMS = 30_000
"""Maximum number of training items; the matrix is dense, so memory grows with its square."""


class LinearModel:
    """Scores `x · B` with the weighted items x of the session and learned weights B (n_known, n_known).

    Items without training clicks are skipped in sessions, and their score is −inf. Sessions without known
    items are ranked by popularity.

    A subclass implements `learn` and `input_decay`, and defines `bytes_a_cell`, its memory per weight.

    Attributes:
        weights: (n_known, n_known) float32; rows: items of the session, columns: scored items.
    """

    can_score_new_items = False
    bytes_a_cell: int
    weights: np.ndarray

    def learn(self, train: Sessions, columns: list[np.ndarray], n_known: int) -> np.ndarray:
        """The weights (n_known, n_known).

        Args:
            train: the training sessions.
            columns: the items of each as columns, int64.
            n_known: number of training items.
        """
        raise NotImplementedError

    def input_decay(self) -> float | None:
        """Number of steps back over which the weight of a click decays by e; None: no decay."""
        raise NotImplementedError

    def fit(self, dataset: Dataset) -> Self:
        """Solves for the weights.

        Raises:
            DataError: there are more than `MOST_ITEMS` training items.
        """
        self._known = np.flatnonzero(~dataset.cold)  # (n_known,) item rows
        n_known = len(self._known)
        if n_known > MOST_ITEMS:
            raise DataError(
                f"{type(self).__name__} would need {self.bytes_a_cell * n_known**2 / 1e9:,.0f} GB for "
                f"{n_known:,} training items; the maximum is {MOST_ITEMS:,}. Leave this model out."
            )
        self._column = np.full(len(dataset), -1, dtype=np.int64)  # item row -> column
        self._column[self._known] = np.arange(n_known)
        self._rest = popularity_order(dataset.popularity)  # (n_items,)
        columns = [self._column[items] for items in dataset.train.items]
        weights = self.learn(dataset.train, columns, n_known)
        self.weights = weights.astype(np.float32, order="C")
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        columns = [self._column[np.asarray(session, dtype=np.int64)] for session in sessions]
        columns = [one[one >= 0] for one in columns]
        x = decayed_rows(columns, len(self._known), self.input_decay())  # (n, n_known)
        result = np.full((len(sessions), len(self._column)), -np.inf, dtype=np.float32)
        result[:, self._known] = x @ self.weights
        unknown = np.array([not len(one) for one in columns], dtype=bool)
        result[unknown] = self._rest
        return result
