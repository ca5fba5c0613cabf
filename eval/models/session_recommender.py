"""The fused recommender as a model that ranks: fitted here over an embedding set, or already fitted."""

import typing
from collections.abc import Callable

import numpy as np

from tpad import Dataset
from tpad.model.session.fitted import EpochReport
from tpad.training.fusion import FusionTuning, fit_tuned

Progress = Callable[[EpochReport], None] | None


class EmbeddingModel:
    """The fused recommender over one embedding set, with the same budget and tuning for every set.

    Args:
        name: of the set.
        features: (n_items, n_features).
        tuning: the chosen settings.
        seed: of the network.
        progress: called after each epoch.
    """

    can_score_new_items = True

    def __init__(
        self,
        name: str,
        features: np.ndarray,
        tuning: FusionTuning,
        seed: int = 0,
        progress: Progress = None,
    ) -> None:
        self.name = name
        self.features = np.asarray(features, dtype=np.float32)
        self.tuning, self.seed, self.progress = tuning, seed, progress

    def fit(self, dataset: Dataset) -> "EmbeddingModel":
        self.fitted = fit_tuned(
            self.features,
            dataset.train,
            dataset.validation,
            ~dataset.cold,
            self.tuning,
            seed=self.seed,
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
