"""NARM: a GRU with attention from its last state (Li et al. 2017, CIKM)."""

import torch
from torch import Tensor, nn

from eval.baselines.neural import NeuralConfig, NeuralModel, SequenceNetwork


class NARMNetwork(SequenceNetwork):
    """Global and local encoder, and a bilinear decoder.

    With the states h_t of the GRU, the session after step t is `[h_t ; Σ_{j≤t} α_tj h_j]`,
    `α_tj = vᵀ σ(A₁ h_t + A₂ h_j)`, and the score of item i is `e_iᵀ B c_t`. The states of a prefix
    do not depend on what follows, so one pass serves all prefixes.
    """

    def __init__(self, n_known: int, config: NeuralConfig) -> None:
        super().__init__(n_known, config)
        width = config.width
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.from_last = nn.Linear(width, width, bias=False)  # A₁
        self.from_each = nn.Linear(width, width, bias=False)  # A₂
        self.attention = nn.Linear(width, 1, bias=False)  # v
        self.decoder = nn.Linear(2 * width, width, bias=False)  # B

    def forward(self, sessions: Tensor) -> Tensor:
        states, _ = self.gru(self.dropout(self.embed(sessions)))  # (B, L, h)
        length = states.shape[1]
        both = self.from_last(states)[:, :, None] + self.from_each(states)[:, None]  # (B, L, L, h)
        alpha = self.attention(torch.sigmoid(both))[..., 0]  # (B, L, L)
        past = torch.ones(length, length, dtype=torch.bool).tril()
        local = alpha.masked_fill(~past, 0.0) @ states  # (B, L, h)
        return self.decoder(self.dropout(torch.cat([states, local], dim=-1)))


class NARM(NeuralModel):
    """NARM, trained like all neural baselines."""

    def build(self, n_known: int) -> SequenceNetwork:
        return NARMNetwork(n_known, self.config)
