"""Measures what it costs to show more or fewer new items, on validation cases."""

import numpy as np
import torch

from tpad.model.session.exploration import Exploration
from tpad.training.fusion.validation import K
from tpad.training.ranking import expected_gains

SHARES = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75)
"""Shares of new items in the first K places to be measured."""


def measure_exploration(scores: np.ndarray, new: np.ndarray, offset: float) -> Exploration | None:
    """The share of new items and P@20 at the chosen offset and at those that give `SHARES`.

    Args:
        scores: (n, width) float32 of candidates without an offset, the target first; −inf at unused
            places.
        new: (n, width) bool, the candidates whose scores the offset is added to.
        offset: the chosen offset.

    Returns:
        The curve; None if there are no cases or no new candidates.
    """
    if not np.isfinite(scores[new]).any():
        return None
    entering = np.sort(entering_offsets(scores, new), axis=None)  # (n · K,)
    wanted = entering[[int(share * len(entering)) for share in SHARES]]
    offsets = np.unique(np.append(wanted[np.isfinite(wanted)], offset).astype(np.float32))
    known, of_new = (np.zeros(len(offsets)) for _ in range(2))
    is_new = new[:, 0]
    first = torch.zeros(len(scores), dtype=torch.long)
    for number, one in enumerate(offsets):
        moved = torch.from_numpy(scores + one * new)
        hits = expected_gains(moved, first, torch.ones(K, dtype=torch.float64)).numpy()
        for column, some in ((known, ~is_new), (of_new, is_new)):
            column[number] = hits[some].mean() if some.any() else 0.0
    share = np.searchsorted(entering, offsets) / len(entering)
    rising = tuple(map(float, offsets)), tuple(map(float, share))
    gains = tuple(map(float, known)), tuple(map(float, of_new))
    return Exploration(*rising, *gains, clicked=float(is_new.mean()))


def entering_offsets(scores: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The offsets above which one more new item is in the first K places: (n, K).

    The i-th best new item is there if its score is above that of the (K + 1 − i)-th best other item.

    Args:
        scores, new: as in `measure_exploration`.
    """
    others = _best(np.where(new, -np.inf, scores))  # (n, K)
    own = _best(np.where(new, scores, -np.inf))  # (n, K)
    with np.errstate(invalid="ignore"):
        gaps = others[:, ::-1] - own
    gaps[own == -np.inf] = np.inf
    return gaps


def _best(scores: np.ndarray) -> np.ndarray:
    """The K highest scores of each row, best first; −inf where there are fewer."""
    if scores.shape[1] < K:
        scores = np.pad(scores, ((0, 0), (0, K - scores.shape[1])), constant_values=-np.inf)
    return -np.sort(np.partition(-scores, K - 1, axis=1)[:, :K], axis=1)
