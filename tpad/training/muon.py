"""Muon, an optimiser that orthogonalises the update of each matrix; it needs few steps from scratch."""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum; each update is replaced by the nearest orthogonal matrix.

    `torch.optim.Muon` multiplies in bfloat16, which is fifty times slower than float32 on a CPU without
    support for it, and updates one matrix at a time. This class multiplies matrices of equal shape
    together, in their own number format.

    Args:
        matrices: two-dimensional parameters inside a network, but not embeddings or heads.
        lr: learning rate on AdamW's scale: an update has a root mean square of 0.2 (Liu et al. 2025,
            https://arxiv.org/abs/2502.16982, eq. 4).
        weight_decay: decoupled weight decay.
        momentum: momentum of the gradient.

    Raises:
        ValueError: a parameter is not a matrix.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.ndim != 2:
                    raise ValueError(f"Muon takes matrices only, not {tuple(matrix.shape)}.")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one optimisation step."""
        for group in self.param_groups:
            wide = defaultdict(
                list
            )  # by shape: parameters and updates, transposed so that they are at least as wide as high
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(momentum, group["momentum"])
                update = update.T if len(update) > update.shape[1] else update
                wide[update.shape].append((matrix, update))
            for shape, pairs in wide.items():
                updates = orthogonal(torch.stack([update for _, update in pairs]))  # (n, m, k)
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                for (matrix, _), update in zip(pairs, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update if matrix.shape == shape else update.T, alpha=-rate)


def orthogonal(matrices: Tensor) -> Tensor:
    """Approximate U Vᵀ of each matrix U S Vᵀ: singular values end up between 0.7 and 1.2.

    Args:
        matrices: (n, m, k) with m ≤ k.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)  # (n, m, k)
    for _ in range(ITERATIONS):
        gram = x @ x.mT  # (n, m, m)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
