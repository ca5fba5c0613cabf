"""Nearest neighbours by content, in any embedding set; nothing is trained."""

from typing import Literal

import numpy as np

from tpad import DataError, Dataset
from tpad.model.session.session_matrix import decayed_rows
from tpad.settings import Positive, settings


@settings
class ContentConfig:
    """Settings of nearest neighbours by content."""

    query: Literal["last", "mean", "recency"] = "recency"
    """What candidates are compared with: the "last" item of a session, the "mean" of its items, or a
    mean with larger weights of recent items ("recency")."""
    decay: Positive = 3.0
    """Number of steps back over which the weight of an item decays by e; for "recency" only."""
    centre: bool = False
    """Whether the mean vector of the training items is subtracted first."""


class ContentNeighbours:
    """Scores every item, clicked or not, by the cosine of its features with those of the session.

    Means are over features of length 1; for "recency" an item s steps back has the weight
    `exp(−s / decay)`. Items with and without clicks are treated alike. Items without features are skipped in
    sessions, and their score is −inf; if a session has no features, all other items score 0.

    Args:
        features: (n_items, n_features).
        config: settings.
        present: (n_items,) bool, which items have features; all by default.

    Raises:
        DataError: the features are not a table, or not finite.
    """

    can_score_new_items = True

    def __init__(
        self,
        features: np.ndarray,
        config: ContentConfig | None = None,
        present: np.ndarray | None = None,
    ) -> None:
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2:
            raise DataError(
                f"Features must have the shape (items, features), not {features.shape}."
            )
        self.present = (
            np.ones(len(features), bool) if present is None else np.asarray(present, bool)
        )
        if self.present.shape != (len(features),):
            raise DataError(
                f"There are features of {len(features)} items, but `present` has {self.present.size} "
                "values; pass one per item."
            )
        bad = np.flatnonzero(~np.isfinite(features).all(1) & self.present)
        if bad.size:
            raise DataError(
                f"The features of item row {bad[0]} are not finite; correct them, or set `present` to "
                "False for this item."
            )
        self.features = np.where(self.present[:, None], features, 0.0)
        self.config = config or ContentConfig()

    def fit(self, dataset: Dataset) -> "ContentNeighbours":
        if len(self.features) != len(dataset):
            raise DataError(
                f"There are features of {len(self.features)} items but {len(dataset)} items; "
                "compute the features again."
            )
        values = self.features.astype(np.float64)
        known = self.present & ~dataset.cold
        if self.config.centre and known.any():
            values = np.where(self.present[:, None], values - values[known].mean(0), 0.0)
        norm = np.linalg.norm(values, axis=1, keepdims=True)
        self._units = (values / np.where(norm > 0, norm, 1.0)).astype(np.float32)  # (n_items, d)
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        known = [np.asarray(session, dtype=np.int64) for session in sessions]
        known = [items[self.present[items]] for items in known]
        if self.config.query == "last":
            known = [items[-1:] for items in known]
        decay = self.config.decay if self.config.query == "recency" else np.inf
        queries = decayed_rows(known, len(self._units), decay) @ self._units  # (n, d)
        norm = np.linalg.norm(queries, axis=1, keepdims=True)
        queries /= np.maximum(norm, 1e-12)
        result = queries @ self._units.T  # (n, n_items)
        result[:, ~self.present] = -np.inf
        return result
