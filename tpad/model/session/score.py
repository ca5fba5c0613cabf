"""The score of the fused recommender: a network, two memories of clicks, and content.

**[ours]**

    score(j | s) = w_n · network(s, j) + w_m · ln(1 + sharpness · memory(s, j))
                   + w_s · ln(1 + neighbour_sharpness · neighbours(s, j)) + w_c · cosine(s, j)
                   + offset · [j has no click]

- network: scores of the session network.
- memory: what shoppers clicked next (`tpad.model.session.memory`).
- neighbours: what shoppers with similar sessions clicked (`tpad.model.session.neighbours`).
- cosine: similarity to the recency-weighted mean of the session in the content space
  (`tpad.model.session.content_space`).

Stand-ins give unclicked items a row and a column in both memories (`tpad.model.session.stand_ins`). The
memories enter by their logarithm, as the network's scores are log-probabilities up to a constant. Unlike
`ln(memory)`, the terms are zero where the memories are, so they stay sparse.
"""

from dataclasses import dataclass

import numpy as np

from tpad.settings import Finite, Positive, Weight, settings


@settings
class FusionWeights:
    """Weights of the parts."""

    network: Weight = 1.0
    """Weight of the network's scores; 0 leaves the network out."""
    memory: Weight = 1.0
    """w_m, weight of the memory."""
    sharpness: Positive = 300.0
    """Factor of the memory inside the logarithm."""
    neighbours: Weight = 0.0
    """w_s, weight of the session neighbours; 0 leaves them out."""
    neighbour_sharpness: Positive = 1.0
    """Factor of the session neighbours inside the logarithm."""
    cosine: Weight = 1.0
    """w_c, weight of the cosine similarity."""
    recency: Positive = 2.0
    """Number of steps back over which the weight of a session's item decays by e in the cosine."""
    offset: Finite = 0.0
    """Added to the scores of items without training clicks."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of the scores of n sessions.

    Attributes:
        network: (n, n_items) float32.
        memory: (n, n_items) float32, at least 0.
        cosine: (n, n_items) float32 in [−1, 1].
        neighbours: (n, n_items) float32, at least 0; None without session neighbours.
    """

    network: np.ndarray
    memory: np.ndarray
    cosine: np.ndarray
    neighbours: np.ndarray | None = None

    def fused(self, weights: FusionWeights, unclicked: np.ndarray) -> np.ndarray:
        """The scores above: (n, n_items) float32.

        Args:
            weights: of the parts.
            unclicked: (n_items,) bool.
        """
        scores = damped(self.memory, weights.memory, weights.sharpness)
        if weights.neighbours and self.neighbours is not None:
            scores += damped(self.neighbours, weights.neighbours, weights.neighbour_sharpness)
        if weights.network:
            scores += np.float32(weights.network) * self.network
        if weights.cosine:
            scores += np.float32(weights.cosine) * self.cosine
        scores[:, unclicked] += np.float32(weights.offset)
        return scores


def damped(values: np.ndarray, weight: float, sharpness: float) -> np.ndarray:
    """`weight · ln(1 + sharpness · values)`, of the same shape and type."""
    result = values * values.dtype.type(sharpness)
    np.log1p(result, out=result)
    result *= values.dtype.type(weight)
    return result


@dataclass(frozen=True, eq=False)
class ClickScores:
    """Scores of one session from a memory of clicks; other items have the score 0.

    Attributes:
        weight, sharpness: of the memory in the fused score.
        known: rows of clicked items in ascending order, and their scores (float64).
        all: the same for all items, unclicked ones by way of their stand-ins.
    """

    weight: float
    sharpness: float
    known: tuple[np.ndarray, np.ndarray]
    all: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class SessionQuery:
    """What the scores of one session are computed from.

    Attributes:
        network: (h + 1,) float32, the session vector of the network.
        content: (d',) float32, weighted mean of the unit vectors.
        clicks: scores of the memory, and of the session neighbours if there are any.
        offset: added to the scores of items without training clicks; −inf excludes them.
    """

    network: np.ndarray
    content: np.ndarray
    clicks: tuple[ClickScores, ...]
    offset: float

    @property
    def gains(self) -> tuple[np.ndarray, np.ndarray]:
        """Items that the memories of clicks know, in ascending order, and what these add to their scores."""
        found = [one.all[0] for one in self.clicks]
        added = [damped(one.all[1], one.weight, one.sharpness) for one in self.clicks]
        if len(found) == 1:
            return found[0], added[0]
        items, inverse = np.unique(np.concatenate(found), return_inverse=True)
        return items, np.bincount(inverse, np.concatenate(added), len(items))
