"""The tuned settings of a session recommender, which a bundle stores."""

from dataclasses import dataclass, replace

from tpad.model.session.network import SessionModelConfig


@dataclass(frozen=True)
class SessionTuning:
    """The chosen settings, and the validation value of each PCA size."""

    pca: int | None
    """Best PCA size; None keeps all features."""
    cold_offset: float
    """Offset for the scores of items without clicks, at that size."""
    values: dict[str, float]
    """Mean of MRR@20 on warm targets and MRR@20 on pseudo-cold targets, by size."""

    def apply(self, config: SessionModelConfig) -> SessionModelConfig:
        """The settings of a recommender with the tuned values."""
        return replace(config, pca=self.pca, cold_offset=self.cold_offset)
