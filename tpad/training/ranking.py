"""How high the right item stands among those that a session does not hold, for training stages."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def reciprocal_ranks(scores: Tensor, targets: Tensor, k: int = 20) -> Tensor:
    """Expected reciprocal rank of each row's target, ranks beyond k being worth zero.

    Its mean is MRR@k. With a candidates above the target and t that share its score, the target
    included, the rank r is uniform on a + 1, ..., a + t, since ties are ordered at random:

        value = 1/t · Σ_{r = a+1}^{a+t} [r <= k] / r

    A target whose score is minus infinity or NaN is worth zero.

    Args:
        scores: (n, C), minus infinity for what is no candidate.
        targets: (n,) int64, column of each row's target.
        k: places that count.

    Returns:
        (n,) float32.
    """
    own = scores.gather(1, targets[:, None])  # (n, 1)
    above = (scores > own).sum(1)  # (n,)
    ties = torch.where(own[:, 0] > -torch.inf, (scores == own).sum(1), 0)  # (n,)
    gains = 1.0 / torch.arange(1, k + 1, dtype=torch.float64, device=scores.device)
    worth = F.pad(gains.cumsum(0), (1, 0))  # (k + 1,), of all ranks up to each
    total = worth[(above + ties).clamp(max=k)] - worth[above.clamp(max=k)]
    return (total / ties.clamp(min=1)).float()


def held(prefixes: Sequence[np.ndarray], candidates: Tensor) -> Tensor:
    """Which candidates each prefix holds; what it costs does not depend on how many items there are.

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
