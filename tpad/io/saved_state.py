"""Converts the states of modules and optimizers to and from named tensors."""

import math
from collections.abc import Callable
from dataclasses import fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")


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


def from_json(kind: Callable[..., Settings], values: Any) -> Settings:
    """Make a dataclass of settings from JSON values, and check their types.

    Raises:
        ValueError: a value has another type than its field, or there is no such field.
    """
    if not isinstance(values, dict):
        raise ValueError(f"the settings are not an object, but {values!r}")
    types = {one.name: one.type for one in fields(kind)}  # type: ignore[arg-type]
    made = {}
    for name, value in values.items():
        if name not in types:
            raise ValueError(f"there is no setting {name!r}")
        made[name] = tuple(value) if isinstance(value, list) else value
        no_number = isinstance(value, float) and not math.isfinite(value)
        if no_number or not fits(made[name], types[name]):
            raise ValueError(f"the setting {name!r} cannot be {value!r}")
    return kind(**made)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value has the type of a field; an int is also a float."""
    if get_origin(kind) is UnionType:
        return any(fits(value, one) for one in get_args(kind))
    if get_origin(kind) in (tuple, list):
        return isinstance(value, get_origin(kind)) and all(
            fits(v, get_args(kind)[0]) for v in value
        )
    if kind in (int, float):
        allowed = (int, float) if kind is float else int
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, kind)
