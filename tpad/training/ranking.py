"""How high the right item stands among those that a session does not hold, for training stages."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def reciprocal_ranks(scores: Tensor, targets: Tensor, k: int = 20) -> Tensor:
    """One over the rank of each row's target, zero beyond k; its mean is MRR@k.

    Args:
        scores: (n, C), minus infinity for what is no candidate.
        targets: (n,) int64, column of each row's target.
        k: places that count.

    Returns:
        (n,) float32.
    """
    own = scores.gather(1, targets[:, None])  # (n, 1)
    rank = 1 + (scores > own).sum(1)  # (n,)
    return torch.where(rank <= k, 1.0 / rank, 0.0)


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
