"""The fused recommender: a network, a memory of clicks and content, in one score.

**[ours]**

    score(j | s) = network(s, j) + w_m · ln(1 + sharpness · memory(s, j)) + w_c · cosine(s, j)
                   + offset · [j has no click]

- network: scores of the session network, less their mean over the items.
- memory: what shoppers clicked next (`tpad.model.session.memory`); stand-ins give unclicked items a row and
  a column (`tpad.model.session.stand_ins`).
- cosine: similarity to the recency-weighted mean of the session in the embedding set.

The memory enters by its logarithm, as the network's scores are log-probabilities up to a constant. Unlike
`ln(memory)`, the term is zero where the memory is, so it stays sparse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tpad.model.session.fitted import CHUNK, FittedSessionModel
from tpad.model.session.memory import Memory
from tpad.model.session.session_matrix import decayed_rows
from tpad.model.session.stand_ins import stand_ins, unit_vectors
from tpad.settings import Positive, Weight, settings


@settings
class FusionWeights:
    """Weights of the parts."""

    network: Weight = 1.0
    """Weight of the network's scores; 0 leaves the network out."""
    memory: Weight = 1.0
    """w_m, weight of the memory."""
    sharpness: Positive = 300.0
    """Factor of the memory inside the logarithm."""
    cosine: Weight = 1.0
    """w_c, weight of the cosine similarity."""
    recency: Positive = 2.0
    """Number of steps back over which the weight of a session's item decays by e in the cosine."""
    offset: float = 0.0
    """Added to the scores of items without training clicks."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of the scores of n sessions.

    Attributes:
        network: (n, n_items) float32, less the mean of each row.
        memory: (n, n_items) float32, at least 0.
        cosine: (n, n_items) float32 in [−1, 1].
    """

    network: np.ndarray
    memory: np.ndarray
    cosine: np.ndarray

    def fused(self, weights: FusionWeights, unclicked: np.ndarray) -> np.ndarray:
        """The scores above: (n, n_items) float32.

        Args:
            weights: of the parts.
            unclicked: (n_items,) bool.
        """
        scores = np.float32(weights.sharpness) * self.memory
        np.log1p(scores, out=scores)
        scores *= np.float32(weights.memory)
        if weights.network:
            scores += np.float32(weights.network) * self.network
        if weights.cosine:
            scores += np.float32(weights.cosine) * self.cosine
        scores[:, unclicked] += np.float32(weights.offset)
        return scores


class FusedModel:
    """Scores all items as the next item of a session.

    Args:
        network: a trained session network with the features of all items.
        memory: counts of the same training sessions.
        weights: of the parts.

    Attributes:
        clicked: (n_items,) bool, items of the training sessions.
        stand_ins: (n_items, n_items), see `tpad.model.session.stand_ins`.
        units: (n_items, d), centred features of length 1.
    """

    def __init__(self, network: FittedSessionModel, memory: Memory, weights: FusionWeights) -> None:
        self.network, self.memory, self.weights = network, memory, weights
        self.clicked: np.ndarray = network.network.warm.cpu().numpy()
        self.units = unit_vectors(network.features, self.clicked)
        self.stand_ins: sparse.csr_array = stand_ins(self.units, self.clicked)

    @property
    def n_items(self) -> int:
        return len(self.clicked)

    def scores(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Scores of all items as the next item: (n, n_items) float32, without masking."""
        result = np.empty((len(prefixes), self.n_items), np.float32)
        for start in range(0, len(prefixes), CHUNK):
            part = prefixes[start : start + CHUNK]
            result[start : start + len(part)] = self.parts(part).fused(self.weights, ~self.clicked)
        return result

    def parts(self, prefixes: Sequence[np.ndarray], recency: float | None = None) -> Parts:
        """The parts of the scores, to be joined with any weights.

        Args:
            prefixes: n arrays of item rows, the most recent item last.
            recency: of the cosine; by default that of `weights`.
        """
        network = self.network.scores(prefixes)  # (n, n_items)
        network -= network.mean(1, keepdims=True)
        memory = self.memory.scores(prefixes, self.stand_ins).toarray()  # (n, n_items)
        return Parts(network, memory, self.cosine(prefixes, recency or self.weights.recency))

    def cosine(self, prefixes: Sequence[np.ndarray], recency: float) -> np.ndarray:
        """Similarity of all items to the weighted mean of each session: (n, n_items) float32."""
        mean = decayed_rows(prefixes, self.n_items, recency)  # (n, n_items)
        return (mean @ self.units) @ self.units.T
