"""Losses of the neural baselines over one target and many negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -1e9
"""Score of items that are not candidates; finite, so that gradients are finite."""


def cross_entropy(own: Tensor, negatives: Tensor) -> Tensor:
    """Softmax cross-entropy, `mean(log(exp r_i + Σ_j exp r_j) − r_i)`, in nats.

    Args:
        own: (n,) scores r_i of the targets.
        negatives: (n, C) scores r_j; `MASKED` for items that are not candidates.
    """
    rest = torch.logsumexp(negatives, dim=1)  # (n,)
    return F.softplus(rest - own).mean()


def bpr_max(own: Tensor, negatives: Tensor, regularisation: float) -> Tensor:
    """BPR-max of Hidasi & Karatzoglou 2018 (CIKM), equation 10:

    `−log Σ_j s_j σ(r_i − r_j) + λ Σ_j s_j r_j²`, with s the softmax over the negatives.

    Args:
        own: (n,) scores r_i of the targets.
        negatives: (n, C) scores r_j; `MASKED` for items that are not candidates.
        regularisation: λ.
    """
    candidate = negatives > MASKED / 2  # (n, C)
    share = torch.softmax(negatives, dim=1) * candidate  # (n, C)
    better = (share * torch.sigmoid(own[:, None] - negatives)).sum(1)  # (n,)
    squares = negatives.masked_fill(~candidate, 0.0).square()  # (n, C)
    return (regularisation * (share * squares).sum(1) - (better + 1e-24).log()).mean()
