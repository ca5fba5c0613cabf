"""Nearest neighbours by content: no training, over any embedding set."""

from dataclasses import dataclass

import numpy as np

from eval.baselines.session_matrix import decayed_rows
from eval.baselines.settings import need_choice, need_positive
from tpad import ConfigError, DataError, Dataset

QUERIES = ("last", "mean", "recency")


@dataclass(frozen=True)
class ContentConfig:
    """Settings of nearest neighbours by content."""

    query: str = "recency"
    """What candidates are compared with: the "last" item of a session, the "mean" of them all, or
    their mean with recent items weighing more ("recency")."""
    decay: float = 3.0
    """Steps back in which the weight of an item falls by e; for "recency" only."""
    centre: bool = False
    """Whether the mean vector of the training items is subtracted first."""

    def __post_init__(self) -> None:
        need_choice(self, "query", QUERIES)
        need_positive(self, "decay")
        if not isinstance(self.centre, bool):
            raise ConfigError(f"centre must be true or false, not {self.centre!r}.")


class ContentNeighbours:
    """Scores every item, clicked or not, by the cosine of its features with those of the session.

    Means are taken over features of length 1; of "recency" an item that lies s steps back weighs
    `exp(−s / decay)`. Clicked and unclicked items are treated alike. Items without features are left out where they
    occur in a session, and are scored −inf; a session without any features gives all others 0.

    Args:
        features: (n_items, n_features).
        config: settings.
        present: (n_items,) bool, which items have features; all by default.

    Raises:
        DataError: the features are no table, or not finite.
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
                f"There are features of {len(features)} items but {self.present.size} marks of "
                "which are present; give one for each item."
            )
        bad = np.flatnonzero(~np.isfinite(features).all(1) & self.present)
        if bad.size:
            raise DataError(
                f"The features of item row {bad[0]} are not finite; mend them or mark the item as "
                "without features."
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
