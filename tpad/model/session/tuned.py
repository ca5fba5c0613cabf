"""What tuning has chosen for a session recommender; a bundle stores it."""

from dataclasses import dataclass, replace

from tpad.model.session.network import SessionModelConfig


@dataclass(frozen=True)
class SessionTuning:
    """The chosen settings, and what each PCA size reached."""

    pca: int | None
    """Best PCA size; None keeps the features as they are."""
    cold_offset: float
    """Offset of unclicked items' scores at that size."""
    values: dict[str, float]
    """Mean of the MRR@20 on warm and on pseudo-cold validation targets, by size."""

    def apply(self, config: SessionModelConfig) -> SessionModelConfig:
        """The settings of a recommender with what was chosen."""
        return replace(config, pca=self.pca, cold_offset=self.cold_offset)
