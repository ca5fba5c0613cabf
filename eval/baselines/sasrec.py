"""SASRec: causal self-attention over the items of a session (Kang & McAuley 2018, ICDM).

Trained with cross-entropy over all training items, which is better than the original binary cross-entropy
with one negative (Klenitskiy & Vasilev 2023, RecSys; Petrov & Macdonald 2023, RecSys).
"""

import torch
from torch import Tensor, nn

from eval.baselines.neural import NeuralConfig, NeuralModel, SequenceNetwork
from tpad import ConfigError
from tpad.settings import Count, Positive, settings


@settings
class SASRecConfig(NeuralConfig):
    """Settings of SASRec."""

    learning_rate: Positive = 2e-3
    """Peak learning rate of AdamW; lower than for the recurrent networks."""
    layers: Count = 2
    """Transformer blocks."""
    heads: Count = 2
    """Attention heads; must divide `width`."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"heads={self.heads} must divide width={self.width}; change one of them."
            )


class SASRecNetwork(SequenceNetwork):
    """Item embeddings plus learned positions through pre-norm transformer blocks."""

    def __init__(self, n_known: int, config: SASRecConfig) -> None:
        super().__init__(n_known, config)
        nn.init.normal_(self.items.weight, std=0.02)
        self.positions = nn.Parameter(0.02 * torch.randn(config.max_length, config.width))
        self.dropout = nn.Dropout(config.dropout)
        block = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            dim_feedforward=2 * config.width,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(
            block, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )

    def forward(self, sessions: Tensor) -> Tensor:
        length = sessions.shape[1]
        x = self.dropout(self.embed(sessions) + self.positions[:length])  # (B, L, h)
        # Padding comes last and attention is causal, so no padding mask is needed.
        future = nn.Transformer.generate_square_subsequent_mask(length)
        return self.blocks(x, mask=future, is_causal=True)  # (B, L, h)


class SASRec(NeuralModel):
    """SASRec, trained like all neural baselines."""

    Config = SASRecConfig
    config: SASRecConfig

    def build(self, n_known: int) -> SequenceNetwork:
        return SASRecNetwork(n_known, self.config)
