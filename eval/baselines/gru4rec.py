"""GRU4Rec: a recurrent network over the items of a session.

Hidasi et al. 2016 (ICLR), with the authors' later improvements: cross-entropy or BPR-max over many
negatives (Hidasi & Karatzoglou 2018, CIKM), and shared embeddings of sessions and candidates with a bias
per item (Hidasi & Czapp 2023, RecSys). Theirs processes sessions in parallel and learns from one step at a
time; here gradients flow through the whole session.
"""

from torch import Tensor, nn

from eval.baselines.neural import NeuralConfig, NeuralModel, SequenceNetwork
from tpad.settings import Count, settings


@settings
class GRU4RecConfig(NeuralConfig):
    """Settings of GRU4Rec."""

    layers: Count = 1
    """GRU layers."""


class GRU4RecNetwork(SequenceNetwork):
    """Item embeddings through a GRU of the same width."""

    def __init__(self, n_known: int, config: GRU4RecConfig) -> None:
        super().__init__(n_known, config, bias=True)
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.layers > 1 else 0.0
        self.gru = nn.GRU(
            config.width, config.width, config.layers, batch_first=True, dropout=between
        )

    def forward(self, sessions: Tensor) -> Tensor:
        states, _ = self.gru(self.dropout(self.embed(sessions)))  # (B, L, h)
        return self.dropout(states)


class GRU4Rec(NeuralModel):
    """GRU4Rec, trained like all neural baselines."""

    Config = GRU4RecConfig
    config: GRU4RecConfig

    def build(self, n_known: int) -> SequenceNetwork:
        return GRU4RecNetwork(n_known, self.config)
