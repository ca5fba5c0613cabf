"""SLIST: a linear model of sessions in closed form (Choi et al. 2021, WWW, arXiv 2103.16104).

    min_B  α ‖W_full (X − X̃ B)‖² + (1 − α) ‖W_part (T − S̃ B)‖² + λ ‖B‖²

- SLIS, the first part: X (sessions, items) is 1 if a session contains an item.
- SLIT, the second part: one row for each split of a session into past S and future T. Weights of clicks
  decay with their distance from the split.
- W are weights of sessions by age. The weights of clicks in the input of a prediction decay with time.

As in the authors' code, the rows of the inputs (X̃, S̃, and the input of a prediction) are divided by
their sums, those of the targets (X, T) are not, and the diagonal of B is not constrained.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import linalg, sparse

from eval.baselines.linear import LinearModel
from tpad.data.sessions import Sessions
from tpad.model.session.session_matrix import LEAST_WEIGHT, decayed_rows
from tpad.settings import Positive, settings

SPLITS_AT_ONCE = 1 << 16  # rows of S and T in memory at once
SECONDS_A_DAY = 24 * 60 * 60


@settings
class SLISTConfig:
    """Settings of SLIST, with their names in the paper."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.4
    """α; weight of SLIS, from 0 (only SLIT) to 1 (only SLIS)."""
    regularisation: Positive = 10.0
    """λ; weight of the squared weights."""
    position_decay: Positive = 1.0
    """δ_pos of w_pos; steps from the split over which the weight of a click in training decays by e."""
    input_decay: Positive = 1.0
    """δ_inf of w_inf; steps back over which the weight of a click decays by e when scoring."""
    time_decay: Positive | None = None
    """δ_time of w_time; days before the last training session over which the weight of a session decays
    by e. None: all sessions have the same weight."""


class SLIST(LinearModel):
    """Scores `x · B`, where B minimises the loss above:

    `B = (α X̃ᵀ W X̃ + (1 − α) S̃ᵀ W S̃ + λ I)⁻¹ (α X̃ᵀ W X + (1 − α) S̃ᵀ W T)`, with the age weights W.

    Memory: 20 bytes per pair of training items (18 GB for 30,000 items); time: n³ operations.
    """

    bytes_a_cell = 20

    def __init__(self, config: SLISTConfig | None = None) -> None:
        self.config = config or SLISTConfig()

    def input_decay(self) -> float:
        return self.config.input_decay

    def learn(self, train: Sessions, columns: list[np.ndarray], n_known: int) -> np.ndarray:
        age = self._age_weights(train)  # (n_sessions,)
        alpha, decay = self.config.alpha, self.config.position_decay
        # In Fortran order, so that LAPACK overwrites both without a copy.
        gram, right = (np.zeros((n_known, n_known), order="F") for _ in range(2))
        inputs = decayed_rows(columns, n_known, None).astype(np.float64)  # X̃
        contains = inputs.copy()
        contains.data[:] = 1.0  # X
        _add(gram, right, alpha * age, inputs, contains)
        if alpha < 1:
            for owner, past, future in splits(columns, n_known, decay):
                _add(gram, right, (1 - alpha) * age[owner], past, future)
        gram[np.diag_indices(n_known)] += self.config.regularisation
        factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
        return linalg.cho_solve(factor, right, overwrite_b=True, check_finite=False)

    def _age_weights(self, train: Sessions) -> np.ndarray:
        """Weights by the time of the last click of each session: (n_sessions,) float64."""
        if self.config.time_decay is None or not len(train):
            return np.ones(len(train))
        ends = train.starts if train.times is None else np.array([t[-1] for t in train.times])
        days = (ends.max() - ends) / SECONDS_A_DAY
        return np.exp(-days / self.config.time_decay)


def splits(
    sessions: list[np.ndarray], n_columns: int, decay: float
) -> Iterator[tuple[np.ndarray, sparse.csr_array, sparse.csr_array]]:
    """All splits of all sessions into a past and a future.

    Args:
        sessions: arrays of columns in time order.
        n_columns: number of columns.
        decay: steps from the split over which the weight of a click decays by e.

    Yields:
        For m splits at a time: (m,) row of the session, (m, n_columns) past, whose rows sum to 1, and
        (m, n_columns) future, in which the next click has the weight 1.
    """
    reach = int(np.floor(-np.log(LEAST_WEIGHT) * decay)) + 1  # clicks that count on each side
    owner: list[int] = []
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for row, items in enumerate(sessions):
        for at in range(1, len(items)):
            owner.append(row)
            sides[0].append(items[max(0, at - reach) : at])
            sides[1].append(items[at : at + reach])
        if len(owner) >= SPLITS_AT_ONCE:
            yield _matrices(owner, sides, n_columns, decay)
            owner, sides = [], ([], [])
    if owner:
        yield _matrices(owner, sides, n_columns, decay)


def _matrices(
    owner: list[int], sides: tuple[list[np.ndarray], list[np.ndarray]], n_columns: int, decay: float
) -> tuple[np.ndarray, sparse.csr_array, sparse.csr_array]:
    past, future = sides
    lengths = np.array([len(one) for one in future], dtype=np.int64)
    row = np.repeat(np.arange(len(future)), lengths)
    ahead = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # 0: the next
    target = sparse.csr_array(
        (np.exp(-ahead / decay), (row, np.concatenate(future))), shape=(len(future), n_columns)
    )
    return np.array(owner), decayed_rows(past, n_columns, decay).astype(np.float64), target


def _add(
    gram: np.ndarray,
    right: np.ndarray,
    weight: np.ndarray,
    inputs: sparse.csr_array,
    targets: sparse.csr_array,
) -> None:
    """Adds rows of the loss with weights (m,) to both sides of the equation."""
    weighted = (sparse.diags_array(weight) @ inputs).T  # (n_columns, m)
    _add_sparse(gram, weighted @ inputs)
    _add_sparse(right, weighted @ targets)


def _add_sparse(table: np.ndarray, values: sparse.sparray) -> None:
    """Adds sparse values in place, without a second dense matrix."""
    some = values.tocoo()
    table[some.row, some.col] += some.data  # no duplicates
