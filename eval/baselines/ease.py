"""EASE: a linear item-item model in closed form (Steck 2019, WWW, arXiv 1905.03375)."""

import numpy as np
from scipy import linalg

from eval.baselines.linear import LinearModel
from tpad.data.sessions import Sessions
from tpad.model.session.session_matrix import decayed_rows
from tpad.settings import Positive, settings


@settings
class EASEConfig:
    """Settings of EASE."""

    regularisation: Positive = 200.0
    """λ; weight of the squared weights."""
    decay: Positive | None = 3.0
    """Number of steps back over which the weight of a click decays by e when scoring. None: all items of
    the session have the same weight, as published."""


class EASE(LinearModel):
    """Scores `x · B`, where B minimises `‖X − X B‖² + λ ‖B‖²` with a zero diagonal.

    X is 1 if a training session contains an item. With `P = (XᵀX + λ I)⁻¹` the solution is
    `B_ij = −P_ij / P_jj` off the diagonal. As items have no weight on themselves, EASE rarely predicts
    repeated items.

    Memory: 13 bytes per pair of training items (12 GB for 30,000 items); time: n³ operations.
    """

    bytes_a_cell = 13

    def __init__(self, config: EASEConfig | None = None) -> None:
        self.config = config or EASEConfig()

    def input_decay(self) -> float | None:
        return self.config.decay

    def learn(self, train: Sessions, columns: list[np.ndarray], n_known: int) -> np.ndarray:
        contains = decayed_rows(columns, n_known, None).astype(np.float64)  # (n_sessions, n_known)
        contains.data[:] = 1.0  # repeated items count once
        gram = (contains.T @ contains).toarray()  # (n_known, n_known)
        gram[np.diag_indices(n_known)] += self.config.regularisation
        inverse = linalg.inv(gram, overwrite_a=True, assume_a="pos")
        inverse /= -np.diag(inverse).copy()  # column j by P_jj
        np.fill_diagonal(inverse, 0.0)
        return inverse
