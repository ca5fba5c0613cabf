"""Adam for large tables of which each step uses a few rows."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LazyAdam(torch.optim.Optimizer):
    """Adam that updates only the rows with a gradient; the cost of a step does not grow with the table.

    Moments of the other rows do not decay. Unlike `torch.optim.SparseAdam`, the step count is a tensor,
    so that training resumes exactly from a checkpoint.

    Args:
        parameters: parameters or groups of them, whose gradients are sparse.
        lr: learning rate.
        betas: decay of both moments.
        eps: added to the denominator.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad.coalesce(), group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        rows, values = gradient.indices()[0], gradient.values()  # (n,), (n, …)
        mean = state["exp_avg"][rows].lerp_(values, 1 - first)
        square = state["exp_avg_sq"][rows].lerp_(values.square(), 1 - second)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        deviation = (square / (1 - second**step)).sqrt_().add_(group["eps"])
        rate = group["lr"] / (1 - first**step)
        parameter.index_add_(0, rows, mean / deviation, alpha=-rate)


def clip_sparse(parameters: Iterable[Tensor], most: float) -> None:
    """Scale all gradients, some of them sparse, so that their joint norm is at most `most`."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad)
    values = [g.values() if g.is_sparse else g for g in gradients]
    norm = torch.nn.utils.get_total_norm(values)
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    for value in values:
        value.mul_(scale)
