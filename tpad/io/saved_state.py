"""States of modules and optimisers as named tensors."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state by `number of the parameter.name`, for `restore_optimizer`."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives an optimiser its state back; the settings of its groups stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def built(make: Callable[[], Network], tensors: dict[str, Tensor]) -> Network:
    """A module with these weights; their sizes are compared before memory is taken for them.

    Args:
        make: makes the module, of any sizes.
        tensors: its whole state, float32.

    Raises:
        RuntimeError: a tensor is missing, left over, or of another size.
        ValueError: a tensor holds NaN or infinity, or numbers of another kind.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ValueError(f"{name} holds numbers of the kind {value.dtype}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds NaN or infinity")
    with torch.device("meta"):
        module = make()
    module.load_state_dict(tensors, assign=True)
    return module
