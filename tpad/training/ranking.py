"""The rank of the target item among all items that are not in the session, for training stages."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def reciprocal_ranks(scores: Tensor, targets: Tensor, k: int = 20) -> Tensor:
    """Expected reciprocal rank of each row's target; ranks beyond k count as zero.

    The mean is MRR@k. Arguments and ties as in `expected_gains`.
    """
    gains = 1.0 / torch.arange(1, k + 1, dtype=torch.float64, device=scores.device)
    return expected_gains(scores, targets, gains)


def expected_gains(scores: Tensor, targets: Tensor, gains: Tensor) -> Tensor:
    """Expected gain of each row's target by its rank; ranks beyond k count as zero.

    Ties are ordered at random: if a candidates score higher than the target and t
    candidates (with the target) have its score, the rank r is uniform on a + 1, ..., a + t:

        value = 1/t · Σ_{r = a+1}^{a+t} [r <= k] · gain_r

    A target with score −inf or NaN counts as zero.

    Args:
        scores: (n, C); −inf for items that are not candidates.
        targets: (n,) int64, column of each row's target.
        gains: (k,) float64, gain of each rank.

    Returns:
        (n,) float32.
    """
    own = scores.gather(1, targets[:, None])  # (n, 1)
    above = (scores > own).sum(1)  # (n,)
    ties = torch.where(own[:, 0] > -torch.inf, (scores == own).sum(1), 0)  # (n,)
    k = len(gains)
    worth = F.pad(gains.cumsum(0), (1, 0))  # (k + 1,), sum over all ranks up to each
    total = worth[(above + ties).clamp(max=k)] - worth[above.clamp(max=k)]
    return (total / ties.clamp(min=1)).float()


def contained(prefixes: Sequence[np.ndarray], candidates: Tensor) -> Tensor:
    """Which candidates each prefix contains; the cost does not depend on the number of items.

    Args:
        prefixes: n arrays of item rows, at least one.
        candidates: (C,) int64, ascending item rows.

    Returns:
        (n, C) bool, on the device of the candidates.
    """
    device = candidates.device
    row = np.repeat(np.arange(len(prefixes)), [len(prefix) for prefix in prefixes])
    items = torch.from_numpy(np.concatenate(prefixes).astype(np.int64)).to(device)
    column = torch.searchsorted(candidates, items).clamp(max=len(candidates) - 1)
    there = candidates[column] == items
    result = torch.zeros(len(prefixes), len(candidates), dtype=torch.bool, device=device)
    result[torch.from_numpy(row).to(device)[there], column[there]] = True
    return result
