"""The session recommender as a model that ranks: fitted here over an embedding set, or already fitted."""

import typing
from collections.abc import Callable

import numpy as np

from tpad import Dataset
from tpad.model.session.fitted import EpochReport
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model

Progress = Callable[[EpochReport], None] | None


class EmbeddingModel:
    """The session recommender over one embedding set, with the same budget and tuning for every set.

    Args:
        name: of the set.
        features: (n_items, n_features).
        config: settings of the recommender, tuned ones included.
        progress: called after each epoch.
    """

    can_score_new_items = True

    def __init__(
        self,
        name: str,
        features: np.ndarray,
        config: SessionModelConfig | None = None,
        progress: Progress = None,
    ) -> None:
        self.name = name
        self.features = np.asarray(features, dtype=np.float32)
        self.config = config or SessionModelConfig()
        self.progress = progress

    def fit(self, dataset: Dataset) -> "EmbeddingModel":
        self.fitted = fit_session_model(
            self.features,
            dataset.train,
            dataset.validation,
            ~dataset.cold,
            self.config,
            progress=self.progress,
        )
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return self.fitted.scores(sessions)


class Scorer(typing.Protocol):
    """Anything with `scores`."""

    def scores(self, prefixes: list[np.ndarray], /) -> np.ndarray: ...


class ScoringModel:
    """A model that needs no fitting: the oracle of the demo shop, or a recommender of a bundle.

    Args:
        model: anything with `scores(sessions) -> (n, n_items)`.
    """

    can_score_new_items = True

    def __init__(self, model: Scorer) -> None:
        self.model = model

    def fit(self, dataset: Dataset) -> "ScoringModel":
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return self.model.scores(sessions)
