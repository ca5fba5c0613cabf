"""SR-GNN: a gated graph network over the graph of a session (Wu et al. 2019, AAAI)."""

import torch
from torch import Tensor, nn

from eval.baselines.neural import NeuralConfig, NeuralModel, PrefixNetwork, SequenceNetwork
from tpad.settings import Count, settings


@settings
class SRGNNConfig(NeuralConfig):
    """Settings of SR-GNN."""

    steps: Count = 1
    """Number of message passing steps."""


class SRGNNNetwork(PrefixNetwork):
    """A gated graph network over the clicks of a session, with attention from the last item.

    As in the authors' code, repeated edges count once, incoming and outgoing edges are normalised to
    means, and the gates are those of a GRU cell with both sums as input:
    `a = [A_in (v W_in + b) ; A_out (v W_out + b)]`, `v' = GRU(a, v)`. The session is
    `W₃ [v_last ; Σ_i (qᵀ σ(W₁ v_last + W₂ v_i)) v_i]`, the sum over clicks.
    """

    def __init__(self, n_known: int, config: SRGNNConfig) -> None:
        super().__init__(n_known, config)
        width = config.width
        self.steps = config.steps
        self.dropout = nn.Dropout(config.dropout)
        self.incoming = nn.Linear(width, width)
        self.outgoing = nn.Linear(width, width)
        self.cell = nn.GRUCell(2 * width, width)
        self.from_last = nn.Linear(width, width)  # W₁
        self.from_each = nn.Linear(width, width)  # W₂
        self.attention = nn.Linear(width, 1, bias=False)  # q
        self.readout = nn.Linear(2 * width, width, bias=False)  # W₃

    def forward(self, prefixes: Tensor) -> Tensor:
        size, length = prefixes.shape
        valid = prefixes >= 0  # (n, L)
        node, into, out = session_graph(prefixes)  # (n, L), (n, L, L), (n, L, L)
        states = self.dropout(self.embed(prefixes))  # (n, L, h), of the nodes
        for _ in range(self.steps):
            sums = torch.cat([into @ self.incoming(states), out @ self.outgoing(states)], dim=-1)
            states = self.cell(sums.flatten(0, 1), states.flatten(0, 1)).view(size, length, -1)
        # From nodes to clicks; by a product, as the gradient of indexing is not deterministic.
        clicks = torch.nn.functional.one_hot(node, length).to(states.dtype) @ states  # (n, L, h)
        last = clicks[torch.arange(size), valid.sum(1) - 1]  # (n, h)
        both = torch.sigmoid(self.from_last(last)[:, None] + self.from_each(clicks))  # (n, L, h)
        alpha = self.attention(both).masked_fill(~valid[..., None], 0.0)  # (n, L, 1)
        whole = (alpha * clicks).sum(1)  # (n, h)
        return self.readout(self.dropout(torch.cat([last, whole], dim=-1)))


def session_graph(prefixes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The directed graph of each session.

    The node of an item is the position of its first click; all other positions have no edges.

    Args:
        prefixes: (n, L) int64, padded at the end with values below 0.

    Returns:
        The node of each click (n, L), and the normalised matrices of incoming and outgoing edges,
        (n, L, L) each, whose rows sum to 1 or 0.
    """
    size, length = prefixes.shape
    node = (prefixes[:, :, None] == prefixes[:, None, :]).int().argmax(2)  # (n, L), first equal
    edge = torch.zeros(size, length, length)
    row, step = torch.nonzero(prefixes[:, 1:] >= 0, as_tuple=True)
    edge[row, node[row, step], node[row, step + 1]] = 1.0  # from, to
    into = edge.transpose(1, 2)
    return (
        node,
        into / into.sum(2, keepdim=True).clamp(min=1.0),
        edge / edge.sum(2, keepdim=True).clamp(min=1.0),
    )


class SRGNN(NeuralModel):
    """SR-GNN, trained like all neural baselines."""

    Config = SRGNNConfig
    config: SRGNNConfig

    def build(self, n_known: int) -> SequenceNetwork:
        return SRGNNNetwork(n_known, self.config)
