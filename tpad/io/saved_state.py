"""Converts the states of modules and optimizers to and from named tensors."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimizer by `parameter index.name`, for `restore_optimizer`."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the state of an optimizer; the settings of its groups do not change."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names start with a prefix, and remove the prefix."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def built(make: Callable[[], Network], tensors: dict[str, Tensor]) -> Network:
    """Build a module with given weights; the shapes are checked before memory is allocated.

    Args:
        make: makes the module.
        tensors: its complete state, in float32.

    Raises:
        RuntimeError: a tensor is missing, unexpected, or of another shape.
        ValueError: a tensor contains NaN or infinity, or has another type.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ValueError(f"{name} has the type {value.dtype}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity")
    with torch.device("meta"):
        module = make()
    module.load_state_dict(tensors, assign=True)
    return module
