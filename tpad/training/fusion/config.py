"""Settings of the fused recommender: those of the configuration, and those that the tuning chooses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from tpad.model.session.exploration import Exploration
from tpad.model.session.fused import FusionWeights
from tpad.model.session.memory import MemoryConfig
from tpad.model.session.neighbours import NeighboursConfig
from tpad.model.session.network import SessionModelConfig
from tpad.settings import CountOrZero, from_json, settings

# Both train to the end: the validation MRR is noisy until the learning rate has decayed.
CONTENT_NETWORK = SessionModelConfig(pca=96, dropout=0.2, epochs=30, patience=30)
"""A transformer over the features alone: best where the content says what follows."""
ID_NETWORK = SessionModelConfig(
    layers=0,
    tied=True,
    id_embedding=True,
    item_bias=True,
    id_dropout=0.1,
    dropout=0.4,
    epochs=12,
    patience=12,
    learning_rate=1e-2,
    weight_decay=2.0,
)
"""A decayed mean with ID embeddings: best where the clicks say what follows."""


@settings
class FusionConfig:
    """Settings of the fused recommender."""

    content: SessionModelConfig = Field(default_factory=lambda: CONTENT_NETWORK)
    ids: SessionModelConfig = Field(default_factory=lambda: ID_NETWORK)
    tried: Annotated[tuple[Literal["content", "ids"], ...], Field(min_length=1)] = (
        "content",
        "ids",
    )
    """Networks to try; the one whose fused recommender is best on validation is kept."""
    mask_seen: bool = True
    """Whether items of the session are excluded from the candidates and targets, as in ranking."""
    seed: CountOrZero = 0
    """Seed of the networks."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FusionConfig":
        """The settings whose fields were stored as JSON.

        Raises:
            TypeError, ValueError: a value is invalid.
        """
        networks = {
            name: from_json(SessionModelConfig, values[name])
            for name in ("content", "ids")
            if name in values
        }
        return from_json(cls, {**values, **networks})

    def with_epochs(self, epochs: int) -> "FusionConfig":
        """A copy whose networks are trained for so many epochs."""
        content, ids = (replace(one, epochs=epochs) for one in (self.content, self.ids))
        return replace(self, content=content, ids=ids)

    @property
    def networks(self) -> tuple[SessionModelConfig, ...]:
        """Settings of the networks to try."""
        return tuple(
            replace(getattr(self, name), mask_seen=self.mask_seen, seed=self.seed)
            for name in self.tried
        )


@dataclass(frozen=True)
class FusionTuning:
    """The chosen settings."""

    network: SessionModelConfig
    memory: MemoryConfig
    weights: FusionWeights
    value: float
    """Mean smooth gain on the validation cases, see `tpad.training.fusion.pools`."""
    whitening: float = 0.0
    """Of the content space, see `ContentSpace.fit`."""
    neighbours: NeighboursConfig = field(default_factory=NeighboursConfig)
    """Settings of the session neighbours; not used if they have no weight."""
    exploration: Exploration | None = None
    """The offset for each share of new items; None without validation cases or new items."""
    parts: dict[str, int] | None = None
    """Parts of the features, see `tpad.model.parts`; None if they are one part."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FusionTuning":
        """The settings whose fields were stored as JSON.

        Raises:
            KeyError, ValueError: a value is missing or invalid.
        """
        exploration = values["exploration"]
        return cls(
            from_json(SessionModelConfig, values["network"]),
            from_json(MemoryConfig, values["memory"]),
            from_json(FusionWeights, values["weights"]),
            float(values["value"]),
            float(values["whitening"]),
            from_json(NeighboursConfig, values["neighbours"]),
            None if exploration is None else from_json(Exploration, exploration),
            values["parts"],
        )


class TuningStore(Protocol):
    """Keeps the results of finished networks, so that an interrupted tuning resumes."""

    def load(self, number: int) -> FusionTuning | None:
        """The result of a network, by its place among those to try; None if it is not finished."""

    def save(self, number: int, tuning: FusionTuning) -> None:
        """Store the result of a network."""
