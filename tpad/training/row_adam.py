"""Adam without momentum for large tables of which each step uses a few rows."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowAdam(torch.optim.Optimizer):
    """`torch.optim.Adam` with `betas=(0, beta)`, for sparse gradients; the steps are the same.

    Without momentum a row without a gradient does not move, so a step costs as much as its rows, whatever
    the size of the table. With momentum (`torch.optim.SparseAdam`, which lets the moments of rows decay only
    when they have a gradient) the embeddings of rare items learn more slowly.

    Args:
        parameters: parameters or groups of them, whose gradients are sparse.
        lr: learning rate.
        beta: decay of the mean square of the gradient.
        eps: added to the denominator.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float = 1e-3, beta: float = 0.98, eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, {"lr": lr, "beta": beta, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, table.grad.coalesce(), group)

    def _update(self, table: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state, beta = self.state[table], group["beta"]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["last"] = torch.zeros_like(table[:, :1] if table.ndim > 1 else table)
            state["square"] = torch.zeros_like(table)
        state["step"] += 1
        step, (rows,), values = int(state["step"]), gradient.indices(), gradient.values()  # (n, …)
        # The mean square has decayed in all steps since the last one with a gradient.
        decay = beta ** (step - state["last"][rows])
        square = (state["square"][rows] * decay).addcmul_(values, values, value=1 - beta)
        state["square"][rows], state["last"][rows] = square, float(step)
        deviation = (square / (1 - beta**step)).sqrt_().add_(group["eps"])
        table.index_add_(0, rows, values / deviation, alpha=-group["lr"])


def clip_gradients(parameters: Iterable[Tensor], most: float) -> None:
    """Scale the gradients, some of them sparse, so that their joint norm is at most `most`."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        elif parameter.grad is not None:
            values.append(parameter.grad)
    scale = (most / (nn.utils.get_total_norm(values) + 1e-6)).clamp(max=1.0)
    for value in values:
        value.mul_(scale)
