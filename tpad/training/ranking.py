"""How high the right item stands, as training stages watch it on validation sessions."""

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
